//! The imported rules over the texts that they were imported from: each names its own bug.
//!
//! The texts are not part of the repository: the test looks for them in the folder of test data and skips without.

use std::path::PathBuf;

use serde::Deserialize;
use vmcoroner::extract;
use vmcoroner::rules::{KnowledgeBase, identify};

#[derive(Deserialize)]
struct Entry {
    id: String,
    oops_file: String,
}

#[test]
fn the_texts_of_imported_bugs_are_named_by_their_rules() {
    let folder = std::env::var_os("VMCORONER_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        PathBuf::from,
    );
    let folder = folder.join("knowledge");
    let Ok(text) = std::fs::read_to_string(folder.join("upstream.yaml")) else {
        #[expect(clippy::print_stderr, reason = "says that it skips")]
        {
            eprintln!("skipped: {} is not there", folder.display());
        }
        return;
    };
    let entries: Vec<Entry> = serde_yaml::from_str(&text).unwrap();
    let base = KnowledgeBase::builtin();
    let (mut with_rule, mut named, mut wrong, mut unnamed) = (0, 0, Vec::new(), Vec::new());
    for entry in &entries {
        let text = std::fs::read(folder.join(&entry.oops_file)).unwrap();
        let reports = extract::of_text(&entry.id, &text);
        let report = reports.iter().find(|report| report.panic.is_some());
        let found = report.map(|report| identify(&base, report, None)).unwrap_or_default();
        let label = found.label().map(|label| label.rule.as_str());
        let has_rule = base.find(&entry.id).is_some();
        with_rule += usize::from(has_rule);
        match label {
            Some(label) if label == entry.id => named += 1,
            // A rule by hand has the bug, or nobody has.
            Some(label) if has_rule || label.starts_with("cve-") || label.starts_with('c') => {
                wrong.push(format!("{}: {label}", entry.id));
            }
            None if has_rule => unnamed.push(&entry.id),
            _ => {}
        }
    }
    let table = format!(
        "{} texts, {with_rule} of bugs with an imported rule: {named} named, {} not, {} named as another\n{}\n{unnamed:#?}",
        entries.len(),
        unnamed.len(),
        wrong.len(),
        wrong.join("\n")
    );
    #[expect(clippy::print_stderr, reason = "the table that the test is about")]
    {
        eprintln!("{table}");
    }
    assert!(with_rule >= 1000, "{table}");
    assert!(named * 100 >= with_rule * 95, "{table}");
    assert!(wrong.is_empty(), "{table}");
}
