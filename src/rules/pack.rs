//! The knowledge base: the rules in force, their ties to each other, and the digest that names them.
//!
//! How they are read is `load`'s work, which of them answers a crash `identify`'s.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

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
    generals: Vec<BTreeSet<usize>>,
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
        let by_id = self.rules.binary_search_by(|loaded| loaded.id().cmp(id));
        match by_id {
            Ok(index) => self.rules.get(index),
            Err(_) => self
                .rules
                .iter()
                .find(|loaded| loaded.head.was.iter().any(|old| old == id)),
        }
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
        self.index.candidates(report)
    }

    pub(super) fn index(&self) -> &Index {
        &self.index
    }

    /// The rules, by their place in [`KnowledgeBase::rules`], that a rule explains better, however far.
    pub(super) fn generals(&self, rule: usize) -> Option<&BTreeSet<usize>> {
        self.generals.get(rule)
    }

    pub(super) fn new(mut rules: Vec<LoadedRule>) -> Self {
        rules.sort_by(|a, b| a.id().cmp(b.id()));
        let generals = generals(&rules);
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

/// Follows `specializes` (and from a replacement to what it replaced) to its end, for each rule.
pub(super) fn generals(rules: &[LoadedRule]) -> Vec<BTreeSet<usize>> {
    let mut ids: HashMap<&str, usize> = HashMap::with_capacity(rules.len());
    for (index, loaded) in rules.iter().enumerate() {
        ids.insert(loaded.id(), index);
    }
    for (index, loaded) in rules.iter().enumerate() {
        for old in &loaded.head.was {
            ids.entry(old).or_insert(index);
        }
    }
    let mut direct: Vec<BTreeSet<usize>> = rules
        .iter()
        .map(|loaded| {
            let generals = loaded.head.specializes.iter();
            generals.filter_map(|id| ids.get(id.as_ref()).copied()).collect()
        })
        .collect();
    for (old, loaded) in rules.iter().enumerate() {
        let replacement = loaded.head.replaced_by.as_ref().and_then(|id| ids.get(id.as_ref()));
        if let Some(set) = replacement.and_then(|&new| direct.get_mut(new)) {
            set.insert(old);
        }
    }
    (0..rules.len())
        .map(|start| {
            let mut reached = BTreeSet::new();
            let mut open: Vec<usize> = direct.get(start).into_iter().flatten().copied().collect();
            while let Some(next) = open.pop() {
                if next != start && reached.insert(next) {
                    open.extend(direct.get(next).into_iter().flatten());
                }
            }
            reached
        })
        .collect()
}
