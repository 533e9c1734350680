//! `vmcoroner rules test` and `rules add-case`: the crashes that prove the rules.

use crate::cli::Outcome;
use crate::cli::args::{AddCase, Format, RulesTest};
use crate::cli::knowledge::load;
use crate::cli::sink::Sink;
use crate::corpus::{self, Corpus, Expectation, Trial, trial};
use crate::output::page::Page;
use crate::output::rules as output;
use crate::rules::KnowledgeBase;

/// Runs the corpus.
pub fn test(arguments: &RulesTest, sink: &mut Sink) -> Outcome {
    let Some((base, corpus)) = load_with_corpus(arguments, sink) else {
        return Outcome::Failed;
    };
    let trial = trial(&base, &corpus);
    match arguments.format {
        Format::Human => {
            let mut page = Page::new();
            output::trial(&mut page, &trial, base.digest());
            sink.write(&page.finish());
        }
        Format::Json => sink.write(&format!("{:#}\n", json(&trial, base.digest()))),
        Format::Jsonl => {
            for rule in &trial.rules {
                sink.write(&format!("{}\n", serde_json::json!(rule)));
            }
        }
    }
    if trial.is_clean() {
        Outcome::Found
    } else {
        Outcome::NotFound
    }
}

/// The rules in force and the crashes that prove them; `None`, with the reason told, when either cannot be used.
pub fn load_with_corpus(arguments: &RulesTest, sink: &mut Sink) -> Option<(KnowledgeBase, Corpus)> {
    let base = load(&arguments.rules, sink)?;
    match Corpus::open(&arguments.corpus) {
        Ok(corpus) => Some((base, corpus)),
        Err(error) => {
            sink.error(&error.to_string());
            None
        }
    }
}

fn json(trial: &Trial, digest: &str) -> serde_json::Value {
    let unusable: Vec<_> = trial
        .unusable
        .iter()
        .map(|(file, why)| serde_json::json!({"file": file, "why": why}))
        .collect();
    serde_json::json!({
        "tool": {"version": env!("CARGO_PKG_VERSION"), "rules_digest": digest},
        "clean": trial.is_clean(),
        "cases": trial.cases,
        "rules": trial.rules,
        "unusable": unusable,
    })
}

/// Adds a case.
pub fn add_case(arguments: &AddCase, sink: &mut Sink) -> Outcome {
    let Some(base) = load(&arguments.rules, sink) else {
        return Outcome::Failed;
    };
    let expected = if arguments.nomatch {
        Expectation::NoMatch
    } else {
        Expectation::Match
    };
    let name = arguments.name.as_deref();
    match corpus::add_case(
        &base,
        &arguments.corpus,
        &arguments.rule,
        &arguments.input,
        expected,
        name,
    ) {
        Ok(added) => {
            let tier = added.tier.map(|tier| format!(", {}", tier.word())).unwrap_or_default();
            sink.write(&format!(
                "{} ({}, {} bytes{tier})\n",
                added.path.display(),
                added.form,
                added.size
            ));
            Outcome::Found
        }
        Err(error) => {
            sink.error(&error.to_string());
            match error {
                corpus::AddError::NotMatched { .. }
                | corpus::AddError::Matched { .. }
                | corpus::AddError::NoCrash(_) => Outcome::NotFound,
                corpus::AddError::NoRule(_) | corpus::AddError::Extract(_) | corpus::AddError::Write { .. } => {
                    Outcome::Failed
                }
            }
        }
    }
}
