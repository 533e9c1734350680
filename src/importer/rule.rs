//! A rule as its file has it.

use crate::crash::CrashReport;

use super::bug::{Bug, short};
use super::ranges;
use super::signature::Place;
use super::wording;

/// The text of a rule: everything behind the mark of the importer.
pub fn text(bug: &Bug, place: &Place, report: &CrashReport, form: &str, specializes: &[String], date: &str) -> String {
    let mut out = String::new();
    let mut line = |text: &str| {
        out.push_str(text);
        out.push('\n');
    };
    line("schema: 1");
    line(&format!("id: {}", bug.id));
    line(&format!("title: {}", wording::title(place)));
    line("status: test");
    line(&format!("date: {date}"));
    if !specializes.is_empty() {
        line(&format!("specializes: [{}]", specializes.join(", ")));
    }
    line("");
    line(form.trim_end());
    line("");
    line(ranges::affected(bug, report).trim_end());
    line("");
    line("references:");
    if let Some(commit) = &bug.commit {
        line(&format!("  - {{commit: \"{}\", note: the fix}}", short(commit)));
    }
    for cve in &bug.cves {
        line(&format!("  - {{cve: {cve}}}"));
    }
    line("");
    line("root_cause: |");
    for text in wrapped(&wording::root_cause(bug, place), 110) {
        line(&format!("  {text}"));
    }
    if let Some(targets) = ranges::upgrades(bug) {
        line("");
        line("mitigations:");
        line(&format!(
            "  - {{effect: fixes, what: update the kernel, upgrade: {targets}}}"
        ));
    }
    out
}

/// Lines of at most `width` characters, broken at blanks.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
