//! `vmcoroner rules coverage`: what the rules cover, and where they are thin.

use super::corpus::load_with_corpus;
use crate::cli::Outcome;
use crate::cli::args::{Format, RulesTest};
use crate::cli::sink::Sink;
use crate::corpus::coverage;
use crate::output::page::Page;
use crate::output::rules as output;

/// Counts the rules in force and the cases of the corpus.
pub fn run(arguments: &RulesTest, sink: &mut Sink) -> Outcome {
    let Some((base, corpus)) = load_with_corpus(arguments, sink) else {
        return Outcome::Failed;
    };
    let coverage = coverage(&base, &corpus);
    match arguments.format {
        Format::Human => {
            let mut page = Page::new();
            output::coverage(&mut page, &coverage, base.digest());
            sink.write(&page.finish());
        }
        Format::Json => sink.write(&format!("{:#}\n", serde_json::json!(coverage))),
        Format::Jsonl => sink.write(&format!("{}\n", serde_json::json!(coverage))),
    }
    Outcome::Found
}
