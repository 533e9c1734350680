//! One crash, and what is said of a bug.

use super::markup::Markup;
use super::row::{self, Row, Verdict};
use crate::crash::{CrashReport, Frame, PanicKind, SourceKind, Task};
use crate::output::crash::{bytes, duration, place};
use crate::output::steps::{self, Step};
use crate::rules::advice::Advice;
use crate::rules::schema::Status as Maturity;
use crate::rules::{Answer, Evidence, Near};
use crate::scan::Status;

/// How many frames, and how many lines of the log's end, are shown.
const FRAMES: usize = 40;
const LINES: usize = 60;

/// How many related bugs are named.
const RELATED: usize = 10;

/// Writes the section of a crash.
pub fn crash(html: &mut Markup, id: u64, row: &Row) {
    let status = row.status();
    html.open("details", &[("class", "crash"), ("id", &format!("c{id}"))]);
    html.open("summary", &[]);
    html.inline(
        "span",
        &[("class", &format!("badge {}", row::class(status)))],
        row::word(status),
    );
    html.text(" ");
    html.inline("strong", &[], &headline(row));
    html.open("span", &[("class", "faint")]);
    html.text(&whence(row));
    html.close("span");
    html.close("summary");
    let shown = row.label().or_else(|| row.general());
    if let Some(verdict) = shown {
        html.open("p", &[]);
        html.text(if status == Status::Known {
            "Named by "
        } else {
            "What kind of crash it is: "
        });
        html.inline("code", &[], &verdict.rule);
        let unreviewed = if verdict.status == Maturity::Test {
            ", not reviewed"
        } else {
            ""
        };
        html.text(&format!(" ({}{unreviewed}): {}", verdict.tier.word(), verdict.title));
        html.close("p");
    }
    html.open("dl", &[]);
    html.fact("input", &row.input);
    html.fact("with", &row.with.join(", "));
    if let Some(report) = &row.report {
        facts(html, report);
    }
    html.close("dl");
    if let Some(verdict) = shown {
        explained(html, verdict);
    }
    others(html, row, shown);
    near(html, &row.near);
    if let Some(report) = &row.report {
        frames(html, report);
        registers(html, report);
        log(html, report);
        missing(html, report);
    }
    html.close("details");
}

/// The crash in one line.
fn headline(row: &Row) -> String {
    let report = row.report.as_ref();
    if let Some(signature) = report.and_then(|report| report.signature.as_ref()) {
        return signature.title.clone();
    }
    let message = report.and_then(|report| report.panic.as_ref()?.message.clone());
    message
        .or_else(|| row.label().map(|label| label.title.clone()))
        .unwrap_or_else(|| row.input.clone())
}

/// Where and when.
fn whence(row: &Row) -> String {
    let Some(system) = row.report.as_ref().map(|report| &report.system) else {
        return String::new();
    };
    let parts: Vec<&str> = [system.host(), system.release.as_deref(), system.crashed_at.as_deref()]
        .into_iter()
        .flatten()
        .collect();
    parts.join(" · ")
}

fn facts(html: &mut Markup, report: &CrashReport) {
    let (system, panic) = (&report.system, report.panic.as_ref());
    let kind = panic.map_or(PanicKind::Unknown, |panic| panic.kind);
    let message = panic.and_then(|panic| panic.message.clone().or_else(|| panic.fatal.clone()));
    html.fact(
        "crash",
        &message.unwrap_or_else(|| format!("{kind} (its headline is cut off)")),
    );
    html.fact("kind", kind.word());
    if let Some(fault) = &report.fault {
        let at = place(
            fault.symbol.as_deref(),
            fault.offset,
            fault.size,
            fault.module.as_deref(),
        );
        let at = at.or_else(|| fault.address.map(|address| address.to_string()));
        let source = fault.source.as_deref().map(|source| format!(" ({source})"));
        html.fact(
            "at",
            &format!("{}{}", at.unwrap_or_default(), source.unwrap_or_default()),
        );
        html.fact("instruction", fault.instruction.as_deref().unwrap_or_default());
        html.fact("in words", fault.explanation.as_deref().unwrap_or_default());
    }
    html.fact("task", &report.task.as_ref().map(task).unwrap_or_default());
    let mut kernel = system.release.clone().unwrap_or_default();
    if let Some(stream) = &system.stream {
        kernel.push_str(&format!(" ({stream})"));
    }
    if let Some(taint) = report.taint.as_ref().filter(|taint| !taint.is_empty()) {
        kernel.push_str(&format!(", taint {}", taint.join("")));
    }
    html.fact("kernel", &kernel);
    html.fact("host", system.nodename.as_deref().unwrap_or_default());
    html.fact("hardware", system.hardware.as_deref().unwrap_or_default());
    let mut when: Vec<String> = system.crashed_at.iter().cloned().collect();
    when.extend(system.uptime_seconds.map(|seconds| format!("up {}", duration(seconds))));
    html.fact("crashed", &when.join(", "));
    if let Some(memory) = &report.memory
        && let (Some(free), Some(total)) = (memory.free_pages, memory.total_pages)
    {
        let size = memory.page_size.unwrap_or(4096);
        let [free, total] = [free, total].map(|pages| bytes(pages.saturating_mul(size)));
        html.fact("memory", &format!("{free} of {total} free"));
    }
    if let Some(signature) = &report.signature {
        html.fact("signature", &signature.id);
    }
    let mut notes = Vec::new();
    if report.source.truncated {
        notes.push("the file ends early".to_owned());
    }
    if report.source.kind == SourceKind::Report {
        notes.push("read back from a report".to_owned());
    }
    if report.also > 0 {
        notes.push(format!("{} further crash(es) in this input", report.also));
    }
    html.fact("note", &notes.join("; "));
}

