//! `vmcoroner stats`: what a catalogue comes to.

use serde::Serialize;

use super::Outcome;
use super::args::archive::{CountBy, Stats, StatsFormat};
use super::scan::now;
use super::sink::Sink;
use crate::catalog::figures::{By, Count, Trend, UnknownGroup};
use crate::catalog::{Catalog, CatalogError};
use crate::output::figures;
use crate::output::page::Page;
use crate::output::rows;
use crate::scan::{Status, Tally};

/// Everything, for machines.
#[derive(Serialize)]
struct Answer<'a> {
    rows: u64,
    status: std::collections::BTreeMap<Status, u64>,
    by: std::collections::BTreeMap<&'static str, &'a [Count]>,
    trend: &'a Trend,
    unknown_groups: &'a [UnknownGroup],
}

/// Prints the figures of a catalogue.
pub fn run(arguments: &Stats, sink: &mut Sink) -> Outcome {
    match answer(arguments, sink) {
        Ok(()) => Outcome::Found,
        Err(error) => {
            sink.error(&error.to_string());
            Outcome::Failed
        }
    }
}

fn answer(arguments: &Stats, sink: &mut Sink) -> Result<(), CatalogError> {
    let catalog = Catalog::open_to_ask(&arguments.catalog)?;
    let tally = catalog.tally()?;
    if arguments.format == StatsFormat::Prometheus {
        sink.write(&rows::prometheus(&tally, now()));
        return Ok(());
    }
    let wanted: Vec<CountBy> = match arguments.by.as_slice() {
        [] => vec![
            CountBy::Bug,
            CountBy::Kernel,
            CountBy::Host,
            CountBy::Month,
            CountBy::Hardware,
        ],
        wanted => wanted.to_vec(),
    };
    let mut tables: Vec<(&'static str, Vec<Count>)> = Vec::new();
    for by in wanted {
        let (word, by) = of(by);
        tables.push((word, catalog.counts(by, arguments.top)?));
    }
    if arguments.format == StatsFormat::Csv {
        sink.write(&figures::csv(&tables));
        return Ok(());
    }
    let trend = catalog.trend(arguments.days, arguments.top, now())?;
    let groups = catalog.unknown_groups(arguments.top)?;
    match arguments.format {
        StatsFormat::Json => {
            let answer = Answer {
                rows: tally.rows,
                status: Status::ALL
                    .into_iter()
                    .map(|status| (status, tally.of(status)))
                    .collect(),
                by: tables.iter().map(|(word, counts)| (*word, counts.as_slice())).collect(),
                trend: &trend,
                unknown_groups: &groups,
            };
            sink.write(&crate::output::json::Answers::Single.add(&answer));
        }
        _ => sink.write(&human(&tally, &tables, &trend, &groups, arguments.by.is_empty())),
    }
    Ok(())
}

fn human(tally: &Tally, tables: &[(&str, Vec<Count>)], trend: &Trend, groups: &[UnknownGroup], all: bool) -> String {
    let mut page = Page::new();
    rows::summary(&mut page, tally);
    for (word, counts) in tables {
        figures::counts(&mut page, word, counts);
    }
    if all {
        figures::trend(&mut page, trend);
        figures::unknown_groups(&mut page, groups);
    }
    page.finish()
}

/// What to count by, in the library's words.
fn of(by: CountBy) -> (&'static str, By) {
    match by {
        CountBy::Bug => ("bug", By::Bug),
        CountBy::Kernel => ("kernel", By::Kernel),
        CountBy::Host => ("host", By::Host),
        CountBy::Month => ("month", By::Month),
        CountBy::Hardware => ("hardware", By::Hardware),
        CountBy::Kind => ("kind", By::Kind),
        CountBy::Signature => ("signature", By::Signature),
    }
}
