//! `vmcoroner compare`: how alike two crashes are, and where they part.

use serde::Serialize;

use super::args::{Compare, Format};
use super::sink::Sink;
use super::{Outcome, jobs};
use crate::extract::{self, Depth, Job};
use crate::grouping::{ALIKE, Profile, Step, align};
use crate::output::likeness::{self, Pair};
use crate::output::page::Page;

/// The answer for machines.
#[derive(Serialize)]
struct Answer<'a> {
    similarity: f64,
    alike: bool,
    same_signature: bool,
    first: Side<'a>,
    second: Side<'a>,
    /// Innermost first.
    stack: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Side<'a> {
    input: &'a str,
    id: &'a str,
    title: &'a str,
    kind: &'static str,
}

#[derive(Serialize)]
struct Row<'a> {
    symbol: &'a str,
    /// `both`, `first` or `second`.
    of: &'static str,
}

/// Compares the crashes of two inputs.
pub fn run(arguments: &Compare, sink: &mut Sink) -> Outcome {
    let inputs = [&arguments.first, &arguments.second].map(|path| Job {
        paths: vec![path.clone()],
    });
    let mut worst = Outcome::Found;
    let mut found = Vec::new();
    jobs::in_order(&inputs, profile, |job, answer| {
        match answer.and_then(|result| result) {
            Ok(Some(profile)) => found.push((job.name(), profile)),
            Ok(None) => {
                worst = worst.max(Outcome::NotFound);
                sink.error(&format!("{}: shows no crash", job.name()));
            }
            Err(error) => {
                worst = Outcome::Failed;
                sink.error(&error);
            }
        }
        true
    });
    let [(name, one), (other_name, other)] = found.as_slice() else {
        return worst;
    };
    let likeness = one.likeness(other);
    let same = one.id == other.id;
    let alike = same || likeness >= ALIKE;
    match arguments.format {
        Format::Human => {
            let mut page = Page::new();
            likeness::compare(
                &mut page,
                &Pair {
                    names: [name, other_name],
                    profiles: [one, other],
                    likeness,
                    alike,
                },
            );
            sink.write(&page.finish());
        }
        Format::Json | Format::Jsonl => {
            let answer = Answer {
                similarity: likeness,
                alike,
                same_signature: same,
                first: side(name, one),
                second: side(other_name, other),
                stack: align(&one.stack, &other.stack).iter().map(row).collect(),
            };
            sink.write(&super::extract::answers(arguments.format, false).add(&answer));
        }
    }
    if alike { Outcome::Found } else { Outcome::NotFound }
}

/// What is compared of an input's first crash.
pub fn profile(job: &Job) -> Result<Option<Profile>, String> {
    let inputs = job.open().map_err(|e| e.to_string())?;
    let mut extracted = extract::extract(&inputs, Depth::default()).map_err(|e| e.to_string())?;
    Ok(extracted.take_first_crash().as_ref().and_then(Profile::of))
}

fn side<'a>(input: &'a str, profile: &'a Profile) -> Side<'a> {
    Side {
        input,
        id: &profile.id,
        title: &profile.title,
        kind: profile.kind.word(),
    }
}

fn row<'a>(step: &Step<'a, String>) -> Row<'a> {
    match *step {
        Step::Both(symbol) => Row { symbol, of: "both" },
        Step::First(symbol) => Row { symbol, of: "first" },
        Step::Second(symbol) => Row { symbol, of: "second" },
    }
}
