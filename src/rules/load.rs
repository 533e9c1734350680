//! Reads packs: the shipped rules and any number of files and folders over them, checked against each other.
//!
//! A file that has an error is left out and told of; whether that stops the run is the caller's to say. It must not
//! know how rules answer.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;
use serde::Serialize;

use super::diagnostic::{Diagnostic, Diagnostics, Severity};
use super::loaded::{LoadedRule, SHIPPED};
use super::overlay::{Change, Overlay};
use super::pack::KnowledgeBase;
use super::read::{self, Held};
use super::schema::{Slug, Status};
use super::suggest::nearest;
use super::ties;
use super::tree::Node;
use crate::threads;

/// So many files are worth the start of further threads.
const MANY: usize = 16;

/// Folders below each other that are walked into.
const MAX_FOLDERS: usize = 32;

/// What came of loading rules.
#[derive(Debug)]
pub struct Loading {
    /// The rules that are in order. It leaves out every file that has an error.
    pub base: KnowledgeBase,
    /// Everything that is wrong with the others, and what is odd.
    pub diagnostics: Diagnostics,
    /// The files that were looked at; the shipped ones only when there was no other.
    pub files: usize,
    /// What is in force and what is not, in numbers and names.
    pub summary: Summary,
}

/// What is in force and what is not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Rules in force by status, without the shipped ones where there are others; drafts, which are never used, too.
    pub rules: BTreeMap<Status, usize>,
    /// Shipped rules in force, where there are others.
    pub shipped: usize,
    /// Shipped rules in whose place a pack's rule of the same id is used.
    pub replaced: Vec<String>,
    /// Rules that an overlay takes out of use, and why.
    pub disabled: BTreeMap<String, String>,
    /// Files that were not loaded, and the first reason.
    pub not_loaded: BTreeMap<String, String>,
}

/// One line: `120 rules (100 stable, 18 test, 2 draft), 1 disabled, 2 not loaded`.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total: usize = self.rules.values().sum();
        write!(f, "{total} rules")?;
        if total > 0 {
            let words: Vec<String> = self
                .rules
                .iter()
                .rev()
                .map(|(status, count)| format!("{count} {}", status.word()))
                .collect();
            write!(f, " ({})", words.join(", "))?;
        }
        if self.shipped > 0 {
            write!(f, " over {} shipped ones", self.shipped)?;
        }
        let lists = [
            (self.replaced.len(), "in place of shipped ones"),
            (self.disabled.len(), "disabled"),
            (self.not_loaded.len(), "not loaded"),
        ];
        for (count, what) in lists.into_iter().filter(|(count, _)| *count > 0) {
            write!(f, ", {count} {what}")?;
        }
        Ok(())
    }
}

/// Reads rules from files and folders, with the shipped ones or without.
pub fn load(paths: &[PathBuf], builtin: bool) -> Loading {
    let mut loader = Loader::default();
    if builtin {
        loader.rules.extend((0..SHIPPED.len()).map(LoadedRule::shipped));
    }
    for path in paths {
        loader.path(path);
    }
    loader.read_queue();
    if paths.is_empty() {
        loader.files = loader.rules.len();
    }
    loader.finish()
}

/// Makes a knowledge base of texts, each with a name for its messages.
pub fn from_texts<'t>(texts: impl IntoIterator<Item = (&'t str, &'t str)>) -> Loading {
    let mut loader = Loader::default();
    for (name, text) in texts {
        let text: Arc<str> = Arc::from(text);
        loader.files += 1;
        loader.take(ReadFile::of_text(name, text));
    }
    loader.finish()
}

#[derive(Default)]
struct Loader {
    rules: Vec<LoadedRule>,
    overlays: Vec<ReadOverlay>,
    diagnostics: Diagnostics,
    files: usize,
    known_files: BTreeSet<PathBuf>,
    queue: Vec<PathBuf>,
    summary: Summary,
}

/// An overlay and where it was read from.
struct ReadOverlay {
    overlay: Overlay,
    tree: Node,
    file: String,
    text: Arc<str>,
}

/// One file, read.
struct ReadFile {
    file: String,
    text: Arc<str>,
    held: Option<Held>,
    findings: Vec<Diagnostic>,
}

