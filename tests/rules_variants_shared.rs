//! Other crashes of the same bugs: the texts that imported rules come from, changed as another build, another machine or
//! another hand would have them, must still be named by their rules.
//!
//! The texts are not part of the repository: the test looks for them in the folder of test data and skips without. Run
//! with `--nocapture` to see the table of `docs/knowledge-checked.md`.

#![allow(clippy::disallowed_macros, reason = "the table is for whoever runs the test")]

mod support;

use std::fs;
use std::sync::LazyLock;

use rayon::prelude::*;
use regex::{Captures, Regex};
use vmcoroner::crash::normalise_symbol;
use vmcoroner::extract;
use vmcoroner::rules::{KnowledgeBase, identify};

/// A way to change a text; `None`: it has nothing to change.
type Change = fn(&str) -> Option<String>;

/// What is changed, how, and how many in a hundred must be named still.
const CHANGES: &[(&str, Change, usize)] = &[
    ("offsets and sizes of another build", other_offsets, 99),
    ("suffixes of the compiler gone", without_suffixes, 97),
    ("suffixes of the compiler on every frame", with_suffixes, 97),
    ("`?` frames gone", without_unsure, 97),
    ("`?` frames between all frames", with_unsure, 97),
    ("inlined functions between all frames", with_inlined, 95),
    ("another task on another CPU", other_task, 97),
    ("no time stamps", without_times, 95),
    ("time stamps", with_times, 95),
    ("quoted in a mail", quoted, 95),
    ("lines of a serial console", serial, 95),
    ("no registers", without_registers, 95),
    ("the place without the function's size", without_size, 95),
    ("no kernel release", without_release, 95),
    ("the first caller inlined", |text| without_caller(text, 1), 50),
    ("the second caller inlined", |text| without_caller(text, 2), 65),
    ("the third caller inlined", |text| without_caller(text, 3), 80),
    ("cut after six callers", |text| cut_after(text, 6), 85),
    ("cut after four callers", |text| cut_after(text, 4), 80),
    ("the words of arm64", as_arm64, 85),
];

macro_rules! pattern {
    ($name:ident, $text:expr) => {
        static $name: LazyLock<Regex> = LazyLock::new(|| Regex::new($text).unwrap());
    };
}

pattern!(SYMBOL, r"\b([A-Za-z_][\w.]*)\+0x[0-9a-f]+/0x[0-9a-f]+");
pattern!(
    FRAME,
    r"^(?:\[ *\+?[0-9]+\.[0-9]+\](?:\[ *[TC][0-9]+\])?)?\s*(?:\[<?[0-9a-f]{8,16}>?\]\s*)?(\? )?\(?([A-Za-z_][\w.]*)(?:\+0x[0-9a-f]+/0x[0-9a-f]+| \([\w./-]+:[0-9]+)"
);
pattern!(TRACE, r"Call [Tt]race:|^(?:\[.*\])? *(?:</?(?:TASK|IRQ|NMI)>)?$");
pattern!(SUFFIX, r"\.(?:isra|constprop|part|cold)(?:\.[0-9]+)?");
pattern!(TIME, r"(?m)^\[ *\+?[0-9]+\.[0-9]+\](?:\[ *[TC][0-9]+\])? ?");
pattern!(PLACE, r"(RIP: [0-9]{4}:[\w.]+\+0x[0-9a-f]+)/0x[0-9a-f]+");
pattern!(TASK, r"CPU: [0-9]+ (UID: [0-9]+ )?PID: [0-9]+ Comm: \S+");
pattern!(RELEASE, r"(?m)((?:Not tainted|Tainted: [A-Z ]+?)) [0-9]+\.[0-9]+\S*.*$");
pattern!(
    REGISTERS,
    r"\b(?:R[SABCD][PXI]|R[0-9]{2}|E[ABCDS][XIP]|CR[0-9]|DR[0-9]|FS|CS|x[0-9]{1,2} ?|sp|pstate|PKRU): ?[0-9a-f ]{4,}"
);

