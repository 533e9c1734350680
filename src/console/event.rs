//! Lines → events: everything that the kernel printed about one failure, put together.
//!
//! It knows the shape of a report (headline, registers, traces, module list) and which lines go on with one that has
//! begun. It must not know which event killed the machine; that is [`super::choose`]'s work.

use crate::addr::VirtAddr;
use crate::crash::{Access, Detector, Frame, Module, PanicKind, Registers};

use super::banner::{self, TaskLine};
use super::headline::{self, Class, Headline};
use super::line::{Caller, Prefix};
use super::registers::{self, Place, Position, RegisterLine};
use super::scan;
use super::text::{Boot, Text, with_line};
use super::trace::{self, Mark};

/// Bounds on what one hostile text can make us keep.
const MAX_EVENTS: usize = 4096;
const MAX_SECTIONS: usize = 64;
const MAX_FRAMES: usize = 1024;
const MAX_MODULES: usize = 4096;
const MAX_OPEN: usize = 16;

/// An event ends when this many lines in a row have nothing to do with it.
const QUIET_LINES: usize = 40;

/// One register dump.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dump {
    /// Whether it shows user mode, when it tells.
    pub user: Option<bool>,
    /// Where the CPU was.
    pub place: Option<Place>,
    /// Where it would have returned to.
    pub link: Option<Place>,
    /// The values.
    pub registers: Registers,
    /// Before which of its section's frames it stands; `None`: before the trace began.
    pub before_frame: Option<usize>,
}

impl Dump {
    /// Whether it shows the kernel: user-mode registers never count.
    pub fn is_kernel(&self) -> bool {
        self.user != Some(true) && (self.place.is_some() || self.registers.len() > 2)
    }
}

/// What a stack in an event is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The failure itself.
    Main,
    /// Another CPU, sent an NMI to show what it does.
    Cpu(u64),
    /// A task that the event is about, which was not running when the event was printed.
    Task,
    /// Something from earlier: where the object was allocated or freed, how the locks came to depend on each other.
    History,
}

/// One stack of an event, with the registers printed for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Section {
    /// What it is of.
    pub role: Role,
    /// Whose it is.
    pub task: Option<TaskLine>,
    /// Where that task's `task_struct` is.
    pub task_address: Option<VirtAddr>,
    /// The register dumps.
    pub dumps: Vec<Dump>,
    /// The frames, innermost first, as printed.
    pub frames: Vec<Frame>,
    /// The stack marks, by the frame they stand before.
    pub marks: Vec<(usize, Mark)>,
    /// Whether it was printed by or after `Kernel panic`.
    pub of_panic: bool,
    /// A trace was begun.
    labelled: bool,
    /// Nothing more belongs to it.
    closed: bool,
    /// ARM's `A from B`: B, until the next line shows whether it is a frame of its own.
    from: Option<Frame>,
}

impl Section {
    fn new(role: Role, of_panic: bool) -> Self {
        Section {
            role,
            task: None,
            task_address: None,
            dumps: Vec::new(),
            frames: Vec::new(),
            marks: Vec::new(),
            of_panic,
            labelled: false,
            closed: false,
            from: None,
        }
    }

    fn is_blank(&self) -> bool {
        self.task.is_none() && self.dumps.is_empty() && self.frames.is_empty() && !self.labelled
    }
}

/// Everything that the kernel printed about one failure.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The number of its first line.
    pub first: usize,
    /// The number of the last line that belongs to it.
    pub last: usize,
    /// When it was printed, in seconds since boot.
    pub seconds: Option<f64>,
    /// When the last of it was printed.
    pub last_seconds: Option<f64>,
    /// What its headlines say.
    pub headline: Headline,
    /// The line that names the failure; empty where it is cut off.
    pub message: String,
    /// The text after `Kernel panic - not syncing: `, when a panic came of it.
    pub fatal: Option<String>,
    /// The stacks, in the order printed.
    pub sections: Vec<Section>,
    /// The words at the stack pointer, as printed.
    pub stack_words: Vec<VirtAddr>,
    /// The bytes around the instruction pointer, as printed behind `Code: ` for kernel mode.
    pub code: Option<String>,
    /// The loaded modules.
    pub modules: Vec<Module>,
    /// Whether the module list came to its end.
    pub modules_complete: bool,
    /// A module list was printed, if an empty one.
    pub modules_listed: bool,
    /// The hardware and its BIOS.
    pub hardware: Option<(String, Option<String>)>,
    /// The address that the oops repeats in its last line.
    pub last_cr2: Option<u64>,
    /// The machine, as the register dump's form tells.
    pub machine: Option<&'static str>,
    caller: Option<Caller>,
    reading_modules: bool,
    reading_stack: bool,
    /// The place that the next line names: the last line ended before it.
    next_place: Option<NextPlace>,
    gpr: u64,
}

