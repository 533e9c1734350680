//! Failures that constant words name: lines, and the texts of panics.

use aho_corasick::Match;

use crate::crash::Detector;
use crate::crash::PanicKind as Kind;

use super::super::registers::Place;
use super::super::scan;
use super::super::words::Words;
use super::Class::{self, Context, Die, Lockup, Note, Panic, Report, Warn};
use super::{Headline, at_start, is_start, task_tag};

/// Finds all of [`SIMPLE`]'s words in one pass.
static WORDS: Words = Words::new(|| SIMPLE.iter().map(|(needle, ..)| *needle).collect());

/// Where a pattern's text must stand.
#[derive(Clone, Copy, PartialEq)]
pub enum At {
    /// At the start of the message, or behind a `subsystem: ` or `[ `.
    Start,
    /// Anywhere.
    Any,
}

/// Failures that one constant text names. The first that fits counts, so the more telling ones stand first.
#[rustfmt::skip]
pub const SIMPLE: &[(&str, At, Kind, Class, Option<Detector>)] = &[
    ("sysrq: Trigger a crash", At::Any, Kind::Sysrq, Note, None),
    ("SysRq : Trigger a crash", At::Any, Kind::Sysrq, Note, None),
    ("sysrq: SysRq : Trigger a crash", At::Any, Kind::Sysrq, Note, None),
    ("SysRq : Crash", At::Any, Kind::Sysrq, Note, None),
    ("list_add corruption", At::Start, Kind::ListCorruption, Note, Some(Detector::DebugList)),
    ("list_del corruption", At::Start, Kind::ListCorruption, Note, Some(Detector::DebugList)),
    ("list_add double add", At::Start, Kind::ListCorruption, Note, Some(Detector::DebugList)),
    ("refcount_t: ", At::Start, Kind::Refcount, Note, None),
    ("usercopy: ", At::Start, Kind::BadUsercopy, Note, None),
    ("kernel tried to execute NX-protected page", At::Start, Kind::NxExecute, Note, None),
    ("unable to execute userspace code (SMEP?)", At::Start, Kind::NxExecute, Note, None),
    ("BUG: stack guard page was hit", At::Start, Kind::StackOverflow, Die, None),
    ("BUG: TASK stack guard page was hit", At::Start, Kind::StackOverflow, Die, None),
    ("BUG: IRQ stack guard page was hit", At::Start, Kind::StackOverflow, Die, None),
    ("kernel stack overflow", At::Start, Kind::StackOverflow, Die, None),
    ("Kernel stack overflow", At::Start, Kind::StackOverflow, Die, None),
    ("Insufficient stack space to handle exception", At::Start, Kind::StackOverflow, Die, None),
    ("Thread overran stack", At::Start, Kind::StackOverflow, Note, None),
    ("do_IRQ: stack overflow", At::Start, Kind::StackOverflow, Note, None),
    ("kernel BUG at ", At::Any, Kind::Bug, Die, None),
    ("Kernel BUG at ", At::Start, Kind::Bug, Die, None),
    ("Kernel bug detected", At::Start, Kind::Bug, Die, None),
    ("rust_kernel: panicked at", At::Any, Kind::Bug, Note, None),
    ("CFI failure", At::Start, Kind::Bug, Note, None),
    ("PANIC: double fault", At::Start, Kind::DoubleFault, Die, None),
    ("BUG: scheduling while atomic", At::Start, Kind::SchedulingWhileAtomic, Report, None),
    ("bad: scheduling from the idle thread", At::Start, Kind::SchedulingWhileAtomic, Report, None),
    ("BUG: sleeping function called from invalid", At::Start, Kind::LockMisuse, Report, None),
    ("BUG: soft lockup", At::Any, Kind::SoftLockup, Lockup, Some(Detector::Watchdog)),
    ("detected hard LOCKUP", At::Any, Kind::HardLockup, Lockup, Some(Detector::Watchdog)),
    ("Hard LOCKUP", At::Any, Kind::HardLockup, Lockup, Some(Detector::Watchdog)),
    ("NMI Watchdog detected LOCKUP", At::Any, Kind::HardLockup, Lockup, Some(Detector::Watchdog)),
    ("BUG: workqueue lockup", At::Start, Kind::WorkqueueLockup, Lockup, Some(Detector::Watchdog)),
    ("BUG: Bad page state", At::Start, Kind::BadPageState, Report, None),
    ("Bad page state in process", At::Start, Kind::BadPageState, Report, None),
    ("BUG: Bad page map", At::Start, Kind::BadPageState, Report, None),
    ("BUG: Bad page cache", At::Start, Kind::BadPageState, Report, None),
    ("BUG: Bad rss-counter state", At::Start, Kind::BadPageState, Report, None),
    ("BUG: non-zero", At::Start, Kind::BadPageState, Report, None),
    ("BUG: memory leak", At::Start, Kind::MemoryLeak, Report, Some(Detector::Kmemleak)),
    ("unreferenced object 0x", At::Start, Kind::MemoryLeak, Report, Some(Detector::Kmemleak)),
    ("BUG: workqueue leaked", At::Start, Kind::LockMisuse, Report, None),
    ("BUG: spinlock recursion", At::Start, Kind::Deadlock, Report, None),
    ("BUG: spinlock cpu recursion", At::Start, Kind::Deadlock, Report, None),
    ("BUG: spinlock lockup", At::Start, Kind::Deadlock, Report, None),
    ("BUG: rwlock recursion", At::Start, Kind::Deadlock, Report, None),
    ("BUG: rwlock lockup", At::Start, Kind::Deadlock, Report, None),
    ("BUG: spinlock", At::Start, Kind::LockMisuse, Report, None),
    ("BUG: rwlock", At::Start, Kind::LockMisuse, Report, None),
    ("BUG: using ", At::Start, Kind::LockMisuse, Report, None),
    ("BUG: key ", At::Start, Kind::LockMisuse, Report, Some(Detector::Lockdep)),
    ("BUG: looking up invalid subclass", At::Start, Kind::LockMisuse, Report, Some(Detector::Lockdep)),
    ("BUG: MAX_STACK_TRACE_ENTRIES too low", At::Start, Kind::LockMisuse, Report, Some(Detector::Lockdep)),
    ("BUG: Dentry ", At::Start, Kind::Refcount, Report, None),
    ("BUG: MAX_LOCK", At::Start, Kind::LockMisuse, Report, Some(Detector::Lockdep)),
    ("BUG: Invalid wait context", At::Any, Kind::LockMisuse, Warn, Some(Detector::Lockdep)),
    ("INFO: trying to register non-static key", At::Any, Kind::LockMisuse, Warn, Some(Detector::Lockdep)),
    ("possible circular locking dependency detected", At::Any, Kind::Deadlock, Warn, Some(Detector::Lockdep)),
    ("possible recursive locking detected", At::Any, Kind::Deadlock, Warn, Some(Detector::Lockdep)),
    ("possible irq lock inversion dependency detected", At::Any, Kind::Deadlock, Warn, Some(Detector::Lockdep)),
    ("lock order detected", At::Any, Kind::Deadlock, Warn, Some(Detector::Lockdep)),
    ("inconsistent lock state", At::Any, Kind::Deadlock, Warn, Some(Detector::Lockdep)),
    ("bad unlock balance detected", At::Any, Kind::LockMisuse, Warn, Some(Detector::Lockdep)),
    ("bad contention detected", At::Any, Kind::LockMisuse, Warn, Some(Detector::Lockdep)),
    ("held lock freed", At::Any, Kind::LockMisuse, Warn, Some(Detector::Lockdep)),
    ("lock held when returning to user space", At::Any, Kind::LockMisuse, Warn, Some(Detector::Lockdep)),
    ("still has locks held!", At::Any, Kind::LockMisuse, Warn, Some(Detector::Lockdep)),
    ("nested lock was not taken", At::Any, Kind::LockMisuse, Warn, Some(Detector::Lockdep)),
    ("WARNING: Nested lock was not taken", At::Any, Kind::LockMisuse, Warn, Some(Detector::Lockdep)),
    ("suspicious RCU usage", At::Any, Kind::RcuUsage, Warn, Some(Detector::Lockdep)),
    ("suspicious rcu_dereference_check() usage", At::Any, Kind::RcuUsage, Warn, Some(Detector::Lockdep)),
    ("WARNING: kernel stack regs", At::Start, Kind::Warning, Warn, None),
    ("WARNING: kernel stack frame pointer", At::Start, Kind::Warning, Warn, None),
    ("WARNING: zero-size vmalloc", At::Start, Kind::Warning, Warn, None),
    ("slab error in ", At::Start, Kind::OutOfBounds, Report, Some(Detector::Slub)),
    ("Slab corruption", At::Start, Kind::UseAfterFree, Report, Some(Detector::Slub)),
    ("VFS: Close: file count is", At::Start, Kind::UseAfterFree, Report, None),
    ("VFS: Busy inodes after unmount", At::Start, Kind::UseAfterFree, Report, None),
    ("unregister_netdevice: waiting for", At::Start, Kind::Refcount, Report, None),
    ("invoked oom-killer", At::Any, Kind::OutOfMemory, Context, None),
    ("page allocation failure", At::Any, Kind::PageAllocationFailure, Warn, None),
    ("page allocation stalls", At::Any, Kind::PageAllocationFailure, Warn, None),
    ("Uhhuh. NMI received", At::Any, Kind::Nmi, Warn, None),
    ("Unhandled fault: ", At::Start, Kind::BadPageFault, Die, None),
    ("Unhandled prefetch abort: ", At::Start, Kind::BadPageFault, Die, None),
    ("Alignment trap: not handling", At::Start, Kind::FatalException, Die, None),
    ("Bad mode in ", At::Start, Kind::FatalException, Die, None),
    ("SError Interrupt on CPU", At::Start, Kind::MachineCheck, Die, None),
    ("LBUG", At::Any, Kind::Bug, Report, None),
];

