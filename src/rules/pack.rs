//! The knowledge base: the rules in force, their ties to each other, and the digest that names them.
//!
//! How they are read is `load`'s work, which of them answers a crash `identify`'s.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::OnceLock;

use super::index::Index;
use super::load::{self, Loading};
use super::loaded::{LoadedRule, digest_of};
use super::schema::Status;
use super::suggest::nearest;
use crate::crash::CrashReport;

/// The rules in force.
#[derive(Debug)]
pub struct KnowledgeBase {
    rules: Vec<LoadedRule>,
    generals: Generals,
    index: Index,
    digest: String,
}

impl KnowledgeBase {
    /// The shipped rules.
    pub fn builtin() -> Self {
        load::load(&[], true).base
    }

    /// Reads rules from files and folders (walked for `*.yaml`), with the shipped ones or without.
    pub fn load(paths: &[PathBuf], builtin: bool) -> Loading {
        load::load(paths, builtin)
    }

    /// Makes a knowledge base of rules given as text, each with a name for its messages.
    pub fn from_texts<'t>(texts: impl IntoIterator<Item = (&'t str, &'t str)>) -> Loading {
        load::from_texts(texts)
    }

    /// All rules, by id, drafts included.
    pub fn rules(&self) -> &[LoadedRule] {
        &self.rules
    }

    /// The rule of that id, or the one that had it before.
    pub fn find(&self, id: &str) -> Option<&LoadedRule> {
        self.rules.get(place_of(&self.rules, id)?)
    }

    /// The id that a misspelt one may mean.
    pub fn nearest(&self, id: &str) -> Option<&str> {
        nearest(id, self.rules.iter().map(|loaded| loaded.id()))
    }

    /// A digest of the rules in force: equal for equal ids and texts, wherever they were read from. 16 hex digits.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Whether the first rule specializes the second, however far.
    pub fn explains_better(&self, special: &str, general: &str) -> bool {
        let at = |id: &str| self.rules.binary_search_by(|loaded| loaded.id().cmp(id)).ok();
        match (at(special), at(general)) {
            (Some(special), Some(general)) => self.generals(special).is_some_and(|reached| reached.contains(&general)),
            _ => false,
        }
    }

    /// The rules that may match or nearly match a report, by their place in [`KnowledgeBase::rules`]: those that are asked.
    pub fn candidates(&self, report: &CrashReport) -> Vec<usize> {
        let candidates = super::evaluate::Context::new(report, None).candidates(&self.index);
        candidates.into_iter().map(|candidate| candidate.at).collect()
    }

    pub(super) fn index(&self) -> &Index {
        &self.index
    }

    /// The rules, by their place in [`KnowledgeBase::rules`], that a rule explains better, however far.
    pub(super) fn generals(&self, rule: usize) -> Option<&BTreeSet<usize>> {
        self.generals.of(&self.rules, rule)
    }

    pub(super) fn new(mut rules: Vec<LoadedRule>) -> Self {
        if !rules.is_sorted_by(|a, b| a.id() <= b.id()) {
            rules.sort_by(|a, b| a.id().cmp(b.id()));
        }
        let generals = Generals::new(&rules);
        let index = Index::new(
            rules
                .iter()
                .map(|loaded| (loaded.status() != Status::Draft).then(|| loaded.indexed())),
        );
        let digest = digest(&rules);
        KnowledgeBase {
            rules,
            generals,
            index,
            digest,
        }
    }
}

/// Over the digests of ids and texts and overlays' changes, drafts left out.
fn digest(rules: &[LoadedRule]) -> String {
    let mut bytes = Vec::new();
    for loaded in rules.iter().filter(|loaded| loaded.status() != Status::Draft) {
        bytes.extend(loaded.id().bytes().chain([0]));
        bytes.extend(loaded.digest.to_le_bytes());
        if !loaded.changes.is_empty() {
            bytes.extend(loaded.rule().title.as_str().bytes().chain([loaded.status() as u8]));
        }
    }
    format!("{:016x}", digest_of(&bytes))
}

/// What each rule explains better than, by place: its `specializes`, and what it replaced, however far. Followed when it
/// is first asked for: few rules ever match.
#[derive(Debug)]
pub(super) struct Generals {
    /// The rules whose place others took.
    replaced: Vec<usize>,
    reached: Vec<OnceLock<BTreeSet<usize>>>,
}

impl Generals {
    pub(super) fn new(rules: &[LoadedRule]) -> Self {
        let replaced = |at: &usize| rules.get(*at).is_some_and(|loaded| loaded.head.replaced_by.is_some());
        Generals {
            replaced: (0..rules.len()).filter(replaced).collect(),
            reached: rules.iter().map(|_| OnceLock::new()).collect(),
        }
    }

    /// The places of the rules that the one at `start` explains better than; `rules` are those it was made of.
    pub(super) fn of(&self, rules: &[LoadedRule], start: usize) -> Option<&BTreeSet<usize>> {
        let reached = self.reached.get(start)?;
        Some(reached.get_or_init(|| {
            let mut reached = BTreeSet::new();
            let mut open = self.direct(rules, start);
            while let Some(next) = open.pop() {
                if next != start && reached.insert(next) {
                    open.extend(self.direct(rules, next));
                }
            }
            reached
        }))
    }

    fn direct(&self, rules: &[LoadedRule], at: usize) -> Vec<usize> {
        let Some(loaded) = rules.get(at) else {
            return Vec::new();
        };
        let specialized = loaded.head.specializes.iter().filter_map(|id| place_of(rules, id));
        let by_this = |old: &usize| {
            let replacement = rules.get(*old).and_then(|old| old.head.replaced_by.as_ref());
            replacement.is_some_and(|id| place_of(rules, id) == Some(at))
        };
        specialized
            .chain(self.replaced.iter().copied().filter(by_this))
            .collect()
    }
}

/// The place of the rule of that id among rules in the order of their ids, or of the one that had it before.
fn place_of(rules: &[LoadedRule], id: &str) -> Option<usize> {
    let had = |loaded: &LoadedRule| loaded.head.was.iter().any(|old| old == id);
    match rules.binary_search_by(|loaded| loaded.id().cmp(id)) {
        Ok(at) => Some(at),
        Err(_) => rules.iter().position(had),
    }
}