/// What a place on a line of its own is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NextPlace {
    /// Where a lock was being taken or released.
    Lock,
    /// Something else, of no interest.
    Other,
}

impl Event {
    fn new(number: usize, line: &Prefix<'_>, headline: Headline, message: &str) -> Self {
        let history = headline.detector == Some(Detector::Lockdep) && headline.class == Class::Warn;
        let role = if history { Role::History } else { Role::Main };
        Event {
            first: number,
            last: number,
            seconds: line.seconds,
            last_seconds: line.seconds,
            fatal: headline.fatal.clone(),
            sections: vec![Section::new(role, headline.class == Class::Panic)],
            headline,
            message: message.to_owned(),
            stack_words: Vec::new(),
            code: None,
            modules: Vec::new(),
            modules_complete: false,
            modules_listed: false,
            hardware: None,
            last_cr2: None,
            machine: None,
            caller: line.caller,
            reading_modules: false,
            reading_stack: false,
            next_place: None,
            gpr: 0,
        }
    }

    /// Whether a machine may die of it.
    pub fn is_deadly(&self) -> bool {
        self.fatal.is_some() || matches!(self.headline.class, Class::Die | Class::Panic)
    }

    /// Whether a stack or registers were printed yet.
    fn has_body(&self) -> bool {
        self.sections
            .iter()
            .any(|section| !section.frames.is_empty() || !section.dumps.is_empty())
    }

    fn section(&mut self) -> Option<&mut Section> {
        self.sections.last_mut()
    }

    fn open_section(&mut self, role: Role) {
        let of_panic = self.sections.iter().any(|section| section.of_panic);
        if self.sections.last().is_some_and(Section::is_blank) {
            self.sections.pop();
        }
        if self.sections.len() < MAX_SECTIONS {
            self.sections.push(Section::new(role, of_panic));
        }
    }

    /// Whether a new headline goes on with this event.
    fn goes_on_with(&self, new: &Headline, gap: usize) -> bool {
        let own = &self.headline;
        if new.class == Class::Panic {
            return self.fatal.is_none()
                && (self.panics_with(new) || (own.class == Class::Note && !self.message.is_empty() && gap < 12));
        }
        if self.has_body() || gap > 12 {
            return false;
        }
        match (own.class, new.class) {
            (Class::Note, _) => new.class != Class::Context,
            (Class::Die, Class::Die) => true,
            (Class::Die | Class::Warn | Class::Report, Class::Note) => true,
            // An assertion's own words, then the BUG() or the warning it ends in.
            (Class::Report, Class::Die) => own.kind == PanicKind::Bug && new.kind == PanicKind::Bug,
            (Class::Report, Class::Report) => own.kind == new.kind,
            // A symbolizer says it once for each inlined function.
            (Class::Warn, Class::Warn) => {
                gap <= 1 && own.kind == new.kind && own.detector == new.detector && own.cpu == new.cpu
            }
            (Class::Lockup, Class::Lockup) => own.kind == PanicKind::RcuStall && new.kind == PanicKind::RcuStall,
            _ => false,
        }
    }

    /// Whether a panic's own text says that it came of such an event.
    fn panics_with(&self, panic: &Headline) -> bool {
        let own = &self.headline;
        let quotes = |fatal: &String| self.message.len() > 8 && fatal.contains(&self.message);
        if panic.fatal.as_ref().is_some_and(quotes) {
            return true;
        }
        match panic.kind {
            PanicKind::FatalException | PanicKind::KillInit | PanicKind::ExplicitPanic | PanicKind::Nmi => {
                own.class == Class::Die || own.kind == panic.kind
            }
            PanicKind::Warning => matches!(own.class, Class::Warn | Class::Report),
            PanicKind::MachineCheck => own.kind == PanicKind::MachineCheck || own.class == Class::Die,
            PanicKind::StackOverflow => own.kind == PanicKind::StackOverflow,
            kind => own.kind == kind,
        }
    }

