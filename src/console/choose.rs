//! Which event is the crash: the one that killed the machine.
//!
//! That is the first of the chain that ends the log: what comes after it in the chain is its consequence. Oopses that
//! were survived, warnings and lockups before it are context. Where nothing was fatal, the first event is the one.

use crate::crash::PanicKind;

use super::event::Event;
use super::headline::Class;
use super::text::Boot;

/// Events further apart than this are not one chain: lines that belong to neither, and seconds.
const CHAIN_LINES: usize = 60;
const CHAIN_SECONDS: f64 = 30.0;

/// After this many lines a machine that oopsed lives on.
const SURVIVED_LINES: usize = 60;
const SURVIVED_SECONDS: f64 = 60.0;

/// The number of the event that is the crash, among all of one boot in the order printed.
pub fn choose(events: &[Event], boot: &Boot) -> Option<usize> {
    let Some(last) = events.iter().rposition(Event::is_deadly) else {
        return first_of_any(events);
    };
    let end = events.get(last)?;
    if end.fatal.is_none() && outlived(end, boot) {
        return first_of_any(events);
    }
    let mut chosen = last;
    let mut next = end;
    for (number, event) in events.iter().enumerate().take(last).rev() {
        // One that came into the middle of another's report may have ended long before that did.
        if !follows(event, next) {
            continue;
        }
        if event.is_deadly() || begins_chain(event) {
            chosen = number;
        }
        next = event;
    }
    Some(chosen)
}

/// Whether one event comes so soon after the other that it is its consequence.
fn follows(earlier: &Event, later: &Event) -> bool {
    let near = later.first.saturating_sub(earlier.last) <= CHAIN_LINES;
    let soon = match (earlier.last_seconds.or(earlier.seconds), later.seconds) {
        (Some(before), Some(after)) => after - before <= CHAIN_SECONDS,
        _ => true,
    };
    near && soon
}

/// Reports of damaged memory are where a chain begins; warnings and lockups are context.
fn begins_chain(event: &Event) -> bool {
    event.headline.class == Class::Report
        && matches!(
            event.headline.kind,
            PanicKind::UseAfterFree
                | PanicKind::OutOfBounds
                | PanicKind::NullPointerDereference
                | PanicKind::BadPageFault
                | PanicKind::Bug
                | PanicKind::SchedulingWhileAtomic
        )
}

/// Whether the machine went on after an oops.
fn outlived(event: &Event, boot: &Boot) -> bool {
    let lines = boot.lines.end.saturating_sub(event.last);
    match (boot.last_seconds, event.last_seconds) {
        // What comes without a time is a program's: a capture kernel's user space prints a lot.
        (Some(end), Some(own)) => {
            (lines > SURVIVED_LINES && end - own > 2.0) || (lines > 10 && end - own > SURVIVED_SECONDS)
        }
        _ => lines > SURVIVED_LINES,
    }
}

/// The first event; what is left of a cut-off oops and mere context count only where there is nothing better.
fn first_of_any(events: &[Event]) -> Option<usize> {
    let named = |event: &Event| !matches!(event.headline.class, Class::Note | Class::Context);
    let note = |event: &Event| event.headline.class == Class::Note && !event.message.is_empty();
    let orphan = |event: &Event| {
        event.headline.class == Class::Note
            && event.sections.iter().any(|section| {
                section.dumps.iter().any(super::event::Dump::is_kernel)
                    || section.frames.iter().any(super::event::is_dying)
            })
    };
    events
        .iter()
        .position(named)
        .or_else(|| events.iter().position(note))
        .or_else(|| events.iter().position(orphan))
}

/// A stack that somebody asked for, in a text that names no failure: no crash, but all there is to know.
pub fn bare_stack(events: &[Event]) -> Option<usize> {
    events.iter().position(|event| {
        event.headline.class == Class::Note && event.sections.iter().any(|section| !section.frames.is_empty())
    })
}
