//! Rules and a report → verdicts: how sure, on what evidence, what it explains better, and what came close.
//!
//! Tiers are derived, there are no weights. Order and text depend on nothing but rules and report.

use std::cmp::Reverse;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::advice::{Advice, advice};
use super::affected::{self, Ceiling, Standing};
use super::answer::Answer;
use super::evaluate::{Context, Evidence, Look, Part, Wording, evidence, leaves, look, wordings};
use super::index::Candidate;
use super::loaded::LoadedRule;
use super::pack::KnowledgeBase;
use super::reference::{Link, link};
use super::schema::{Rule, Scope, Status};
use super::stats::Stats;
use crate::crash::{CrashReport, Probe};

/// How sure a match is. The order is the order of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// The signature holds, something confirms it, nothing speaks against it, and the release is known to have the bug.
    Exact,
    /// The signature holds and nothing speaks against it.
    Likely,
    /// The signature holds, but a confirming fact does not, or this kernel is not known to have the bug.
    Related,
}

impl Tier {
    /// The tier in a word.
    pub fn word(self) -> &'static str {
        match self {
            Tier::Exact => "exact",
            Tier::Likely => "likely",
            Tier::Related => "related",
        }
    }
}

/// A rule whose signature holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Match {
    /// The rule's id.
    pub rule: String,
    /// Its title.
    pub title: String,
    /// How sure.
    pub tier: Tier,
    /// Whether it names one bug or a class of crash.
    pub scope: Scope,
    /// How far the rule has come: `test` is used, and not reviewed.
    pub status: Status,
    /// Why it is no more than that. Absent when it is exact, and for a general rule that nothing speaks against.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Every predicate with its answer, in the order of the rule file.
    pub evidence: Vec<Evidence>,
    /// The more general rules that hold too, and that this one explains better.
    pub folded: Vec<String>,
    /// What is known of this kernel and this bug; absent for a general rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affected: Option<Standing>,
    /// Where it is written up.
    pub references: Vec<Link>,
    /// What goes wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_cause: Option<String>,
    /// What to do about it.
    pub mitigations: Vec<Advice>,
    /// The rule that took the place of this deprecated one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<String>,
    /// The rule file.
    #[serde(skip)]
    pub file: String,
}

/// A rule that might hold, if only the report said more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Near {
    /// The rule's id.
    pub rule: String,
    /// Its title.
    pub title: String,
    /// What the report does not say.
    pub missing: Vec<MissingEvidence>,
}

/// A predicate that could not be answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingEvidence {
    /// The predicate as the rule words it.
    pub predicate: String,
    /// What would answer it.
    pub needs: String,
    /// The rule file's line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
}

/// What the knowledge base says of a crash.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Identification {
    /// The rules that match, best first.
    pub matches: Vec<Match>,
    /// At most [`MAX_NEAR`] that came close, nearest first.
    pub near: Vec<Near>,
}

/// How many near misses are told.
pub const MAX_NEAR: usize = 5;

impl Identification {
    /// The bug that the crash is labelled with: the first bug rule that is exact or likely.
    pub fn label(&self) -> Option<&Match> {
        self.matches
            .iter()
            .find(|found| found.scope == Scope::Bug && found.tier <= Tier::Likely)
    }
}

/// Names the crash.
pub fn identify(base: &KnowledgeBase, report: &CrashReport, probe: Option<&dyn Probe>) -> Identification {
    identify_counted(base, report, probe, None)
}

/// [`identify`], counting what it costs.
pub fn identify_counted(
    base: &KnowledgeBase,
    report: &CrashReport,
    probe: Option<&dyn Probe>,
    stats: Option<&Stats>,
) -> Identification {
    let began = stats.map(|_| Instant::now());
    let mut context = Context::new(report, probe);
    let candidates = context.candidates(base.index());
    if let (Some(stats), Some(began)) = (stats, began) {
        stats.searched(began.elapsed());
    }
    among(base, &candidates, &context, stats)
}

