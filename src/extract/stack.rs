//! The panicking task's stack: what memory unwinds to, with the log's trace where memory was lost.

use crate::crash::{
    CrashReport, Fault, FaultRole, Frame, Panic, PanicKind, Registers, Stack, StackSource, Task, machinery,
};
use crate::kernel::stack::notes::Origin;
use crate::kernel::stack::registers::SavedRegisters;
use crate::kernel::stack::unwind::{self, End, Source as WalkSource, Walk};
use crate::kernel::stack::{Hint, Stacks};

/// Completes `report` with the panicking task, its stack, and the registers at the place that was stopped.
pub(super) fn panic_stack(report: &mut CrashReport, stacks: &Stacks<'_>) {
    let logged = report.task.clone().unwrap_or_default();
    let hint = Hint {
        cpu: logged.cpu.and_then(|cpu| u32::try_from(cpu).ok()),
        pid: logged.pid.and_then(|pid| i32::try_from(pid).ok()),
    };
    let found = stacks.panic(hint);
    for remark in found.remarks {
        report.note_missing("stack", remark);
    }
    let Some(cpu) = found.stack else {
        report.note_missing("frames", "nothing in the dump says which CPU panicked");
        return;
    };
    report.task = Some(match &cpu.task {
        Some(running) => {
            let mut task = task(running, Some(cpu.cpu));
            task.state = task.state.map(|state| format!("{state} (PANIC)"));
            // A task that another one reported (a hung task) is not the one that ran.
            Task {
                pid: task.pid.or(logged.pid),
                comm: task.comm.or(logged.comm),
                ..task
            }
        }
        // Its memory is lost: the note of registers, at the front of the dump, still says which it was.
        None => Task {
            pid: logged.pid.or_else(|| {
                let note = cpu.registers.as_ref().filter(|note| note.origin == Origin::Kernel)?;
                u64::try_from(note.pid?).ok()
            }),
            cpu: logged.cpu.or(Some(u64::from(cpu.cpu))),
            ..logged
        },
    });
    let Some(walk) = &cpu.walk else {
        report.note_missing(
            "frames",
            format!("no place to start CPU {}'s stack from is known", cpu.cpu),
        );
        return;
    };
    let mut unwound = frames(walk, stacks);
    let by_chance = walk.source == WalkSource::Scan;
    if unwound.iter().all(|frame| frame.symbol.is_none()) || (by_chance && !report.frames.is_empty()) {
        return;
    }
    let logged = std::mem::take(&mut report.frames);
    let fault = report.fault.take();
    let stopped = stopped(walk);
    if let (Some(fault), Some((_, saved))) = (&fault, stopped)
        && is_same_event(fault, saved)
    {
        name_stopped(&mut unwound, fault);
    }
    report.fault = merged_fault(report, fault, stopped, &unwound);
    let mut given = given(walk);
    if let End::Broken(why) = &walk.end {
        let lost = format!("the stack could not be followed to its end: {why}");
        match continued(&unwound, &logged) {
            Some(frames) => {
                unwound = frames;
                given = Stack {
                    source: StackSource::Log,
                    complete: report.stack.as_ref().is_some_and(|stack| stack.complete),
                };
                report.note_missing("stack", format!("{lost}; from there on the frames are the log's"));
            }
            None => report.note_missing("stack", lost),
        }
    }
    report.stack = Some(given);
    report.frames = unwound;
}

/// The innermost kernel place that an exception or interrupt stopped, and what it saved.
fn stopped(walk: &Walk) -> Option<(&unwind::Frame, &SavedRegisters)> {
    walk.frames
        .iter()
        .filter_map(|frame| Some((frame, frame.saved.as_deref()?)))
        .find(|(_, saved)| !saved.user_mode())
}

/// Whether the log's fault and the saved registers are of one event: no two stop at one stack pointer.
fn is_same_event(logged: &Fault, saved: &SavedRegisters) -> bool {
    let logged = logged.registers.get("rsp");
    logged.is_some()
        && logged
            == saved
                .iter()
                .find(|(name, _)| *name == "rsp")
                .map(|(_, value)| value)
                .as_ref()
}

