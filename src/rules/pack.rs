//! The knowledge base: the rules in force, their ties to each other, and the digest that names them.
//!
//! How they are read is `load`'s work, which of them answers a crash `identify`'s.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use super::diagnostic::{Diagnostic, Place};
use super::index::Index;
use super::load::{self, Loading};
use super::schema::{Rule, Slug, Status};
use super::suggest::nearest;
use super::tree::{self, Node};

/// A rule and where it came from.
#[derive(Debug)]
pub struct LoadedRule {
    /// The rule.
    pub rule: Rule,
    /// The file it was read from.
    pub file: String,
    /// What overlays changed of it, and why, in the order of their being applied.
    pub changes: Vec<String>,
    text: Arc<str>,
    tree: OnceLock<Option<Node>>,
}

impl LoadedRule {
    pub(super) fn new(rule: Rule, file: &str, text: Arc<str>) -> Self {
        LoadedRule {
            rule,
            file: file.to_owned(),
            changes: Vec::new(),
            text,
            tree: OnceLock::new(),
        }
    }

    /// Whether it is one of the rules inside the program.
    pub fn is_shipped(&self) -> bool {
        self.file.starts_with(load::BUILTIN_PREFIX)
    }

    /// The rule file's text, to show findings in.
    pub fn shared_text(&self) -> Arc<str> {
        Arc::clone(&self.text)
    }

    /// The rule file's text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// A warning at a path of the rule.
    pub fn warning(&self, code: &'static str, path: &str, message: impl Into<String>) -> Diagnostic {
        Diagnostic::warning(code, &self.file, self.place(path), message)
    }

    /// The line of a path (`match.registers.rdi`) in the rule file, counted from 1.
    pub fn line(&self, path: &str) -> Option<usize> {
        self.place(path).map(|place| place.line)
    }

    pub(super) fn place(&self, path: &str) -> Option<Place> {
        // Read once more, and only for rules that somebody asks about: most of a knowledge base never matches.
        let tree = self.tree.get_or_init(|| tree::parse(&self.file, &self.text).0);
        tree.as_ref().map(|tree| tree.locate(path))
    }
}

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
        let by_id = self.rules.binary_search_by(|loaded| loaded.rule.id.as_str().cmp(id));
        match by_id {
            Ok(index) => self.rules.get(index),
            Err(_) => self
                .rules
                .iter()
                .find(|loaded| loaded.rule.was.iter().any(|old| old.as_str() == id)),
        }
    }

    /// The id that a misspelt one may mean.
    pub fn nearest(&self, id: &str) -> Option<&str> {
        nearest(id, self.rules.iter().map(|loaded| loaded.rule.id.as_str()))
    }

    /// A digest of the rules in force: equal for equal ids and texts, wherever they were read from. 16 hex digits.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Whether the first rule specializes the second, however far.
    pub fn explains_better(&self, special: &str, general: &str) -> bool {
        let at = |id: &str| {
            self.rules
                .binary_search_by(|loaded| loaded.rule.id.as_str().cmp(id))
                .ok()
        };
        match (at(special), at(general)) {
            (Some(special), Some(general)) => self.generals(special).is_some_and(|reached| reached.contains(&general)),
            _ => false,
        }
    }

    pub(super) fn index(&self) -> &Index {
        &self.index
    }

    /// The rules, by their place in [`KnowledgeBase::rules`], that a rule explains better, however far.
    pub(super) fn generals(&self, rule: usize) -> Option<&BTreeSet<usize>> {
        self.generals.get(rule)
    }

    pub(super) fn new(mut rules: Vec<LoadedRule>) -> Self {
        rules.sort_by(|a, b| a.rule.id.cmp(&b.rule.id));
        let generals = generals(&rules);
        let index = Index::new(rules.iter().map(|loaded| &loaded.rule));
        let digest = digest(&rules);
        KnowledgeBase {
            rules,
            generals,
            index,
            digest,
        }
    }
}

/// FNV-1a, 64 bits, over ids, texts and overlays' changes, drafts left out.
fn digest(rules: &[LoadedRule]) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut take = |bytes: &[u8]| {
        for byte in bytes.iter().chain(&[0]) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    };
    for loaded in rules.iter().filter(|loaded| loaded.rule.status != Status::Draft) {
        take(loaded.rule.id.as_str().as_bytes());
        take(loaded.text.as_bytes());
        if !loaded.changes.is_empty() {
            take(loaded.rule.title.as_str().as_bytes());
            take(&[loaded.rule.status as u8]);
        }
    }
    format!("{hash:016x}")
}

/// Follows `specializes` (and from a replacement to what it replaced) to its end, for each rule. Rules are sorted by id.
pub(super) fn generals(rules: &[LoadedRule]) -> Vec<BTreeSet<usize>> {
    let mut ids: HashMap<&Slug, usize> = HashMap::new();
    for (index, loaded) in rules.iter().enumerate() {
        ids.insert(&loaded.rule.id, index);
        for old in &loaded.rule.was {
            ids.entry(old).or_insert(index);
        }
    }
    let mut direct: Vec<BTreeSet<usize>> = rules
        .iter()
        .map(|loaded| {
            loaded
                .rule
                .specializes
                .iter()
                .filter_map(|id| ids.get(id).copied())
                .collect()
        })
        .collect();
    for (old, loaded) in rules.iter().enumerate() {
        let replacement = loaded.rule.replaced_by.as_ref().and_then(|id| ids.get(id));
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
