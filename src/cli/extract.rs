//! `vmcoroner extract`: the facts alone.

use super::args::{Extract, Format};
use super::sink::Sink;
use super::{Outcome, jobs};
use crate::crash::CrashReport;
use crate::extract::{self, Depth, ExtractError, Job, Shared};
use crate::output::json::Answers;
use crate::output::{facts, page::Page};

/// Prints the facts of every input.
pub fn run(arguments: &Extract, sink: &mut Sink) -> Outcome {
    let mut worst = Outcome::Found;
    let inputs = extract::jobs(&arguments.inputs);
    let mut json = answers(arguments.format, inputs.len() > 1 || arguments.all);
    jobs::in_order(
        &inputs,
        |job: &Job| reports(job, arguments),
        |job, answer| {
            let answer = answer.and_then(|result| result.map_err(|e| e.to_string()));
            match answer {
                Ok(reports) => {
                    for report in reports {
                        if report.panic.is_none() {
                            worst = worst.max(Outcome::NotFound);
                        }
                        match arguments.format {
                            Format::Human => {
                                let mut page = Page::new();
                                facts::facts(&mut page, &report);
                                page.gap();
                                sink.write(&page.finish());
                            }
                            Format::Json | Format::Jsonl => sink.write(&json.add(&report)),
                        }
                    }
                }
                Err(error) => {
                    worst = Outcome::Failed;
                    match arguments.format {
                        Format::Human => sink.error(&error),
                        Format::Json | Format::Jsonl => {
                            sink.write(&json.add(&serde_json::json!({"input": job.name(), "error": error})));
                        }
                    }
                }
            }
            !sink.is_closed()
        },
    );
    sink.write(json.end());
    worst
}

fn reports(job: &Job, arguments: &Extract) -> Result<Vec<CrashReport>, ExtractError> {
    let depth = Depth {
        all_cpus: arguments.all_cpus,
        blocked_tasks: arguments.tasks,
    };
    let extracted = extract::extract_with(&job.open()?, depth, &arguments.debug.files(), &Shared::default())?;
    Ok(if arguments.all {
        extracted.reports
    } else {
        extracted.into_first_crash().into_iter().collect()
    })
}

/// How the answers of a run are put together.
pub fn answers(format: Format, several: bool) -> Answers {
    match format {
        Format::Human => Answers::None,
        Format::Json if several => Answers::array(),
        Format::Json => Answers::Single,
        Format::Jsonl => Answers::Lines,
    }
}