fn task(task: &Task) -> String {
    let mut parts: Vec<String> = task.comm.iter().cloned().collect();
    parts.extend(task.pid.map(|pid| format!("pid {pid}")));
    parts.extend(task.cpu.map(|cpu| format!("CPU {cpu}")));
    parts.join(", ")
}

/// What a bug is, for all of its crashes: without what one machine had set.
pub fn bug(html: &mut Markup, verdict: &Verdict) {
    let mut mitigations = verdict.mitigations.clone();
    for advice in &mut mitigations {
        advice.now.clear();
        advice.applies = None;
        if let Some(when) = &advice.when {
            advice.what.push_str(&format!(", if {when}"));
        }
    }
    written(html, verdict, &mitigations);
}

/// What is known of crashes that nothing names: the kind, the stack, how to begin a rule.
pub fn unnamed(html: &mut Markup, row: &Row) {
    html.open("dl", &[]);
    if let Some(kind) = row.general() {
        html.fact("kind", &kind.title);
    }
    let signature = row.report.as_ref().and_then(|report| report.signature.as_ref());
    if let Some(signature) = signature {
        html.fact("stack", &signature.frames.join(" < "));
    }
    html.fact("first input", &row.input);
    html.close("dl");
}

/// Why it is that, and what to do.
fn explained(html: &mut Markup, verdict: &Verdict) {
    html.element("h4", &[], "Why");
    evidence(html, &verdict.evidence);
    if let Some(affected) = &verdict.affected {
        html.element("p", &[], &format!("This kernel: {}.", affected.note));
    }
    // That this kernel is not known to have the bug is often the whole reason, and was just said.
    let said = verdict.affected.as_ref().map(|affected| affected.note.as_str());
    if let Some(reason) = verdict.reason.as_deref().filter(|reason| Some(*reason) != said) {
        html.element(
            "p",
            &[],
            &format!("It is {} and not more: {reason}.", verdict.tier.word()),
        );
    }
    if !verdict.folded.is_empty() {
        let text = format!("Explains better than: {}.", verdict.folded.join(", "));
        html.element("p", &[("class", "faint")], &text);
    }
    written(html, verdict, &verdict.mitigations);
}

/// What goes wrong, where that is written up, what to do about it.
fn written(html: &mut Markup, verdict: &Verdict, mitigations: &[Advice]) {
    if let Some(cause) = &verdict.root_cause {
        html.open("details", &[("class", "bulk")]);
        html.element("summary", &[], "What goes wrong");
        html.prose(cause);
        html.close("details");
    }
    for (title, steps) in [
        ("Do now", steps::now(mitigations)),
        ("For good", steps::lasting(mitigations)),
    ] {
        if !steps.is_empty() {
            html.element("h4", &[], title);
            html.open("ul", &[("class", "steps")]);
            steps.iter().for_each(|step| self::step(html, step));
            html.close("ul");
        }
    }
    if let Some(affected) = verdict
        .affected
        .as_ref()
        .filter(|affected| !affected.fixed_in.is_empty())
    {
        html.element("p", &[], &format!("Fixed in {}.", affected.fixed_in.join(", ")));
    }
    if !verdict.references.is_empty() {
        html.element("h4", &[], "Written up");
        html.open("ul", &[("class", "links")]);
        for reference in &verdict.references {
            html.open("li", &[]);
            html.link(&reference.url);
            if let Some(note) = &reference.note {
                html.inline("span", &[("class", "faint")], &format!(" {note}"));
            }
            html.close("li");
        }
        html.close("ul");
    }
}

fn step(html: &mut Markup, step: &Step) {
    html.open("li", &[]);
    if !step.effect.is_empty() {
        html.inline("b", &[], step.effect);
        html.text(" ");
    }
    html.text(&step.what);
    for (command, remark) in &step.commands {
        html.open("pre", &[]);
        html.text(command);
        if !remark.is_empty() {
            html.inline("i", &[], &format!("   # {remark}"));
        }
        html.close("pre");
    }
    html.close("li");
}

