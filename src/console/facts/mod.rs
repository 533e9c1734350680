//! One event → the facts of the record: kind, fault, frames in their normal form, task, taint, modules.
//!
//! `frames` brings a stack into its normal form, `kind` tells the kind where no line names it. It sees one event at a
//! time, and must not know of the text around it.

mod frames;
mod kind;

use crate::addr::VirtAddr;
use crate::crash::machinery::roles;
use crate::crash::{
    Access, CrashReport, Detector, Fault, FaultRole, Frame, KindSource, Panic, PanicKind, Stack, StackSource, Subject,
    Task,
};

use super::banner::{self, TaskLine};
use super::event::{Dump, Event, Role, Section};
use super::headline::{Class, Headline};
use super::registers::Place;
use frames::{interrupted, normal_form};

pub use frames::reaches_the_end;
pub use kind::kind_from_stack;

/// The first page: an address in it is NULL plus a member's offset.
const FIRST_PAGE: u64 = 4096;

/// Puts what an event says into a report. Its stacks and modules go over to it.
pub fn fill(report: &mut CrashReport, event: &mut Event) {
    let (stack, watcher) = stacks(event);
    let frames = take_frames(event, stack);
    let watchers = take_frames(event, watcher);
    let modules = std::mem::take(&mut event.modules);
    let event = &*event;
    let dump = fault_dump(event, stack);
    report.panic = Some(panic(event, dump));
    report.fault = fault(event, dump);
    if let Some(section) = stack.and_then(|at| event.sections.get(at)) {
        report.frames = normal_form(frames, section, dump.filter(|dump| dump.before_frame.is_none()), event);
        report.stack = Some(Stack {
            source: StackSource::Log,
            complete: reaches_the_end(&report.frames),
        });
    } else if let Some(fault) = &report.fault {
        report.frames = vec![interrupted(&Place {
            symbol: fault.symbol.clone(),
            offset: fault.offset,
            size: fault.size,
            module: fault.module.clone(),
            address: fault.address,
        })];
        report.stack = Some(Stack {
            source: StackSource::Log,
            complete: false,
        });
    }
    kind_from_stack(report);
    name_by_history(report, event);
    report.task = task(event, stack);
    if let Some(section) = watcher.and_then(|at| event.sections.get(at)) {
        part_subject(report, event, section, watchers);
    }
    if let Some(text) = event
        .sections
        .iter()
        .rev()
        .find_map(|section| section.task.as_ref()?.taint.as_deref())
    {
        report.taint = Some(banner::taint_letters(text));
        report.taint_text = Some(text.to_owned()).filter(|text| !text.is_empty());
    }
    if event.modules_listed {
        report.modules = modules;
        report.modules_complete = event.modules_complete;
    }
    if let Some((hardware, bios)) = &event.hardware {
        report.system.hardware = Some(hardware.clone());
        report.system.bios = bios.clone();
    }
    for line in event.sections.iter().filter_map(|section| section.task.as_ref()) {
        system(report, line);
    }
    if report.system.machine.is_none() {
        report.system.machine = event.machine.map(str::to_owned);
    }
}

fn take_frames(event: &mut Event, section: Option<usize>) -> Vec<Frame> {
    match section.and_then(|at| event.sections.get_mut(at)) {
        // Looked at again for what it tells of the past.
        Some(section) if section.role == Role::History => section.frames.clone(),
        Some(section) => std::mem::take(&mut section.frames),
        None => Vec::new(),
    }
}

/// Puts a stack that names no failure into a report: frames and task, no crash.
pub fn fill_stack(report: &mut CrashReport, event: &mut Event) {
    fill(report, event);
    report.panic = None;
    report.fault = None;
}

/// What lockdep saw before tells what a report is about where a worker waits for itself, with nothing of its own on the
/// stack; and where a lock that an interrupt takes came before one that it must not: then it is who takes the first.
fn name_by_history(report: &mut CrashReport, event: &Event) {
    let telling = |frame: &&Frame| {
        let roles = frame.symbol.as_deref().map(roles);
        frame.reliable && !frame.machinery && !frame.inlined && roles.is_some_and(|roles| !roles.plumbing())
    };
    let about_locks = event.headline.detector == Some(Detector::Lockdep) && event.headline.kind == PanicKind::Deadlock;
    let by_interrupt = event.message.contains("safe lock order detected");
    if !about_locks || !by_interrupt && report.frames.iter().any(|frame| telling(&frame)) {
        return;
    }
    let history = event.sections.iter().filter(|section| section.role == Role::History);
    let first = history.flat_map(|section| &section.frames).find(telling);
    if let (Some(panic), Some(first)) = (&mut report.panic, first) {
        panic.function = first.symbol.clone();
    }
}

