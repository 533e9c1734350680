//! Which frame of a stack is to blame, and which ones around it tell one crash from another.
//!
//! The rule in short: the first frame, from the place that failed outwards, that is not plumbing. A stuck CPU was stopped
//! at a place of chance, so for it the answer is what it had been told to do.

use super::super::machinery::{Roles, normalise_symbol, roles, unify_syscall};
use super::super::{CrashReport, Detector, FaultRole, Frame, Panic, PanicKind};
use super::DEPTH;

struct Candidate<'a> {
    name: &'a str,
    roles: Roles,
    /// May be blamed, as far as the frame goes: a sure caller, not panic or entry code, not inlined.
    eligible: bool,
}

/// The names that a crash is known by: the blamed function's first.
pub fn names(report: &CrashReport, panic: &Panic) -> Vec<String> {
    if panic.kind == PanicKind::Sysrq {
        // Somebody asked for it: no function is to blame, and all of them are one.
        return Vec::new();
    }
    let frames = report
        .subject
        .as_ref()
        .map_or(&report.frames, |subject| &subject.frames);
    let start = if report.subject.is_some() {
        0
    } else {
        start(report, panic.kind)
    };
    let stack: Vec<Candidate<'_>> = frames.iter().skip(start).filter_map(candidate).collect();
    let past = |candidate: &Candidate<'_>| {
        candidate.eligible
            && !(candidate.roles.plumbing() || (panic.kind == PanicKind::HungTask && candidate.roles.waiting()))
    };

    let named = panic.function.as_deref().map(normalise_symbol);
    let from = named.and_then(|named| {
        stack
            .iter()
            .position(|candidate| candidate.eligible && candidate.name == named)
    });
    let mut blamed = stack
        .iter()
        .enumerate()
        .skip(from.unwrap_or(0))
        .find(|(_, candidate)| past(candidate))
        .map(|(at, _)| at);
    if is_stuck(panic.kind) {
        blamed = told_to(&stack).or(blamed);
    }
    if panic.kind == PanicKind::HungTask {
        blamed = waits_in(&stack).or(blamed);
    }
    // A report that names the very place, where the stack does not show it: it is cut off, or lockdep's own is on top.
    let lock_site = panic.detector == Some(Detector::Lockdep) && panic.kind != PanicKind::RcuUsage;
    let named = named
        .filter(|_| from.is_none() || lock_site)
        .filter(|named| lock_site || !roles(named).plumbing());

    let mut names: Vec<String> = Vec::new();
    let mut push = |name: &str| {
        let name = unify_syscall(name).into_owned();
        if names.last() != Some(&name) && names.len() < DEPTH {
            names.push(name);
        }
    };
    if let Some(named) = named.filter(|_| !is_stuck(panic.kind)) {
        push(named);
        blamed = from.or(blamed);
    } else if blamed.is_none() {
        // Nothing but plumbing: then the plumbing itself, for want of better.
        blamed = stack.iter().position(|candidate| candidate.eligible);
        if let Some(candidate) = blamed.and_then(|at| stack.get(at)) {
            push(candidate.name);
        }
    } else if let Some(candidate) = blamed.and_then(|at| stack.get(at)) {
        push(candidate.name);
    }
    if let Some(blamed) = blamed {
        for candidate in stack.iter().skip(blamed + 1).filter(|candidate| past(candidate)) {
            push(candidate.name);
        }
    }
    names
}

fn candidate(frame: &Frame) -> Option<Candidate<'_>> {
    if !frame.reliable {
        return None;
    }
    let name = normalise_symbol(frame.symbol.as_deref()?);
    let roles = roles(name);
    Some(Candidate {
        name,
        roles,
        eligible: !(frame.machinery || roles.machinery() || frame.inlined),
    })
}

fn is_stuck(kind: PanicKind) -> bool {
    matches!(
        kind,
        PanicKind::SoftLockup | PanicKind::HardLockup | PanicKind::RcuStall | PanicKind::StackOverflow
    )
}

/// Where the failure's own frames begin: what lies above ran because of it.
fn start(report: &CrashReport, kind: PanicKind) -> usize {
    let stopped = report.fault.as_ref().and_then(|fault| {
        report
            .frames
            .iter()
            .position(|frame| frame.interrupted && frame.symbol == fault.symbol && frame.offset == fault.offset)
    });
    let its_own = report
        .fault
        .as_ref()
        .is_some_and(|fault| fault.role == FaultRole::Faulted);
    match stopped {
        Some(stopped) if its_own || is_stuck(kind) => stopped,
        // The watchdog's own interrupt is on top of what it met.
        None if is_stuck(kind) => report.frames.iter().position(is_interrupt_entry).map_or(0, |at| at + 1),
        _ => 0,
    }
}

fn is_interrupt_entry(frame: &Frame) -> bool {
    frame.machinery
        && frame.symbol.as_deref().is_some_and(|symbol| {
            let entry = symbol.starts_with("asm_sysvec_")
                || symbol.ends_with("apic_timer_interrupt")
                    && !symbol.starts_with("smp_")
                    && !symbol.starts_with("local_")
                    && !symbol.contains("sysvec");
            entry
                || matches!(
                    symbol,
                    "el1_irq"
                        | "el1h_64_irq"
                        | "__irq_svc"
                        | "ret_from_intr"
                        | "end_repeat_nmi"
                        | "asm_exc_nmi"
                        | "timer_interrupt"
                        | "decrementer_common"
                )
        })
}

/// What a stuck CPU was doing: the frame before the first anchor. One that waits for the other CPUs is stuck for them.
fn told_to(stack: &[Candidate<'_>]) -> Option<usize> {
    let sure = || stack.iter().enumerate();
    let mut before = None;
    for (at, candidate) in sure() {
        if candidate.name.starts_with("smp_call_function") && !candidate.roles.machinery() {
            return Some(at);
        }
        if candidate.roles.anchor() && before.is_some() {
            return before;
        }
        if candidate.eligible && !candidate.roles.anchor() {
            before = Some(at);
        }
    }
    None
}

/// The lock or the grace period that a blocked task waits for, where that alone says which bucket it belongs to.
fn waits_in(stack: &[Candidate<'_>]) -> Option<usize> {
    stack
        .iter()
        .position(|candidate| candidate.name == "rtnl_lock" || candidate.name.starts_with("synchronize_"))
}