impl ReadFile {
    fn open(path: &Path) -> Self {
        let failed = |code, message: &str| ReadFile {
            file: path.to_string_lossy().into_owned(),
            text: Arc::from(""),
            held: None,
            findings: vec![Diagnostic::error(code, &path.to_string_lossy(), None, message)],
        };
        let too_large = fs::metadata(path).is_ok_and(|data| data.is_file() && data.len() > read::MAX_SIZE as u64);
        if too_large {
            return failed("too-large", "this file is too large for a rule");
        }
        match fs::read(path).map(String::from_utf8) {
            Ok(Ok(text)) => Self::of_text(&path.to_string_lossy(), Arc::from(text)),
            Ok(Err(_)) => failed("not-utf8", "this file is not UTF-8 text"),
            Err(error) => failed("unreadable", &format!("cannot read this file: {error}")),
        }
    }

    fn of_text(file: &str, text: Arc<str>) -> Self {
        let (held, findings) = read::read(file, &text);
        ReadFile {
            file: file.to_owned(),
            text,
            held,
            findings,
        }
    }
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
        self.files += 1;
        self.queue.push(path.to_owned());
    }

    /// Reads the files that were found: on all cores, taken in their order.
    fn read_queue(&mut self) {
        let queue = std::mem::take(&mut self.queue);
        let read: Vec<ReadFile> = if queue.len() < MANY {
            queue.iter().map(|path| ReadFile::open(path)).collect()
        } else {
            let _alone = threads::shared_or_alone();
            queue.par_iter().map(|path| ReadFile::open(path)).collect()
        };
        for file in read {
            self.take(file);
        }
    }

    fn failed(&mut self, path: &Path, code: &'static str, message: &str) {
        self.diagnostics
            .extend([Diagnostic::error(code, &path.to_string_lossy(), None, message)]);
    }

    fn take(&mut self, read: ReadFile) {
        let ReadFile {
            file,
            text,
            held,
            findings,
        } = read;
        if !findings.is_empty() {
            self.diagnostics.add_source(&file, Arc::clone(&text));
            self.diagnostics.extend(findings);
        }
        match held {
            Some(Held::Rule(rule, keys)) => self.rules.push(LoadedRule::new(*rule, keys, &file, text)),
            Some(Held::Overlay(overlay, tree)) => self.overlays.push(ReadOverlay {
                overlay,
                tree,
                file,
                text,
            }),
            None => {}
        }
    }

    fn finish(mut self) -> Loading {
        // The tests hold the shipped rules against each other: alone they are in order.
        if !self.rules.iter().all(LoadedRule::is_shipped) {
            self.replace_shipped();
            self.refuse_duplicates();
            self.rules.sort_by(|a, b| a.id().cmp(b.id()));
            self.check_ties();
        }
        self.apply_overlays();
        self.diagnostics.sort();
        let alone = self.rules.iter().all(LoadedRule::is_shipped);
        for loaded in &self.rules {
            if alone || !loaded.is_shipped() {
                *self.summary.rules.entry(loaded.status()).or_default() += 1;
            } else {
                self.summary.shipped += 1;
            }
        }
        for finding in &self.diagnostics.items {
            if finding.severity == Severity::Error {
                let reasons = &mut self.summary.not_loaded;
                reasons
                    .entry(finding.file.clone())
                    .or_insert_with(|| finding.to_string());
            }
        }
        Loading {
            base: KnowledgeBase::new(self.rules),
            diagnostics: self.diagnostics,
            files: self.files,
            summary: self.summary,
        }
    }

    /// A pack's rule takes the place of the shipped one of the same id: so newer rules reach an installed program.
    fn replace_shipped(&mut self) {
        let of_packs: BTreeSet<String> = self
            .rules
            .iter()
            .filter(|loaded| !loaded.is_shipped())
            .map(|loaded| loaded.id().to_owned())
            .collect();
        let mut replaced = Vec::new();
        self.rules.retain(|loaded| {
            let stays = !loaded.is_shipped() || !of_packs.contains(loaded.id());
            if !stays {
                replaced.push(loaded.id().to_owned());
            }
            stays
        });
        self.summary.replaced = replaced;
    }

    fn apply_overlays(&mut self) {
        for read in std::mem::take(&mut self.overlays) {
            for (id, change) in &read.overlay.rules.0 {
                let path = format!("rules.{id}");
                if let Err((message, help)) = self.apply(id, change, &read.file) {
                    let place = read.tree.locate(&path);
                    let finding = Diagnostic::warning("unused-overlay", &read.file, Some(place), message);
                    self.diagnostics.extend([finding.with_help(help)]);
                    self.diagnostics.add_source(&read.file, Arc::clone(&read.text));
                }
            }
        }
    }

    /// Applies one change; what is wrong with it, and what to do about it, when it has no effect.
    fn apply(&mut self, id: &Slug, change: &Change, file: &str) -> Result<(), (String, String)> {
        let at = self
            .rules
            .iter()
            .position(|loaded| loaded.id() == id.as_str() || loaded.head.was.iter().any(|old| old == id.as_str()));
        let Some(loaded) = at.and_then(|at| self.rules.get_mut(at)) else {
            let near = nearest(id.as_str(), self.rules.iter().map(LoadedRule::id));
            return Err(match (self.summary.disabled.contains_key(id.as_str()), near) {
                (true, _) => (
                    format!("`{id}` is disabled already"),
                    "remove one of the two".to_owned(),
                ),
                (false, Some(near)) => (format!("there is no rule `{id}`"), format!("did you mean `{near}`?")),
                (false, None) => (format!("there is no rule `{id}`"), "remove this entry".to_owned()),
            });
        };
        if change.disable {
            let id = loaded.id().to_owned();
            self.summary.disabled.insert(id, change.reason.trim().to_owned());
            if let Some(at) = at {
                self.rules.remove(at);
            }
            return Ok(());
        }
        let mut done = Vec::new();
        let (had_status, had_title) = (loaded.status(), loaded.rule().title.clone());
        if let Some(status) = change.status.filter(|status| *status != had_status) {
            done.push(format!("{} instead of {}", status.word(), had_status.word()));
            loaded.change(|rule| rule.status = status);
        }
        if let Some(title) = change.title.as_ref().filter(|title| **title != had_title) {
            done.push(format!("retitled from \"{}\"", had_title.as_str()));
            loaded.change(|rule| rule.title = title.clone());
        }
        if done.is_empty() {
            let message = format!("`{}` is so already", loaded.id());
            return Err((message, "remove this entry".to_owned()));
        }
        let change = format!("{} by {file}: {}", done.join(", "), change.reason.trim());
        loaded.changes.push(change);
        Ok(())
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
        self.diagnostics.add_source(&loaded.file, loaded.shared_text());
        self.diagnostics.extend([finding]);
    }

    /// An id names one rule, and an old id is never used again. The rule that was read first stays.
    fn refuse_duplicates(&mut self) {
        let mut owners: HashMap<String, usize> = HashMap::new();
        let mut refused = BTreeSet::new();
        for index in 0..self.rules.len() {
            let Some(loaded) = self.rules.get(index) else { continue };
            let old = loaded.head.was.iter().enumerate();
            let claims: Vec<(String, String)> = std::iter::once((loaded.id().to_owned(), "id".to_owned()))
                .chain(old.map(|(at, old)| (old.to_string(), format!("was[{at}]"))))
                .collect();
            for (id, path) in claims {
                match owners.get(&id).copied() {
                    Some(owner) if owner != index => {
                        let first = self.rules.get(owner).map(|owner| {
                            let line = owner.line("id").map(|line| format!(":{line}")).unwrap_or_default();
                            format!("{}{line} has it", owner.file)
                        });
                        let message = format!("the id `{id}` is taken");
                        let code = if path == "id" { "duplicate-id" } else { "stale-was" };
                        self.finding(index, Severity::Error, code, &path, message, first.unwrap_or_default());
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

    /// What only rules together show.
    fn check_ties(&mut self) {
        for tie in ties::check(&self.rules) {
            self.finding(tie.rule, tie.severity, tie.code, &tie.path, tie.message, tie.help);
        }
    }
}