/// Gives the stopped place the log's name where memory has lost the symbol (a module's, cut off or filtered).
fn name_stopped(unwound: &mut [Frame], logged: &Fault) {
    if let Some(frame) = unwound.iter_mut().find(|frame| frame.interrupted)
        && frame.symbol.is_none()
    {
        frame.symbol.clone_from(&logged.symbol);
        frame.offset = logged.offset;
        frame.size = logged.size;
        frame.module.clone_from(&logged.module);
    }
}

/// The stopped place with its registers: memory's, completed from the log's.
fn merged_fault(
    report: &mut CrashReport,
    logged: Option<Fault>,
    stopped: Option<(&unwind::Frame, &SavedRegisters)>,
    unwound: &[Frame],
) -> Option<Fault> {
    let Some((stopped, saved)) = stopped else {
        return logged;
    };
    let place = unwound
        .iter()
        .find(|frame| frame.interrupted && frame.address == Some(stopped.address))
        .cloned()
        .unwrap_or_default();
    if let Some(logged) = &logged
        && let (Some(symbol), Some(offset)) = (&logged.symbol, logged.offset)
        && let (Some(unwound), Some(at)) = (&place.symbol, place.offset)
        && (symbol != unwound || offset != at)
    {
        report.note_missing(
            "fault",
            format!("the log stopped at {symbol}+{offset:#x}, the stack at {unwound}+{at:#x}: the stack is given"),
        );
    }
    let role = logged
        .as_ref()
        .map_or_else(|| role(report.panic.as_ref()), |fault| fault.role);
    // The log knows what pt_regs does not hold: cr2, cr3, the segments.
    let (mut registers, code) =
        logged.map_or_else(|| (Registers::default(), None), |fault| (fault.registers, fault.code));
    registers.extend(saved.iter().map(|(name, value)| (name.to_owned(), value)));
    Some(Fault {
        role,
        symbol: place.symbol,
        offset: place.offset,
        size: place.size,
        module: place.module,
        address: Some(stopped.address),
        registers,
        code,
        instruction: None,
        source: None,
        explanation: None,
    })
}

/// `unwound` as far as it is sure, then the log's frames from the same place on; none when the log does not hold that
/// place or knows nothing beyond it.
fn continued(unwound: &[Frame], logged: &[Frame]) -> Option<Vec<Frame>> {
    let is_same = |a: &Frame, b: &Frame| a.symbol.is_some() && a.symbol == b.symbol && a.offset == b.offset;
    let last = unwound.iter().rposition(|frame| frame.reliable)?;
    let (sure, found) = unwound.split_at_checked(last.checked_add(1)?)?;
    // The log's own guesses come before what it is sure of.
    let last = sure.last()?;
    let at = logged
        .iter()
        .rposition(|frame| frame.reliable && is_same(frame, last))
        .or_else(|| logged.iter().position(|frame| is_same(frame, last)))?;
    let beyond = logged.get(at.checked_add(1)?..)?;
    if !beyond.iter().any(|frame| frame.reliable) {
        return None;
    }
    let mut frames = sure.to_vec();
    frames.extend(beyond.iter().map(|frame| {
        // What a scan came across has the addresses that the log leaves out.
        let scanned = found.iter().find(|scanned| is_same(scanned, frame));
        Frame {
            address: frame.address.or(scanned.and_then(|scanned| scanned.address)),
            stack_address: frame
                .stack_address
                .or(scanned.and_then(|scanned| scanned.stack_address)),
            ..frame.clone()
        }
    }));
    Some(frames)
}

/// Whether a stopped place is to blame, by the class of failure.
fn role(panic: Option<&Panic>) -> FaultRole {
    match panic.map(|panic| panic.kind) {
        Some(
            PanicKind::SoftLockup
            | PanicKind::HardLockup
            | PanicKind::RcuStall
            | PanicKind::HungTask
            | PanicKind::Nmi
            | PanicKind::MachineCheck
            | PanicKind::OutOfMemory
            | PanicKind::PageAllocationFailure
            | PanicKind::Sysrq
            | PanicKind::WorkqueueLockup
            | PanicKind::ExplicitPanic,
        ) => FaultRole::Interrupted,
        _ => FaultRole::Faulted,
    }
}

/// How a walk's frames were had.
pub(super) fn given(walk: &Walk) -> Stack {
    Stack {
        source: match walk.source {
            WalkSource::Orc | WalkSource::FramePointers => StackSource::Unwound,
            WalkSource::Scan => StackSource::Scan,
        },
        complete: walk.complete(),
    }
}

