//! `vmcoroner sym`: addresses to symbols and back.

use serde::Serialize;

use super::Outcome;
use super::args::{Format, Sym};
use super::extract::answers;
use super::sink::Sink;
use crate::extract::{self, Job};
use crate::kernel::symbols::Found;

/// What one question came to.
#[derive(Serialize)]
struct Answer<'a> {
    query: &'a str,
    found: Vec<Found>,
}

/// Answers every question about one dump's symbols.
pub fn run(arguments: &Sym, sink: &mut Sink) -> Outcome {
    let job = Job {
        paths: vec![arguments.vmcore.clone()],
    };
    let files = arguments.debug.files();
    let dumped = match job.open().and_then(|parts| extract::open_kernel(&parts, &files)) {
        Ok(dumped) => dumped,
        Err(error) => {
            sink.error(&error.to_string());
            return Outcome::Failed;
        }
    };
    let insight = match &dumped.insight {
        Ok(insight) => insight,
        Err(why) => {
            sink.error(&format!("{}: {why}", job.name()));
            return Outcome::Failed;
        }
    };
    let mut json = answers(arguments.format, arguments.queries.len() > 1);
    let mut outcome = Outcome::Found;
    for query in &arguments.queries {
        let found = insight.symbols.query(query);
        if found.is_empty() {
            outcome = Outcome::NotFound;
        }
        match arguments.format {
            Format::Human if found.is_empty() => {
                sink.error(&format!("{query}: no symbol of this kernel or its modules"));
            }
            Format::Human => {
                for line in found {
                    sink.write(&format!("{}\n", crate::output::page::escape(&line.to_string())));
                }
            }
            Format::Json | Format::Jsonl => sink.write(&json.add(&Answer { query, found })),
        }
    }
    sink.write(json.end());
    outcome
}
