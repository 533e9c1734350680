//! Texts from the field: fault and frames as printed.

use serde_json::Value;
use vmcoroner::crash::{CrashReport, Frame};

use super::cases::Text;
use super::figures::{Figure, Table};

pub fn score(table: &mut Table, texts: &[Text]) {
    for text in texts {
        let expected = &text.json["expected"];
        rip(table, text, &expected["rip"]);
        if let Some(frames) = expected["frames"].as_array().filter(|frames| !frames.is_empty()) {
            let parting = parting(frames, frames_of(&text.report));
            table.count(Figure::FieldFrames, &text.name, parting.is_none(), || {
                parting.unwrap_or_default()
            });
        }
        if !expected["panic_string"].is_null() {
            let found = text.report.panic.is_some();
            table.count(Figure::Found, &text.name, found, || {
                ("nothing".to_owned(), expected["panic_string"].to_string())
            });
        }
    }
}

/// The frames of the failure: the watched task's, where a watcher panicked.
pub fn frames_of(report: &CrashReport) -> &[Frame] {
    report
        .subject
        .as_ref()
        .map_or(&report.frames, |subject| &subject.frames)
}

fn rip(table: &mut Table, text: &Text, rip: &Value) {
    let Some(symbol) = rip["symbol"].as_str() else { return };
    let fault = text.report.fault.as_ref();
    let hit = fault.is_some_and(|fault| {
        fault.symbol.as_deref() == Some(symbol) && (rip["offset"].is_null() || fault.offset == rip["offset"].as_u64())
    });
    table.count(Figure::FieldRip, &text.name, hit, || {
        let ours = fault.and_then(|fault| Some(format!("{}+{:#x}", fault.symbol.as_deref()?, fault.offset?)));
        (
            ours.unwrap_or_default(),
            format!("{symbol}+{:#x}", rip["offset"].as_u64().unwrap_or_default()),
        )
    });
}

/// Where the frames and the expected ones part, ours and theirs; `None` when they are all the same, in order. The place
/// that failed is a frame of its own in a record, and the collection leaves out inlined ones.
fn parting(expected: &[Value], found: &[Frame]) -> Option<(String, String)> {
    let mut found = found.iter().peekable();
    for (number, frame) in expected.iter().enumerate() {
        let same = |ours: &Frame| {
            ours.symbol.as_deref() == frame["symbol"].as_str().map(|symbol| symbol.trim_start_matches('.'))
                && (frame["offset"].is_null() || ours.offset == frame["offset"].as_u64())
                && (frame["size"].is_null() || ours.size == frame["size"].as_u64())
                && ours.module.as_deref() == frame["module"].as_str()
                // A frame that is found to be the true caller is sure, `?` or not.
                && (ours.reliable || frame["reliable"] == false)
        };
        let extra = |ours: &Frame| ours.interrupted || ours.inlined || ours.symbol.is_none();
        while found.peek().is_some_and(|ours| !same(ours) && extra(ours)) {
            found.next();
        }
        match found.next() {
            Some(ours) if same(ours) => {}
            ours => {
                let ours = ours.and_then(|ours| ours.symbol.as_deref()).unwrap_or("end");
                return Some((format!("{number}: {ours}"), frame.to_string()));
            }
        }
    }
    let left = found.find(|ours| !ours.interrupted && !ours.inlined)?;
    Some((format!("{}: {:?}", expected.len(), left.symbol), "end".to_owned()))
}
