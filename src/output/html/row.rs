//! A row as it is read back: what `scan` and `identify --format jsonl` print a line of.

use serde::Deserialize;

use crate::crash::CrashReport;
use crate::rules::advice::Advice;
use crate::rules::schema::{Scope, Status as Maturity};
use crate::rules::{Evidence, Near, Tier};
use crate::scan::Status;

/// What is said of one input.
#[derive(Debug, Deserialize)]
pub struct Row {
    /// Its name.
    pub input: String,
    /// What became of it; `identify` leaves that to be told from the rest.
    status: Option<Status>,
    /// The files that belong to it.
    #[serde(default)]
    pub with: Vec<String>,
    /// The facts.
    pub report: Option<CrashReport>,
    /// The rules that match, best first.
    #[serde(default)]
    pub matches: Vec<Verdict>,
    /// The rules that came close.
    #[serde(default)]
    pub near: Vec<Near>,
    /// Why it could not be read.
    pub error: Option<String>,
}

/// A rule that matches: [`crate::rules::Match`] as it is printed.
#[derive(Debug, Deserialize)]
pub struct Verdict {
    /// The rule's id.
    pub rule: String,
    /// Its title.
    pub title: String,
    /// How sure.
    pub tier: Tier,
    /// Whether it names one bug.
    pub scope: Scope,
    /// How far the rule has come.
    pub status: Maturity,
    /// Why it is no more than that.
    pub reason: Option<String>,
    /// Every predicate with its answer.
    #[serde(default)]
    pub evidence: Vec<Evidence>,
    /// The rules that it explains better.
    #[serde(default)]
    pub folded: Vec<String>,
    /// What is known of this kernel and this bug.
    pub affected: Option<Affected>,
    /// Where it is written up.
    #[serde(default)]
    pub references: Vec<Reference>,
    /// What goes wrong.
    pub root_cause: Option<String>,
    /// What to do.
    #[serde(default)]
    pub mitigations: Vec<Advice>,
}

/// What is known of a kernel and a bug.
#[derive(Debug, Deserialize)]
pub struct Affected {
    /// In one sentence.
    pub note: String,
    /// The first releases with the fix.
    #[serde(default)]
    pub fixed_in: Vec<String>,
}

/// Where a bug is written up.
#[derive(Debug, Deserialize)]
pub struct Reference {
    /// Its address.
    pub url: String,
    /// What is to be found there.
    pub note: Option<String>,
}

impl Row {
    /// What became of the input.
    pub fn status(&self) -> Status {
        if let Some(status) = self.status {
            return status;
        }
        match &self.report {
            None => Status::Failed,
            Some(_) if self.error.is_some() => Status::Failed,
            // A report that somebody wrote down may name no failure, and yet say enough for a rule.
            Some(_) if self.label().is_some() => Status::Known,
            Some(report) if report.panic.is_none() => Status::NoCrash,
            Some(_) => Status::Unknown,
        }
    }

    /// The rule that names the bug.
    pub fn label(&self) -> Option<&Verdict> {
        let named = |found: &&Verdict| found.scope == Scope::Bug && found.tier <= Tier::Likely;
        self.matches.iter().find(named)
    }

    /// The rule that says what kind of crash it is.
    pub fn general(&self) -> Option<&Verdict> {
        let told = |found: &&Verdict| found.scope == Scope::General && found.tier <= Tier::Likely;
        self.matches.iter().find(told)
    }
}

/// The status for people.
pub fn word(status: Status) -> &'static str {
    match status {
        Status::Known => "known bug",
        Status::Unknown => "unknown",
        Status::NoCrash => "no crash",
        Status::Failed => "not readable",
    }
}

/// Its class in the style sheet.
pub fn class(status: Status) -> &'static str {
    match status {
        Status::Known => "known",
        Status::Unknown => "unknown",
        Status::NoCrash => "none",
        Status::Failed => "failed",
    }
}