#[test]
fn changed_texts_are_still_named() {
    let Some(shared) = support::shared_folder() else { return };
    let folder = shared.join("knowledge/upstream");
    let base = KnowledgeBase::builtin();
    let texts: Vec<(&str, String)> = base
        .rules()
        .par_iter()
        .filter_map(|rule| {
            let text = fs::read(folder.join(format!("{}.txt", rule.id()))).ok()?;
            let text = String::from_utf8_lossy(&text).into_owned();
            is_named(&base, rule.id(), &text).then_some((rule.id(), text))
        })
        .collect();
    println!("{} texts are named by their rules\n", texts.len());
    println!("| what is changed | texts | still named |\n|---|---|---|");
    let mut short = Vec::new();
    for (what, change, least) in CHANGES {
        let answers: Vec<(&str, bool)> = texts
            .par_iter()
            .filter_map(|(rule, text)| Some((*rule, is_named(&base, rule, &change(text)?))))
            .collect();
        let named = answers.iter().filter(|(_, named)| *named).count();
        let percent = named * 100 / answers.len().max(1);
        println!("| {what} | {} | {named} ({percent} %) |", answers.len());
        if std::env::var_os("VMCORONER_VERBOSE").is_some() {
            let lost = answers.iter().filter(|(_, named)| !named).take(40);
            println!("{:?}", lost.map(|(rule, _)| rule).collect::<Vec<_>>());
        }
        if named * 100 < answers.len() * least {
            short.push(format!("{what}: {named} of {}, {least} % are asked for", answers.len()));
        }
    }
    assert!(!texts.is_empty() && short.is_empty(), "{short:#?}");
}

fn is_named(base: &KnowledgeBase, rule: &str, text: &str) -> bool {
    let reports = extract::of_text("text", text.as_bytes());
    let report = reports.iter().find(|report| report.panic.is_some());
    report.is_some_and(|report| {
        identify(base, report, None)
            .label()
            .is_some_and(|label| label.rule == rule)
    })
}

/// The text, if it is another one.
fn changed(before: &str, after: String) -> Option<String> {
    (after != before).then_some(after)
}

fn other_offsets(text: &str) -> Option<String> {
    changed(text, SYMBOL.replace_all(text, "$1+0x1d/0x2f0").into_owned())
}

fn without_suffixes(text: &str) -> Option<String> {
    changed(text, SUFFIX.replace_all(text, "").into_owned())
}

fn with_suffixes(text: &str) -> Option<String> {
    let each = |found: &Captures| {
        let (all, name) = (&found[0], &found[1]);
        if name.contains('.') {
            all.to_owned()
        } else {
            all.replacen('+', ".isra.0+", 1)
        }
    };
    changed(text, SYMBOL.replace_all(text, each).into_owned())
}

fn without_times(text: &str) -> Option<String> {
    changed(text, TIME.replace_all(text, "").into_owned())
}

fn with_times(text: &str) -> Option<String> {
    if TIME.is_match(text) {
        return None;
    }
    let lines = text.lines().enumerate();
    Some(
        lines
            .map(|(index, line)| format!("[  412.{:06}] {line}\n", 100 + index))
            .collect(),
    )
}

fn quoted(text: &str) -> Option<String> {
    Some(text.lines().map(|line| format!("> {line}\n")).collect())
}

fn serial(text: &str) -> Option<String> {
    changed(text, text.replace("\r\n", "\n").replace('\n', "\r\n"))
}

fn without_registers(text: &str) -> Option<String> {
    let kept = |line: &&str| !REGISTERS.is_match(line) || line.contains("RIP: 0010") || SYMBOL.is_match(line);
    changed(text, lines(text.lines().filter(kept)))
}

fn without_size(text: &str) -> Option<String> {
    changed(text, PLACE.replace_all(text, "$1").into_owned())
}

fn without_release(text: &str) -> Option<String> {
    changed(text, RELEASE.replace_all(text, "$1").into_owned())
}

fn other_task(text: &str) -> Option<String> {
    changed(
        text,
        TASK.replace_all(text, "CPU: 11 ${1}PID: 4242 Comm: other").into_owned(),
    )
}

fn lines<'t>(lines: impl Iterator<Item = &'t str>) -> String {
    lines.fold(String::new(), |text, line| text + line + "\n")
}

/// The lines of the first trace that are frames: their numbers, and whether each is sure.
fn frames(text: &str) -> Vec<(usize, bool)> {
    let mut found = Vec::new();
    let mut inside = false;
    for (index, line) in text.lines().enumerate() {
        if line.contains("Call Trace:") || line.contains("Call trace:") {
            inside = true;
        } else if inside {
            match FRAME.captures(line) {
                Some(frame) => found.push((index, frame.get(1).is_none())),
                None if TRACE.is_match(line) || line.contains("[inline]") => {}
                None => break,
            }
        }
    }
    found
}

