//! Every rule against every case: which rules are proven, which miss their own crashes, which claim others'.
//!
//! It judges rules by what [`identify`](crate::rules::identify) would tell a user; it prints nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use rayon::prelude::*;
use serde::Serialize;

use super::{Case, Corpus, Expectation, answer};
use crate::crash::CrashReport;
use crate::rules::schema::{Scope, Status};
use crate::rules::{Identification, KnowledgeBase, Tier, explain};

/// What the corpus says of a rule, worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It matches what it must, and nothing else.
    Proven,
    /// No case says that it must match.
    Untested,
    /// It matches what it must not, or claims another rule's crash.
    Noisy,
    /// It does not match what it must. It may be noisy as well.
    Missing,
}

/// One case that went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The case, as `<rule>/<file>`.
    pub case: String,
    /// Its file.
    pub file: PathBuf,
    /// Which of the two it is.
    pub word: Verdict,
    /// Why, in one sentence without a full stop.
    pub why: String,
}

/// What came of one rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleTrial {
    /// The rule's id.
    pub rule: String,
    /// How far it has come.
    pub status: Status,
    /// Its cases that must match, and how many of them do.
    pub matches: Count,
    /// Its cases that must not match, and how many of them do not.
    pub nomatches: Count,
    /// How sure it was of its own cases, surest first.
    pub tiers: BTreeMap<Tier, usize>,
    /// In sum.
    pub verdict: Verdict,
    /// What went wrong, by case.
    pub problems: Vec<Problem>,
}

/// How many of how many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// As they should be.
    pub right: usize,
    /// All of them.
    pub of: usize,
}

impl Count {
    fn add(&mut self, right: bool) {
        self.right += usize::from(right);
        self.of += 1;
    }
}

/// What came of a corpus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trial {
    /// The rules, by id; drafts, which are never used, are left out, and beside a pack the shipped rules without a case.
    pub rules: Vec<RuleTrial>,
    /// How many cases were run.
    pub cases: usize,
    /// Cases that could not be read or belong to no rule, and files that are no case: file and why.
    pub unusable: Vec<(PathBuf, String)>,
}

impl Trial {
    /// Whether nothing is missing, noisy or unusable. Rules without a case are no fault.
    pub fn is_clean(&self) -> bool {
        self.unusable.is_empty() && self.rules.iter().all(|rule| rule.problems.is_empty())
    }

    /// How many rules came out so.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.rules.iter().filter(|rule| rule.verdict == verdict).count()
    }
}

/// One case, answered.
struct Ran<'c> {
    case: &'c Case,
    /// The id that its rule has now.
    rule: String,
    report: CrashReport,
    found: Identification,
    bytes: Vec<u8>,
}

/// Runs every case.
pub fn trial(base: &KnowledgeBase, corpus: &Corpus) -> Trial {
    let answered: Vec<Result<Ran<'_>, (PathBuf, String)>> =
        corpus.cases.par_iter().map(|case| run(base, case)).collect();
    let mut unusable: Vec<(PathBuf, String)> = corpus
        .strays
        .iter()
        .map(|path| (path.clone(), "a case is named `match-…` or `nomatch-…`".to_owned()))
        .collect();
    let mut ran = Vec::new();
    for one in answered {
        match one {
            Ok(one) => ran.push(one),
            Err(error) => unusable.push(error),
        }
    }
    unusable.sort();
    let mut rules: BTreeMap<&str, RuleTrial> = base
        .rules()
        .iter()
        .filter(|loaded| loaded.status() != Status::Draft)
        .map(|loaded| (loaded.id(), fresh(loaded.id(), loaded.status())))
        .collect();
    // A crash that looks like one rule's and is another's lies in both folders.
    let own: BTreeSet<(&str, &[u8])> = ran
        .iter()
        .filter(|one| one.case.expected == Expectation::Match)
        .map(|one| (one.rule.as_str(), one.bytes.as_slice()))
        .collect();
    for one in &ran {
        judge_own(base, one, &mut rules);
        judge_others(base, one, &own, &mut rules);
    }
    // Beside a team's own rules, the shipped ones that the corpus says nothing of are of no interest.
    let team = base.rules().iter().any(|loaded| !loaded.is_shipped());
    let of_interest = |trial: &RuleTrial| {
        let own = base.find(&trial.rule).is_some_and(|loaded| !loaded.is_shipped());
        !team || own || trial.matches.of + trial.nomatches.of > 0 || !trial.problems.is_empty()
    };
    let rules = rules.into_values().filter(of_interest).map(summed).collect();
    Trial {
        rules,
        cases: corpus.cases.len(),
        unusable,
    }
}

