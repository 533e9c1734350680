//! The crash texts of known bugs in the shared test data folder against the shipped rules of the same name: each text
//! must be named by its own rule.
//!
//! The folder is `$VMCORONER_SHARED`, else `../shared`; without it this test says so and passes. Run with `--nocapture`
//! to see every text that is not named, and what is missing.

#![allow(clippy::disallowed_macros, reason = "the list is for whoever runs the test")]

mod support;

use std::path::Path;

use vmcoroner::console;
use vmcoroner::crash::{CrashReport, Source, SourceKind};
use vmcoroner::rules::{KnowledgeBase, LoadedRule, Tier, explain, identify};

/// Of all texts whose bug has a rule, so many in a hundred must be named.
const LEAST: usize = 95;

#[test]
fn the_texts_of_known_bugs_are_named_by_their_rules() {
    let Some(shared) = support::shared_folder() else { return };
    let base = KnowledgeBase::builtin();
    let (mut total, mut named) = (0, 0);
    for folder in ["knowledge/oops", "knowledge/upstream", "knowledge/upstream-seed"] {
        let folder = shared.join(folder);
        for loaded in base.rules() {
            let path = folder.join(format!("{}.txt", loaded.id()));
            if !path.exists() {
                continue;
            }
            total += 1;
            if is_named(&base, loaded, &path) {
                named += 1;
            }
        }
    }
    println!("{named} of {total} texts are named by their rule");
    assert!(total == 0 || named * 100 >= total * LEAST, "{named} of {total}");
}

/// Whether a text is the crash of a rule, likely or better; else says why not.
fn is_named(base: &KnowledgeBase, loaded: &LoadedRule, path: &Path) -> bool {
    let text = std::fs::read(path).unwrap();
    let reports = console::read(&text, &Source::new(path.to_string_lossy(), SourceKind::Console));
    let crashed = |report: &&CrashReport| report.panic.is_some();
    let report = reports.iter().find(crashed).or(reports.first()).unwrap();
    let identification = identify(base, report, None);
    let own =
        |found: &&vmcoroner::rules::Match| found.rule == loaded.id() || base.explains_better(&found.rule, loaded.id());
    let tier = identification.matches.iter().find(own).map(|found| found.tier);
    if tier.is_some_and(|tier| tier <= Tier::Likely) {
        return true;
    }
    println!("{}: {tier:?}", loaded.id());
    println!(
        "   {:?} fault {:?} frames {:?}",
        report.panic.as_ref().map(|panic| (&panic.kind, &panic.message)),
        report.fault.as_ref().map(|fault| (&fault.symbol, fault.offset)),
        report
            .frames
            .iter()
            .take(8)
            .map(|frame| &frame.symbol)
            .collect::<Vec<_>>()
    );
    for row in explain(loaded, report, None).missing() {
        println!("   {:?} {}: found {:?}", row.answer, row.predicate, row.found);
    }
    false
}
