//! Crashes that no rule was made from: rules are imported from all upstream fixes but a part, and asked about the texts of
//! that part. Each is another bug by its fix, so whatever a rule that names one bug claims there is wrong, unless it names
//! that very fix.
//!
//! The texts are not part of the repository: the test looks for them in the folder of test data and skips without. Three
//! parts of ten are tried; `VMCORONER_PARTS=10` tries them all. Run with `--nocapture` to see the table.

#![allow(clippy::disallowed_macros, reason = "the table is for whoever runs the test")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use vmcoroner::extract;
use vmcoroner::importer::{Target, import};
use vmcoroner::rules::schema::Scope;
use vmcoroner::rules::{KnowledgeBase, LoadedRule, Tier, identify};

/// Into so many parts the fixes are cut.
const PARTS: usize = 10;
/// Of all texts of unseen bugs, at most so many in a thousand may be named.
const WRONG: usize = 15;

#[derive(Deserialize)]
struct Entry {
    id: String,
    oops_file: String,
    fixed_by: FixedBy,
    #[serde(default)]
    cve: Vec<String>,
}

#[derive(Deserialize)]
struct FixedBy {
    sha: Option<String>,
}

#[test]
fn crashes_of_unseen_bugs_are_not_named_as_others() {
    let Some(shared) = support::shared_folder() else { return };
    let shared = shared.join("knowledge");
    let text = fs::read_to_string(shared.join("upstream.yaml")).unwrap();
    let entries: Vec<Entry> = serde_yaml::from_str(&text).unwrap();
    let parts = std::env::var("VMCORONER_PARTS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(3);
    let (mut unseen, mut rules, mut wrong) = (0, 0, Vec::new());
    for part in 0..parts {
        let base = imported_without(part, &shared, &text);
        rules += base.rules().len();
        for entry in entries.iter().filter(|entry| part_of(&entry.id) == part) {
            unseen += 1;
            wrong.extend(named_wrongly(&base, entry, &shared));
        }
    }
    let table = format!(
        "{unseen} texts of unseen bugs, {} rules each time: {} named as another bug\n{}",
        rules / parts.max(1),
        wrong.len(),
        wrong.join("\n")
    );
    println!("{table}");
    assert!(unseen > 100, "{table}");
    assert!(wrong.len() * 1000 <= unseen * WRONG, "{table}");
}

/// FNV-1a over the id: the same part on every machine.
fn part_of(id: &str) -> usize {
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    usize::try_from((hash >> 32) % PARTS as u64).unwrap()
}

/// The rules that were written by hand, and those imported from all entries but one part.
fn imported_without(part: usize, shared: &Path, facts: &str) -> KnowledgeBase {
    let scratch = tempfile::tempdir().unwrap();
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let by_hand: Vec<PathBuf> = folders(&root.join("rules"))
        .into_iter()
        .filter(|path| !path.ends_with("upstream"))
        .collect();
    let hand = KnowledgeBase::load(&by_hand, false).base;
    let corpus = scratch.path().join("corpus");
    fs::create_dir(&corpus).unwrap();
    let ids: BTreeSet<&str> = hand.rules().iter().map(LoadedRule::id).collect();
    for folder in folders(&root.join("corpus")) {
        let name = folder.file_name().unwrap();
        if ids.contains(name.to_str().unwrap()) {
            copy(&folder, &corpus.join(name));
        }
    }
    let source = scratch.path().join("facts");
    fs::create_dir(&source).unwrap();
    copy(&shared.join("upstream"), &source.join("upstream"));
    let kept: String = split(facts).filter(|entry| part_of(id_of(entry)) != part).collect();
    fs::write(source.join("upstream.yaml"), kept).unwrap();
    let target = Target {
        rules: scratch.path().join("rules"),
        corpus,
        date: "2026-11-23".to_owned(),
        dry_run: false,
    };
    let imported = import(&[source.join("upstream.yaml")], &hand, &target).unwrap();
    assert!(imported.failed.is_empty(), "{:?}", imported.failed);
    let paths: Vec<PathBuf> = by_hand.into_iter().chain([target.rules]).collect();
    KnowledgeBase::load(&paths, false).base
}

/// The entries of a fact file, as text.
fn split(facts: &str) -> impl Iterator<Item = &str> {
    let starts: Vec<usize> = facts.match_indices("\n- id: ").map(|(at, _)| at + 1).collect();
    let first = if facts.starts_with("- id: ") {
        vec![0]
    } else {
        Vec::new()
    };
    let starts: Vec<usize> = first.into_iter().chain(starts).collect();
    let ends: Vec<usize> = starts.iter().skip(1).copied().chain([facts.len()]).collect();
    starts.into_iter().zip(ends).map(move |(start, end)| &facts[start..end])
}

fn id_of(entry: &str) -> &str {
    let (_, rest) = entry.split_once("- id: ").unwrap();
    rest.lines().next().unwrap().trim().trim_matches('"')
}

fn named_wrongly(base: &KnowledgeBase, entry: &Entry, shared: &Path) -> Vec<String> {
    let text = fs::read(shared.join(&entry.oops_file)).unwrap();
    let reports = extract::of_text(&entry.id, &text);
    let Some(report) = reports.iter().find(|report| report.panic.is_some()) else {
        return Vec::new();
    };
    let found = identify(base, report, None);
    found
        .matches
        .iter()
        .filter(|one| one.scope == Scope::Bug && one.tier <= Tier::Likely)
        .filter(|one| !base.find(&one.rule).is_some_and(|rule| is_of(rule, entry)))
        .map(|one| format!("{} as {}", entry.id, one.rule))
        .collect()
}

/// Whether a rule, written by hand, names this very fix.
fn is_of(rule: &LoadedRule, entry: &Entry) -> bool {
    let sha = entry.fixed_by.sha.as_deref().unwrap_or("none");
    rule.rule().references.iter().any(|reference| {
        let commit = reference.commit.as_ref();
        let commit = commit.is_some_and(|commit| commit.0.starts_with(sha) || sha.starts_with(&commit.0));
        commit || reference.cve.as_ref().is_some_and(|cve| entry.cve.contains(cve))
    })
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        fs::write(to.join(entry.file_name()), fs::read(entry.path()).unwrap()).unwrap();
    }
}
