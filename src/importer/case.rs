//! The crash that a fix's message shows, as a case of the corpus: its facts and where they were found, no text of others.

use serde_json::{Value, json};

use crate::crash::{CrashReport, Fault, Frame, Registers, Source, SourceKind, System, Task};

use super::bug::Bug;

/// A report of the facts that rules of the importer, and people who sharpen them, may ask for.
pub fn facts(bug: &Bug, report: &CrashReport) -> CrashReport {
    let mut facts = CrashReport::new(Source::new(address(bug), SourceKind::Console));
    facts.system = System {
        release: report.system.release.clone(),
        machine: report.system.machine.clone(),
        stream: report.system.stream.clone(),
        stream_basis: report.system.stream_basis,
        ..System::default()
    };
    facts.panic = report.panic.clone();
    facts.task = report.task.as_ref().and_then(|task| {
        task.comm.clone().map(|comm| Task {
            comm: Some(comm),
            ..Task::default()
        })
    });
    facts.fault = report.fault.as_ref().map(|fault| Fault {
        address: None,
        registers: Registers::new(),
        code: None,
        explanation: None,
        source: None,
        ..fault.clone()
    });
    facts.frames = report.frames.iter().map(bare).collect();
    facts.stack = report.stack.clone();
    facts.subject = report.subject.clone();
    if let Some(subject) = &mut facts.subject {
        subject.frames = subject.frames.iter().map(bare).collect();
    }
    facts.taint = report.taint.clone();
    facts
}

/// A frame without what belongs to one build only.
fn bare(frame: &Frame) -> Frame {
    Frame {
        size: None,
        address: None,
        stack_address: None,
        source: None,
        ..frame.clone()
    }
}

/// Where the crash was found: a page that will still be there, or the collection.
fn address(bug: &Bug) -> String {
    match (bug.cves.first(), &bug.commit) {
        (Some(cve), _) => format!("https://www.cve.org/CVERecord?id={cve}"),
        (None, Some(commit)) => format!("https://git.kernel.org/linus/{}", super::bug::short(commit)),
        (None, None) => bug.source.clone(),
    }
}

/// The case's file: one fact a line, one frame a line.
pub fn text(facts: &CrashReport) -> String {
    // Plain data with string keys: there is nothing in it that JSON cannot say.
    let value = json!(facts);
    let Value::Object(object) = value else {
        return String::new();
    };
    let mut out = String::from("{\n");
    let last = object.len().saturating_sub(1);
    for (index, (key, value)) in object.iter().enumerate() {
        let comma = if index == last { "" } else { "," };
        let key = Value::from(key.as_str());
        match value.as_array().filter(|items| items.iter().any(Value::is_object)) {
            Some(items) => {
                let items: Vec<String> = items.iter().map(|item| format!("  {item}")).collect();
                out.push_str(&format!(" {key}: [\n{}\n ]{comma}\n", items.join(",\n")));
            }
            None => out.push_str(&format!(" {key}: {value}{comma}\n")),
        }
    }
    out.push_str("}\n");
    out
}
