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
        let harmless: String = text.chars().map(|c| if c.is_alphanumeric() || matches!(c, ' ' | '\n' | '-') { c } else { 'x' }).collect();
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
        html.contains("Shown are 3 of 5 crashes, in the order of the rows: the first of each"),
        "{html}"
    );
    assert!(html.contains("at most 2 of one and 3 in all"));
    assert!(html.contains("and 2 more"));
}

/// A crash of which only its bug, or its signature, is known.
fn crash(name: &str, is_known: bool) -> Value {
    let rule = json!({"rule": name, "title": name, "tier": "likely", "scope": "bug", "status": "stable"});
    json!({"input": name, "status": if is_known { "known" } else { "unknown" }, "near": [],
        "matches": if is_known { json!([rule]) } else { json!([]) },
        "report": {"schema": "vmcoroner/report/1", "source": {"path": name, "kind": "console"},
            "panic": {"kind": "bug"}, "signature": {"version": 1, "title": name, "id": name, "frames": [name]}}})
}

/// The values of an attribute, in order.
fn values<'a>(html: &'a str, attribute: &str) -> Vec<&'a str> {
    let start = format!(" {attribute}=\"");
    html.split(&start)
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn each_bug_and_each_group_is_shown_before_more_of_the_same(
        rows in proptest::collection::vec((0_u8..14, any::<bool>()), 0..60),
        crashes in 0_u64..40,
        alike in 1_usize..5,
    ) {
        let lines: String = rows.iter().map(|(name, known)| format!("{}\n", crash(&format!("n{name}"), *known))).collect();
        let html = page_of(&lines, Options { crashes, alike, ..Options::default() });
        let body = html.split_once("</style>").unwrap().1;
        let ids = values(body, "id");
        let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
        prop_assert_eq!(distinct.len(), ids.len());
        let anchors: Vec<&str> = values(body, "href").into_iter().filter_map(|address| address.strip_prefix('#')).collect();
        for anchor in &anchors {
            prop_assert!(ids.contains(anchor), "#{} leads nowhere", anchor);
        }
        // Every section is led to, and the room is used.
        let sections: Vec<&str> = ids.iter().copied().filter(|id| id.starts_with('c') && *id != "crashes").collect();
        prop_assert!(sections.iter().all(|id| anchors.contains(id)));
        let mut groups = std::collections::BTreeMap::new();
        rows.iter().for_each(|row| *groups.entry(row).or_insert(0_usize) += 1);
        let most = groups.values().map(|count| (*count).min(alike)).sum::<usize>();
        prop_assert_eq!(sections.len() as u64, crashes.min(most as u64));
        // A group without a section is there only when no other has two.
        let linked = body.matches("<p class=\"links\">").count();
        prop_assert_eq!(linked as u64, crashes.min(groups.len() as u64));
    }
}

#[test]
fn the_largest_are_shown_first_wherever_they_are() {
    let rows: String = (0..90)
        .map(|number| format!("single {number:02}"))
        .chain(["twice".to_owned(), "twice".to_owned()])
        .map(|name| format!("{}\n", crash(&name, false)))
        .collect();
    let options = Options {
        crashes: 80,
        ..Options::default()
    };
    let html = page_of(&rows, options);
    assert!(html.contains("<a href=\"#c91\">91</a> and 1 more"), "{html}");
    // 50 cards; the other 41 in a line each, the last of them without a section.
    assert!(html.contains("<summary>41 smaller groups</summary>"));
    assert!(html.contains("<span class=\"count\">1</span> <a href=\"#c50\">single 49</a> <code>single 49</code>"));
    assert!(html.contains("<span class=\"count\">1</span> single 89 <code>single 89</code>"));
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
    unnamed["report"]["system"]["nodename"] = json!("(none)");
    assert!(page("t", &[unnamed]).contains("<dd>not known</dd>"));
}
