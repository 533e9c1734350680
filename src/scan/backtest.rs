//! What a draft of a rule would change, over crashes that were read before.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::asked::Recorder;
use super::label::Labelled;
use crate::crash::{CrashReport, Probe, SourceKind};
use crate::rules::{self, Identification, KnowledgeBase, Tier};

/// How many inputs are named for each finding.
const EXAMPLES: usize = 5;

/// A number of crashes, and the first of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Crashes {
    /// How many.
    pub crashes: u64,
    /// Inputs: the first.
    pub examples: Vec<String>,
}

impl Crashes {
    fn add(&mut self, input: &str) {
        self.crashes += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(input.to_owned());
        }
    }
}

/// What a draft would change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Backtest {
    /// Reports that were asked.
    pub reports: u64,
    /// Crashes that the draft holds for, by how sure.
    pub claims: BTreeMap<&'static str, Crashes>,
    /// Crashes that nobody named before, and that the draft names.
    pub newly_named: Crashes,
    /// Crashes that another rule named before, and that the draft names now; by that rule.
    pub taken_from: BTreeMap<String, Crashes>,
    /// Crashes that a rule of the draft's id named before, and the draft does not: it is that rule, rewritten.
    pub lost: Crashes,
    /// Crashes that the draft might hold for, if their reports said more; by what is missing.
    pub near: BTreeMap<String, Crashes>,
}

/// What came of one crash.
#[derive(Debug)]
pub struct Trial {
    input: String,
    claim: Option<Tier>,
    named_before: Option<String>,
    names_now: bool,
    missing: Vec<String>,
}

/// Asks the rules in force, and those with the draft among them, about a crash. `None`: its report was not kept, or
/// holds no crash.
pub fn trial(
    labelled: &Labelled,
    before: &KnowledgeBase,
    after: &KnowledgeBase,
    drafts: &BTreeSet<String>,
) -> Option<Trial> {
    let report: CrashReport = serde_json::from_str(labelled.row.report.as_ref()?.get()).ok()?;
    report.panic.as_ref()?;
    let is_dump = report.source.kind == SourceKind::Vmcore;
    let ask = |base: &KnowledgeBase| -> Identification {
        let recorder = Recorder::replay(labelled.asked.clone());
        rules::identify(base, &report, is_dump.then_some(&recorder as &dyn Probe))
    };
    let (old, new) = (ask(before), ask(after));
    let is_draft = |rule: &str| drafts.contains(rule);
    let folds = |found: &rules::Match| found.folded.iter().any(|rule| is_draft(rule));
    let claim = new
        .matches
        .iter()
        .find(|found| is_draft(&found.rule) || folds(found))
        .map(|found| found.tier);
    let near = new.near.iter().find(|near| is_draft(&near.rule));
    Some(Trial {
        input: labelled.row.input.clone(),
        claim,
        named_before: old.label().map(|label| label.rule.clone()),
        names_now: new.label().is_some_and(|label| is_draft(&label.rule)),
        missing: near
            .map(|near| near.missing.iter().map(|missing| missing.predicate.clone()).collect())
            .unwrap_or_default(),
    })
}

impl Backtest {
    /// Counts what came of a crash.
    pub fn add(&mut self, trial: &Trial, drafts: &BTreeSet<String>) {
        self.reports += 1;
        let input = trial.input.as_str();
        if let Some(tier) = trial.claim {
            self.claims.entry(tier.word()).or_default().add(input);
        }
        match &trial.named_before {
            None if trial.names_now => self.newly_named.add(input),
            Some(rule) if trial.names_now && !drafts.contains(rule) => {
                self.taken_from.entry(rule.clone()).or_default().add(input);
            }
            Some(rule) if !trial.names_now && drafts.contains(rule) => self.lost.add(input),
            _ => {}
        }
        if !trial.missing.is_empty() {
            self.near.entry(trial.missing.join("; ")).or_default().add(input);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_that_is_rewritten_may_lose_crashes_and_takes_none_from_itself() {
        let drafts = BTreeSet::from(["r".to_owned()]);
        let trial = |named_before: Option<&str>, names_now| Trial {
            input: "a".to_owned(),
            claim: None,
            named_before: named_before.map(str::to_owned),
            names_now,
            missing: Vec::new(),
        };
        let mut found = Backtest::default();
        for (before, now) in [
            (Some("r"), true),
            (Some("r"), false),
            (Some("s"), true),
            (Some("s"), false),
            (None, true),
        ] {
            found.add(&trial(before, now), &drafts);
        }
        let counts = (
            found.newly_named.crashes,
            found.taken_from["s"].crashes,
            found.lost.crashes,
        );
        assert_eq!((found.reports, counts), (5, (1, 1, 1)));
    }
}