fn without_unsure(text: &str) -> Option<String> {
    let unsure: Vec<usize> = frames(text)
        .into_iter()
        .filter_map(|(at, sure)| (!sure).then_some(at))
        .collect();
    let kept = text.lines().enumerate().filter(|(at, _)| !unsure.contains(at));
    changed(text, lines(kept.map(|(_, line)| line)))
}

/// Puts a line before every frame of the trace.
fn between(text: &str, put: impl Fn(usize, &str) -> String) -> Option<String> {
    let frames = frames(text);
    let all = text
        .lines()
        .enumerate()
        .map(|(at, line)| match frames.iter().any(|frame| frame.0 == at) {
            true => {
                let stamp = TIME.find(line).map_or("", |found| found.as_str());
                format!("{stamp}{}\n{line}\n", put(at, line))
            }
            false => format!("{line}\n"),
        });
    changed(text, all.collect())
}

fn with_unsure(text: &str) -> Option<String> {
    between(text, |at, _| format!(" ? stale_word_{at}+0x15/0x80"))
}

fn with_inlined(text: &str) -> Option<String> {
    between(text, |at, _| {
        format!(" small_helper_{at} include/linux/small.h:{at} [inline]")
    })
}

/// The lines of the sure frames that lie further out than the function to blame.
fn callers(text: &str) -> Option<Vec<usize>> {
    let reports = extract::of_text("text", text.as_bytes());
    let report = reports.into_iter().find(|report| report.panic.is_some())?;
    let blamed = report.signature?.function?;
    let sure: Vec<usize> = frames(text)
        .into_iter()
        .filter_map(|(at, sure)| sure.then_some(at))
        .collect();
    let is_blamed = |at: &usize| {
        let frame = FRAME.captures(text.lines().nth(*at).unwrap_or_default());
        frame.is_some_and(|frame| normalise_symbol(&frame[2]) == blamed)
    };
    let inside = sure.iter().rposition(is_blamed).map_or(0, |at| at + 1);
    Some(sure.get(inside..)?.to_vec())
}

/// Takes the line of a caller away, counted from the place itself.
fn without_caller(text: &str, number: usize) -> Option<String> {
    let gone = *callers(text)?.get(number.checked_sub(1)?)?;
    let kept = text.lines().enumerate().filter(|(at, _)| *at != gone);
    Some(lines(kept.map(|(_, line)| line)))
}

/// Ends the text behind so many callers.
fn cut_after(text: &str, count: usize) -> Option<String> {
    let callers = callers(text)?;
    callers.get(count)?;
    let last = *callers.get(count.checked_sub(1)?)?;
    Some(lines(text.lines().take(last + 1)))
}

/// An oops of x86 as a kernel for arm64 would word it.
fn as_arm64(text: &str) -> Option<String> {
    static HEAD: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"BUG: (?:kernel NULL pointer dereference, address: |unable to handle (?:kernel NULL pointer dereference at |(?:kernel paging request at|page fault for address:) ))([0-9a-f]{16})").unwrap()
    });
    static RIP: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"RIP: 0010:(?:\[<[0-9a-f]+>\] +\[<[0-9a-f]+>\] +)?([\w.]+\+0x[0-9a-f]+/0x[0-9a-f]+( \[\w+\])?)")
            .unwrap()
    });
    let address = HEAD.captures(text)?.get(1)?.as_str();
    let place = RIP.captures(text)?.get(1)?.as_str();
    let what = match u64::from_str_radix(address, 16).ok()? {
        0..0x1000 => "NULL pointer dereference",
        _ => "paging request",
    };
    let mut out = format!(
        "Unable to handle kernel {what} at virtual address {address}\nMem abort info:\n  ESR = 0x0000000096000004\nInternal error: Oops: 0000000096000004 [#1] PREEMPT SMP\nCPU: 2 PID: 54 Comm: other Not tainted\npc : {place}\nlr : {place}\nsp : ffff800008f3bd10\nCall trace:\n {place}\n"
    );
    let numbers: Vec<usize> = frames(text)
        .into_iter()
        .filter_map(|(at, sure)| sure.then_some(at))
        .collect();
    for line in text
        .lines()
        .enumerate()
        .filter(|(at, _)| numbers.contains(at))
        .map(|(_, line)| line)
    {
        let symbol = SYMBOL.find(line)?;
        out += &format!(" {}\n", line.get(symbol.start()..).unwrap_or_default());
    }
    Some(out + "---[ end trace 0000000000000000 ]---\n")
}
