//! `vmcoroner rules import`: from fixes that show a crash to rules.

use serde_json::json;

use crate::cli::Outcome;
use crate::cli::args::{Format, Import, RuleSet};
use crate::cli::knowledge::load;
use crate::cli::sink::Sink;
use crate::importer::{self, Imported, Target};

/// How many names a line of the summary shows.
const SHOWN: usize = 5;

/// Imports rules.
pub fn run(arguments: &Import, sink: &mut Sink) -> Outcome {
    let mut paths = arguments.rules.paths.clone();
    // What was imported before is among the rules in force.
    if arguments.output.is_dir() && importer::holds_rules(&arguments.output) {
        paths.push(arguments.output.clone());
    }
    let set = RuleSet {
        paths,
        no_builtin: arguments.rules.no_builtin,
        keep_going: arguments.rules.keep_going,
    };
    let Some(base) = load(&set, sink) else {
        return Outcome::Failed;
    };
    let target = Target {
        rules: arguments.output.clone(),
        corpus: arguments.corpus.clone(),
        date: super::today(),
        dry_run: arguments.dry_run,
    };
    let imported = match importer::import(&arguments.sources, &base, &target) {
        Ok(imported) => imported,
        Err(error) => {
            sink.error(&error.to_string());
            return Outcome::Failed;
        }
    };
    for failed in &imported.failed {
        sink.error(&failed.to_string());
    }
    match arguments.format {
        Format::Human => sink.write(&human(&imported)),
        Format::Json => sink.write(&format!("{:#}\n", machine(&imported))),
        Format::Jsonl => sink.write(&format!("{}\n", machine(&imported))),
    }
    if !imported.failed.is_empty() {
        Outcome::Failed
    } else if imported.written.is_empty() {
        Outcome::NotFound
    } else {
        Outcome::Found
    }
}

fn machine(imported: &Imported) -> serde_json::Value {
    let written: serde_json::Map<String, serde_json::Value> = imported
        .written
        .iter()
        .map(|(done, rules)| (done.word().to_owned(), json!(rules)))
        .collect();
    let left_out: Vec<_> = imported
        .left_out
        .iter()
        .flat_map(|(reason, bugs)| {
            bugs.iter()
                .map(|(bug, what)| json!({"bug": bug, "reason": reason.heading(), "what": what}))
        })
        .collect();
    json!({"rules": written, "left_out": left_out})
}

fn human(imported: &Imported) -> String {
    let mut text = String::new();
    for (done, rules) in &imported.written {
        text.push_str(&format!("{:5} rules {}\n", rules.len(), done.word()));
    }
    for (reason, bugs) in &imported.left_out {
        let names: Vec<&str> = bugs.iter().take(SHOWN).map(|(bug, _)| bug.as_str()).collect();
        let more = if bugs.len() > SHOWN { ", …" } else { "" };
        text.push_str(&format!(
            "{:5} left out: {} ({}{more})\n",
            bugs.len(),
            reason.heading(),
            names.join(", ")
        ));
    }
    text
}
