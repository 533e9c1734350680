//! The page as a whole: nothing that a dump holds becomes markup, equal rows give equal bytes, memory stays bounded.

use std::io::Cursor;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Options, Report};

/// A row in which every text is `text`.
fn row(text: &str, status: &str) -> Value {
    let advice = json!({"effect": "avoids", "what": text, "sysctl": {text: text}, "sysfs": {text: text}, "boot": [text],
        "module_option": {text: text}, "config": text, "upgrade": [{"stream": text, "to": text}], "hardware": text,
        "note": text, "when": text, "applies": "unknown", "now": {text: text}});
    let evidence = json!({"predicate": text, "answer": "no", "found": text, "part": "match", "needs": text});
    let rule = |scope: &str| {
        json!({"rule": text, "title": text, "tier": "exact", "scope": scope, "status": "test", "reason": text,
            "evidence": [evidence], "folded": [text], "affected": {"known": "yes", "note": text, "fixed_in": [text]},
            "references": [{"type": "url", "id": text, "url": text, "note": text},
                {"type": "url", "id": text, "url": format!("https://{text}")}],
            "root_cause": text, "mitigations": [advice]})
    };
    let frame = json!({"symbol": text, "module": text, "source": text, "interrupted": true});
    json!({"input": text, "status": status, "with": [text], "matches": [rule("bug"), rule("general")],
        "near": [{"rule": text, "title": text, "missing": [{"predicate": text, "needs": text}]}],
        "error": text,
        "report": {"schema": "vmcoroner/report/1", "source": {"path": text, "kind": "vmcore"},
            "system": {"release": text, "stream": text, "nodename": text, "hardware": text, "crashed_at": text},
            "panic": {"message": text, "kind": "bug", "fatal": text}, "task": {"comm": text},
            "fault": {"role": "faulted", "symbol": text, "module": text, "instruction": text, "source": text,
                "explanation": text, "registers": {text: "0x0"}},
            "frames": [frame], "taint": [text], "log": {"lines": 1, "tail": [text]},
            "signature": {"version": 1, "title": text, "id": text, "frames": [text]},
            "tool": {"version": text, "rules_digest": text}, "missing": [{"fact": text, "why": text}]}})
}

