//! Which event a line belongs to, and where one ends.
//!
//! It must not know what a line adds to its event.

use crate::crash::machinery::normalise_symbol;
use crate::crash::{Frame, PanicKind};

use super::super::banner;
use super::super::headline::{self, Class, Headline};
use super::super::line::{self, Prefix};
use super::super::registers;
use super::super::text::{Boot, Text, with_line};
use super::super::trace;
use super::Event;
use super::label::{OTHER_CPU, asked_for, trace_label};

/// Bounds on what one hostile text can make us keep.
const MAX_EVENTS: usize = 4096;
const MAX_OPEN: usize = 16;
const MAX_OTHERS: usize = 1024;

/// An event ends when this many lines in a row have nothing to do with it.
const QUIET_LINES: usize = 40;

/// A text may begin in the middle of a report, with lines that would not be looked at elsewhere: so many are.
const HEAD: usize = 24;

/// Reads all events of one boot.
pub fn gather(text: &Text<'_>, boot: &Boot) -> Vec<Event> {
    let mut gatherer = Gatherer::default();
    let mut number = boot.lines.start;
    while number < boot.lines.end {
        if gatherer.open.is_empty() && number >= HEAD {
            match text.next_marked(number, boot.lines.end) {
                Some(next) => number = next,
                None => break,
            }
        }
        let marked = text.is_marked(number);
        with_line(text.raw(number), |line| gatherer.line(number, &line, marked));
        number += 1;
    }
    gatherer.finish()
}

#[derive(Default)]
struct Gatherer {
    done: Vec<Event>,
    /// Events that may go on, the latest last.
    open: Vec<Event>,
}

impl Gatherer {
    fn line(&mut self, number: usize, line: &Prefix<'_>, marked: bool) {
        // Serial consoles put a new message behind what a program was printing: the kernel's part counts by itself.
        if let Some(at) = line::embedded_time(line.body) {
            let (before, after) = line.body.split_at_checked(at).unwrap_or((line.body, ""));
            // Who carries a log may put its own time and the sender's name before each line.
            if !line::is_carriers(before) {
                let body = before.trim_end();
                self.message(number, &Prefix { body, ..*line }, marked);
            }
            let inner = line::split(after);
            let caller = inner.caller.or(line.caller);
            self.message(number, &Prefix { caller, ..inner }, marked);
            return;
        }
        self.message(number, line, marked);
    }

    fn message(&mut self, number: usize, line: &Prefix<'_>, marked: bool) {
        self.close_quiet(number);
        if marked && let Some(headline) = headline::classify(line.body) {
            self.headline(number, line, headline);
            return;
        }
        if number == 0
            && let Some(headline) = headline::classify_tail(line.body)
        {
            self.headline(number, line, headline);
            return;
        }
        if let Some(event) = self.owner(line) {
            if event.feed(line) {
                event.last = number;
                event.last_seconds = line.seconds.or(event.last_seconds);
            }
            return;
        }
        if marked || number < HEAD {
            self.orphan(number, line);
        }
    }

    /// The open event that a line belongs to.
    fn owner(&mut self, line: &Prefix<'_>) -> Option<&mut Event> {
        let Some(caller) = line.caller else {
            let interrupted = self.interrupted(line);
            return match interrupted {
                Some(at) => self.open.get_mut(at),
                None => self.open.last_mut(),
            };
        };
        let exact = self.open.iter().rposition(|event| event.caller == Some(caller));
        let at = exact.or_else(|| {
            // Stalls have other CPUs show their stacks; those come under the other CPUs' names.
            let shows = line.body.contains(OTHER_CPU);
            self.open.iter().rposition(|event| {
                event.caller.is_none()
                    || event.headline.class == Class::Lockup && (shows || event.others.contains(&caller))
                    || event.headline.kind == PanicKind::Unknown
            })
        })?;
        let event = self.open.get_mut(at)?;
        if exact.is_none() && event.others.len() < MAX_OTHERS && !event.others.contains(&caller) {
            event.others.push(caller);
        }
        Some(event)
    }

    /// The event whose trace another CPU's report came into the middle of: that has no trace of its own yet, so the
    /// frame cannot be its.
    fn interrupted(&self, line: &Prefix<'_>) -> Option<usize> {
        let (latest, before) = self.open.split_last()?;
        let at = before.iter().rposition(Event::is_in_a_trace)?;
        let is_frame = || trace::entry(line.body).is_some_and(|entry| entry.frame.is_some());
        (latest.is_bare() && is_frame()).then_some(at)
    }

    fn headline(&mut self, number: usize, line: &Prefix<'_>, headline: Headline) {
        let message = line.body.trim();
        if headline.kind == PanicKind::HungTask
            && headline.class == Class::Panic
            && self.take_cause(number, line, &headline, message)
        {
            return;
        }
        let own = |event: &&mut Event| event.caller.is_none() || line.caller.is_none() || event.caller == line.caller;
        let candidate = self
            .open
            .iter_mut()
            .rev()
            .find(|event| own(event) || headline.class == Class::Panic && event.panics_with(&headline));
        if let Some(event) = candidate
            && event.goes_on_with(&headline, number.saturating_sub(event.last))
        {
            event.take_headline(headline, message);
            event.last = number;
            event.last_seconds = line.seconds.or(event.last_seconds);
            return;
        }
        if headline.class == Class::Panic && self.take_cause(number, line, &headline, message) {
            return;
        }
        // The same printer begins a new event: its last one has ended. One without a name that comes into the middle of
        // a trace is another.
        let mut kept = Vec::with_capacity(self.open.len() + 1);
        for event in self.open.drain(..) {
            let unnamed = line.caller.is_none() && event.caller.is_none();
            let goes_on = unnamed && number.saturating_sub(event.last) <= 4 && event.is_in_a_trace();
            let ended = !goes_on && (line.caller.is_none() || event.caller.is_none() || event.caller == line.caller);
            if ended {
                push_done(&mut self.done, event)
            } else {
                kept.push(event)
            }
        }
        self.open = kept;
        while self.open.len() >= MAX_OPEN {
            let event = self.open.remove(0);
            push_done(&mut self.done, event);
        }
        self.open.push(Event::new(number, line, headline, message));
    }

