//! What the knowledge base covers, and where it is thin: rules by area, stream, status and kind; cases without a rule,
//! rules without a case or without a case that nearly fits; the facts that rules rest on.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use serde::Serialize;

use super::{Corpus, Expectation, answer};
use crate::crash::machinery::roles;
use crate::crash::{CrashReport, PanicKind, normalise_symbol};
use crate::rules::evaluate::{Leaf, leaves};
use crate::rules::schema::{Block, Scope, Status};
use crate::rules::{KnowledgeBase, LoadedRule, missing_by_one};

/// How many rules that miss a case by one are looked at: more than any crash has.
const NEAREST: usize = 200;

/// So many functions say where a crash stands.
const TOP: usize = 4;

/// The figures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// Rules, drafts left out.
    pub rules: usize,
    /// Rules that name one bug.
    pub bugs: usize,
    /// Rules of bugs whose kind of crash stops a machine in production.
    pub fatal: usize,
    /// Cases.
    pub cases: usize,
    /// Rules by the folder that they lie in.
    pub by_area: BTreeMap<String, usize>,
    /// Bug rules by the streams that they speak of.
    pub by_stream: BTreeMap<String, usize>,
    /// Rules by status.
    pub by_status: BTreeMap<&'static str, usize>,
    /// Bug rules by the kinds of crash that they ask for.
    pub by_kind: BTreeMap<&'static str, usize>,
    /// Rules by the facts that their `match` asks for; and those that only `confirm` asks for, in brackets.
    pub by_fact: BTreeMap<String, usize>,
    /// Cases in folders that no rule is called after.
    pub cases_without_rule: Vec<String>,
    /// Rules that no case proves.
    pub rules_without_case: Vec<String>,
    /// Bug rules that no other crash of the corpus comes near to, by what the rule asks or by where the crash stands:
    /// nothing shows that they do not claim too much.
    pub rules_without_near_negative: Vec<String>,
}

/// Counts.
pub fn coverage(base: &KnowledgeBase, corpus: &Corpus) -> Coverage {
    let mut coverage = Coverage {
        cases: corpus.cases.len(),
        ..Coverage::default()
    };
    let in_force: Vec<&LoadedRule> = base
        .rules()
        .iter()
        .filter(|loaded| loaded.status() != Status::Draft)
        .collect();
    for loaded in &in_force {
        count(&mut coverage, loaded);
    }
    let mut proven = BTreeSet::new();
    for case in &corpus.cases {
        match base.find(&case.rule) {
            None => coverage.cases_without_rule.push(case.name()),
            Some(loaded) if case.expected == Expectation::Match => {
                proven.insert(loaded.id());
            }
            Some(_) => {}
        }
    }
    let near = near_negatives(base, corpus);
    for loaded in &in_force {
        if !proven.contains(loaded.id()) {
            coverage.rules_without_case.push(loaded.id().to_owned());
        }
        if loaded.rule().scope == Scope::Bug && !near.contains(loaded.id()) {
            coverage.rules_without_near_negative.push(loaded.id().to_owned());
        }
    }
    coverage
}

/// The rules that another bug's crash comes near to: it misses one predicate of the rule, or stands where the rule's own
/// crashes stand.
fn near_negatives(base: &KnowledgeBase, corpus: &Corpus) -> BTreeSet<String> {
    // A case that cannot be read is `rules test`'s to tell.
    let reports: Vec<_> = corpus
        .cases
        .par_iter()
        .filter_map(|case| Some((case, answer(base, &case.path).ok()??.0)))
        .collect();
    let missing: BTreeSet<String> = reports
        .par_iter()
        .flat_map_iter(|(case, report)| {
            let own = case.expected == Expectation::Match;
            let near = missing_by_one(base, report, None, NEAREST).into_iter();
            let foreign = near.filter(move |one| !own || one.rule != case.rule);
            let negative = (!own).then(|| case.rule.clone());
            foreign.map(|one| one.rule).chain(negative).collect::<Vec<_>>()
        })
        .collect();
    let mut standing: BTreeMap<&str, Vec<(&str, &[String])>> = BTreeMap::new();
    let tops: Vec<(&str, Vec<String>)> = reports
        .iter()
        .filter(|(case, _)| case.expected == Expectation::Match)
        .map(|(case, report)| (case.rule.as_str(), top(report)))
        .collect();
    for (rule, top) in &tops {
        for function in top {
            standing.entry(function).or_default().push((*rule, top));
        }
    }
    let beside = tops.iter().filter(|(rule, top)| {
        let others = top
            .iter()
            .filter_map(|function| standing.get(function.as_str()))
            .flatten();
        others
            .filter(|(other, _)| other != rule)
            .any(|(_, theirs)| stand_alike(top, theirs))
    });
    let beside: Vec<String> = beside.map(|(rule, _)| (*rule).to_owned()).collect();
    missing.into_iter().chain(beside).collect()
}

/// The innermost functions of a crash that are not everybody's.
fn top(report: &CrashReport) -> Vec<String> {
    let fault = report.fault.iter().filter_map(|fault| fault.symbol.as_deref());
    let frames = report.frames.iter().filter(|frame| frame.reliable && !frame.machinery);
    let mut top: Vec<String> = Vec::new();
    for name in fault.chain(frames.filter_map(|frame| frame.symbol.as_deref())) {
        let name = normalise_symbol(name);
        let roles = roles(name);
        let everybodys = roles.plumbing() || roles.machinery() || roles.anchor() || roles.waiting();
        if !everybodys && top.len() < TOP && !top.iter().any(|known| known == name) {
            top.push(name.to_owned());
        }
    }
    top
}