/// The event is about another task than the one that panicked: the record's frames are the latter's.
fn part_subject(report: &mut CrashReport, event: &Event, watcher: &Section, frames: Vec<Frame>) {
    let task = event.headline.task.as_ref().map(|(comm, pid)| Task {
        pid: *pid,
        comm: Some(comm.clone()),
        ..Task::default()
    });
    let frames = normal_form(frames, watcher, None, event);
    let complete = reaches_the_end(&frames);
    report.subject = Some(Subject {
        task,
        frames: std::mem::replace(&mut report.frames, frames),
        stack: report.stack.replace(Stack {
            source: StackSource::Log,
            complete,
        }),
    });
    report.fault = None;
}

fn system(report: &mut CrashReport, line: &TaskLine) {
    let system = &mut report.system;
    system.release = system.release.take().or_else(|| line.release.clone());
    // An oops prints the build's number and, on Debian and Ubuntu, the package's version: a part of `uname -v`, worth
    // having for the latter only.
    let version = line.version.clone().filter(|version| version.contains(' '));
    system.version = system.version.take().or(version);
    system.hardware = system.hardware.take().or_else(|| line.hardware.clone());
}

/// Which of an event's stacks is the failure's, and which the panicking task's where that is another one.
fn stacks(event: &Event) -> (Option<usize>, Option<usize>) {
    let full = |section: &&Section| !section.frames.is_empty();
    let is_own = |section: &Section| full(&section) && !section.of_panic && section.role != Role::History;
    // RCU shows its own starved thread among those that may have held it up.
    let own = event
        .sections
        .iter()
        .position(|section| is_own(section) && !is_rcu_thread(section))
        .or_else(|| event.sections.iter().position(is_own));
    let of_panic = event
        .sections
        .iter()
        .position(|section| full(&section) && section.of_panic && section.role == Role::Main);
    let (Some(own), Some(of_panic)) = (own, of_panic) else {
        let any = || event.sections.iter().position(|section| full(&section));
        return (own.or(of_panic).or_else(any), None);
    };
    let (Some(part), Some(whole)) = (event.sections.get(own), event.sections.get(of_panic)) else {
        return (Some(own), None);
    };
    if same_task(part, whole) {
        // The panic's own stack goes from panic() down to the place itself: the whole of it.
        let whole_stack = event.headline.class == Class::Panic || holds(whole, part);
        return (Some(if whole_stack { of_panic } else { own }), None);
    }
    // The watcher panics; the stack that tells is that of the task it watched.
    let watched = matches!(
        event.headline.kind,
        PanicKind::HungTask | PanicKind::RcuStall | PanicKind::WorkqueueLockup
    );
    (Some(own), watched.then_some(of_panic))
}

fn is_rcu_thread(section: &Section) -> bool {
    let of_rcu = |frame: &Frame| matches!(frame.symbol.as_deref(), Some("rcu_gp_kthread" | "rcu_gp_fqs_loop"));
    section.frames.iter().any(of_rcu)
}

fn same_task(one: &Section, other: &Section) -> bool {
    match (&one.task, &other.task) {
        (Some(one), Some(other)) => one.pid == other.pid && one.comm == other.comm,
        _ => false,
    }
}

/// Whether a stack passes through the place where another one's registers were saved.
fn holds(whole: &Section, part: &Section) -> bool {
    let Some(place) = part
        .dumps
        .iter()
        .find(|dump| dump.is_kernel())
        .and_then(|dump| dump.place.as_ref())
    else {
        return false;
    };
    let at = |symbol: &Option<String>, offset: Option<u64>| {
        place.symbol.is_some() && *symbol == place.symbol && offset == place.offset
    };
    let stopped = whole
        .dumps
        .iter()
        .filter_map(|dump| dump.place.as_ref())
        .any(|other| at(&other.symbol, other.offset));
    stopped || whole.frames.iter().any(|frame| at(&frame.symbol, frame.offset))
}

/// The first kernel-mode registers of the failure: before its trace, or where the trace was interrupted.
fn fault_dump(event: &Event, stack: Option<usize>) -> Option<&Dump> {
    let until = stack.map_or(event.sections.len(), |at| at + 1);
    let sections = event
        .sections
        .iter()
        .take(until)
        .filter(|section| section.role != Role::History);
    let mut dumps = sections.flat_map(|section| section.dumps.iter());
    dumps.find(|dump| dump.is_kernel())
}

/// Whether the place did nothing wrong itself, but was met there.
fn role(event: &Event, dump: Option<&Dump>) -> FaultRole {
    let stuck = matches!(
        event.headline.kind,
        PanicKind::SoftLockup
            | PanicKind::HardLockup
            | PanicKind::RcuStall
            | PanicKind::HungTask
            | PanicKind::WorkqueueLockup
            | PanicKind::Nmi
            | PanicKind::OutOfMemory
            | PanicKind::PageAllocationFailure
    );
    let raised = matches!(
        event.headline.class,
        Class::Die | Class::Warn | Class::Note | Class::Report
    );
    let before_trace = dump.is_none_or(|dump| dump.before_frame.is_none());
    if !stuck && raised && before_trace {
        FaultRole::Faulted
    } else {
        FaultRole::Interrupted
    }
}

