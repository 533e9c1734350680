//! Predicates over the stack: functions in order, next to each other, any, none.
//!
//! Frames come innermost first and without panic and entry code. A function that is not there is known to be absent
//! only when the stack reaches its end, or when the frames that are looked at are all known.

use super::{Answer, Context};
use crate::crash::Frame;
use crate::rules::schema::{Fit, FrameItem, FrameSymbol};

/// How a frame fits a token when some of it may be unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Match {
    Sure,
    Maybe,
    No,
}

fn fit(token: &FrameSymbol, frame: &Frame) -> Match {
    let Some(symbol) = &frame.symbol else {
        // An address that no symbol covers may be anything.
        return Match::Maybe;
    };
    match token.symbol.fits(symbol, frame.module.as_deref(), frame.offset) {
        Fit::No => Match::No,
        _ if !frame.reliable && !token.unreliable_too => Match::No,
        Fit::Yes => Match::Sure,
        Fit::OffsetUnknown => Match::Maybe,
    }
}

fn fit_item(item: &FrameItem, frame: &Frame) -> Match {
    let mut best = Match::No;
    for token in &item.0 {
        match fit(token, frame) {
            Match::Sure => return Match::Sure,
            Match::Maybe => best = Match::Maybe,
            Match::No => {}
        }
    }
    best
}

/// The frames that a predicate looks at, and whether no other could belong there.
fn scope<'c>(within: Option<u32>, context: &'c Context<'_>) -> (&'c [&'c Frame], bool) {
    let frames = context.frames.as_slice();
    let complete = context.stack_complete();
    let Some(within) = within else {
        return (frames, complete);
    };
    // Frames that are not sure do not count as levels, nor inlined ones: only debuginfo shows those.
    let mut levels = 0;
    let end = frames
        .iter()
        .position(|frame| {
            levels += u32::from(frame.reliable && !frame.inlined);
            levels > within
        })
        .unwrap_or(frames.len());
    let filled = levels >= within;
    (frames.get(..end).unwrap_or(frames), complete || filled)
}

/// Whether the items stand in order, gaps allowed; `lenient` takes a frame that may be the function. `found` is told the
/// place of each.
fn stand_ordered(items: &[FrameItem], frames: &[&Frame], lenient: bool, mut found: impl FnMut(usize)) -> bool {
    let mut rest = frames.iter().enumerate();
    items.iter().all(|item| {
        let place = rest.find(|(_, frame)| taken(fit_item(item, frame), lenient));
        place.is_some_and(|(at, _)| {
            found(at);
            true
        })
    })
}

fn taken(fit: Match, lenient: bool) -> bool {
    fit == Match::Sure || lenient && fit == Match::Maybe
}

/// Finds the items as callers of each other. Inlined and unsure frames between them do not count, unless they fit.
fn find_adjacent(items: &[FrameItem], frames: &[&Frame], lenient: bool) -> Option<Vec<usize>> {
    'start: for start in 0..frames.len() {
        let mut found = Vec::with_capacity(items.len());
        let mut at = start;
        for item in items {
            loop {
                let Some(frame) = frames.get(at) else {
                    continue 'start;
                };
                at += 1;
                if taken(fit_item(item, frame), lenient) {
                    found.push(at - 1);
                    break;
                }
                if found.is_empty() || frame.reliable && !frame.inlined {
                    continue 'start;
                }
            }
        }
        return Some(found);
    }
    None
}

fn answer(find: impl Fn(bool) -> bool, complete: bool) -> Answer {
    if find(false) {
        Answer::Yes
    } else if !complete || find(true) {
        Answer::Unknown
    } else {
        Answer::No
    }
}

pub(super) fn ordered(items: &[FrameItem], within: Option<u32>, context: &Context<'_>) -> Answer {
    let (frames, complete) = scope(within, context);
    answer(|lenient| stand_ordered(items, frames, lenient, |_| ()), complete)
}

pub(super) fn adjacent(items: &[FrameItem], within: Option<u32>, context: &Context<'_>) -> Answer {
    let (frames, complete) = scope(within, context);
    answer(|lenient| find_adjacent(items, frames, lenient).is_some(), complete)
}

pub(super) fn any(tokens: &[FrameSymbol], within: Option<u32>, context: &Context<'_>) -> Answer {
    let (frames, complete) = scope(within, context);
    let mut unsure = !complete;
    // Most frames are of no module, most lists of modules' functions alone.
    let of_modules = tokens.iter().all(|token| token.symbol.names_module());
    for frame in frames {
        if of_modules && frame.module.is_none() && frame.symbol.is_some() {
            continue;
        }
        for token in tokens {
            match fit(token, frame) {
                Match::Sure => return Answer::Yes,
                Match::Maybe => unsure = true,
                Match::No => {}
            }
        }
    }
    if unsure { Answer::Unknown } else { Answer::No }
}

pub(super) fn found_ordered(items: &[FrameItem], within: Option<u32>, context: &Context<'_>) -> Option<String> {
    let (frames, _) = scope(within, context);
    let mut found = Vec::with_capacity(items.len());
    let all = stand_ordered(items, frames, false, |at| found.push(at));
    describe(all.then_some(found), frames)
}

pub(super) fn found_adjacent(items: &[FrameItem], within: Option<u32>, context: &Context<'_>) -> Option<String> {
    let (frames, _) = scope(within, context);
    describe(find_adjacent(items, frames, false), frames)
}

pub(super) fn found_any(tokens: &[FrameSymbol], within: Option<u32>, context: &Context<'_>) -> Option<String> {
    let (frames, _) = scope(within, context);
    let found = frames
        .iter()
        .position(|frame| tokens.iter().any(|token| fit(token, frame) == Match::Sure));
    describe(found.map(|index| vec![index]), frames)
}

/// The frames that fitted, or else the innermost few that did not.
fn describe(found: Option<Vec<usize>>, frames: &[&Frame]) -> Option<String> {
    const SHOWN: usize = 6;
    let mut text = String::with_capacity(64);
    let mut say = |frame: &Frame| {
        if !text.is_empty() {
            text.push_str(" < ");
        }
        text.push_str(frame.symbol.as_deref().unwrap_or("?"));
        if !frame.reliable {
            text.push('?');
        }
    };
    match found {
        Some(indices) => indices
            .iter()
            .filter_map(|&at| frames.get(at))
            .for_each(|frame| say(frame)),
        None => {
            let mut reliable = frames.iter().filter(|frame| frame.reliable);
            reliable.by_ref().take(SHOWN).for_each(|frame| say(frame));
            if reliable.next().is_some() {
                text.push_str(" < …");
            }
        }
    }
    (!text.is_empty()).then_some(text)
}
