//! The knowledge base: the shipped rules and any number of files and folders beside them, checked against each other.
//!
//! Knows files; which rule answers a crash is `identify`'s work.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::diagnostic::{Diagnostic, Diagnostics, Place, Severity};
use super::index::Index;
use super::read;
use super::schema::{Rule, Slug, Status};
use super::suggest::nearest;
use super::tree::{self, Node};

/// The shipped rules: path below `rules/`, text.
const BUILTIN: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/rules.rs"));

/// What stands before the path of a shipped rule.
const BUILTIN_PREFIX: &str = "builtin:";

/// Folders below each other that are walked into.
const MAX_FOLDERS: usize = 32;

/// A rule and where it came from.
#[derive(Debug)]
pub struct LoadedRule {
    /// The rule.
    pub rule: Rule,
    /// The file it was read from.
    pub file: String,
    text: Arc<str>,
    tree: OnceLock<Option<Node>>,
}

impl LoadedRule {
    /// The rule file's text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The line of a path (`match.registers.rdi`) in the rule file, counted from 1.
    pub fn line(&self, path: &str) -> Option<usize> {
        self.place(path).map(|place| place.line)
    }

    fn place(&self, path: &str) -> Option<Place> {
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

/// What came of loading rules.
#[derive(Debug)]
pub struct Loading {
    /// The rules that are in order. It leaves out every file that has an error.
    pub base: KnowledgeBase,
    /// Everything that is wrong with the others, and what is odd.
    pub diagnostics: Diagnostics,
    /// The files that were looked at.
    pub files: usize,
}

impl KnowledgeBase {
    /// The shipped rules.
    pub fn builtin() -> Self {
        Self::load(&[], true).base
    }

    /// Reads rules from files and folders (walked for `*.yaml`), with the shipped ones or without.
    pub fn load(paths: &[PathBuf], builtin: bool) -> Loading {
        let mut loader = Loader::default();
        if builtin {
            for (name, text) in BUILTIN {
                loader.builtin(&format!("{BUILTIN_PREFIX}{name}"), text);
            }
        }
        for path in paths {
            loader.path(path);
        }
        loader.finish()
    }

    /// Makes a knowledge base of rules given as text, each with a name for its messages.
    pub fn from_texts<'t>(texts: impl IntoIterator<Item = (&'t str, &'t str)>) -> Loading {
        let mut loader = Loader::default();
        for (name, text) in texts {
            loader.read(name, Arc::from(text));
        }
        loader.finish()
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

    fn new(mut rules: Vec<LoadedRule>) -> Self {
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

/// FNV-1a, 64 bits, over ids and texts, drafts left out.
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
    }
    format!("{hash:016x}")
}

/// Follows `specializes` (and from a replacement to what it replaced) to its end, for each rule. Rules are sorted by id.
fn generals(rules: &[LoadedRule]) -> Vec<BTreeSet<usize>> {
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

#[derive(Default)]
struct Loader {
    rules: Vec<LoadedRule>,
    diagnostics: Diagnostics,
    files: usize,
    known_files: BTreeSet<PathBuf>,
}

impl Loader {
    fn path(&mut self, path: &Path) {
        if path.is_dir() {
            let before = self.files;
            self.folder(path, 0);
            if self.files == before {
                self.failed(path, "no-rules", "there is no *.yaml file in this folder");
            }
        } else {
            self.file(path);
        }
    }

    fn folder(&mut self, folder: &Path, depth: usize) {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => return self.failed(folder, "unreadable", &format!("cannot read this folder: {error}")),
        };
        let mut paths: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            let extension = path.extension().and_then(|extension| extension.to_str());
            if path.is_dir() {
                if depth < MAX_FOLDERS {
                    self.folder(&path, depth + 1);
                } else {
                    self.failed(&path, "too-deep", "folders are nested too deep here");
                }
            } else if extension == Some("yaml") {
                self.file(&path);
            } else if extension == Some("yml") {
                let finding = Diagnostic::warning("yml-file", &path.to_string_lossy(), None, "this file is not read")
                    .with_help("rules are *.yaml: rename it");
                self.diagnostics.extend([finding]);
            }
        }
    }

    fn file(&mut self, path: &Path) {
        // The same file by two ways is one rule, not two of one id.
        if let Ok(canonical) = path.canonicalize()
            && !self.known_files.insert(canonical)
        {
            return;
        }
        let too_large = fs::metadata(path).is_ok_and(|data| data.is_file() && data.len() > read::MAX_SIZE as u64);
        if too_large {
            self.files += 1;
            return self.failed(path, "too-large", "this file is too large for a rule");
        }
        match fs::read(path).map(String::from_utf8) {
            Ok(Ok(text)) => self.read(&path.to_string_lossy(), Arc::from(text)),
            Ok(Err(_)) => {
                self.files += 1;
                self.failed(path, "not-utf8", "this file is not UTF-8 text");
            }
            Err(error) => {
                self.files += 1;
                self.failed(path, "unreadable", &format!("cannot read this file: {error}"));
            }
        }
    }

    fn failed(&mut self, path: &Path, code: &'static str, message: &str) {
        self.diagnostics
            .extend([Diagnostic::error(code, &path.to_string_lossy(), None, message)]);
    }

    /// A shipped rule. One that is not in order, which the tests rule out, is told of like any other.
    fn builtin(&mut self, file: &str, text: &str) {
        match read::trusted(text) {
            Some(rule) => {
                self.files += 1;
                self.keep(rule, file, Arc::from(text));
            }
            None => self.read(file, Arc::from(text)),
        }
    }

    fn read(&mut self, file: &str, text: Arc<str>) {
        self.files += 1;
        let (rule, findings) = read::read(file, &text);
        if !findings.is_empty() {
            self.diagnostics.add_source(file, Arc::clone(&text));
            self.diagnostics.extend(findings);
        }
        if let Some(rule) = rule {
            self.keep(rule, file, text);
        }
    }

    fn keep(&mut self, rule: Rule, file: &str, text: Arc<str>) {
        self.rules.push(LoadedRule {
            rule,
            file: file.to_owned(),
            text,
            tree: OnceLock::new(),
        });
    }

    fn finish(mut self) -> Loading {
        self.refuse_duplicates();
        self.check_links();
        self.diagnostics.sort();
        Loading {
            base: KnowledgeBase::new(self.rules),
            diagnostics: self.diagnostics,
            files: self.files,
        }
    }

    fn finding(
        &mut self,
        rule: usize,
        severity: Severity,
        code: &'static str,
        path: &str,
        message: String,
        help: String,
    ) {
        let Some(loaded) = self.rules.get(rule) else { return };
        let mut finding = Diagnostic::error(code, &loaded.file, loaded.place(path), message).with_help(help);
        finding.severity = severity;
        self.diagnostics.add_source(&loaded.file, Arc::clone(&loaded.text));
        self.diagnostics.extend([finding]);
    }

    /// An id names one rule, and an old id is never used again. The rule that was read first stays.
    fn refuse_duplicates(&mut self) {
        let mut owners: HashMap<Slug, usize> = HashMap::new();
        let mut refused = BTreeSet::new();
        for index in 0..self.rules.len() {
            let Some(loaded) = self.rules.get(index) else { continue };
            let claims: Vec<(Slug, String)> = std::iter::once((loaded.rule.id.clone(), "id".to_owned()))
                .chain(
                    loaded
                        .rule
                        .was
                        .iter()
                        .cloned()
                        .enumerate()
                        .map(|(at, old)| (old, format!("was[{at}]"))),
                )
                .collect();
            for (id, path) in claims {
                match owners.get(&id).copied() {
                    Some(owner) if owner != index => {
                        let first = self.rules.get(owner).map(|owner| {
                            let line = owner.line("id").map(|line| format!(":{line}")).unwrap_or_default();
                            format!("{}{line} has it", owner.file)
                        });
                        let message = format!("the id `{id}` is taken");
                        self.finding(
                            index,
                            Severity::Error,
                            "duplicate-id",
                            &path,
                            message,
                            first.unwrap_or_default(),
                        );
                        refused.insert(index);
                    }
                    Some(_) => {}
                    None => {
                        owners.insert(id, index);
                    }
                }
            }
        }
        let mut at = 0;
        self.rules.retain(|_| {
            at += 1;
            !refused.contains(&(at - 1))
        });
    }

    /// `specializes` and `replaced_by` lead to rules that exist, and never back.
    fn check_links(&mut self) {
        let ids: BTreeSet<String> = self
            .rules
            .iter()
            .flat_map(|loaded| std::iter::once(&loaded.rule.id).chain(&loaded.rule.was))
            .map(Slug::to_string)
            .collect();
        let mut unknown = Vec::new();
        for (index, loaded) in self.rules.iter().enumerate() {
            let generals = loaded.rule.specializes.iter().enumerate();
            let links = generals
                .map(|(at, id)| (id, format!("specializes[{at}]")))
                .chain(loaded.rule.replaced_by.iter().map(|id| (id, "replaced_by".to_owned())));
            for (id, path) in links {
                if !ids.contains(id.as_str()) {
                    let help = match nearest(id.as_str(), ids.iter().map(String::as_str)) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => "it may belong to a pack that is not loaded".to_owned(),
                    };
                    unknown.push((index, path, format!("there is no rule `{id}`"), help));
                }
            }
        }
        for (index, path, message, help) in unknown {
            self.finding(index, Severity::Warning, "unknown-rule", &path, message, help);
        }
        for index in self.in_cycles() {
            let help = "of two rules at most one is the special case of the other".to_owned();
            let message = "`specializes` leads back to this rule".to_owned();
            self.finding(
                index,
                Severity::Error,
                "specializes-cycle",
                "specializes",
                message,
                help,
            );
        }
    }

    fn in_cycles(&self) -> Vec<usize> {
        let ids: HashMap<&Slug, usize> = self
            .rules
            .iter()
            .enumerate()
            .map(|(at, loaded)| (&loaded.rule.id, at))
            .collect();
        let next = |at: usize| {
            let rule = self.rules.get(at).map(|loaded| &loaded.rule);
            rule.into_iter()
                .flat_map(|rule| &rule.specializes)
                .filter_map(|id| ids.get(id).copied())
        };
        (0..self.rules.len())
            .filter(|&start| {
                let mut seen = BTreeSet::new();
                let mut open: Vec<usize> = next(start).collect();
                while let Some(at) = open.pop() {
                    if at == start {
                        return true;
                    }
                    if seen.insert(at) {
                        open.extend(next(at));
                    }
                }
                false
            })
            .collect()
    }
}