fn fault(event: &Event, dump: Option<&Dump>) -> Option<Fault> {
    let named = event
        .headline
        .place
        .as_ref()
        .filter(|_| event.headline.class == Class::Die);
    let place = dump.and_then(|dump| dump.place.as_ref()).or(named);
    if place.is_none() && dump.is_none() {
        return None;
    }
    let place = place.cloned().unwrap_or_default();
    let mut registers = dump.map(|dump| dump.registers.clone()).unwrap_or_default();
    if registers.contains_key("rsp")
        && let Some(flags) = registers.remove("eflags")
    {
        registers.insert("rflags".to_owned(), flags);
    }
    // Reading the code around RIP may fault by itself and change CR2: the last line has what the exception had.
    if let Some(cr2) = event.last_cr2
        && dump.is_some()
    {
        registers.insert("cr2".to_owned(), VirtAddr(cr2));
    }
    Some(Fault {
        role: role(event, dump),
        symbol: place.symbol,
        offset: place.offset,
        size: place.size,
        module: place.module,
        address: place.address,
        registers,
        code: event.code.clone().filter(|code| code.contains('<') && dump.is_some()),
        instruction: None,
        source: None,
        explanation: None,
    })
}

fn panic(event: &Event, dump: Option<&Dump>) -> Panic {
    let headline = &event.headline;
    let mut panic = panic_of_headline(headline, &event.message);
    panic.fatal = event.fatal.clone();
    if panic.kind == PanicKind::Unknown && headline.class == Class::Die && headline.error_code.is_some() {
        // `Oops: 0000 [#1]` is a page fault's: every other exception has its name before the code.
        panic.kind_source = Some(KindSource::Headline);
        panic.kind = match cr2(event, dump) {
            Some(address) if address.0 < FIRST_PAGE => PanicKind::NullPointerDereference,
            _ => PanicKind::BadPageFault,
        };
    }
    let page_fault = matches!(
        panic.kind,
        PanicKind::NullPointerDereference | PanicKind::BadPageFault | PanicKind::NxExecute
    );
    let x86 = event
        .machine
        .is_none_or(|machine| machine == "x86_64" || machine == "i386");
    if page_fault && x86 && headline.class == Class::Die {
        panic.address = panic.address.or_else(|| cr2(event, dump));
        // arch/x86/include/asm/trap_pf.h: bit 1 write, bit 4 instruction fetch.
        panic.access = panic.access.or(panic.error_code.map(|code| match code {
            code if code & 0x10 != 0 => Access::Exec,
            code if code & 2 != 0 => Access::Write,
            _ => Access::Read,
        }));
    }
    panic
}

fn cr2(event: &Event, dump: Option<&Dump>) -> Option<VirtAddr> {
    event
        .last_cr2
        .map(VirtAddr)
        .or_else(|| dump?.registers.get("cr2").copied())
}

/// The facts of a panic of which only the naming line is known.
pub fn panic_of_headline(headline: &Headline, message: &str) -> Panic {
    Panic {
        message: Some(message.to_owned()).filter(|message| !message.is_empty()),
        kind: headline.kind,
        kind_source: Some(KindSource::Headline).filter(|_| headline.kind != PanicKind::Unknown),
        detector: headline.detector,
        address: headline.address,
        access: headline.access,
        function: headline
            .place
            .as_ref()
            .filter(|_| headline.class != Class::Die)
            .and_then(|place| place.symbol.clone()),
        error_code: headline.error_code,
        fatal: headline.fatal.clone(),
    }
}

fn task(event: &Event, stack: Option<usize>) -> Option<Task> {
    let of_panic = event
        .sections
        .iter()
        .find(|section| section.of_panic && section.task.is_some());
    let own = stack
        .and_then(|at| event.sections.get(at))
        .filter(|section| section.task.is_some());
    let blocked = event.headline.kind == PanicKind::HungTask && event.fatal.is_none();
    let first = event
        .sections
        .iter()
        .find(|section| section.task.is_some() && section.role != Role::History);
    let section = of_panic.or(own).or(first.filter(|_| !blocked));
    let line = section.and_then(|section| section.task.as_ref());
    let mut task = Task::default();
    if let Some(line) = line.filter(|_| !blocked || own.is_some()) {
        task.pid = line.pid;
        task.comm = line.comm.clone();
        task.cpu = line.cpu;
        // The address is of the same task wherever the event prints it under the same pid.
        task.address = section.and_then(|section| section.task_address).or_else(|| {
            event
                .sections
                .iter()
                .find(|other| other.task.as_ref().is_some_and(|other| other.pid == line.pid))
                .and_then(|other| other.task_address)
        });
    } else if let Some((comm, pid)) = &event.headline.task {
        task.comm = Some(comm.clone());
        task.pid = *pid;
    }
    task.cpu = task.cpu.or(event.headline.cpu.filter(|_| !blocked));
    (task != Task::default()).then_some(task)
}
