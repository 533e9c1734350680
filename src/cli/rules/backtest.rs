//! `vmcoroner rules backtest`: what a draft would change over a catalogue.

use std::collections::BTreeSet;
use std::path::Path;

use rayon::prelude::*;

use crate::catalog::{Catalog, CatalogError};
use crate::cli::Outcome;
use crate::cli::args::Format;
use crate::cli::args::archive::Backtest as Arguments;
use crate::cli::knowledge;
use crate::cli::sink::Sink;
use crate::output::json::Answers;
use crate::output::page::{Page, Tone};
use crate::rules::KnowledgeBase;
use crate::scan::backtest::{Backtest, Crashes, trial};

/// So many reports are in memory at a time.
const BATCH: usize = 256;

/// Runs a draft over every report of a catalogue.
pub fn run(arguments: &Arguments, sink: &mut Sink) -> Outcome {
    let Some(selection) = knowledge::selection(&arguments.rules, sink) else {
        return Outcome::Failed;
    };
    let before = KnowledgeBase::load(&selection.paths, selection.builtin);
    let (after, drafts) = match with_drafts(&arguments.files, &selection.paths, selection.builtin, sink) {
        Some(loaded) => loaded,
        None => return Outcome::Failed,
    };
    match backtest(&arguments.catalog, &before.base, &after, &drafts) {
        Ok(found) => {
            sink.write(&match arguments.format {
                Format::Human => human(&found),
                Format::Json => Answers::Single.add(&found),
                Format::Jsonl => Answers::Lines.add(&found),
            });
            if found.claims.is_empty() {
                Outcome::NotFound
            } else {
                Outcome::Found
            }
        }
        Err(error) => {
            sink.error(&error.to_string());
            Outcome::Failed
        }
    }
}

/// The rules in force with the drafts among them, as if they were in use, and the drafts' ids.
fn with_drafts(
    files: &[std::path::PathBuf],
    paths: &[std::path::PathBuf],
    builtin: bool,
    sink: &mut Sink,
) -> Option<(KnowledgeBase, BTreeSet<String>)> {
    let folder = match tempfile::tempdir() {
        Ok(folder) => folder,
        Err(error) => {
            sink.error(&format!("no place for a copy of the draft: {error}"));
            return None;
        }
    };
    let mut paths = paths.to_vec();
    let mut copies = Vec::new();
    for (number, file) in files.iter().enumerate() {
        let copy = folder.path().join(format!("{number}.yaml"));
        let copied = std::fs::read_to_string(file).and_then(|text| std::fs::write(&copy, in_use(&text)));
        if let Err(error) = copied {
            sink.error(&format!("{}: {error}", file.display()));
            return None;
        }
        copies.push((copy.display().to_string(), file.display().to_string()));
        paths.push(copy);
    }
    let loading = KnowledgeBase::load(&paths, builtin);
    let ours = |file: &str| Path::new(file).starts_with(folder.path());
    let drafts: BTreeSet<String> = loading
        .base
        .rules()
        .iter()
        .filter(|rule| ours(&rule.file))
        .map(|rule| rule.id().to_owned())
        .collect();
    if drafts.len() < files.len() {
        sink.stderr(&by_name(loading.diagnostics.render(true), &copies));
        sink.error("the draft is not in order: `vmcoroner rules check` says more");
        return None;
    }
    Some((loading.base, drafts))
}

/// `text`, which names copies, with the files' own names.
fn by_name(text: String, copies: &[(String, String)]) -> String {
    copies
        .iter()
        .fold(text, |text, (copy, file)| text.replace(copy.as_str(), file))
}

/// The text of a rule with a status that is used.
fn in_use(text: &str) -> String {
    let status = |line: &str| {
        line.strip_prefix("status:")
            .is_some_and(|word| word.trim_start().starts_with("draft"))
    };
    let lines = text
        .split_inclusive('\n')
        .map(|line| if status(line) { "status: test\n" } else { line });
    lines.collect()
}

fn backtest(
    path: &Path,
    before: &KnowledgeBase,
    after: &KnowledgeBase,
    drafts: &BTreeSet<String>,
) -> Result<Backtest, CatalogError> {
    let catalog = Catalog::open_to_ask(path)?;
    let mut found = Backtest::default();
    let mut last = 0;
    loop {
        let rows = catalog.rows_after(last, BATCH)?;
        let Some((number, _)) = rows.last() else {
            return Ok(found);
        };
        last = *number;
        let trials: Vec<_> = rows
            .par_iter()
            .filter_map(|(_, row)| trial(row, before, after, drafts))
            .collect();
        trials.iter().for_each(|trial| found.add(trial, drafts));
    }
}

fn human(found: &Backtest) -> String {
    let mut page = Page::new();
    let told = |page: &mut Page, label: &str, tone: Tone, what: String, crashes: &Crashes| {
        page.row(label, tone, &format!("{:>6}  {what}", crashes.crashes));
        for example in &crashes.examples {
            page.row("", Tone::Faint, example);
        }
    };
    if found.claims.is_empty() {
        page.row("claims", Tone::Faint, &format!("{:>6}  crashes", 0));
    }
    for (tier, crashes) in &found.claims {
        told(&mut page, "claims", Tone::Good, (*tier).to_owned(), crashes);
    }
    if found.newly_named.crashes > 0 {
        told(
            &mut page,
            "new",
            Tone::Good,
            "that nobody named before".to_owned(),
            &found.newly_named,
        );
    }
    for (rule, crashes) in &found.taken_from {
        told(&mut page, "takes", Tone::Bad, format!("from {rule}"), crashes);
    }
    if found.lost.crashes > 0 {
        told(
            &mut page,
            "loses",
            Tone::Bad,
            "that the rule of this id named".to_owned(),
            &found.lost,
        );
    }
    for (missing, crashes) in &found.near {
        told(&mut page, "near", Tone::Doubt, format!("miss only {missing}"), crashes);
    }
    page.row("in all", Tone::Strong, &format!("{} reports of crashes", found.reports));
    page.finish()
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_wrong_in_a_copy_is_told_of_the_file() {
        let copies = [("/tmp/x/0.yaml".to_owned(), "draft.yaml".to_owned())];
        let told = super::by_name("--> /tmp/x/0.yaml:2:8".to_owned(), &copies);
        assert_eq!(told, "--> draft.yaml:2:8");
    }

    #[test]
    fn a_draft_is_taken_into_use_and_nothing_else_of_it_changes() {
        let text = "id: x\nstatus: draft   # not yet\ntitle: status: draft\n";
        assert_eq!(super::in_use(text), "id: x\nstatus: test\ntitle: status: draft\n");
    }
}
