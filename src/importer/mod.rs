//! From the crashes that fix commits quote to rules: `vmcoroner rules import`.
//!
//! A fix names its bug, and its message shows the crash: what a rule needs. [`sources`] finds such fixes in fact files,
//! git histories, patches and CVE records, [`bug`] is what is known of one; [`signature`] says which of a crash's facts
//! name it, [`select`] takes the most general ones that claim nobody else's crash, [`rule`] and [`case`] write them down,
//! [`store`] puts them where hand-made changes survive. Titles and causes are built from facts: no sentence of a message
//! is copied. It must not know of terminals.

mod announce;
pub mod bug;
mod case;
mod cna;
mod common;
mod facts;
mod message;
mod ranges;
mod rule;
mod select;
mod signature;
pub mod sources;
mod store;
mod wording;

use std::collections::BTreeMap;
use std::path::PathBuf;

use rayon::prelude::*;

use crate::corpus::{Corpus, CorpusError};
use crate::crash::{CrashReport, PanicKind};
use crate::extract;
use crate::rules::KnowledgeBase;

use bug::Bug;
use sources::SourceError;

/// Where rules and cases go.
#[derive(Clone, Debug)]
pub struct Target {
    /// The folder of the imported rules; each goes into a folder of its area below it.
    pub rules: PathBuf,
    /// The corpus that proves them, and that they are held against.
    pub corpus: PathBuf,
    /// The day to write into new rules: `YYYY-MM-DD`.
    pub date: String,
    /// Only say what would be done.
    pub dry_run: bool,
}

/// What became of everything that was found.
#[derive(Debug, Default)]
pub struct Imported {
    /// Rules by what was done with them.
    pub written: BTreeMap<store::Done, Vec<String>>,
    /// Bugs that got no rule: why, and what stands in the way.
    pub left_out: BTreeMap<Reason, Vec<(String, String)>>,
    /// Sources that could not be read.
    pub failed: Vec<SourceError>,
}

pub use store::Done;

/// Why a bug got no rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// A rule that was not imported names it already.
    Known,
    /// Neither a commit nor a CVE: a verdict could not say where it is written up.
    NoReference,
    /// The text shows no crash that could be read.
    NoCrash,
    /// The crash names no place that is anybody's own.
    NoPlace,
    /// Another bug's crash looks the same.
    Alike,
    /// A rule that was not imported claims its crash.
    Claimed,
    /// Its own rule does not name it, for the reason told.
    NotNamed,
}

impl Reason {
    /// The heading of the list of such bugs.
    pub fn heading(self) -> &'static str {
        match self {
            Reason::Known => "A rule written by hand has it",
            Reason::NoReference => "Neither a mainline commit nor a CVE is known",
            Reason::NoCrash => "The message shows no crash that can be read",
            Reason::NoPlace => "The crash shows no function that is this bug's own",
            Reason::Alike => "Another bug's crash looks the same",
            Reason::Claimed => "A rule written by hand claims the crash",
            Reason::NotNamed => "The rule would not name its own crash",
        }
    }
}

/// A bug with the crash that its text shows.
pub(crate) struct Shown {
    bug: Bug,
    report: CrashReport,
}

/// Why nothing was imported at all.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The corpus cannot be read.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// A rule or a case cannot be written.
    #[error("{}: cannot write this: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

/// Makes rules of every fix that `paths` tell of. `base` holds the rules that are there already, imported ones included.
pub fn import(paths: &[PathBuf], base: &KnowledgeBase, target: &Target) -> Result<Imported, ImportError> {
    let mut imported = Imported::default();
    let mut bugs = Vec::new();
    for path in paths {
        sources::read(path, &mut bugs, &mut imported.failed);
    }
    let own = store::Own::find(&target.rules);
    let known = Known::new(base);
    let mut leave = |reason: Reason, bug: &Bug, what: String| {
        imported.left_out.entry(reason).or_default().push((bug.called(), what));
    };
    let mut fresh = Vec::new();
    for mut bug in merged(bugs) {
        match known.rule_of(&bug) {
            // Whatever it was imported from before, it stays one rule.
            Some(rule) if own.has(rule) => {
                bug.id = rule.to_owned();
                fresh.push(bug);
            }
            Some(rule) => leave(Reason::Known, &bug, format!("`{rule}`")),
            None => fresh.push(bug),
        }
    }
    let shown: Vec<Result<Shown, Box<Bug>>> = fresh.into_par_iter().map(show).collect();
    let mut candidates = Vec::new();
    // The crashes of bugs that cannot have a rule are still other bugs' crashes.
    let mut others = Vec::new();
    for one in shown {
        match one {
            Err(bug) => leave(Reason::NoCrash, &bug, String::new()),
            Ok(shown) if shown.bug.commit.is_none() && shown.bug.cves.is_empty() => {
                leave(Reason::NoReference, &shown.bug, String::new());
                others.push(shown);
            }
            Ok(shown) => candidates.push(shown),
        }
    }
    let corpus = if target.corpus.is_dir() {
        Corpus::open(&target.corpus)?
    } else {
        Corpus::default()
    };
    let selected = select::select(candidates, &others, base, &own, &corpus, &target.date);
    for (reason, bug, what) in selected.left_out {
        imported.left_out.entry(reason).or_default().push((bug.called(), what));
    }
    for made in &selected.made {
        let done = store::write(made, &own, target)?;
        imported.written.entry(done).or_default().push(made.id.clone());
    }
    let left_out: Vec<String> = imported
        .left_out
        .values()
        .flatten()
        .map(|(bug, _)| bug.clone())
        .collect();
    for id in left_out {
        if let Some(done) = store::remove(&id, &own, target)? {
            imported.written.entry(done).or_default().push(id);
        }
    }
    for list in imported.left_out.values_mut() {
        list.sort();
        list.dedup();
    }
    if !target.dry_run {
        store::write_left_out(&imported, &target.rules)?;
    }
    Ok(imported)
}

