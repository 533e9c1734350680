//! Why a rule matches a crash, or why not: every predicate with its answer, for one rule or for those that miss by one.
//!
//! It asks rules one by one, drafts too; which of them would name the crash is [`identify`](mod@super::identify)'s work.

use std::cmp::Reverse;

use serde::Serialize;

use super::affected::Standing;
use super::answer::Answer;
use super::evaluate::{Context, Evidence, Part};
use super::identify::{Tier, rows, standing_of, tier};
use super::loaded::LoadedRule;
use super::pack::KnowledgeBase;
use super::schema::{Scope, Status};
use crate::crash::{CrashReport, Probe};

/// One rule held against one crash.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// The rule's id.
    pub rule: String,
    /// Its title.
    pub title: String,
    /// How far the rule has come; a draft is never used for verdicts.
    pub status: Status,
    /// Whether it names one bug or a class of crash.
    pub scope: Scope,
    /// The rule file.
    pub file: String,
    /// Whether the signature holds.
    pub answer: Answer,
    /// How sure the match is; absent when the signature does not hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier: Option<Tier>,
    /// Why it is no more than that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Every predicate, in the order of the rule file.
    pub evidence: Vec<Evidence>,
    /// What is known of this kernel and this bug; absent for a general rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affected: Option<Standing>,
}

impl Explanation {
    /// The predicates of the signature that are not yes.
    pub fn missing(&self) -> impl Iterator<Item = &Evidence> {
        let rows = self.evidence.iter();
        rows.filter(|row| row.part == Part::Match && !row.answer.is_yes())
    }
}

/// Holds one rule against a crash.
pub fn explain(loaded: &LoadedRule, report: &CrashReport, probe: Option<&dyn Probe>) -> Explanation {
    explain_in(loaded, &Context::new(report, probe))
}

fn explain_in(loaded: &LoadedRule, context: &Context<'_>) -> Explanation {
    let rule = &loaded.rule();
    let evidence = rows(loaded, context, false);
    let answer = Answer::all(
        evidence
            .iter()
            .filter(|row| row.part == Part::Match)
            .map(|row| row.answer),
    );
    let affected = standing_of(rule, context);
    let (tier, reason) = if answer.is_yes() {
        let (tier, reason) = tier(&evidence, affected.as_ref());
        (Some(tier), reason)
    } else {
        (None, None)
    };
    Explanation {
        rule: rule.id.to_string(),
        title: rule.title.as_str().to_owned(),
        status: rule.status,
        scope: rule.scope,
        file: loaded.file.to_string(),
        answer,
        tier,
        reason,
        evidence,
        affected,
    }
}

/// The rules of whose signature all but one predicate is yes, and at least one that tells something: nearest first, an
/// unknown before a no, then those with more behind them. At most `most`.
pub fn missing_by_one(
    base: &KnowledgeBase,
    report: &CrashReport,
    probe: Option<&dyn Probe>,
    most: usize,
) -> Vec<Explanation> {
    let context = Context::new(report, probe);
    let mut close = Vec::new();
    for loaded in base.rules() {
        let leaves = super::evaluate::leaves(&loaded.rule().matches);
        let mut failed = None;
        let mut failures = 0;
        let mut telling = false;
        for leaf in &leaves {
            let answer = leaf.answer(&context);
            if answer.is_yes() {
                telling |= leaf.is_telling();
            } else {
                failures += 1;
                failed = Some(answer);
            }
            if failures > 1 {
                break;
            }
        }
        if failures == 1 && telling {
            let is_no = failed.is_some_and(Answer::is_no);
            close.push((is_no, loaded.rule().scope, Reverse(leaves.len()), loaded));
        }
    }
    close.sort_by(|a, b| (a.0, a.1, a.2, a.3.id()).cmp(&(b.0, b.1, b.2, b.3.id())));
    close
        .into_iter()
        .take(most)
        .map(|(.., loaded)| explain_in(loaded, &context))
        .collect()
}