/// Words that a panic or a general line holds, where nothing else tells its class.
const PANICS: &[(&str, Kind)] = &[
    ("sysrq triggered crash", Kind::Sysrq),
    ("softlockup: hung tasks", Kind::SoftLockup),
    ("soft lockup", Kind::SoftLockup),
    ("hung_task: blocked tasks", Kind::HungTask),
    ("hard LOCKUP", Kind::HardLockup),
    ("Hard LOCKUP", Kind::HardLockup),
    ("RCU Stall", Kind::RcuStall),
    ("panic_on_warn set", Kind::Warning),
    ("ut of memory", Kind::OutOfMemory),
    ("System is deadlocked on memory", Kind::OutOfMemory),
    ("machine check", Kind::MachineCheck),
    ("Machine check", Kind::MachineCheck),
    ("hardware error", Kind::MachineCheck),
    ("broadcast exception handler", Kind::MachineCheck),
    ("SError", Kind::MachineCheck),
    ("external abort", Kind::MachineCheck),
    ("Unable to mount root fs", Kind::VfsRoot),
    ("No working init found", Kind::VfsRoot),
    ("No init found", Kind::VfsRoot),
    ("Requested init ", Kind::VfsRoot),
    ("Attempted to kill init", Kind::KillInit),
    ("Attempted to kill the idle task", Kind::KillInit),
    ("stack is corrupted", Kind::StackOverflow),
    ("stack end detected", Kind::StackOverflow),
    ("stack overflow", Kind::StackOverflow),
    ("NMI", Kind::Nmi),
    ("nmi", Kind::Nmi),
    ("Fatal exception", Kind::FatalException),
    ("Fatal trap", Kind::FatalException),
    ("killing interrupt handler", Kind::FatalException),
    ("bad mode", Kind::FatalException),
    ("scheduling while atomic", Kind::SchedulingWhileAtomic),
    ("LBUG", Kind::Bug),
    ("BUG!", Kind::Bug),
];