fn page_of(lines: &str, options: Options) -> String {
    let mut report = Report::new(options, Cursor::new(Vec::new()));
    report.read(lines.as_bytes()).unwrap();
    let mut out = Vec::new();
    report.finish(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn page(title: &str, rows: &[Value]) -> String {
    let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
    let title = title.to_owned();
    page_of(
        &lines,
        Options {
            title,
            ..Options::default()
        },
    )
}

/// Tags and their attributes' names, without any text or value: quotes are followed as a browser does.
fn skeleton(html: &str) -> Vec<String> {
    let mut tags = Vec::new();
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        rest = &rest[start..];
        let (mut quoted, mut tag) = (false, String::new());
        let end = rest.find(|c| {
            match c {
                '"' => quoted = !quoted,
                '>' if !quoted => return true,
                c if !quoted => tag.push(c),
                _ => {}
            }
            false
        });
        tags.push(tag);
        rest = &rest[end.expect("a tag ends")..];
    }
    tags
}

const STATUSES: [&str; 4] = ["known", "unknown", "no-crash", "failed"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_in_a_row_becomes_a_tag_or_an_attribute(
        text in prop_oneof![
            any::<String>(),
            "[<>&\"'=/ !a-z\\x00-\\x1f-]{0,40}",
            Just("</style></pre><script>alert(1)</script><!-- ' \" onload=x".to_owned()),
            Just("\"><img src=x onerror=alert(1)>".to_owned()),
        ],
        status in 0_usize..4,
    ) {
        let harmless: String = text.chars().map(|c| if c.is_alphanumeric() || c == ' ' || c == '\n' { c } else { 'x' }).collect();
        let hostile = page(&text, &[row(&text, STATUSES[status])]);
        prop_assert!(!hostile.contains("as rows:"));
        prop_assert_eq!(skeleton(&hostile), skeleton(&page(&harmless, &[row(&harmless, STATUSES[status])])));
    }

    #[test]
    fn no_stream_of_bytes_is_too_much(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut report = Report::new(Options::default(), Cursor::new(Vec::new()));
        report.read(bytes.as_slice()).unwrap();
        report.finish(&mut Vec::new()).unwrap();
    }
}

#[test]
fn every_text_of_a_row_is_shown() {
    let html = page(
        "t",
        &[
            row("Qq7", "known"),
            row("Rr8", "unknown"),
            row("Ss9", "failed"),
            row("Tt0", "no-crash"),
        ],
    );
    assert!(html.matches("Qq7").count() > 40, "{}", html.matches("Qq7").count());
    assert!(html.matches("Rr8").count() > 20);
    assert!(html.contains("Ss9") && html.contains("Tt0"));
}

#[test]
fn identify_leaves_the_status_to_be_told() {
    let mut known = row("k", "known");
    let unknown = json!({"input": "u", "report": {"schema": "vmcoroner/report/1",
        "source": {"path": "u", "kind": "console"}, "panic": {"kind": "bug"}}, "matches": [], "near": []});
    let none =
        json!({"input": "n", "report": {"schema": "vmcoroner/report/1", "source": {"path": "n", "kind": "console"}}});
    for key in ["status", "error"] {
        known.as_object_mut().unwrap().remove(key);
    }
    let html = page(
        "t",
        &[
            known,
            unknown,
            none,
            json!({"input": "f", "error": "f: cannot be read"}),
        ],
    );
    assert_eq!(html.matches("<strong>1</strong>").count(), 4, "{html}");
    assert!(html.contains("<dt>f</dt><dd>cannot be read</dd>"));
}

#[test]
fn a_line_that_is_no_row_is_told_and_the_rest_read() {
    let lines = format!(
        "{}\nnot JSON\n\n{{\"input\": 3}}\n{}",
        row("a", "known"),
        row("b", "unknown")
    );
    let mut report = Report::new(Options::default(), Cursor::new(Vec::new()));
    report.read(lines.as_bytes()).unwrap();
    assert_eq!((report.rows(), report.broken()), (2, 2));
    let html = page_of(&lines, Options::default());
    assert!(html.contains("<li>line 2: ") && html.contains("<li>line 4: "), "{html}");
}

#[test]
fn what_is_left_out_is_said() {
    let options = Options {
        crashes: 3,
        alike: 2,
        ..Options::default()
    };
    let rows = ["a", "a", "a", "b", "c"]
        .map(|name| format!("{}\n", row(name, "unknown")))
        .concat();
    let html = page_of(&rows.replace("\"scope\":\"bug\"", "\"scope\":\"general\""), options);
    assert_eq!(html.matches("<details class=\"crash\"").count(), 3);
    assert!(
        html.contains("Shown are 3 of 5 crashes: at most 2 of one bug or signature"),
        "{html}"
    );
    assert!(html.contains("and 1 more"));
}

#[test]
fn nothing_comes_from_elsewhere() {
    let html = page("t", &[row("x", "known")]);
    for word in ["<script", " src=", "@import", "url(", "<iframe", "http://"] {
        assert!(!html.contains(word), "{word}");
    }
    assert!(html.contains("default-src 'none'"));
}

#[test]
fn a_host_that_is_not_told_is_no_host() {
    let mut unnamed = row("bug", "known");
    unnamed["report"]["system"].as_object_mut().unwrap().remove("nodename");
    let named = row("bug", "known");
    let html = page("t", &[unnamed.clone(), unnamed.clone(), named]);
    assert!(html.contains("<dd>bug; not known of 2 crashes</dd>"));
    assert!(page("t", &[unnamed]).contains("<dd>not known</dd>"));
}