fn fresh(rule: &str, status: Status) -> RuleTrial {
    RuleTrial {
        rule: rule.to_owned(),
        status,
        matches: Count::default(),
        nomatches: Count::default(),
        tiers: BTreeMap::new(),
        verdict: Verdict::Untested,
        problems: Vec::new(),
    }
}

fn run<'c>(base: &KnowledgeBase, case: &'c Case) -> Result<Ran<'c>, (PathBuf, String)> {
    let unusable = |why: String| (case.path.clone(), why);
    let loaded = base
        .find(&case.rule)
        .ok_or_else(|| unusable(format!("there is no rule `{}`", case.rule)))?;
    let (report, found) = answer(base, &case.path)
        .map_err(|error| unusable(error.to_string()))?
        .ok_or_else(|| unusable("this input tells of no crash".to_owned()))?;
    Ok(Ran {
        case,
        rule: loaded.rule().id.to_string(),
        report,
        found,
        bytes: fs::read(&case.path).unwrap_or_default(),
    })
}

/// What the rule whose folder it lies in makes of a case.
fn judge_own(base: &KnowledgeBase, one: &Ran<'_>, rules: &mut BTreeMap<&str, RuleTrial>) {
    let Some(trial) = rules.get_mut(one.rule.as_str()) else {
        return;
    };
    // What a better rule explains was matched all the same.
    let own = one.found.matches.iter().find(|found| found.rule == one.rule);
    let folded_by = one.found.matches.iter().find(|found| found.folded.contains(&one.rule));
    let sure = own.is_some_and(|found| found.tier <= Tier::Likely) || folded_by.is_some();
    let problem = |word, why| Problem {
        case: one.case.name(),
        file: one.case.path.clone(),
        word,
        why,
    };
    match one.case.expected {
        Expectation::NoMatch => {
            trial.nomatches.add(!sure);
            if sure {
                let tier = own.map_or("as the more general one", |found| found.tier.word());
                trial
                    .problems
                    .push(problem(Verdict::Noisy, format!("it matches, {tier}")));
            }
        }
        Expectation::Match => {
            let first = one.found.matches.first();
            let outranked = first.filter(|first| first.rule != one.rule && !first.folded.contains(&one.rule));
            trial.matches.add(sure && outranked.is_none());
            match (own, outranked) {
                _ if !sure => trial.problems.push(problem(Verdict::Missing, why_missing(base, one))),
                (_, Some(first)) => {
                    let why = format!("`{}` comes first, and does not specialize it", first.rule);
                    trial.problems.push(problem(Verdict::Missing, why));
                }
                (Some(found), None) => *trial.tiers.entry(found.tier).or_default() += 1,
                (None, None) => *trial.tiers.entry(Tier::Likely).or_default() += 1,
            }
        }
    }
}

/// What stands between a rule and its case.
fn why_missing(base: &KnowledgeBase, one: &Ran<'_>) -> String {
    let Some(loaded) = base.find(&one.rule) else {
        return String::new();
    };
    // Without the dump's memory: what only that could answer is told as unknown.
    let explained = explain(loaded, &one.report, None);
    if explained.answer.is_yes() {
        let reason = explained.reason.unwrap_or_default();
        return format!("it is only related: {reason}");
    }
    let rows: Vec<String> = explained
        .missing()
        .map(|row| {
            let found = row
                .found
                .as_ref()
                .map(|found| format!(" (found {found})"))
                .unwrap_or_default();
            let line = row.line.map(|line| format!(", line {line}")).unwrap_or_default();
            format!("{}: {}{found}{line}", row.answer.word(), row.predicate)
        })
        .collect();
    rows.join("; ")
}

/// The bug rules that claim a case although it lies in another's folder. A general rule claims no bug.
fn judge_others(
    base: &KnowledgeBase,
    one: &Ran<'_>,
    own: &BTreeSet<(&str, &[u8])>,
    rules: &mut BTreeMap<&str, RuleTrial>,
) {
    for found in &one.found.matches {
        let claims = found.scope == Scope::Bug && found.tier <= Tier::Likely && found.rule != one.rule;
        let is_its_own = own.contains(&(found.rule.as_str(), one.bytes.as_slice()));
        if !claims || is_its_own || base.explains_better(&one.rule, &found.rule) {
            continue;
        }
        if let Some(trial) = rules.get_mut(found.rule.as_str()) {
            trial.problems.push(Problem {
                case: one.case.name(),
                file: one.case.path.clone(),
                word: Verdict::Noisy,
                why: format!("it claims a crash of `{}`, {}", one.rule, found.tier.word()),
            });
        }
    }
}

fn summed(mut trial: RuleTrial) -> RuleTrial {
    let tested = if trial.matches.of > 0 {
        Verdict::Proven
    } else {
        Verdict::Untested
    };
    trial.verdict = trial
        .problems
        .iter()
        .map(|problem| problem.word)
        .fold(tested, Verdict::max);
    trial
}
