//! Lines → events: everything that the kernel printed about one failure, put together.
//!
//! An [`Event`] has its headlines' facts and [`Section`]s: stacks with the registers printed for them. [`gather`] hands
//! each line to the event that it belongs to, `feed` takes it in there (`dumps` and `details` help), `label` knows the lines that head a stack. It
//! must not know which event killed the machine; that is [`super::choose`]'s work.

mod details;
mod dumps;
mod feed;
mod gather;
mod label;

use crate::addr::VirtAddr;
use crate::crash::{Detector, Frame, Module, PanicKind, Registers};

use super::banner::TaskLine;
use super::headline::{Class, Headline};
use super::line::{Caller, Prefix};
use super::registers::Place;
use super::trace::{self, Mark};

pub use gather::{gather, is_dying};

/// Bounds on what one hostile text can make us keep of one event.
const MAX_SECTIONS: usize = 64;
const MAX_FRAMES: usize = 1024;
const MAX_MODULES: usize = 4096;

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
    /// Other CPUs that show their stacks for it.
    others: Vec<Caller>,
    reading_modules: bool,
    reading_stack: bool,
    /// The place that the next line names: the last line ended before it.
    next_place: Option<NextPlace>,
    /// Names alone on the lines before, until it shows whether they are a trace.
    bare: Vec<Frame>,
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
            others: Vec::new(),
            reading_modules: false,
            reading_stack: false,
            next_place: None,
            bare: Vec::new(),
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

    fn has_frames(&self) -> bool {
        self.sections.iter().any(|section| !section.frames.is_empty())
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

    /// Whether a trace was being printed when the event's last line came, and had not come to its end.
    fn is_in_a_trace(&self) -> bool {
        self.sections.last().is_some_and(|section| {
            let marked_end = section.marks.last() == Some(&(section.frames.len(), Mark::Leave));
            let open = section.frames.last().is_some_and(|frame| !trace::ends_a_stack(frame));
            open && !section.closed && !marked_end
        })
    }

    /// Whether neither a trace nor registers were begun yet.
    fn is_bare(&self) -> bool {
        let begun = |section: &Section| section.labelled || !section.frames.is_empty() || !section.dumps.is_empty();
        !self.sections.iter().any(begun)
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