    /// Gives a panic to the event that it came of; false when there is none.
    fn take_cause(&mut self, number: usize, line: &Prefix<'_>, headline: &Headline, message: &str) -> bool {
        let Some(mut event) = self.cause(number, headline) else {
            return false;
        };
        event.take_headline(headline.clone(), message);
        event.last = number;
        event.last_seconds = line.seconds.or(event.last_seconds);
        self.open.push(event);
        true
    }

    /// The event that a panic came of, where that has ended already. A watcher prints all that it found before it
    /// panics: the first of them in a row is the one.
    fn cause(&mut self, number: usize, panic: &Headline) -> Option<Event> {
        const REACH: usize = 400;
        if panic.kind == PanicKind::ExplicitPanic {
            return None;
        }
        let fits = |event: &Event| event.fatal.is_none() && event.panics_with(panic);
        // An open event of somebody else may still go on.
        for event in self.open.extract_if(.., |event| event.caller.is_none() || fits(event)) {
            push_done(&mut self.done, event);
        }
        let mut at = self
            .done
            .iter()
            .rposition(|event| fits(event) && number.saturating_sub(event.last) < REACH)?;
        while let (Some(before), Some(after)) = (at.checked_sub(1).and_then(|at| self.done.get(at)), self.done.get(at))
        {
            let in_a_row =
                panic.kind == PanicKind::HungTask && after.first.saturating_sub(before.last) < 2 * QUIET_LINES;
            if !(in_a_row && fits(before)) {
                break;
            }
            at -= 1;
        }
        Some(self.done.remove(at))
    }

    /// What is left of an oops whose headline is cut off, or a stack that somebody asked for.
    fn orphan(&mut self, number: usize, line: &Prefix<'_>) {
        let text = line.body.trim();
        let begins = trace_label(text).is_some()
            || asked_for(text).is_some()
            || banner::task_line(text).is_some()
            || registers::parse(text).is_some_and(|line| line.place.is_some() && line.user != Some(true))
            || text.starts_with("IP: [<")
            || number < HEAD && is_inside(text);
        if !begins || self.done.len() >= MAX_EVENTS {
            return;
        }
        let mut headline = Headline::new(PanicKind::Unknown, Class::Note);
        headline.weak = true;
        let mut event = Event::new(number, line, headline, "");
        event.feed(line);
        self.open.push(event);
    }

    fn close_quiet(&mut self, number: usize) {
        let mut at = 0;
        while at < self.open.len() {
            if self
                .open
                .get(at)
                .is_some_and(|event| number.saturating_sub(event.last) > QUIET_LINES)
            {
                let event = self.open.remove(at);
                push_done(&mut self.done, event);
            } else {
                at += 1;
            }
        }
    }

    fn finish(mut self) -> Vec<Event> {
        for event in std::mem::take(&mut self.open) {
            push_done(&mut self.done, event);
        }
        self.done.sort_by_key(|event| event.first);
        name_by_what_follows(&mut self.done);
        self.done
    }
}

/// Whether a line can only be of a crash's report: registers of kernel mode, or the kernel dying on a stack.
fn is_inside(text: &str) -> bool {
    registers::parse(text).is_some_and(|line| line.user == Some(false))
        || trace::entry(text)
            .and_then(|entry| entry.frame)
            .is_some_and(|frame| frame.offset.is_some() && is_dying(&frame))
}

/// Whether a frame on a stack tells that the kernel was about to stop.
pub fn is_dying(frame: &Frame) -> bool {
    let dying = |symbol: &str| {
        matches!(
            normalise_symbol(symbol),
            "panic" | "vpanic" | "oops_end" | "__die" | "die"
        )
    };
    frame.reliable && frame.symbol.as_deref().is_some_and(dying)
}

/// A stack whose headline stands right behind it, which has none itself: interrupted output and pasted texts turn them
/// round.
fn name_by_what_follows(events: &mut Vec<Event>) {
    const GAP: usize = 2;
    const SECONDS: f64 = 1.0;
    let belong = |stack: &Event, named: &Event| {
        let strangers = stack.caller.is_some() && named.caller.is_some() && stack.caller != named.caller;
        let at_once = match (stack.last_seconds, named.seconds) {
            (Some(before), Some(after)) => after - before <= SECONDS,
            _ => true,
        };
        !strangers
            && stack.message.is_empty()
            && stack.has_frames()
            && !named.message.is_empty()
            && !named.has_body()
            && named.headline.class != Class::Context
            && named.first.saturating_sub(stack.last) <= GAP
            && at_once
    };
    let mut at = 1;
    while let (Some(stack), Some(named)) = (events.get(at - 1), events.get(at)) {
        if !belong(stack, named) {
            at += 1;
            continue;
        }
        let named = events.remove(at);
        if let Some(stack) = events.get_mut(at - 1) {
            stack.last = named.last;
            stack.last_seconds = named.last_seconds.or(stack.last_seconds);
            stack.headline = named.headline;
            stack.message = named.message;
            stack.fatal = named.fatal;
        }
    }
}

fn push_done(done: &mut Vec<Event>, mut event: Event) {
    event.finish();
    if done.len() < MAX_EVENTS {
        done.push(event);
    }
}
