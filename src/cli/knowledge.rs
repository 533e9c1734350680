//! The rules that a command works with, and what is wrong with them.

use std::sync::LazyLock;

use super::Outcome;
use super::args::RuleSet;
use super::sink::Sink;
use crate::rules::KnowledgeBase;
use crate::rules::selection::Selection;

/// Which rules are asked for: on the command line, in the environment, by `vmcoroner.toml`. `None`: that cannot be
/// read, and was said.
pub fn selection(set: &RuleSet, sink: &mut Sink) -> Option<Selection> {
    let mut selection = match Selection::from_environment() {
        Ok(selection) => selection,
        Err(error) => {
            sink.error(&error.to_string());
            return None;
        }
    };
    selection.paths.extend(set.paths.iter().cloned());
    selection.builtin &= !set.no_builtin;
    selection.keep_going |= set.keep_going;
    Some(selection)
}

/// Rules that may still be loading.
pub type Loading = LazyLock<KnowledgeBase, Box<dyn FnOnce() -> KnowledgeBase + Send>>;

/// As [`load`], but the shipped rules, with which nothing can be wrong, are loaded when they are first needed: they can
/// get ready while the crash is read.
pub fn loading(set: &RuleSet, sink: &mut Sink) -> Option<Loading> {
    if selection(set, sink)? == Selection::default() {
        return Some(LazyLock::new(Box::new(KnowledgeBase::builtin)));
    }
    let base = load(set, sink)?;
    Some(LazyLock::new(Box::new(|| base)))
}

/// The rules in force; `None`, with everything that is wrong with them told, when they cannot be used. Rules that are
/// left out because the user wants to go on still make the run a failure.
pub fn load(set: &RuleSet, sink: &mut Sink) -> Option<KnowledgeBase> {
    let selection = selection(set, sink)?;
    if selection == Selection::default() {
        return Some(KnowledgeBase::builtin());
    }
    let loading = KnowledgeBase::load(&selection.paths, selection.builtin);
    if !loading.diagnostics.items.is_empty() {
        sink.stderr(&loading.diagnostics.render(true));
    }
    if loading.diagnostics.errors() == 0 {
        return Some(loading.base);
    }
    for (file, reason) in &loading.summary.not_loaded {
        sink.warning(&format!("not loaded: {file}: {reason}"));
    }
    sink.warning(&loading.summary.to_string());
    if selection.keep_going {
        sink.at_least(Outcome::Failed);
        return Some(loading.base);
    }
    sink.error("these rules are not in order: correct them, or go on without them by --keep-going");
    None
}
