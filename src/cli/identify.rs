//! `vmcoroner identify`: the main job.

use std::mem::ManuallyDrop;
use std::sync::LazyLock;
use std::thread;

use serde::Serialize;

use super::args::{Format, Identify};
use super::extract::answers;
use super::knowledge::{Loading, loading};
use super::sink::Sink;
use super::{Outcome, jobs};
use crate::crash::{CrashReport, Probe};
use crate::extract::{self, Depth, Dumped, ExtractError, Job, Shared};
use crate::output::page::{Page, Tone};
use crate::output::{costs, verdict};
use crate::rules::stats::Stats;
use crate::rules::{self, Identification, Near, identify_counted};

/// One crash's answer, as the machine formats print it. `error` alone when the input could not be read at all.
#[derive(Serialize)]
struct Answer<'a> {
    input: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<&'a CrashReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    matches: Option<&'a [rules::Match]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    near: Option<&'a [Near]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

/// Names the crash in every input.
pub fn run(arguments: &Identify, sink: &mut Sink) -> Outcome {
    let Some(base) = loading(&arguments.rules, sink) else {
        return Outcome::Failed;
    };
    // The process ends behind this: to free the rules one by one would be time that nobody gains from.
    let base = ManuallyDrop::new(base);
    let inputs = extract::jobs(&arguments.inputs);
    let several = inputs.len() > 1 || arguments.all;
    let mut json = answers(arguments.format, several);
    let mut worst = Outcome::Found;
    let stats = arguments.stats.then(|| Stats::new(&base));
    thread::scope(|scope| {
        // Where no thread can be had, whoever needs the rules first reads them.
        let _ = thread::Builder::new().spawn_scoped(scope, || LazyLock::force(&base));
        jobs::in_order(
            &inputs,
            |job: &Job| identify(job, &base, arguments, stats.as_ref()),
            |job, answer| {
                let name = job.name();
                match answer.and_then(|result| result.map_err(|e| e.to_string())) {
                    Ok(crashes) => {
                        for (report, found) in &crashes {
                            if found.label().is_none() {
                                worst = worst.max(Outcome::NotFound);
                            }
                            sink.write(&match arguments.format {
                                Format::Human => human(&name, several, report, found),
                                Format::Json | Format::Jsonl => json.add(&Answer {
                                    input: &name,
                                    report: Some(report),
                                    matches: Some(&found.matches),
                                    near: Some(&found.near),
                                    error: None,
                                }),
                            });
                        }
                    }
                    Err(error) => {
                        worst = Outcome::Failed;
                        match arguments.format {
                            Format::Human => sink.error(&error),
                            Format::Json | Format::Jsonl => sink.write(&json.add(&Answer {
                                input: &name,
                                report: None,
                                matches: None,
                                near: None,
                                error: Some(&error),
                            })),
                        }
                    }
                }
                !sink.is_closed()
            },
        );
    });
    sink.write(json.end());
    if let Some(stats) = stats {
        sink.stderr(&costs::of(&stats, &base));
    }
    worst
}

fn identify(
    job: &Job,
    base: &Loading,
    arguments: &Identify,
    stats: Option<&Stats>,
) -> Result<Vec<(CrashReport, Identification)>, ExtractError> {
    let mut extracted = extract::extract_with(
        &job.open()?,
        Depth::default(),
        &arguments.debug.files(),
        &Shared::default(),
    )?;
    let dumped = extracted.dumped.take();
    let probe = dumped.as_ref().and_then(Dumped::probe);
    let reports: Vec<CrashReport> = if arguments.all {
        extracted.reports
    } else {
        extracted.into_first_crash().into_iter().collect()
    };
    Ok(reports
        .into_iter()
        .map(|mut report| {
            report.tool.rules_digest = Some(base.digest().to_owned());
            let found = identify_counted(base, &report, probe.as_ref().map(|probe| probe as &dyn Probe), stats);
            (report, found)
        })
        .collect())
}

fn human(name: &str, several: bool, report: &CrashReport, found: &Identification) -> String {
    let mut page = Page::new();
    if several {
        page.line(Tone::Faint, &format!("== {name}"));
    }
    verdict::identified(&mut page, report, found, name);
    page.gap();
    page.finish()
}