/// Names the crash by asking every rule: what [`identify`] must agree with.
pub fn identify_naively(base: &KnowledgeBase, report: &CrashReport, probe: Option<&dyn Probe>) -> Identification {
    let all = base.index().in_force().iter();
    let all = all.map(|&at| Candidate {
        at,
        lacks: 0,
        asks: usize::MAX,
        general: false,
    });
    let all: Vec<Candidate> = all.collect();
    among(base, &all, &Context::new(report, probe), None)
}

/// A rule whose signature holds, before anything is said about it: most are folded under a better one.
struct Found<'b> {
    at: usize,
    loaded: &'b LoadedRule,
    tier: Tier,
    /// How many facts confirm it.
    confirmed: usize,
    /// How many it asks for.
    asked: usize,
    affected: Option<Standing>,
    folded: Vec<String>,
}

/// How near a rule is: bug rules before general ones, those that could become a label first, then by how little is
/// missing, then by how much is there.
type Nearness = (bool, bool, usize, Reverse<usize>);

fn among(
    base: &KnowledgeBase,
    candidates: &[Candidate],
    context: &Context<'_>,
    stats: Option<&Stats>,
) -> Identification {
    let mut found = Vec::new();
    let mut close = Vec::new();
    let look_at = |loaded: &LoadedRule, at: usize| {
        let began = stats.map(|_| Instant::now());
        let look = look(&loaded.rule().matches, context);
        if let (Some(stats), Some(began)) = (stats, began) {
            stats.asked(at, look.answer.is_yes(), began.elapsed());
        }
        look
    };
    let with = |lacking: bool| {
        let chosen = candidates
            .iter()
            .filter(move |candidate| (candidate.lacks > 0) == lacking);
        chosen.filter_map(|candidate| Some((candidate, base.rules().get(candidate.at)?)))
    };
    for (&Candidate { at, .. }, loaded) in with(false) {
        let look = look_at(loaded, at);
        match look.answer {
            Answer::Yes => {
                let affected = standing_of(loaded.rule(), context);
                let confirm = confirming(loaded.rule(), context);
                found.push(Found {
                    at,
                    loaded,
                    tier: judge(&confirm, affected.as_ref()).0,
                    asked: look.yes,
                    confirmed: confirm.iter().filter(|answer| answer.is_yes()).count(),
                    affected,
                    folded: Vec::new(),
                });
            }
            Answer::Unknown if look.telling => close.push(Close::new(at, loaded, look, context)),
            Answer::Unknown | Answer::No => {}
        }
    }
    // What a match explains better would not add anything by nearly matching.
    let adds = |at: usize| {
        let explains = |found: &Found<'_>| base.generals(found.at).is_some_and(|generals| generals.contains(&at));
        !found.iter().any(explains)
    };
    close.retain(|close| adds(close.at));
    let keep_nearest = |close: &mut Vec<Close<'_>>| {
        close.sort_by(|a, b| a.rank().cmp(&b.rank()));
        close.truncate(MAX_NEAR);
    };
    keep_nearest(&mut close);
    // Thousands of rules may lack the same evidence: those that could not come nearer than the nearest are not asked.
    for (candidate, loaded) in with(true) {
        let best = || {
            let yes = candidate.asks.saturating_sub(candidate.lacks);
            ((candidate.general, false, candidate.lacks, Reverse(yes)), loaded.id())
        };
        let hopeless = close.len() >= MAX_NEAR && close.last().is_some_and(|last| best() > last.rank());
        if hopeless || !adds(candidate.at) {
            continue;
        }
        let look = look_at(loaded, candidate.at);
        if look.answer == Answer::Unknown && look.telling {
            close.push(Close::new(candidate.at, loaded, look, context));
            keep_nearest(&mut close);
        }
    }
    fold(base, &mut found);
    found.sort_by(|a, b| rank(a).cmp(&rank(b)));
    Identification {
        matches: found.into_iter().map(|found| verdict(found, context)).collect(),
        near: close.iter().map(|close| nearly(close.loaded, context)).collect(),
    }
}

