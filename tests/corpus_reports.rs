//! Whole reports of the corpus's real crashes, and who is blamed for them, held against snapshots.
//!
//! After a change that is meant: `INSTA_UPDATE=always cargo test --test corpus_reports`, then read the difference.

use std::path::Path;

use serde_json::{Value, json};
use vmcoroner::corpus::{self, Corpus};
use vmcoroner::rules::KnowledgeBase;

/// One fact a line, so that a difference shows which one it is.
fn lines(report: &Value) -> String {
    let facts = report.as_object().unwrap().iter();
    facts.map(|(name, fact)| format!("{name}: {fact}\n")).collect()
}

/// The report without what differs from place to place and from day to day, the log's text as its digest.
fn stable(mut report: Value) -> Value {
    for name in ["path", "bytes_read"] {
        report["source"].as_object_mut().unwrap().remove(name);
    }
    report.as_object_mut().unwrap().remove("tool");
    if let Some(tail) = report.pointer_mut("/log/tail") {
        let text = tail.to_string();
        // FNV-1a.
        let digest = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |digest, byte| {
            (digest ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
        *tail = json!(format!(
            "{} lines, digest {digest:016x}",
            tail.as_array().unwrap().len()
        ));
    }
    report
}

#[test]
fn real_crashes_give_the_same_reports() {
    let base = KnowledgeBase::builtin();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let mut cases = 0;
    for case in Corpus::open(&folder).unwrap().cases {
        let name = case.name();
        let Some(name) = name.strip_suffix(".capsule") else {
            continue;
        };
        let (report, found) = corpus::answer(&base, &case.path).unwrap().unwrap();
        let verdicts: Vec<Value> = found
            .matches
            .iter()
            .map(|found| json!([found.rule, found.tier]))
            .collect();
        let text = lines(&stable(serde_json::to_value(&report).unwrap())) + &format!("matches: {}\n", json!(verdicts));
        settings.bind(|| insta::assert_snapshot!(name.replace('/', "__"), text));
        cases += 1;
    }
    assert!(cases >= 50, "{cases} capsules");
}
