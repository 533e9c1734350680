//! Which frame of a stack is to blame, and which ones around it tell one crash from another.
//!
//! The rule in short: the first frame, from the place that failed outwards, that is not plumbing. A stuck CPU was stopped
//! at a place of chance, so for it the answer is what it had been told to do.

use super::super::machinery::{Roles, family, normalise_symbol, roles, roles_but_allocating, unify_syscall};
use super::super::{CrashReport, Detector, FaultRole, Frame, Panic, PanicKind};

struct Candidate<'a> {
    name: &'a str,
    roles: Roles,
    /// May be blamed, as far as the frame goes: a sure caller, not panic or entry code, not inlined.
    eligible: bool,
}

/// The names that a crash is known by, at most `depth`: the blamed function's first.
pub fn names(report: &CrashReport, panic: &Panic, depth: usize) -> Vec<String> {
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
        start(report, panic)
    };
    let roles_for = if is_about_allocating(panic.kind) {
        roles
    } else {
        roles_but_allocating
    };
    let guessed = is_guessed(frames);
    let stack: Vec<Candidate<'_>> = frames
        .iter()
        .skip(start)
        .filter(|frame| frame.reliable || guessed)
        .filter_map(|frame| candidate(frame, roles_for))
        .collect();
    let past = |candidate: &Candidate<'_>| candidate.eligible && !is_helper(candidate.roles, panic.kind);

    let said = panic.function.as_deref().map(normalise_symbol);
    let named = said;
    let in_stack = named.and_then(|named| stack.iter().position(|candidate| candidate.name == named));
    // A report that names a helper means whoever called it, which the stack tells.
    let named = named.filter(|named| {
        let roles = roles(named);
        is_canary(panic) || !(roles.machinery() || is_helper(roles, panic.kind))
    });
    // The sanitizers' own code is on top of what they found; lockdep's lock need not be the innermost.
    let from = in_stack.filter(|_| named.is_some() || panic.detector != Some(Detector::Lockdep));

    let walked = || {
        let inner = stack.iter().enumerate().skip(from.unwrap_or(0));
        inner
            .clone()
            .find(|(_, candidate)| past(candidate))
            .or_else(|| behind_helpers(inner))
    };
    let mut blamed = walked().map(|(at, _)| at);
    if is_stuck(panic) {
        blamed = told_to(&stack).or(blamed);
    }
    if panic.kind == PanicKind::HungTask {
        blamed = stack.iter().position(|candidate| candidate.roles.bucket()).or(blamed);
    }

    let mut names: Vec<String> = Vec::new();
    let mut push = |name: &str| {
        let name = family(&unify_syscall(name)).to_owned();
        if names.last() != Some(&name) && names.len() < depth {
            names.push(name);
        }
    };
    match named.filter(|_| !is_stuck(panic)) {
        Some(named) => {
            push(named);
            blamed = in_stack.or(blamed);
        }
        None => {
            // Nothing but plumbing: then the plumbing itself, for want of better.
            blamed = blamed
                .or_else(|| stack.iter().position(|candidate| candidate.eligible))
                .or_else(|| (stopped(report).is_some() && !stack.is_empty()).then_some(0));
            match blamed.and_then(|at| stack.get(at)) {
                Some(candidate) => push(candidate.name),
                // No stack at all: the helper that the report names.
                None => said
                    .into_iter()
                    .filter(|said| !roles(said).machinery())
                    .for_each(&mut push),
            }
        }
    }
    if let Some(blamed) = blamed {
        for candidate in stack.iter().skip(blamed + 1).filter(|candidate| past(candidate)) {
            push(candidate.name);
        }
    }
    names
}

/// Whether a function only does for its caller what the failure is about.
fn is_helper(roles: Roles, kind: PanicKind) -> bool {
    let waits = kind == PanicKind::HungTask && roles.waiting();
    roles.plumbing() || waits || is_about_allocating(kind) && roles.allocating()
}

/// Whether what gets memory is a helper in such a failure.
fn is_about_allocating(kind: PanicKind) -> bool {
    matches!(kind, PanicKind::MemoryLeak | PanicKind::PageAllocationFailure)
}