fn evidence(html: &mut Markup, rows: &[Evidence]) {
    html.open("ul", &[("class", "evidence")]);
    for row in rows {
        html.open("li", &[]);
        let class = match row.answer {
            Answer::Yes => "answer known",
            Answer::No => "answer failed",
            Answer::Unknown => "answer unknown",
        };
        html.inline("span", &[("class", class)], row.answer.word());
        html.text(" ");
        html.inline("code", &[], &row.predicate);
        if let Some(found) = &row.found {
            html.text(" found ");
            html.inline("code", &[], found);
        }
        if let Some(needs) = &row.needs {
            html.inline("span", &[("class", "faint")], &format!(" needs {needs}"));
        }
        html.close("li");
    }
    html.close("ul");
}

fn others(html: &mut Markup, row: &Row, shown: Option<&Verdict>) {
    let is_shown = |rule: &str| shown.is_some_and(|shown| shown.rule == rule);
    let rest: Vec<&Verdict> = row.matches.iter().filter(|found| !is_shown(&found.rule)).collect();
    if rest.is_empty() {
        return;
    }
    html.element("h4", &[], "Also");
    html.open("ul", &[]);
    for found in rest.iter().take(RELATED) {
        html.open("li", &[]);
        html.text(&format!("{}: {} (", found.tier.word(), found.title));
        html.inline("code", &[], &found.rule);
        let reason = found
            .reason
            .as_deref()
            .map(|reason| format!(": {reason}"))
            .unwrap_or_default();
        html.text(&format!("){reason}"));
        html.close("li");
    }
    html.close("ul");
}

fn near(html: &mut Markup, near: &[Near]) {
    if near.is_empty() {
        return;
    }
    html.element("h4", &[], "Perhaps");
    html.open("ul", &[]);
    for close in near {
        let mut needs: Vec<&str> = close.missing.iter().map(|missing| missing.needs.as_str()).collect();
        needs.sort_unstable();
        needs.dedup();
        html.open("li", &[]);
        html.text(&close.title);
        html.text(" (");
        html.inline("code", &[], &close.rule);
        html.text(&format!("); would tell: {}", needs.join("; ")));
        html.close("li");
    }
    html.close("ul");
}

fn frames(html: &mut Markup, report: &CrashReport) {
    if report.frames.is_empty() {
        return;
    }
    html.element("h4", &[], "Stack");
    html.open("pre", &[("class", "bulk")]);
    for frame in report.frames.iter().take(FRAMES) {
        let line = self::frame(frame);
        if frame.machinery {
            html.inline("i", &[], &line);
        } else if frame.interrupted {
            html.inline("b", &[], &line);
        } else {
            html.text(&line);
        }
        html.fixed("\n");
    }
    if report.frames.len() > FRAMES {
        html.text(&format!("… {} more", report.frames.len() - FRAMES));
    }
    html.close("pre");
}

fn frame(frame: &Frame) -> String {
    let name = place(
        frame.symbol.as_deref(),
        frame.offset,
        frame.size,
        frame.module.as_deref(),
    );
    let name = name.or_else(|| frame.address.map(|address| address.to_string()));
    let mark = match (frame.interrupted, frame.reliable) {
        (true, _) => "! ",
        (false, false) => "? ",
        (false, true) => "  ",
    };
    let inlined = if frame.inlined { " (inlined)" } else { "" };
    let source = frame
        .source
        .as_deref()
        .map(|source| format!(" ({source})"))
        .unwrap_or_default();
    format!("{mark}{}{inlined}{source}", name.unwrap_or_else(|| "?".to_owned()))
}

fn registers(html: &mut Markup, report: &CrashReport) {
    let Some(fault) = report.fault.as_ref().filter(|fault| !fault.registers.is_empty()) else {
        return;
    };
    html.open("details", &[("class", "bulk")]);
    html.element("summary", &[], "Registers");
    html.open("ul", &[("class", "registers")]);
    for (name, value) in &fault.registers {
        html.open("li", &[]);
        html.inline("b", &[], name);
        html.text(&format!(" {value}"));
        html.close("li");
    }
    html.close("ul");
    html.close("details");
}

fn log(html: &mut Markup, report: &CrashReport) {
    let Some(log) = report.log.as_ref().filter(|log| !log.tail.is_empty()) else {
        return;
    };
    html.open("details", &[("class", "bulk")]);
    html.element("summary", &[], "End of the log");
    html.open("pre", &[]);
    let left_out = log.tail.len().saturating_sub(LINES);
    for line in log.tail.iter().skip(left_out) {
        html.text(line);
        html.fixed("\n");
    }
    html.close("pre");
    html.close("details");
}

fn missing(html: &mut Markup, report: &CrashReport) {
    if report.missing.is_empty() {
        return;
    }
    html.open("details", &[("class", "bulk")]);
    html.element("summary", &[], "Not known");
    html.open("ul", &[]);
    for missing in &report.missing {
        html.element("li", &[], &format!("{}: {}", missing.fact, missing.why));
    }
    html.close("ul");
    html.close("details");
}
