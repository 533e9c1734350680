//! `vmcoroner rules check`: everything that is wrong with rule files, and what a code means.

use std::path::{Path, PathBuf};

use crate::cli::Outcome;
use crate::cli::args::{CheckFormat, RulesCheck};
use crate::cli::knowledge;
use crate::cli::sink::Sink;
use crate::corpus::{Corpus, unproven};
use crate::output::sarif;
use crate::rules::{KnowledgeBase, Loading, codes};

/// Where the corpus is looked for when none is named.
const CORPUS: &str = "corpus";

/// Checks rule files; those in force when no path is given. Warnings alone are no findings.
pub fn run(arguments: &RulesCheck, sink: &mut Sink) -> Outcome {
    if let Some(code) = &arguments.explain {
        return explain(code, sink);
    }
    let Some(mut loading) = load(&arguments.paths, arguments.no_builtin, sink) else {
        return Outcome::Failed;
    };
    let corpus = match (&arguments.corpus, Path::new(CORPUS).is_dir()) {
        (Some(corpus), _) => Some(corpus.clone()),
        (None, true) => Some(PathBuf::from(CORPUS)),
        (None, false) => None,
    };
    if let Some(corpus) = corpus {
        match Corpus::open(&corpus) {
            Ok(corpus) => unproven(&loading.base, &corpus, &mut loading.diagnostics),
            Err(error) => {
                sink.error(&error.to_string());
                return Outcome::Failed;
            }
        }
    }
    let errors = loading.diagnostics.errors();
    match arguments.format {
        CheckFormat::Human => {
            sink.write(&loading.diagnostics.render(true));
            for (id, reason) in &loading.summary.disabled {
                sink.write(&format!("disabled: {id}: {reason}\n"));
            }
            let warnings = loading.diagnostics.items.len() - errors;
            sink.write(&format!(
                "{} in {} files: {errors} errors, {warnings} warnings\n",
                loading.summary, loading.files
            ));
        }
        CheckFormat::Json => {
            let items = serde_json::json!(loading.diagnostics.items);
            sink.write(&format!("{items:#}\n"));
        }
        CheckFormat::Jsonl => {
            for item in &loading.diagnostics.items {
                sink.write(&format!("{}\n", serde_json::json!(item)));
            }
        }
        CheckFormat::Sarif => sink.write(&format!("{:#}\n", sarif::log(&loading.diagnostics.items))),
    }
    if errors > 0 { Outcome::NotFound } else { Outcome::Found }
}

/// The files that are named over the shipped rules, which they may refer to; or whatever is in force.
fn load(paths: &[PathBuf], no_builtin: bool, sink: &mut Sink) -> Option<Loading> {
    if !paths.is_empty() {
        return Some(KnowledgeBase::load(paths, !no_builtin));
    }
    let nothing = crate::cli::args::RuleSet {
        paths: Vec::new(),
        no_builtin,
        keep_going: true,
    };
    let selection = knowledge::selection(&nothing, sink)?;
    Some(KnowledgeBase::load(&selection.paths, selection.builtin))
}

fn explain(code: &str, sink: &mut Sink) -> Outcome {
    match codes::page(code) {
        Some(page) => {
            sink.write(&format!("{code}\n\n{page}\n"));
            Outcome::Found
        }
        None => {
            let hint = match codes::nearest(code) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the codes are {}", codes::all().collect::<Vec<_>>().join(", ")),
            };
            sink.error(&format!("there is no code `{code}`: {hint}"));
            Outcome::Failed
        }
    }
}