/// What called the helpers, where that is the way into or out of the kernel.
fn behind_helpers<'a>(inner: impl Iterator<Item = (usize, &'a Candidate<'a>)>) -> Option<(usize, &'a Candidate<'a>)> {
    let mut inner = inner.skip_while(|(_, candidate)| !candidate.eligible);
    inner.find(|(_, candidate)| candidate.roles.machinery() && !candidate.roles.plumbing())
}

/// Whether the unwinder could but guess (CONFIG_UNWINDER_GUESS, 4.9 to 4.13 without frame pointers): it marks every frame
/// as not sure, so that the mark tells nothing.
fn is_guessed(frames: &[Frame]) -> bool {
    const ENOUGH: usize = 4;
    let mut called = frames.iter().filter(|frame| !frame.interrupted).peekable();
    called.peek().is_some() && called.clone().count() >= ENOUGH && called.all(|frame| !frame.reliable)
}

fn candidate(frame: &Frame, roles_for: fn(&str) -> Roles) -> Option<Candidate<'_>> {
    let name = normalise_symbol(frame.symbol.as_deref()?);
    let roles = roles_for(name);
    Some(Candidate {
        name,
        roles,
        eligible: !(frame.machinery || roles.machinery() || frame.inlined),
    })
}

/// Whether the panic is the compiler's check of a function's canary, which names the function itself.
fn is_canary(panic: &Panic) -> bool {
    panic.kind == PanicKind::StackOverflow && (panic.function.is_some() || is_of_canary(panic))
}

fn is_of_canary(panic: &Panic) -> bool {
    let says = |text: &Option<String>| text.as_deref().is_some_and(|text| text.contains("stack is corrupted"));
    says(&panic.message) || says(&panic.fatal)
}

fn is_stuck(panic: &Panic) -> bool {
    match panic.kind {
        PanicKind::SoftLockup | PanicKind::HardLockup | PanicKind::RcuStall => true,
        // A stack is used up by what a CPU was told to do, as a rule: the function that hit the guard is chance.
        PanicKind::StackOverflow => !is_canary(panic),
        _ => false,
    }
}

/// Where the failure's own frames begin: what lies above ran because of it.
fn start(report: &CrashReport, panic: &Panic) -> usize {
    let frames = &report.frames;
    let its_own = report
        .fault
        .as_ref()
        .is_some_and(|fault| fault.role == FaultRole::Faulted);
    match stopped(report) {
        Some(stopped) if its_own || is_stuck(panic) => stopped,
        // The watchdog's own interrupt is on top of what it met.
        None if is_stuck(panic) => below_interrupt(frames),
        _ if is_of_canary(panic) => frames
            .iter()
            .position(|frame| frame.symbol.as_deref() == Some("__stack_chk_fail"))
            .map_or(0, |at| at + 1),
        _ => 0,
    }
}

/// The frame that the exception or interrupt stopped.
fn stopped(report: &CrashReport) -> Option<usize> {
    let fault = report.fault.as_ref()?;
    report
        .frames
        .iter()
        .position(|frame| frame.interrupted && frame.symbol == fault.symbol && frame.offset == fault.offset)
}

/// The first frame that the innermost interrupt met: behind the last of its entry's frames.
fn below_interrupt(frames: &[Frame]) -> usize {
    let Some(entry) = frames.iter().position(is_interrupt_entry) else {
        return 0;
    };
    let more = frames
        .iter()
        .skip(entry)
        .take_while(|frame| is_interrupt_entry(frame))
        .count();
    entry + more
}

fn is_interrupt_entry(frame: &Frame) -> bool {
    let Some(symbol) = frame.symbol.as_deref() else {
        return false;
    };
    symbol.contains("apic_timer_interrupt")
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
                | "handle_riscv_irq"
        )
}

/// What a stuck CPU was doing: the frame before the first anchor. One that waits for the other CPUs is stuck for them.
fn told_to(stack: &[Candidate<'_>]) -> Option<usize> {
    let mut before = None;
    for (at, candidate) in stack.iter().enumerate() {
        if candidate.roles.bucket() {
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