/// Whether two crashes stand in the same function, or were reached through the same ones.
fn stand_alike(one: &[String], other: &[String]) -> bool {
    let shared = one.iter().filter(|function| other.contains(function)).count();
    shared > 1 || one.first().is_some_and(|first| other.first() == Some(first))
}

fn count(coverage: &mut Coverage, loaded: &LoadedRule) {
    let rule = loaded.rule();
    coverage.rules += 1;
    *coverage.by_area.entry(area(&loaded.file)).or_default() += 1;
    *coverage.by_status.entry(loaded.status().word()).or_default() += 1;
    let mut asked = BTreeSet::new();
    facts(&rule.matches, &mut asked);
    for fact in &asked {
        *coverage.by_fact.entry(fact.clone()).or_default() += 1;
    }
    let mut confirmed = BTreeSet::new();
    if let Some(confirm) = &rule.confirm {
        facts(confirm, &mut confirmed);
    }
    for fact in confirmed.difference(&asked) {
        *coverage.by_fact.entry(format!("({fact})")).or_default() += 1;
    }
    if rule.scope != Scope::Bug {
        return;
    }
    coverage.bugs += 1;
    let streams: BTreeSet<&str> = rule.affected.iter().map(|range| range.stream.as_str()).collect();
    for stream in streams {
        *coverage.by_stream.entry(stream.to_owned()).or_default() += 1;
    }
    let kinds: Vec<_> = rule.matches.kind.iter().flatten().copied().collect();
    coverage.fatal += usize::from(kinds.iter().any(|kind| stops_a_machine(*kind)));
    for kind in kinds {
        *coverage.by_kind.entry(kind.word()).or_default() += 1;
    }
}

/// Whether a kernel as it is shipped stops at such a failure, by itself or as its operator lets it: what only a warning or
/// a debugging kernel tells is none.
fn stops_a_machine(kind: PanicKind) -> bool {
    use PanicKind::*;
    !matches!(
        kind,
        Warning
            | UseAfterFree
            | OutOfBounds
            | Refcount
            | LockMisuse
            | RcuUsage
            | UninitialisedValue
            | DataRace
            | MemoryLeak
            | PageAllocationFailure
            | Unknown
    )
}

/// The folder of a rule, below the folder of all rules.
fn area(file: &str) -> String {
    let file = file.strip_prefix("builtin:").unwrap_or(file).replace('\\', "/");
    let below = file.rsplit_once("rules/").map_or(file.as_str(), |(_, below)| below);
    below
        .rsplit_once('/')
        .map_or_else(String::new, |(folder, _)| folder.to_owned())
}

/// The facts that a block asks for, by the key that asks.
fn facts(block: &Block, found: &mut BTreeSet<String>) {
    for leaf in leaves(block) {
        match leaf {
            Leaf::Any(blocks) | Leaf::None(blocks) => blocks.iter().for_each(|inner| facts(inner, found)),
            leaf => {
                let path = leaf.path();
                let key = path.split(['.', '[']).next().unwrap_or_default();
                found.insert(key.to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_area_is_the_folder_below_the_rules() {
        for (file, folder) in [
            ("builtin:upstream/net/a.yaml", "upstream/net"),
            ("/home/me/rules/mm/a.yaml", "mm"),
            ("a.yaml", ""),
        ] {
            assert_eq!(area(file), folder, "{file}");
        }
    }

    #[test]
    fn a_crash_in_the_same_function_or_through_the_same_callers_is_near() {
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let one = names(&["pump", "fill", "open"]);
        assert!(stand_alike(&one, &names(&["pump", "drain"])));
        assert!(stand_alike(&one, &names(&["leak", "fill", "open"])));
        assert!(!stand_alike(&one, &names(&["leak", "fill", "close"])));
        assert!(!stand_alike(&[], &[]));
    }

    #[test]
    fn rules_are_counted_by_what_they_ask_and_speak_of() {
        let rule = "id: leak\ntitle: The pump leaks\nstatus: test\nmatch:\n  kind: bug\n  any: [{fault: pump}, {comm: pump}]\n\
                    confirm: {frames: drain, kind: bug}\naffected: [{stream: el7, seen: 3.10.0-862.el7}]\n";
        let base = KnowledgeBase::from_texts([("leak.yaml", rule)]).base;
        let coverage = coverage(&base, &Corpus::default());
        assert_eq!((coverage.rules, coverage.bugs, coverage.fatal), (1, 1, 1));
        let facts: Vec<(&str, usize)> = coverage.by_fact.iter().map(|(fact, n)| (fact.as_str(), *n)).collect();
        assert_eq!(facts, [("(frames)", 1), ("comm", 1), ("fault", 1), ("kind", 1)]);
        assert_eq!(coverage.by_stream.get("el7"), Some(&1));
        assert_eq!(coverage.rules_without_case, ["leak"]);
        assert_eq!(coverage.rules_without_near_negative, ["leak"]);
    }
}