/// One bug a commit: what several sources tell of the same fix, the first that tells it.
fn merged(bugs: Vec<Bug>) -> Vec<Bug> {
    let mut seen: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let mut merged: Vec<Bug> = Vec::new();
    for bug in bugs {
        let keys = bug.keys();
        let before = keys.iter().filter_map(|key| seen.get(key)).flatten().copied();
        let mut same = before.filter(|at| merged.get(*at).is_some_and(|first| first.may_be(&bug)));
        match same.next().and_then(|at| merged.get_mut(at)) {
            Some(first) => first.absorb(bug),
            None => {
                for key in keys {
                    seen.entry(key).or_default().push(merged.len());
                }
                merged.push(bug);
            }
        }
    }
    merged
}

/// Reads the crash that a bug's text shows.
fn show(bug: Bug) -> Result<Shown, Box<Bug>> {
    let reports = extract::of_text(&bug.source, &bug.text);
    let report = reports.into_iter().find(|report| report.panic.is_some());
    match report {
        Some(report) if tells(&report) => Ok(Shown { bug, report }),
        _ => Err(Box::new(bug)),
    }
}

/// Whether a report says more than that there was a crash.
fn tells(report: &CrashReport) -> bool {
    let named = report.panic.as_ref().is_some_and(|panic| panic.function.is_some());
    let kind = report.panic.as_ref().map(|panic| panic.kind);
    let place = report.fault.as_ref().is_some_and(|fault| fault.symbol.is_some());
    (named || place || !report.frames.is_empty()) && (kind != Some(PanicKind::Unknown) || place)
}

/// The rules that there are, by the commits and CVEs that they name.
struct Known<'b> {
    by_commit: BTreeMap<String, &'b str>,
    /// The rules that name a CVE, each with whether it says which fix of it.
    by_cve: BTreeMap<String, Vec<(&'b str, bool)>>,
}

impl<'b> Known<'b> {
    fn new(base: &'b KnowledgeBase) -> Self {
        let mut known = Known {
            by_commit: BTreeMap::new(),
            by_cve: BTreeMap::new(),
        };
        for loaded in base.rules() {
            let references = &loaded.rule().references;
            let mut has_commit = false;
            for commit in references.iter().filter_map(|reference| reference.commit.as_ref()) {
                has_commit = true;
                let short = bug::short(&commit.0).to_owned();
                known.by_commit.insert(short, loaded.id());
            }
            for cve in references.iter().filter_map(|reference| reference.cve.clone()) {
                known.by_cve.entry(cve).or_default().push((loaded.id(), has_commit));
            }
        }
        known
    }

    fn rule_of(&self, bug: &Bug) -> Option<&'b str> {
        let commit = bug.commit.as_deref().map(bug::short);
        let by_commit = commit.and_then(|commit| self.by_commit.get(commit).copied());
        by_commit.or_else(|| {
            // A CVE may have several fixes: where both sides say which, the commits above have decided.
            let rules = bug.cves.iter().filter_map(|cve| self.by_cve.get(cve)).flatten();
            rules
                .filter(|(_, has_commit)| !has_commit || commit.is_none())
                .map(|(rule, _)| *rule)
                .next()
        })
    }
}

/// Whether a folder holds imported rules already.
pub fn holds_rules(folder: &std::path::Path) -> bool {
    !store::Own::find(folder).is_empty()
}
