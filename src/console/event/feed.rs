//! One line → what it adds to the event that it belongs to.
//!
//! It must not know which event that is, nor when one ends.

use crate::addr::VirtAddr;
use crate::crash::machinery::roles;
use crate::crash::{Access, Detector, Frame, PanicKind};

use super::super::banner;
use super::super::headline::{Class, Headline};
use super::super::line::Prefix;
use super::super::registers::{self, Place, Position, RegisterLine};
use super::super::scan;
use super::super::trace;
use super::label::{OTHER_CPU, asked_for, is_arm_stack, is_history_label, is_task_dump, stack_words, trace_label};
use super::{Dump, Event, MAX_FRAMES, MAX_MODULES, MAX_SECTIONS, NextPlace, Role, Section};

impl Event {
    /// Takes a line in; false when it has nothing to do with this event.
    pub(super) fn feed(&mut self, line: &Prefix<'_>) -> bool {
        let body = line.body;
        let text = body.trim();
        if text.is_empty() {
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
        if self.reading_stack {
            if let Some(words) = stack_words(text) {
                self.stack_words
                    .extend(words.into_iter().take(64usize.saturating_sub(self.stack_words.len())));
                return true;
            }
            self.reading_stack = false;
        }
        if let Some(next) = self.next_place.take()
            && let Some(place) = registers::place(text)
        {
            if next == NextPlace::Lock && self.headline.place.is_none() && names_a_lock(&self.headline) {
                self.headline.place = Some(place);
            }
            return true;
        }
        // Most lines of a report are frames.
        self.feed_frame(body)
            || self.feed_label(text)
            || self.feed_task(text)
            || self.feed_registers(text)
            || self.feed_rest(text)
            || self.feed_bare(text, bare)
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

    fn feed_registers(&mut self, text: &str) -> bool {
        let Some(line) = registers::parse(text) else {
            return self.feed_last_cr2(text);
        };
        if line.position == Position::Echo {
            // The oops's last lines repeat the place: the only ones left where the start is cut off or left out.
            if self.sections.iter().any(|section| !section.dumps.is_empty()) {
                return true;
            }
        }
        let machine = line.machine;
        self.take_registers(line);
        self.machine = self.machine.or(machine);
        true
    }

    /// `CR2: 0000000000000008` alone at an oops's end. While a dump is read, its CR2 line has CR3 and CR4 as well.
    fn feed_last_cr2(&mut self, text: &str) -> bool {
        let Some(value) = text.strip_prefix("CR2: ").and_then(scan::bare_hex) else {
            return false;
        };
        self.last_cr2 = Some(value);
        true
    }

    fn take_registers(&mut self, line: RegisterLine) {
        let alone_cr2 = line.values.len() == 1 && line.values.first().is_some_and(|(name, _)| name == "cr2");
        if alone_cr2 {
            self.last_cr2 = line.values.first().map(|(_, value)| *value);
            return;
        }
        let gpr = self.gpr;
        if line.position == Position::Start && line.user != Some(true) {
            self.drop_strays();
        }
        let Some(section) = self.sections.last_mut() else {
            return;
        };
        if section.closed {
            return;
        }
        let frames = section.frames.len();
        // arm64's `pc :` line may come before or behind the line with the symbol.
        let begins = match line.position {
            Position::Start | Position::Echo => true,
            Position::Inside => section.dumps.is_empty(),
        };
        let same_dump = section.dumps.last().is_some_and(|dump| {
            begins && dump.registers.is_empty() && dump.place.is_none() && dump.before_frame.unwrap_or(frames) == frames
        });
        if begins && !same_dump && section.dumps.len() < MAX_SECTIONS {
            section.dumps.push(Dump {
                before_frame: (frames > 0 || section.labelled).then_some(frames),
                ..Dump::default()
            });
        }
        let Some(dump) = section.dumps.last_mut() else { return };
        dump.user = dump.user.or(line.user);
        if let Some(place) = line.place {
            match &mut dump.place {
                Some(known) if known.symbol.is_none() => {
                    *known = Place {
                        address: place.address.or(known.address),
                        ..place
                    };
                }
                Some(known) => known.address = known.address.or(place.address),
                None => dump.place = Some(place),
            }
        }
        dump.link = dump.link.take().or(line.link);
        let mut next = gpr;
        for (name, value) in line.values {
            let name = if name == "r+" {
                next += 1;
                format!("r{}", next - 1)
            } else {
                if let Some(number) = name.strip_prefix('r').and_then(|number| number.parse::<u64>().ok()) {
                    next = number + 1;
                }
                name
            };
            if name.len() <= 12 && dump.registers.len() < 128 {
                dump.registers.entry(name).or_insert(VirtAddr(value));
            }
        }
        self.gpr = next.min(64);
    }

    /// An oops prints its registers before its trace: frames that stood before both are somebody else's.
    fn drop_strays(&mut self) {
        let begun = |section: &Section| section.labelled || !section.dumps.is_empty();
        if self.headline.class != Class::Die || self.sections.iter().any(begun) {
            return;
        }
        for section in &mut self.sections {
            section.frames.clear();
            section.marks.clear();
            section.from = None;
        }
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

    /// Lines that add a fact to the headline's.
    fn feed_details(&mut self, text: &str) -> bool {
        let headline = &mut self.headline;
        if let Some(rest) = text.strip_prefix("IP: ") {
            // Up to 4.x the place stands right behind the headline: all there is where the log ends there.
            if headline.place.is_none() {
                headline.place = registers::place(rest);
            }
            return true;
        }
        if let Some(rest) = text.strip_prefix("task: ") {
            let address = scan::leading_hex(rest)
                .map(|(address, _)| VirtAddr(address))
                .filter(|address| address.0 > 0xffff);
            if let Some(section) = self.sections.last_mut() {
                section.task_address = section.task_address.or(address);
            }
            return true;
        }
        if let Some(rest) = text.strip_prefix("#PF: ") {
            if rest.contains(" access ") || rest.contains("instruction fetch") {
                headline.access = headline.access.or(if rest.contains("instruction fetch") {
                    Some(Access::Exec)
                } else if rest.contains("write access") {
                    Some(Access::Write)
                } else {
                    Some(Access::Read)
                });
            }
            if let Some((code, _)) = scan::after(rest, "error_code(0x").and_then(scan::leading_hex) {
                headline.error_code = Some(code);
            }
            return true;
        }
        if headline.detector == Some(Detector::Kasan)
            && let Some((access, rest)) = text.split_once(" of size ")
            && let Some(address) = scan::after(rest, "at addr ")
        {
            headline.access = match access {
                "Read" => Some(Access::Read),
                "Write" => Some(Access::Write),
                _ => headline.access,
            };
            headline.address = headline
                .address
                .or(scan::leading_hex(address).map(|(address, _)| VirtAddr(address)));
            return true;
        }
        if text.starts_with("KASAN: ") {
            headline.detector = Some(Detector::Kasan);
            return true;
        }
        // arm64
        if let Some(rest) = scan::after(text, "WnR = ") {
            headline.access = headline.access.or(Some(if rest.starts_with('1') {
                Access::Write
            } else {
                Access::Read
            }));
            return true;
        }
        // Lockdep: where the lock in question was being taken. The list of the locks held comes behind it, and counts
        // where the report is about those.
        let about_held = self.message.contains("held");
        if text.starts_with("Preemption disabled at:") {
            self.next_place = Some(NextPlace::Other);
            return true;
        }
        if text.ends_with(" at:") && text.contains('(') {
            self.next_place = Some(NextPlace::Lock);
            return true;
        }
        if let Some(place) = scan::after(text, " at: ").and_then(registers::place) {
            // Where a helper took the lock, the one that is held already says more.
            let open = headline.place.as_ref().is_none_or(is_helper);
            if open
                && names_a_lock(headline)
                && (about_held || !text.starts_with('#'))
                && !(headline.place.is_some() && is_helper(&place))
            {
                headline.place = Some(place);
            }
            return true;
        }
        if let Some(function) = text.strip_prefix("last function: ") {
            headline.place.get_or_insert_with(|| Place {
                symbol: Some(function.trim().to_owned()),
                ..Place::default()
            });
            return true;
        }
        // s390
        if let Some((address, _)) = text.strip_prefix("Failing address: ").and_then(scan::leading_hex) {
            headline.address = headline.address.or(Some(VirtAddr(address & !0xfff)));
            return true;
        }
        // UBSAN up to 4.19 says in its second line what was wrong.
        if headline.detector == Some(Detector::Ubsan)
            && headline.kind == PanicKind::Warning
            && text.contains("out of range for type")
        {
            headline.kind = PanicKind::OutOfBounds;
            return true;
        }
        const KNOWN: [&str; 33] = [
            "Register r",
            "IP: ",
            "PGD ",
            "pgd = ",
            "task: ",
            "task.",
            "Workqueue: ",
            "Process ",
            "Stack",
            "FS: ",
            "CS: ",
            "CR2",
            "DR",
            "PKRU",
            "Oops",
            "Modules",
            "=====",
            "-----",
            "Mem abort",
            "Data abort",
            "[00",
            "The buggy address",
            "Dumping ftrace",
            "Showing all locks",
            "NMI backtrace",
            "Sending NMI",
            "sending NMI",
            "rcu: ",
            "#0:",
            "#1:",
            "#2:",
            "#3:",
            "\"echo 0 >",
        ];
        KNOWN.iter().any(|start| text.starts_with(start))
            || is_arm_stack(text)
            || text.contains(" held by ")
            || text.contains(" backtrace for cpu ")
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

/// Whether a place is in a function that works for its caller.
fn is_helper(place: &Place) -> bool {
    place.symbol.as_deref().is_some_and(|symbol| roles(symbol).plumbing())
}

/// Whether the place where a lock was taken is what an event is about.
fn names_a_lock(headline: &Headline) -> bool {
    headline.detector == Some(Detector::Lockdep) && matches!(headline.kind, PanicKind::Deadlock | PanicKind::LockMisuse)
}
