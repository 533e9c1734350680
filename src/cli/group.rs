//! `vmcoroner group`: which crashes are probably of one bug.

use serde::Serialize;

use super::args::{Format, Group};
use super::sink::Sink;
use super::{Outcome, compare, jobs};
use crate::extract;
use crate::grouping::{self, ALIKE, Profile};
use crate::output::likeness;
use crate::output::page::Page;

/// A group, for machines.
#[derive(Serialize)]
struct Answer<'a> {
    id: &'a str,
    title: &'a str,
    kind: &'static str,
    members: Vec<Member<'a>>,
}

#[derive(Serialize)]
struct Member<'a> {
    input: &'a str,
    id: &'a str,
    similarity: f64,
}

/// Groups the crashes of all inputs.
pub fn run(arguments: &Group, sink: &mut Sink) -> Outcome {
    let inputs = extract::jobs(&arguments.inputs);
    let mut worst = Outcome::Found;
    let mut names = Vec::new();
    let mut crashes = Vec::new();
    jobs::in_order(&inputs, compare::profile, |job, answer| {
        match answer.and_then(|result| result) {
            Ok(Some(profile)) => {
                names.push(job.name());
                crashes.push(profile);
            }
            Ok(None) => {
                worst = worst.max(Outcome::NotFound);
                sink.warning(&format!("{}: shows no crash", job.name()));
            }
            Err(error) => {
                worst = Outcome::Failed;
                sink.error(&error);
            }
        }
        true
    });
    let groups = grouping::group(&crashes, arguments.alike.unwrap_or(ALIKE));
    let mut json = super::extract::answers(arguments.format, true);
    for group in &groups {
        let members: Vec<(&str, &Profile, f64)> = group
            .members
            .iter()
            .filter_map(|member| {
                let name = names.get(member.crash)?;
                Some((name.as_str(), crashes.get(member.crash)?, member.similarity))
            })
            .collect();
        let Some((_, first, _)) = members.first() else { continue };
        match arguments.format {
            Format::Human => {
                let mut page = Page::new();
                let rows: Vec<(String, f64)> = members
                    .iter()
                    .map(|(name, _, similarity)| ((*name).to_owned(), *similarity))
                    .collect();
                likeness::group(&mut page, first, &rows);
                sink.write(&page.finish());
            }
            Format::Json | Format::Jsonl => {
                let answer = Answer {
                    id: &first.id,
                    title: &first.title,
                    kind: first.kind.word(),
                    members: members
                        .iter()
                        .map(|(input, profile, similarity)| Member {
                            input,
                            id: &profile.id,
                            similarity: *similarity,
                        })
                        .collect(),
                };
                sink.write(&json.add(&answer));
            }
        }
    }
    sink.write(json.end());
    worst
}
