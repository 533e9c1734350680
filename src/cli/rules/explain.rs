//! `vmcoroner rules explain`: why a rule matches a crash, or why not.

use serde::Serialize;

use crate::cli::Outcome;
use crate::cli::args::{Format, RulesExplain};
use crate::cli::knowledge::load;
use crate::cli::sink::Sink;
use crate::extract::{self, Depth, Job};
use crate::output::page::Page;
use crate::output::rules as output;
use crate::rules::{Explanation, Probe, explain, identify, missing_by_one};

use super::no_such_rule;

/// How many rules `--near` tells of.
const MOST_NEAR: usize = 20;

/// What the machine formats print.
#[derive(Serialize)]
struct Answer<'a> {
    input: String,
    rules_digest: &'a str,
    rules: &'a [Explanation],
}

/// Explains one rule, the rules that match, or those that miss by one.
pub fn run(arguments: &RulesExplain, sink: &mut Sink) -> Outcome {
    let Some(base) = load(&arguments.rules, sink) else {
        return Outcome::Failed;
    };
    let job = Job {
        paths: vec![arguments.input.clone()],
    };
    let mut extracted = match job.open().and_then(|parts| extract::extract(&parts, Depth::default())) {
        Ok(extracted) => extracted,
        Err(error) => {
            sink.error(&error.to_string());
            return Outcome::Failed;
        }
    };
    let Some(report) = extracted.take_first_crash().filter(|report| report.panic.is_some()) else {
        sink.error(&format!("{}: shows no crash", job.name()));
        return Outcome::NotFound;
    };
    let probe = extracted.probe();
    let probe = probe.as_ref().map(|probe| probe as &dyn Probe);
    let explained: Vec<Explanation> = match &arguments.rule {
        Some(id) => match base.find(id) {
            Some(loaded) => vec![explain(loaded, &report, probe)],
            None => return no_such_rule(&base, id, sink),
        },
        None if arguments.near => missing_by_one(&base, &report, probe, MOST_NEAR),
        None => {
            let found = identify(&base, &report, probe);
            let ids = found.matches.iter().map(|found| found.rule.as_str());
            ids.filter_map(|id| base.find(id))
                .map(|loaded| explain(loaded, &report, probe))
                .collect()
        }
    };
    let answer = Answer {
        input: job.name(),
        rules_digest: base.digest(),
        rules: &explained,
    };
    match arguments.format {
        Format::Human => sink.write(&human(&explained, arguments.near)),
        Format::Json => sink.write(&format!("{:#}\n", serde_json::json!(answer))),
        Format::Jsonl => sink.write(&format!("{}\n", serde_json::json!(answer))),
    }
    let found = match &arguments.rule {
        Some(_) => explained.iter().any(|one| one.tier.is_some()),
        None => !explained.is_empty(),
    };
    if found { Outcome::Found } else { Outcome::NotFound }
}

fn human(explained: &[Explanation], near: bool) -> String {
    let mut page = Page::new();
    for (index, one) in explained.iter().enumerate() {
        if index > 0 {
            page.gap();
        }
        output::explanation(&mut page, one);
    }
    if explained.is_empty() {
        let text = if near {
            "no rule misses by one predicate"
        } else {
            "no rule matches; --near lists those that miss by one predicate"
        };
        page.line(crate::output::page::Tone::Plain, text);
    }
    page.finish()
}
