//! What a crash is must not depend on who carried its text: every text of the corpora, as each source would print it, must
//! keep its kind, its function and its signature.
//!
//! The texts lie in the shared test data folder (`$VMCORONER_SHARED`, else `../shared`); without it this test says so and
//! passes. Run with `--nocapture` to see the table, with the texts that do not survive.

#![allow(clippy::disallowed_macros, reason = "the table is for whoever runs the test")]

mod carriers;
mod lines;

#[path = "../support/mod.rs"]
mod support;

use std::path::Path;

use vmcoroner::console;
use vmcoroner::crash::{CrashReport, PanicKind, Source, SourceKind};

use carriers::CARRIERS;
use lines::{Line, parse};

/// What must survive.
#[derive(Debug, PartialEq)]
struct Identity {
    kind: PanicKind,
    function: Option<String>,
    id: String,
}

/// The crash in a text: the first boot's that crashed.
fn crash(text: &str) -> Option<CrashReport> {
    let reports = console::read(text.as_bytes(), &Source::new("variant", SourceKind::Console));
    reports.into_iter().find(|report| report.panic.is_some())
}

fn identity(report: &CrashReport) -> Option<Identity> {
    let signature = report.signature.clone()?;
    Some(Identity {
        kind: report.panic.as_ref()?.kind,
        function: signature.function,
        id: signature.id,
    })
}

/// A text that every carrier can be given: names alone stand before its lines, if anything.
struct Original {
    name: String,
    lines: Vec<Line>,
    identity: Identity,
}

/// Texts that are made of several logs' parts, so that the times in them go back: what comes after belongs to the line
/// before only where there are no times.
const TORN: [&str; 1] = ["81"];

fn originals(folder: &Path) -> Vec<Original> {
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|ending| ending == "log" || ending == "txt")
        })
        .collect();
    paths.sort();
    let read = |path: &Path| {
        let text = std::fs::read(path).ok()?;
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines = parse(&text)?;
        let report = crash(&text)?;
        if report.source.kind != SourceKind::Console {
            return None;
        }
        Some(Original {
            name: path.file_stem()?.to_string_lossy().into_owned(),
            lines,
            identity: identity(&report)?,
        })
    };
    let whole = |text: &Original| !TORN.contains(&text.name.as_str());
    paths.iter().filter_map(|path| read(path)).filter(whole).collect()
}

#[test]
fn a_crash_is_the_same_whoever_carried_its_text() {
    let Some(shared) = support::shared_folder() else { return };
    let texts: Vec<Original> = ["corpora/syzkaller/report", "corpora/field", "knowledge/upstream"]
        .iter()
        .flat_map(|folder| originals(&shared.join(folder)))
        .collect();
    assert!(texts.len() > 1000, "only {} texts", texts.len());
    println!("{} texts", texts.len());
    let mut short = Vec::new();
    for carrier in CARRIERS {
        let mut kept = 0;
        let mut asked = 0;
        for text in &texts {
            let Some(carried) = (carrier.carry)(&text.lines) else {
                continue;
            };
            asked += 1;
            let found = crash(&carried).as_ref().and_then(identity);
            if found.as_ref() == Some(&text.identity) {
                kept += 1;
            } else {
                println!("{}: {}: {:?} | {found:?}", carrier.name, text.name, text.identity);
            }
        }
        let percent = 100.0 * f64::from(kept) / f64::from(asked.max(1));
        println!("{:<28} {kept:>5} of {asked:>5} {percent:>7.2}", carrier.name);
        if percent < carrier.least {
            short.push(carrier.name);
        }
    }
    assert!(short.is_empty(), "too few survive: {short:?}");
}
