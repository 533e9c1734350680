//! `vmcoroner rules` and `vmcoroner schema`: looking after the knowledge base.

mod backtest;
mod check;
mod corpus;
mod coverage;
mod explain;
mod import;
mod list;

use std::time::{SystemTime, UNIX_EPOCH};

use super::Outcome;
use super::args::{Rules, RulesCommand, Schema, SchemaOf};
use super::sink::Sink;
use crate::crash::{CrashReport, time};
use crate::extract::{self, Depth, Job};
use crate::rules::{KnowledgeBase, draft, schema as rule_schema};

/// Runs a subcommand of `rules`.
pub fn run(arguments: &Rules, sink: &mut Sink) -> Outcome {
    match &arguments.command {
        RulesCommand::Check(arguments) => check::run(arguments, sink),
        RulesCommand::Test(arguments) => corpus::test(arguments, sink),
        RulesCommand::List(arguments) => list::list(arguments, sink),
        RulesCommand::Show { rule, format, rules } => list::show(rule, *format, rules, sink),
        RulesCommand::Explain(arguments) => explain::run(arguments, sink),
        RulesCommand::Backtest(arguments) => backtest::run(arguments, sink),
        RulesCommand::New { from } => new(from, sink),
        RulesCommand::AddCase(arguments) => corpus::add_case(arguments, sink),
        RulesCommand::Import(arguments) => import::run(arguments, sink),
        RulesCommand::Coverage(arguments) => coverage::run(arguments, sink),
    }
}

/// Prints a JSON Schema.
pub fn schema(arguments: &Schema, sink: &mut Sink) -> Outcome {
    let schema = match arguments.of {
        SchemaOf::Report => schemars::schema_for!(CrashReport).to_value(),
        SchemaOf::Rule => rule_schema::json_schema(),
    };
    sink.write(&format!("{schema:#}\n"));
    Outcome::Found
}

/// Drafts a rule from a crash.
fn new(from: &std::path::Path, sink: &mut Sink) -> Outcome {
    let job = Job {
        paths: vec![from.to_owned()],
    };
    let report = match job.open().and_then(|parts| extract::extract(&parts, Depth::default())) {
        Ok(extracted) => extracted.into_first_crash(),
        Err(error) => {
            sink.error(&error.to_string());
            return Outcome::Failed;
        }
    };
    match report.and_then(|report| draft::draft(&report, &today())) {
        Some(text) => {
            sink.write(&text);
            Outcome::Found
        }
        None => {
            sink.error(&format!("{}: shows no crash to draft a rule from", from.display()));
            Outcome::NotFound
        }
    }
}

/// Today's date, UTC, as a rule writes it.
fn today() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let now = time::rfc3339(seconds).unwrap_or_default();
    now.split('T').next().unwrap_or_default().to_owned()
}

/// Says that there is no such rule, and which one may be meant.
fn no_such_rule(base: &KnowledgeBase, id: &str, sink: &mut Sink) -> Outcome {
    let hint = base
        .nearest(id)
        .map(|near| format!(": did you mean `{near}`?"))
        .unwrap_or_default();
    sink.error(&format!("there is no rule `{id}`{hint}"));
    Outcome::Failed
}