    fn take_headline(&mut self, new: Headline, message: &str) {
        let own = &mut self.headline;
        self.fatal = self.fatal.take().or_else(|| new.fatal.clone());
        if new.class == Class::Panic {
            let named = own.class != Class::Context && own.class != Class::Note;
            if !named {
                self.message = message.to_owned();
                own.class = Class::Panic;
            }
            if let Some(section) = self.sections.last_mut() {
                section.closed = true;
            }
            self.sections.push(Section::new(Role::Main, true));
            return;
        }
        // The line that stops the kernel is its message; what a note said before decides the kind.
        let takes_message = own.weak && !new.weak
            || own.class == Class::Note
            || (own.class == Class::Report && new.class == Class::Die);
        let takes_kind = own.weak && !new.weak
            || matches!(own.kind, PanicKind::Unknown)
            || new.class == Class::Note && matches!(own.kind, PanicKind::Warning | PanicKind::Bug);
        if takes_message {
            self.message = message.to_owned();
            own.class = new.class;
            own.weak = new.weak;
        }
        if takes_kind {
            own.kind = new.kind;
        } else if own.kind == PanicKind::StackOverflow && self.message.is_empty() {
            self.message = message.to_owned();
        }
        own.detector = own.detector.or(new.detector);
        own.address = own.address.or(new.address);
        own.access = own.access.or(new.access);
        own.error_code = own.error_code.or(new.error_code);
        // The first of several lines names an inlined function, the last the one that it stands in.
        let surer = new.place.as_ref().is_some_and(|place| place.offset.is_some())
            && own.place.as_ref().is_some_and(|place| place.offset.is_none());
        if surer {
            own.place = new.place;
        } else {
            own.place = own.place.take().or(new.place);
        }
        own.task = own.task.take().or(new.task);
        own.cpu = own.cpu.or(new.cpu);
    }