/// A rule that nearly matches.
struct Close<'b> {
    at: usize,
    loaded: &'b LoadedRule,
    nearness: Nearness,
}

impl<'b> Close<'b> {
    fn new(at: usize, loaded: &'b LoadedRule, look: Look, context: &Context<'_>) -> Self {
        let rule = loaded.rule();
        let elsewhere = standing_of(rule, context).is_some_and(|standing| standing.ceiling == Ceiling::Related);
        Close {
            at,
            loaded,
            nearness: (rule.scope == Scope::General, elsewhere, look.unknown, Reverse(look.yes)),
        }
    }

    /// Nearest first, then by id.
    fn rank(&self) -> (Nearness, &'b str) {
        (self.nearness, self.loaded.id())
    }
}

/// Surest first; a bug before a class of crash; then the one with more behind it; then by id.
fn rank<'b>(found: &Found<'b>) -> (Tier, Scope, Reverse<usize>, Reverse<usize>, &'b str) {
    (
        found.tier,
        found.loaded.rule().scope,
        Reverse(found.confirmed),
        Reverse(found.asked),
        found.loaded.id(),
    )
}

/// Takes a general rule out where a special one that holds as surely explains it better. A special rule that is only
/// related hides nothing that is likely.
fn fold(base: &KnowledgeBase, found: &mut Vec<Found<'_>>) {
    let standing: Vec<(usize, Tier, &str)> = found
        .iter()
        .map(|found| (found.at, found.tier, found.loaded.id()))
        .collect();
    let folds = |special: usize, special_tier: Tier, general: usize, general_tier: Tier| {
        (special_tier <= Tier::Likely || special_tier <= general_tier)
            && base
                .generals(special)
                .is_some_and(|generals| generals.contains(&general))
    };
    for special in found.iter_mut() {
        special.folded = standing
            .iter()
            .filter(|(at, tier, _)| folds(special.at, special.tier, *at, *tier))
            .map(|(_, _, id)| (*id).to_owned())
            .collect();
        special.folded.sort();
    }
    found.retain(|general| {
        !standing
            .iter()
            .any(|(at, tier, _)| folds(*at, *tier, general.at, general.tier))
    });
}

/// Every predicate of a rule with its answer and its line, in the order of the rule file. `holds`: its signature is known
/// to hold.
pub(super) fn rows(loaded: &LoadedRule, context: &Context<'_>, holds: bool) -> Vec<Evidence> {
    let rule = loaded.rule();
    let [matches, confirm] = wordings_of(loaded);
    let mut rows = evidence(&rule.matches, Part::Match, context, matches, holds);
    if let Some(block) = &rule.confirm {
        rows.extend(evidence(block, Part::Confirm, context, confirm, false));
    }
    rows
}

fn wordings_of(loaded: &LoadedRule) -> &[Vec<Wording>; 2] {
    loaded.wordings(|rule| {
        let tree = loaded.tree();
        let line = |path: &str| tree.as_ref().map(|tree| tree.locate(path).line);
        let of = |block, part| wordings(block, part, &line);
        let confirm = rule.confirm.as_ref().map(|block| of(block, Part::Confirm));
        [of(&rule.matches, Part::Match), confirm.unwrap_or_default()]
    })
}

/// What is known of this kernel and a rule's bug; a general rule names none.
pub(super) fn standing_of(rule: &Rule, context: &Context<'_>) -> Option<Standing> {
    (rule.scope == Scope::Bug).then(|| affected::standing_of(&rule.affected, context.kernel()))
}

