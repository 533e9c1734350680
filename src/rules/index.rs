//! Which rules can possibly say anything of a report, without asking each.
//!
//! Rules are found by the function that faulted and by the kind of crash; those that name no function are always
//! asked. What the index leaves out would have answered no, so verdicts and near misses are the same without it.

use std::collections::HashMap;

use super::schema::{Rule, Status};
use crate::crash::machinery::unify_syscall;
use crate::crash::{CrashReport, PanicKind, normalise_symbol};

/// The index over a knowledge base, by place in it.
#[derive(Debug, Default)]
pub struct Index {
    by_fault: HashMap<String, Vec<usize>>,
    /// Rules that any fault may match.
    always: Vec<usize>,
    /// The kinds that each rule asks for; `None`: any.
    kinds: Vec<Option<u64>>,
    in_force: Vec<usize>,
}

impl Index {
    /// Indexes rules; drafts are never candidates.
    pub fn new<'r>(rules: impl Iterator<Item = &'r Rule>) -> Self {
        let mut index = Index::default();
        for (at, rule) in rules.enumerate() {
            let kinds = rule.matches.kind.as_ref();
            index
                .kinds
                .push(kinds.map(|kinds| kinds.iter().map(|kind| bit(*kind)).fold(0, |a, b| a | b)));
            if rule.status == Status::Draft {
                continue;
            }
            index.in_force.push(at);
            match fault_names(rule) {
                Some(names) => {
                    for name in names {
                        let rules = index.by_fault.entry(name).or_default();
                        if rules.last() != Some(&at) {
                            rules.push(at);
                        }
                    }
                }
                None => index.always.push(at),
            }
        }
        index
    }

    /// Every rule that is used, ascending.
    pub fn in_force(&self) -> &[usize] {
        &self.in_force
    }

    /// The rules that may not answer no, ascending.
    pub fn candidates(&self, report: &CrashReport) -> Vec<usize> {
        let mut candidates: Vec<usize> = match report.fault.as_ref().map(|fault| fault.symbol.as_deref()) {
            Some(Some(symbol)) => {
                let name = normalise_symbol(symbol);
                let unified = unify_syscall(name);
                let named = self.by_fault.get(name).into_iter().flatten();
                let alias = (unified != name).then(|| self.by_fault.get(unified.as_ref())).flatten();
                let mut found: Vec<usize> = named.chain(alias.into_iter().flatten()).copied().collect();
                found.extend(&self.always);
                found.sort_unstable();
                found.dedup();
                found
            }
            // The place is not known: every rule may still turn out.
            _ => self.in_force.clone(),
        };
        let kind = report.panic.as_ref().map_or(PanicKind::Unknown, |panic| panic.kind);
        if kind != PanicKind::Unknown {
            let bit = bit(kind);
            candidates.retain(|&at| !matches!(self.kinds.get(at), Some(Some(kinds)) if kinds & bit == 0));
        }
        candidates
    }
}

fn bit(kind: PanicKind) -> u64 {
    // PanicKind has fewer than 64 values; one more would share the last bit, which only makes the index ask more.
    1 << (kind as u32).min(63)
}

/// The functions of which one must have faulted for the rule to match; `None` when it names none, or by a pattern.
fn fault_names(rule: &Rule) -> Option<Vec<String>> {
    let tokens = rule.matches.fault.as_ref()?.0.symbol.as_ref()?;
    let mut names = Vec::new();
    for token in tokens {
        let name = normalise_symbol(token.exact_name()?);
        let unified = unify_syscall(name);
        if unified != name {
            names.push(unified.into_owned());
        }
        names.push(name.to_owned());
    }
    Some(names)
}
