//! One line → what it adds to the event that it belongs to.
//!
//! Here are stacks, tasks, modules and code; `dumps` takes in registers, `details` what belongs to the headline. It must
//! not know which event that is, nor when one ends.

use crate::crash::{Detector, Frame};

use super::super::banner;
use super::super::headline::{Class, Headline};
use super::super::line::Prefix;
use super::super::registers::{self, Place};
use super::super::scan;
use super::super::trace;
use super::details::names_a_lock;
use super::label::{OTHER_CPU, asked_for, is_history_label, is_task_dump, stack_words, trace_label};
use super::{Dump, Event, MAX_FRAMES, MAX_MODULES, NextPlace, Role, Section};

impl Event {
    /// Takes a line in; false when it has nothing to do with this event.
    pub(super) fn feed(&mut self, line: &Prefix<'_>) -> bool {
        let body = line.body;
        let text = body.trim();
        if text.is_empty() || is_property(body) {
            return true;
        }
        let bare = std::mem::take(&mut self.bare);
        if self.reading_modules {
            if banner::is_module_continuation(body) && self.modules.len() < MAX_MODULES {
                self.take_modules(text);
                return true;
            }
            self.reading_modules = false;
            self.modules_complete = true;
        }
        if self.reading_stack
            && let Some(words) = stack_words(text)
        {
            self.stack_words
                .extend(words.into_iter().take(64usize.saturating_sub(self.stack_words.len())));
            return true;
        }
        if let Some(next) = self.next_place
            && let Some(place) = registers::place(text)
        {
            self.next_place = None;
            if next == NextPlace::Lock && self.headline.place.is_none() && names_a_lock(&self.headline) {
                self.headline.place = Some(place);
            }
            return true;
        }
        // What a program prints between does not end what was begun.
        let (stack, next) = (std::mem::take(&mut self.reading_stack), self.next_place.take());
        // Most lines of a report are frames.
        let fed = self.feed_frame(body)
            || self.feed_label(text)
            || self.feed_task(text)
            || self.feed_registers(text)
            || self.feed_rest(text)
            || self.feed_bare(text, bare);
        if !fed {
            (self.reading_stack, self.next_place) = (stack, next);
        }
        fed
    }

    /// A trace of names alone, as people copy them down: several lines in a row that hold one function's name each.
    fn feed_bare(&mut self, text: &str, mut run: Vec<Frame>) -> bool {
        let Some(section) = self.sections.last_mut() else {
            return false;
        };
        if section.closed || section.frames.iter().any(|frame| frame.offset.is_some()) {
            return false;
        }
        let Some(frame) = trace::bare(text) else { return false };
        run.push(frame);
        let enough = if section.labelled { 2 } else { 3 };
        if section.frames.is_empty() && run.len() < enough {
            self.bare = run;
            return false;
        }
        let room = MAX_FRAMES.saturating_sub(section.frames.len());
        section.frames.extend(run.into_iter().take(room));
        true
    }

    fn feed_label(&mut self, text: &str) -> bool {
        if let Some(rest) = trace_label(text) {
            if self
                .section()
                .is_none_or(|section| !section.frames.is_empty() || section.closed)
            {
                self.open_section(Role::Main);
            }
            if let Some(section) = self.section() {
                section.labelled = true;
            }
            // 2.6.18: the first frame stands on the label's own line.
            if !rest.is_empty() {
                self.feed_frame(rest);
            }
            return true;
        }
        if is_history_label(text) {
            self.open_section(Role::History);
            return true;
        }
        if let Some(pid) = asked_for(text) {
            self.open_section(Role::Main);
            if let Some(section) = self.section() {
                section.task.get_or_insert_default().pid = Some(pid);
            }
            return true;
        }
        if text == "stack backtrace:" {
            self.open_section(Role::Main);
            return true;
        }
        if let Some(rest) = scan::after(text, OTHER_CPU) {
            let cpu = scan::leading_decimal(rest).map_or(0, |(cpu, _)| cpu);
            self.open_section(Role::Cpu(cpu));
            return true;
        }
        if is_task_dump(text) {
            if !self
                .section()
                .is_some_and(|section| section.is_blank() && section.role == Role::Main)
            {
                self.open_section(Role::Task);
            }
            return true;
        }
        if text.starts_with("---[ end trace") || text.starts_with("---[ end Kernel panic") {
            if let Some(section) = self.section() {
                section.closed = true;
            }
            return true;
        }
        false
    }

