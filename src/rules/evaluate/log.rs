//! Predicates over the kernel's own words: the panic line and the log before it.

use super::{Answer, Context};
use crate::rules::schema::{LogLong, OneOrMany, Pattern};

fn fits(patterns: &OneOrMany<Pattern>, line: &str) -> bool {
    patterns.iter().any(|pattern| pattern.fits(line))
}

pub(super) fn panic(patterns: &OneOrMany<Pattern>, context: &Context<'_>) -> Answer {
    let (message, fatal) = &context.panic_lines;
    if message
        .iter()
        .copied()
        .chain(fatal.as_deref())
        .any(|line| fits(patterns, line))
    {
        return Answer::Yes;
    }
    // Without the message the line that would fit may be the one that was cut off.
    Answer::absent_from(message.is_some())
}

pub(super) fn found_panic(context: &Context<'_>) -> Option<String> {
    let (message, fatal) = &context.panic_lines;
    message.map(str::to_owned).or_else(|| fatal.clone())
}

/// Whether no line of the log can fit.
fn hopeless(test: &LogLong, context: &Context<'_>) -> bool {
    let may_fit = |pattern: &Pattern| pattern.may_fit(|literal| context.log_holds(literal));
    !test.regex.iter().any(may_fit)
}

/// The lines that are looked at, and whether no other would count.
fn scope<'c>(test: &LogLong, context: &'c Context<'_>) -> Option<(&'c [String], bool)> {
    let log = context.report.log.as_ref()?;
    let lines = log.tail.as_slice();
    let wanted = test
        .lines
        .map_or(usize::MAX, |lines| usize::try_from(lines).unwrap_or(usize::MAX));
    let from = lines.len().saturating_sub(wanted);
    Some((lines.get(from..).unwrap_or(lines), log.complete))
}

pub(super) fn log(test: &LogLong, context: &Context<'_>) -> Answer {
    let Some((lines, complete)) = scope(test, context) else {
        return Answer::Unknown;
    };
    let hopeless = hopeless(test, context);
    let lines = if hopeless { &[] } else { lines };
    let Some(count) = test.count else {
        let there = lines.iter().any(|line| fits(&test.regex, line))
            || !hopeless && test.lines.is_none() && earlier(test, context).is_some();
        return if there {
            Answer::Yes
        } else {
            Answer::absent_from(complete)
        };
    };
    let found = u32::try_from(lines.iter().filter(|line| fits(&test.regex, line)).count()).unwrap_or(u32::MAX);
    // Lines that are not known could only add to the count.
    if count.max.is_some_and(|max| found > max) {
        return Answer::No;
    }
    let enough = found >= count.min.unwrap_or(if count.max.is_some() { 0 } else { 1 });
    match (enough, count.max) {
        (true, None) => Answer::Yes,
        (enough, _) if complete => enough.into(),
        _ => Answer::Unknown,
    }
}

/// An event before the fatal one whose line fits: it may lie further back than the log's tail.
fn earlier<'c>(test: &LogLong, context: &'c Context<'_>) -> Option<&'c str> {
    let events = &context.report.log.as_ref()?.earlier;
    events
        .iter()
        .map(|event| event.title.as_str())
        .find(|title| fits(&test.regex, title))
}

pub(super) fn found(test: &LogLong, context: &Context<'_>) -> Option<String> {
    let (lines, _) = scope(test, context)?;
    if hopeless(test, context) {
        return None;
    }
    let last = lines
        .iter()
        .rev()
        .find(|line| fits(&test.regex, line))
        .map(String::as_str);
    last.or_else(|| earlier(test, context))
        .map(|line| line.trim().to_owned())
}
