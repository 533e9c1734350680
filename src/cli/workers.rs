//! Worker processes: those that are at work, and here those that wait for it.

use std::ffi::OsString;
use std::sync::{Mutex, PoisonError};

use super::args::RuleSet;
use super::args::archive::Isolation;
use crate::archive::Entry;
use crate::extract::Shared;
use crate::rules::KnowledgeBase;
use crate::scan::worker::{Supervised, Terms};
use crate::scan::{self, Labelled};

/// Who reads crashes.
pub struct Workers<'a> {
    base: &'a KnowledgeBase,
    shared: Shared,
    /// `None`: this process.
    terms: Option<Terms>,
    idle: Mutex<Vec<Supervised>>,
}

impl<'a> Workers<'a> {
    /// Workers under the rules that `base` was made of.
    pub fn new(isolation: &Isolation, rules: &RuleSet, base: &'a KnowledgeBase) -> Self {
        let terms = isolation.is_asked().then(|| Terms {
            program: std::env::current_exe().unwrap_or_else(|_| "vmcoroner".into()),
            arguments: arguments(isolation, rules),
            timeout: isolation.timeout.map(|span| span.0),
            max_memory: isolation.max_memory.map(|size| size.0),
            rules_digest: base.digest().to_owned(),
        });
        Workers {
            base,
            shared: Shared::new(),
            terms,
            idle: Mutex::new(Vec::new()),
        }
    }

    /// Has an entry labelled by the next free worker.
    pub fn label(&self, entry: &Entry) -> Vec<Labelled> {
        let Some(terms) = &self.terms else {
            let mut rows = Vec::new();
            scan::label(entry, self.base, &self.shared, 0, &mut |_| (), &mut |row| {
                rows.push(row)
            });
            return rows;
        };
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = idle().pop();
        let mut worker = waiting.unwrap_or_else(|| Supervised::new(terms.clone()));
        let rows = worker.label(entry);
        idle().push(worker);
        rows
    }
}

fn arguments(isolation: &Isolation, rules: &RuleSet) -> Vec<OsString> {
    let mut words: Vec<OsString> = vec!["worker".into()];
    if let Some(size) = isolation.max_memory {
        words.push("--max-memory".into());
        words.push(size.0.to_string().into());
    }
    for path in &rules.paths {
        words.push("--rules".into());
        words.push(path.into());
    }
    words.extend(rules.no_builtin.then(|| "--no-builtin".into()));
    words.extend(rules.keep_going.then(|| "--keep-going".into()));
    words
}