fn verdict(found: Found<'_>, context: &Context<'_>) -> Match {
    let Found { loaded, affected, .. } = found;
    let rule = loaded.rule();
    let evidence = rows(loaded, context, true);
    let (tier, reason) = tier(&evidence, affected.as_ref());
    Match {
        rule: rule.id.to_string(),
        title: rule.title.as_str().to_owned(),
        tier,
        scope: rule.scope,
        status: rule.status,
        reason,
        evidence,
        folded: found.folded,
        affected,
        references: rule
            .references
            .iter()
            .filter_map(|reference| link(reference).ok())
            .collect(),
        root_cause: rule.root_cause.as_ref().map(|text| text.trim_end().to_owned()),
        mitigations: advice(&rule.mitigations, context),
        replaced_by: rule.replaced_by.as_ref().map(ToString::to_string),
        file: loaded.file.to_string(),
    }
}

/// What keeps a rule whose signature holds from being exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Short {
    /// Nothing.
    Not,
    /// Something that would confirm it is not so.
    Refuted,
    /// What is known of this kernel and the bug.
    Standing,
    /// Nothing that would confirm it could be checked.
    Unchecked,
    /// The rule names nothing that would confirm it.
    Unnamed,
}

/// The tier of a rule whose signature holds, by the answers of what would confirm it. `affected` is absent for a general
/// rule: that names no bug, so it is never exact.
fn judge(confirm: &[Answer], affected: Option<&Standing>) -> (Tier, Short) {
    if confirm.contains(&Answer::No) {
        return (Tier::Related, Short::Refuted);
    }
    match affected.map(|standing| standing.ceiling) {
        None => (Tier::Likely, Short::Not),
        Some(Ceiling::Related) => (Tier::Related, Short::Standing),
        Some(Ceiling::Likely) => (Tier::Likely, Short::Standing),
        Some(Ceiling::Exact) if confirm.contains(&Answer::Yes) => (Tier::Exact, Short::Not),
        Some(Ceiling::Exact) if confirm.is_empty() => (Tier::Likely, Short::Unnamed),
        Some(Ceiling::Exact) => (Tier::Likely, Short::Unchecked),
    }
}

/// The answers of what would confirm a rule; no text is made of them.
fn confirming(rule: &Rule, context: &Context<'_>) -> Vec<Answer> {
    let confirm = rule.confirm.as_ref().map(leaves).unwrap_or_default();
    confirm.iter().map(|leaf| leaf.answer(context)).collect()
}

/// The tier of a rule whose signature holds, and why it is no better.
pub(super) fn tier(evidence: &[Evidence], affected: Option<&Standing>) -> (Tier, Option<String>) {
    let confirm = || evidence.iter().filter(|row| row.part == Part::Confirm);
    let answers: Vec<Answer> = confirm().map(|row| row.answer).collect();
    let (tier, short) = judge(&answers, affected);
    let note = || affected.map(|standing| standing.note.clone());
    let reason = match short {
        Short::Not => None,
        Short::Refuted => confirm().find(|row| row.answer.is_no()).map(|against| {
            let found = against.found.as_ref().map(|found| format!(" (found {found})"));
            let reason = format!("not so: {}{}", against.predicate, found.unwrap_or_default());
            match affected.filter(|standing| standing.ceiling == Ceiling::Related) {
                Some(standing) => format!("{}; {reason}", standing.note),
                None => reason,
            }
        }),
        Short::Standing => note(),
        Short::Unchecked => Some("nothing that would confirm it could be checked".to_owned()),
        Short::Unnamed => Some("the rule names nothing that would confirm it".to_owned()),
    };
    (tier, reason)
}

fn nearly(loaded: &LoadedRule, context: &Context<'_>) -> Near {
    let [wordings, _] = wordings_of(loaded);
    let rows = evidence(&loaded.rule().matches, Part::Match, context, wordings, false);
    let missing = rows
        .into_iter()
        .filter(|row| row.answer == Answer::Unknown)
        .map(|row| MissingEvidence {
            predicate: row.predicate,
            needs: row.needs.unwrap_or_default(),
            line: row.line,
        })
        .collect();
    Near {
        rule: loaded.id().to_owned(),
        title: loaded.rule().title.as_str().to_owned(),
        missing,
    }
}