    /// Takes a line in; false when it has nothing to do with this event.
    fn feed(&mut self, line: &Prefix<'_>) -> bool {
        let body = line.body;
        let text = body.trim();
        if text.is_empty() {
            return true;
        }
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
        self.feed_label(text)
            || self.feed_task(text)
            || self.feed_frame(body)
            || self.feed_registers(text)
            || self.feed_rest(text)
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
        if text == "stack backtrace:" {
            self.open_section(Role::Main);
            return true;
        }
        if let Some(rest) = scan::after(text, "NMI backtrace for cpu ") {
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
        let Some(section) = self.sections.last_mut() else {
            return;
        };
        let frames = section.frames.len();
        if section.closed {
            return;
        }
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
            if headline.place.is_none() && names_a_lock(headline) && (about_held || !text.starts_with('#')) {
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

    /// To be called when no more lines come.
    fn finish(&mut self) {
        for section in &mut self.sections {
            if let Some(from) = section.from.take()
                && section.frames.len() < MAX_FRAMES
            {
                section.frames.push(from);
            }
        }
        let blank = |section: &Section| section.is_blank();
        self.sections.retain(|section| !blank(section) || section.of_panic);
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

/// A line of ARM's stack dump: `1ae0: 80000013 851eb85c …`.
fn is_arm_stack(text: &str) -> bool {
    text.split_once(": ").is_some_and(|(offset, words)| {
        offset.len() == 4 && scan::bare_hex(offset).is_some() && stack_words(words).is_some()
    })
}

/// Whether the place where a lock was taken is what an event is about.
fn names_a_lock(headline: &Headline) -> bool {
    headline.detector == Some(Detector::Lockdep) && matches!(headline.kind, PanicKind::Deadlock | PanicKind::LockMisuse)
}

/// What stands behind a trace's label on its line; `None` when the line is none.
fn trace_label(text: &str) -> Option<&str> {
    const LABELS: [&str; 8] = [
        "Call Trace:",
        "Call trace:",
        "Call Trace :",
        "Backtrace:",
        "backtrace:",
        "Stack traceback:",
        "Trace:",
        "Call backtrace:",
    ];
    if let Some(rest) = LABELS.iter().find_map(|label| text.strip_prefix(label)) {
        return Some(rest.trim());
    }
    // `backtrace (crc 1234abcd):` of kmemleak.
    (text.starts_with("backtrace (") && text.ends_with("):")).then_some("")
}

/// Headings of stacks from earlier: of allocation and freeing, and of lockdep's chains.
fn is_history_label(text: &str) -> bool {
    text.starts_with("Allocated by task")
        || text.starts_with("Freed by task")
        || text.starts_with("Last potentially related work creation")
        || text.starts_with("Second to last potentially related")
        || text.starts_with("INFO: Allocated in ")
        || text.starts_with("INFO: Freed in ")
        || text.starts_with("Allocated in ")
        || text.starts_with("Freed in ")
        || text.starts_with("allocated by task ")
        || text.starts_with("freed by task ")
        || text.starts_with("Uninit was ")
        || text.starts_with("Local variable ")
        || text.starts_with("page last allocated via")
        || text.starts_with("page last free ")
        || text.starts_with("Memory state around")
        || text.starts_with("-> #")
        || text.starts_with("the existing dependency chain")
        || text.ends_with("irq-safe at:")
        || text.ends_with("irq-unsafe at:")
        || text.ends_with("was registered at:")
        || text.ends_with("IRQ-safe at:")
        || text.ends_with("which became")
        || text.ends_with("holding lock:")
        || text.ends_with("lock to be acquired")
        || text.ends_with("USE at:")
        || text.ends_with("-W at:")
        || text.ends_with("-R at:")
}

/// `task:tee state:D stack:0 pid:131 …` and `tee  D ffffffffc00c1048  0  131  1 0x00000000`.
fn is_task_dump(text: &str) -> bool {
    if text.starts_with("task:") && text.contains("state:") {
        return true;
    }
    let mut words = text.split_ascii_whitespace();
    let (Some(_), Some(state)) = (words.next(), words.next()) else {
        return false;
    };
    let hex_or_running = words
        .next()
        .is_some_and(|word| scan::bare_hex(word).is_some() || word == "running");
    matches!(state, "D" | "R" | "S" | "I" | "T" | "Z" | "X") && hex_or_running && text.len() < 120
}

/// The words of one line of a `Stack:` dump.
fn stack_words(text: &str) -> Option<Vec<VirtAddr>> {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    if words.is_empty() || words.len() > 8 {
        return None;
    }
    words
        .iter()
        .map(|word| match *word {
            "(null)" => Some(VirtAddr(0)),
            word if word.len() == 16 || word.len() == 8 => scan::bare_hex(word).map(VirtAddr),
            _ => None,
        })
        .collect()
}

/// Reads all events of one boot.
pub fn gather(text: &Text<'_>, boot: &Boot) -> Vec<Event> {
    let mut gatherer = Gatherer::default();
    let mut number = boot.lines.start;
    while number < boot.lines.end {
        if gatherer.open.is_empty() {
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
        if let Some(at) = embedded_time(line.body) {
            let (before, after) = line.body.split_at_checked(at).unwrap_or((line.body, ""));
            self.message(
                number,
                &Prefix {
                    body: before.trim_end(),
                    ..*line
                },
                marked,
            );
            let inner = super::line::split(after);
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
        if let Some(event) = self.owner(line.caller) {
            if event.feed(line) {
                event.last = number;
                event.last_seconds = line.seconds.or(event.last_seconds);
            }
            return;
        }
        if marked {
            self.orphan(number, line);
        }
    }

    /// The open event that a line belongs to.
    fn owner(&mut self, caller: Option<Caller>) -> Option<&mut Event> {
        let Some(caller) = caller else {
            return self.open.last_mut();
        };
        let exact = self.open.iter().rposition(|event| event.caller == Some(caller));
        let at = exact.or_else(|| {
            // Stalls have other CPUs show their stacks; those come under the other CPUs' names.
            self.open.iter().rposition(|event| {
                event.caller.is_none()
                    || event.headline.class == Class::Lockup
                    || event.headline.kind == PanicKind::Unknown
            })
        })?;
        self.open.get_mut(at)
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
        // The same printer begins a new event: its last one has ended.
        let mut kept = Vec::with_capacity(self.open.len() + 1);
        for event in self.open.drain(..) {
            let ended = line.caller.is_none() || event.caller.is_none() || event.caller == line.caller;
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
            || banner::task_line(text).is_some()
            || registers::parse(text).is_some_and(|line| line.place.is_some())
            || text.starts_with("IP: [<");
        if !begins || self.done.len() >= MAX_EVENTS {
            return;
        }
        let headline = Headline {
            kind: PanicKind::Unknown,
            class: Class::Note,
            detector: None,
            address: None,
            access: None,
            error_code: None,
            place: None,
            task: None,
            cpu: None,
            fatal: None,
            weak: true,
        };
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
        self.done
    }
}

fn push_done(done: &mut Vec<Event>, mut event: Event) {
    event.finish();
    if done.len() < MAX_EVENTS {
        done.push(event);
    }
}

/// Where inside of a message another one begins: `…[  740.966534] `.
fn embedded_time(body: &str) -> Option<usize> {
    let mut from = 1;
    while let Some(found) = body.get(from..).and_then(|rest| rest.find('[')) {
        let at = from + found;
        let inner = body.get(at + 1..)?;
        let digits = inner.trim_start_matches(' ');
        let whole = digits.bytes().take_while(u8::is_ascii_digit).count();
        let tail = digits.get(whole..)?;
        if whole > 0
            && let Some(fraction) = tail.strip_prefix('.')
            && fraction.bytes().take_while(u8::is_ascii_digit).count() == 6
            && fraction
                .get(6..)
                .is_some_and(|rest| rest.starts_with("] ") || rest.starts_with("][") || rest == "]")
        {
            return Some(at);
        }
        from = at + 1;
    }
    None
}
