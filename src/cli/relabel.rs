//! `vmcoroner relabel`: the rules in force, asked about every report of a catalogue. No dump is opened.

use rayon::prelude::*;
use serde::Serialize;

use super::Outcome;
use super::args::Format;
use super::args::archive::Relabel;
use super::knowledge::load;
use super::scan::now;
use super::sink::Sink;
use crate::catalog::{Catalog, CatalogError};
use crate::output::json::Answers;
use crate::output::page::{Page, Tone};
use crate::rules::KnowledgeBase;
use crate::scan::{self, Labelled, Status};

/// So many reports are in memory at a time.
const BATCH: usize = 512;

/// A verdict that changed.
#[derive(Serialize)]
struct Change<'a> {
    input: &'a str,
    before: Verdict<'a>,
    after: Verdict<'a>,
}

#[derive(PartialEq, Serialize)]
struct Verdict<'a> {
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tier: Option<&'a str>,
}

impl<'a> Verdict<'a> {
    fn of(labelled: &'a Labelled) -> Self {
        Verdict {
            status: labelled.row.status,
            rule: labelled.facts.rule.as_deref(),
            tier: labelled.facts.tier.as_deref(),
        }
    }

    fn text(&self) -> String {
        match (self.rule, self.tier) {
            (Some(rule), Some(tier)) => format!("{rule} ({tier})"),
            _ => self.status.to_string(),
        }
    }
}

/// Asks the rules in force about every report.
pub fn run(arguments: &Relabel, sink: &mut Sink) -> Outcome {
    let Some(base) = load(&arguments.rules, sink) else {
        return Outcome::Failed;
    };
    match relabel(arguments, &base, sink) {
        Ok(outcome) => outcome,
        Err(error) => {
            sink.error(&error.to_string());
            Outcome::Failed
        }
    }
}

fn relabel(arguments: &Relabel, base: &KnowledgeBase, sink: &mut Sink) -> Result<Outcome, CatalogError> {
    let catalog = Catalog::open_existing(&arguments.catalog)?;
    let run = catalog.begin("relabel", base.digest(), now())?;
    let mut json = match arguments.format {
        Format::Human => Answers::None,
        Format::Json => Answers::array(),
        Format::Jsonl => Answers::Lines,
    };
    let (mut asked, mut changed, mut after) = (0usize, 0usize, 0);
    let mut worst = Outcome::Found;
    loop {
        let rows = catalog.rows_after(after, BATCH)?;
        let Some((last, _)) = rows.last() else { break };
        after = *last;
        let again: Vec<(i64, Labelled, Result<Labelled, String>)> = rows
            .into_par_iter()
            .filter(|(_, row)| row.row.report.is_some())
            .map(|(number, row)| {
                let again = scan::relabel(row.clone(), base);
                (number, row, again)
            })
            .collect();
        asked += again.len();
        let mut write = Vec::with_capacity(again.len());
        for (number, before, again) in again {
            match again {
                Ok(again) => {
                    let change = Change {
                        input: &before.row.input,
                        before: Verdict::of(&before),
                        after: Verdict::of(&again),
                    };
                    if change.before != change.after {
                        changed += 1;
                        sink.write(&match arguments.format {
                            Format::Human => human(&change),
                            Format::Json | Format::Jsonl => json.add(&change),
                        });
                    }
                    write.push((number, again));
                }
                Err(error) => {
                    worst = Outcome::Failed;
                    sink.error(&error);
                }
            }
        }
        catalog.rewrite(&write, base.digest(), run)?;
    }
    catalog.end(run, now())?;
    sink.write(json.end());
    if arguments.format == Format::Human {
        let mut page = Page::new();
        page.gap();
        page.row(
            "in all",
            Tone::Strong,
            &format!("{asked} reports, {changed} with another verdict"),
        );
        sink.write(&page.finish());
    }
    Ok(worst)
}

fn human(change: &Change<'_>) -> String {
    let mut page = Page::new();
    page.line(
        Tone::Plain,
        &format!("{} → {}", change.before.text(), change.after.text()),
    );
    page.line(Tone::Faint, &format!("  {}", change.input));
    page.finish()
}