/// The class of a panic by its text.
fn panic_kind(text: &str) -> Kind {
    PANICS
        .iter()
        .find(|(words, _)| text.contains(words))
        .map_or(Kind::ExplicitPanic, |(_, kind)| *kind)
}

pub fn simple(text: &str) -> Option<Headline> {
    let fits = |hit: &Match| {
        SIMPLE
            .get(hit.pattern().as_usize())
            .is_some_and(|(_, at, ..)| *at == At::Any || is_start(text, hit.start()))
    };
    let hits = WORDS.over(text.len()).find_overlapping_iter(text).filter(fits);
    let first = hits.map(|hit| hit.pattern().as_usize()).min()?;
    let (needle, _, kind, class, detector) = SIMPLE.get(first)?;
    let mut headline = Headline::new(*kind, *class);
    headline.detector = *detector;
    match kind {
        Kind::SoftLockup | Kind::HardLockup => {
            // `- CPU#1 stuck for 5s! [labswapd/1:167]`
            headline.cpu = scan::decimal_after(text, "CPU#").or_else(|| scan::decimal_after(text, "on cpu "));
            headline.task = text
                .rsplit_once('[')
                .and_then(|(_, tail)| tail.split_once(']'))
                .and_then(|(tag, _)| task_tag(tag));
        }
        // `LustreError: 2145:0:(api-ni.c:823:lnet_unprepare()) LBUG`: only the report, not a mention.
        Kind::Bug if *needle == "LBUG" && !(text.ends_with("LBUG") || text.contains("LBUG:")) => return None,
        _ => {}
    }
    Some(headline)
}

/// `foo+0x1/0x2 [mod]`, or `foo (lab/lab.c:12) mod` behind a symbolizer.
fn named_place(text: &str) -> Option<Place> {
    if let Some(symbol) = scan::symbol_ref(text) {
        return Some(Place::from(symbol));
    }
    let (symbol, _) = text.split_once(" (")?;
    scan::is_symbol(symbol).then(|| Place {
        symbol: Some(symbol.to_owned()),
        ..Place::default()
    })
}

pub fn panic_line(text: &str) -> Option<Headline> {
    let rest = scan::after(text, "Kernel panic - not syncing")
        .or_else(|| at_start(text, "Kernel panic - "))
        .or_else(|| at_start(text, "Kernel panic: "))?;
    let fatal = rest.trim_start_matches([':', ' ']).trim_end();
    let mut headline = Headline::new(panic_kind(fatal), Panic);
    headline.fatal = Some(fatal.to_owned());
    if matches!(headline.kind, Kind::SoftLockup | Kind::HardLockup | Kind::HungTask) {
        headline.detector = Some(Detector::Watchdog);
    }
    // `stack-protector: Kernel stack is corrupted in: foo+0x1/0x2`
    headline.place = scan::after(fatal, " in: ").and_then(|rest| named_place(rest.trim()));
    headline.weak = matches!(headline.kind, Kind::FatalException);
    Some(headline)
}