/// The record's frames of a walk: the kernel's part.
pub(super) fn frames(walk: &Walk, stacks: &Stacks<'_>) -> Vec<Frame> {
    walk.frames
        .iter()
        .filter(|frame| frame.saved.as_ref().is_none_or(|saved| !saved.user_mode()))
        .map(|frame| {
            let place = stacks.place(frame);
            let name = place.as_ref().map(|place| place.name.as_str()).unwrap_or_default();
            let interrupted = frame.saved.is_some();
            Frame {
                offset: place.as_ref().map(|place| place.offset),
                size: place.as_ref().map(|place| place.size),
                module: place
                    .as_ref()
                    .and_then(|place| place.module.as_ref())
                    .map(ToString::to_string),
                address: Some(frame.address),
                stack_address: frame.stack_address,
                interrupted,
                machinery: !interrupted && machinery::is_machinery(name),
                reliable: frame.reliable,
                symbol: place.map(|place| place.name),
                ..Frame::default()
            }
        })
        .collect()
}

/// The record's task.
pub(super) fn task(task: &crate::kernel::stack::tasks::Task, cpu: Option<u32>) -> Task {
    Task {
        pid: task.pid.and_then(|pid| u64::try_from(pid).ok()),
        comm: task.comm.clone(),
        cpu: cpu.map(u64::from),
        address: Some(task.address),
        state: task.state.map(state),
    }
}

/// A task's state as `crash` words it; the bits are those of include/linux/sched.h since 4.2.
fn state(state: u64) -> String {
    const NAMES: [(u64, &str); 8] = [
        (0x1, "TASK_INTERRUPTIBLE"),
        (0x2, "TASK_UNINTERRUPTIBLE"),
        (0x4, "TASK_STOPPED"),
        (0x8, "TASK_TRACED"),
        (0x40, "TASK_PARKED"),
        (0x80, "TASK_DEAD"),
        (0x100, "TASK_WAKEKILL"),
        (0x400, "TASK_NOLOAD"),
    ];
    if state == 0 {
        return "TASK_RUNNING".to_owned();
    }
    let names: Vec<&str> = NAMES
        .iter()
        .filter(|(bit, _)| state & bit != 0)
        .map(|(_, name)| *name)
        .collect();
    if names.is_empty() {
        format!("{state:#x}")
    } else {
        names.join("|")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::VirtAddr;

    fn frame(symbol: &str, offset: u64, reliable: bool) -> Frame {
        Frame {
            symbol: Some(symbol.to_owned()),
            offset: Some(offset),
            reliable,
            ..Frame::default()
        }
    }

    #[test]
    fn the_log_goes_on_where_unwinding_stopped() {
        let unwound = [
            frame("oops_end", 1, true),
            frame("crashed", 2, true),
            Frame {
                address: Some(VirtAddr(0x42)),
                ..frame("outer", 4, false)
            },
        ];
        let logged = [
            frame("crashed", 2, true),
            frame("caller", 3, true),
            frame("outer", 4, true),
        ];
        let frames = continued(&unwound, &logged).unwrap();
        let names: Vec<_> = frames.iter().filter_map(|frame| frame.symbol.as_deref()).collect();
        assert_eq!(names, ["oops_end", "crashed", "caller", "outer"]);
        assert!(frames.iter().all(|frame| frame.reliable));
        assert_eq!(frames.last().unwrap().address, Some(VirtAddr(0x42)));
    }

    #[test]
    fn a_guess_of_the_log_is_not_where_it_goes_on() {
        let unwound = [frame("smashed", 2, true), frame("outer", 4, false)];
        let logged = [
            frame("smashed", 2, false),
            frame("__stack_chk_fail", 1, true),
            frame("smashed", 2, true),
            frame("outer", 4, false),
        ];
        assert_eq!(continued(&unwound, &logged), None);
    }

    #[test]
    fn a_log_of_something_else_adds_nothing() {
        let unwound = [frame("crashed", 2, true), frame("outer", 4, false)];
        assert_eq!(
            continued(&unwound, &[frame("crashed", 9, true), frame("x", 1, true)]),
            None
        );
        assert_eq!(continued(&unwound, &[frame("crashed", 2, true)]), None);
    }
}