    fn feed_task(&mut self, text: &str) -> bool {
        let Some(task) = banner::task_line(text) else {
            return false;
        };
        let fresh = self
            .section()
            .is_none_or(|section| !section.frames.is_empty() || section.closed);
        if fresh {
            self.open_section(Role::Main);
        }
        if let Some(section) = self.section() {
            section.task.get_or_insert(task);
        }
        true
    }

    fn feed_frame(&mut self, body: &str) -> bool {
        let Some(entry) = trace::entry(body) else { return false };
        let Some(section) = self.sections.last_mut() else {
            return false;
        };
        if section.closed {
            return true;
        }
        if let Some(frame) = &entry.frame
            && entry.marks.is_empty()
            && !section.labelled
            && section.frames.is_empty()
            && fill_wrapped(&mut self.headline, section, frame)
        {
            return true;
        }
        for mark in entry.marks {
            section.marks.push((section.frames.len(), mark));
        }
        if let Some(mut frame) = entry.frame
            && section.frames.len() < MAX_FRAMES
        {
            // ARM: what the line before said of this frame from its callee's side.
            if let Some(from) = section.from.take()
                && from.symbol == frame.symbol
            {
                frame.offset = frame.offset.or(from.offset);
                frame.size = frame.size.or(from.size);
            }
            section.from = entry.from;
            section.frames.push(frame);
        }
        true
    }

    fn feed_rest(&mut self, text: &str) -> bool {
        if let Some(list) = banner::module_list(text) {
            if self.modules.is_empty() {
                self.take_modules(list);
                self.modules_listed = true;
                self.reading_modules = !self.modules_complete;
            }
            if let Some(section) = self.section()
                && !section.frames.is_empty()
            {
                section.closed = true;
            }
            return true;
        }
        if let Some((hardware, bios)) = banner::hardware(text) {
            self.hardware
                .get_or_insert_with(|| (hardware.to_owned(), bios.map(str::to_owned)));
            return true;
        }
        if let Some(code) = text.strip_prefix("Code: ") {
            let kernel = self
                .section()
                .is_some_and(|section| section.dumps.last().is_none_or(Dump::is_kernel));
            if kernel && self.code.is_none() {
                self.code = Some(code.trim().to_owned());
            }
            return true;
        }
        if text == "Stack:" || text.starts_with("Stack: (0x") || text.starts_with("Stack:  ") {
            self.reading_stack = self.stack_words.is_empty();
            if let Some(words) = text.strip_prefix("Stack:").and_then(stack_words) {
                self.stack_words.extend(words);
            }
            return true;
        }
        self.feed_details(text)
    }

    fn take_modules(&mut self, list: &str) {
        let (modules, ended) = banner::modules(list);
        self.modules.extend(modules);
        if ended {
            self.modules_complete = true;
            self.reading_modules = false;
        }
    }
}

/// `/dev/kmsg` shows which device a message is about on lines of their own behind it.
fn is_property(body: &str) -> bool {
    body.starts_with(" SUBSYSTEM=") || body.starts_with(" DEVICE=")
}

/// Mailers wrap long lines: the place that a warning's or an instruction pointer's line should have ended with stands
/// on a line of its own.
fn fill_wrapped(headline: &mut Headline, section: &mut Section, frame: &Frame) -> bool {
    let place = Place {
        symbol: frame.symbol.clone(),
        offset: frame.offset,
        size: frame.size,
        module: frame.module.clone(),
        address: frame.address,
    };
    match section.dumps.last_mut() {
        // The segment and the pointer itself are all that its line has.
        Some(dump) if dump.registers.len() <= 2 => match &mut dump.place {
            Some(known) if known.symbol.is_none() => {
                *known = Place {
                    address: known.address.or(place.address),
                    ..place
                };
                true
            }
            _ => false,
        },
        None if headline.class == Class::Warn
            && headline.place.is_none()
            && headline.detector != Some(Detector::Lockdep) =>
        {
            headline.place = Some(place);
            true
        }
        _ => false,
    }
}
