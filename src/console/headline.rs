//! Lines that name a failure → its class, who noticed it, and what the line itself says of it.
//!
//! It must not know what stands before or after a line; [`super::event`] puts lines together.

use std::sync::LazyLock;

use regex::Regex;

use crate::addr::VirtAddr;
use crate::crash::{Access, Detector, PanicKind};

use super::registers::Place;
use super::scan;

/// How bad a line is by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Recorded as context, never the crash: the machine goes on as designed (a corrected hardware error, an OOM kill).
    Context,
    /// Says more about the failure whose own line comes right after it (`list_add corruption` before `kernel BUG`).
    Note,
    /// A warning: the machine lives on unless it was told not to.
    Warn,
    /// Something is stuck; others may live on.
    Lockup,
    /// Memory is damaged or a rule was broken; the machine lives on, not for long.
    Report,
    /// An oops: the task dies, the machine often too.
    Die,
    /// `panic()`: the machine is dead.
    Panic,
}

/// What a line that names a failure says.
#[derive(Clone, Debug, PartialEq)]
pub struct Headline {
    /// The class of failure.
    pub kind: PanicKind,
    /// How bad it is by itself.
    pub class: Class,
    /// Who noticed it.
    pub detector: Option<Detector>,
    /// The address whose access failed.
    pub address: Option<VirtAddr>,
    /// How it was accessed.
    pub access: Option<Access>,
    /// The exception's error code.
    pub error_code: Option<u64>,
    /// The place that the line names.
    pub place: Option<Place>,
    /// The task that the line is about, where that need not be the one that printed it: name and pid.
    pub task: Option<(String, Option<u64>)>,
    /// The CPU that the line is about.
    pub cpu: Option<u64>,
    /// The text after `Kernel panic - not syncing: `.
    pub fatal: Option<String>,
    /// Another line of the same event is likely to tell more (`Oops: 0002 [#1] SMP`, `invalid opcode`).
    pub weak: bool,
}

impl Headline {
    fn new(kind: PanicKind, class: Class) -> Self {
        Headline {
            kind,
            class,
            detector: None,
            address: None,
            access: None,
            error_code: None,
            place: None,
            task: None,
            cpu: None,
            fatal: None,
            weak: false,
        }
    }

    fn by(mut self, detector: Detector) -> Self {
        self.detector = Some(detector);
        self
    }
}

/// What any line of interest must hold, for one fast pass over a text. Kept short and few: a miss here is a miss.
#[rustfmt::skip]
const TRIGGERS: &[&str] = &[
    // Failures.
    "BUG", "anic", "PANIC", "nable to handle", "general protection", "[#", "double fault", "Internal error",
    "Unhandled", "Alignment trap", "Bad mode in", "SError", "WARNING: ", "INFO: ", "corruption",
    "list_add double", "refcount_t: ", "usercopy: ", "tried to execute", "to execute userspace", "SysRq",
    "sysrq", "VFS: Close: ", "VFS: Busy ", "unregister_netdevice: ", "UBSAN: ", "slab error",
    "nreferenced object", "Bad page", "scheduling from", "lock order detected", "locks held!", "LOCKUP",
    "oom-killer", "allocation failure", "allocation stalls", "Machine Check", "Hardware Error", "NMI received",
    "VERIFY", "ASSERT", "ssertion failed", "stack overflow", "Insufficient stack", "overran stack",
    "CFI failure", "Kernel bug", " blocked for more than ",
    // What is left of an oops whose headline is cut off.
    "RIP: 0010", "RIP: e030", "RIP  [<", "EIP is at", "EIP: 0060", "IP: [<", "Call Trace", "Call trace",
    "PC is at", "pc : ", "NIP [", "Krnl PSW", "epc : ", "Comm: ",
    // Facts of the boot.
    "Linux version ", "ommand line: ", "Brought up ", "-- Reboot --", "-- Boot ",
];

/// Finds the lines that may matter.
pub static PREFILTER: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = TRIGGERS
        .iter()
        .map(|text| regex::escape(text))
        .collect::<Vec<_>>()
        .join("|");
    // Escaped literals: the pattern is valid. Matching nothing would be the failure, and every test's.
    Regex::new(&pattern).unwrap_or_else(|_| never())
});

fn never() -> Regex {
    Regex::new("$^").unwrap_or_else(|_| unreachable!("a constant pattern"))
}

use Class::{Context, Die, Lockup, Note, Panic, Report, Warn};
use PanicKind as Kind;

/// Where a pattern's text must stand.
#[derive(Clone, Copy, PartialEq)]
enum At {
    /// At the start of the message, or behind a `subsystem: ` or `[ `.
    Start,
    /// Anywhere.
    Any,
}

/// Failures that one constant text names. The first that fits counts, so the more telling ones stand first.
#[rustfmt::skip]
const SIMPLE: &[(&str, At, Kind, Class, Option<Detector>)] = &[
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

/// Reads a message as the line that names a failure; `None` when it names none.
pub fn classify(body: &str) -> Option<Headline> {
    let text = body.trim();
    if !PREFILTER.is_match(text) || harmless(text) {
        return None;
    }
    panic_line(text)
        .or_else(|| sanitizer(text))
        .or_else(|| page_fault(text))
        .or_else(|| exception(text))
        .or_else(|| simple(text))
        .or_else(|| warning(text))
        .or_else(|| stuck(text))
        .or_else(|| slub(text))
        .or_else(|| hardware(text))
        .or_else(|| assertion(text))
        .or_else(|| oops(text))
        .or_else(|| other_bug(text))
}

/// Lines that hold the words and mean nothing.
fn harmless(text: &str) -> bool {
    const WORDS: [&str; 16] = [
        "DEBUG:",
        "Boot_DEBUG",
        "INFO: lockdep is turned off",
        "INFO: Stall ended before state dump start",
        "INFO: NMI handler",
        "too long to run",
        "INFO: recovery required",
        "Command line:",
        "command line:",
        "BUG: arch topology borken",
        "Machine check events logged",
        "This is not a bug",
        "end Kernel panic",
        "Rebooting in",
        "oops=panic",
        "INFO: task hung in",
    ];
    WORDS.iter().any(|word| text.contains(word))
}

/// What follows `needle`, where that stands at the start of the message, or behind at most a few words that end in `: `,
/// in `[ ` or in `] `.
fn at_start<'a>(text: &'a str, needle: &str) -> Option<&'a str> {
    const REACH: usize = 40;
    if let Some(rest) = text.strip_prefix(needle) {
        return Some(rest);
    }
    let first = *needle.as_bytes().first()?;
    let window = text.as_bytes().get(..text.len().min(REACH + 1))?;
    window
        .windows(3)
        .enumerate()
        .filter(|(_, bytes)| matches!(bytes, [b':' | b'[' | b']', b' ', byte] if *byte == first))
        .find_map(|(at, _)| text.get(at + 2..)?.strip_prefix(needle))
}

fn simple(text: &str) -> Option<Headline> {
    let (needle, _, kind, class, detector) = SIMPLE.iter().find(|(needle, at, ..)| match at {
        At::Start => at_start(text, needle).is_some(),
        At::Any => text.contains(needle),
    })?;
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

/// `labswapd/1:167` → name and pid.
fn task_tag(tag: &str) -> Option<(String, Option<u64>)> {
    let (name, pid) = tag.rsplit_once(':')?;
    Some((name.to_owned(), pid.trim().parse().ok()))
}

fn panic_line(text: &str) -> Option<Headline> {
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
    headline.place = scan::after(fatal, " in: ")
        .and_then(|rest| scan::symbol_ref(rest.trim()))
        .map(Place::from);
    headline.weak = matches!(headline.kind, Kind::FatalException);
    Some(headline)
}

fn sanitizer(text: &str) -> Option<Headline> {
    if let Some(rest) = at_start(text, "BUG: KASAN: ") {
        let what = rest.split(" in ").next().unwrap_or(rest);
        let kind = match what {
            _ if what.contains("null-ptr-deref") => Kind::NullPointerDereference,
            _ if what.contains("user-memory-access") || what.contains("wild-memory-access") => Kind::BadPageFault,
            _ if what.contains("use-after") || what.contains("free") => Kind::UseAfterFree,
            // A pointer's tag that is not the memory's: outside of the object, in space or in time.
            _ if what.contains("invalid-access") => Kind::OutOfBounds,
            _ => Kind::OutOfBounds,
        };
        return Some(in_function(Headline::new(kind, Report).by(Detector::Kasan), rest));
    }
    if let Some(rest) = at_start(text, "BUG: KFENCE: ") {
        let what = rest.split(" in ").next().unwrap_or(rest);
        let kind = match what {
            _ if what.contains("use-after-free") || what.contains("invalid free") => Kind::UseAfterFree,
            _ if what.contains("invalid") => Kind::BadPageFault,
            _ => Kind::OutOfBounds,
        };
        let mut headline = Headline::new(kind, Report).by(Detector::Kfence);
        headline.access = access_word(what);
        return Some(in_function(headline, rest));
    }
    if let Some(rest) = at_start(text, "BUG: KMSAN: ") {
        let kind = if rest.starts_with("use-after-free") {
            Kind::UseAfterFree
        } else {
            Kind::UninitialisedValue
        };
        return Some(in_function(Headline::new(kind, Report).by(Detector::Kmsan), rest));
    }
    if let Some(rest) = at_start(text, "BUG: KCSAN: ") {
        return Some(in_function(
            Headline::new(Kind::DataRace, Report).by(Detector::Kcsan),
            rest,
        ));
    }
    if let Some(rest) = at_start(text, "UBSAN: ") {
        let kind = if rest.contains("array-index")
            || rest.contains("object-size")
            || rest.contains("out-of-bounds") && !rest.contains("shift")
        {
            Kind::OutOfBounds
        } else if rest.contains("division") {
            Kind::DivideError
        } else {
            Kind::Warning
        };
        return Some(Headline::new(kind, Warn).by(Detector::Ubsan));
    }
    None
}

fn in_function(mut headline: Headline, rest: &str) -> Headline {
    let place = scan::after(rest, " in ").unwrap_or_default();
    headline.place = scan::symbol_ref(place).map(Place::from);
    if headline.place.is_none() {
        // `in consume_skb at addr ffff…` (old), `in tcp_foo / tcp_bar`
        let name = place.split([' ', '/']).next().unwrap_or_default();
        if scan::is_symbol(name) {
            headline.place = Some(Place {
                symbol: Some(name.to_owned()),
                ..Place::default()
            });
        }
    }
    headline.address = scan::after(rest, "at addr ")
        .and_then(scan::leading_hex)
        .map(|(address, _)| VirtAddr(address));
    headline
}

fn access_word(text: &str) -> Option<Access> {
    if text.contains("write") || text.contains("Write") {
        Some(Access::Write)
    } else if text.contains("read") || text.contains("Read") {
        Some(Access::Read)
    } else if text.contains("exec") || text.contains("instruction fetch") {
        Some(Access::Exec)
    } else {
        None
    }
}

/// An access to memory that could not be met, in the words of every machine.
fn page_fault(text: &str) -> Option<Headline> {
    let at = text
        .find("nable to handle ")
        .or_else(|| text.find("ernel NULL pointer dereference"))?;
    let before = text.get(..at)?;
    if before.len() > 60 {
        return None;
    }
    let rest = text.get(at..)?;
    let mut headline = Headline::new(Kind::BadPageFault, Die);
    headline.address = fault_address(rest);
    if rest.contains("NULL pointer dereference") {
        headline.kind = Kind::NullPointerDereference;
    } else if rest.contains("execut") {
        headline.kind = Kind::NxExecute;
        headline.access = Some(Access::Exec);
    } else if rest.contains("kernel") && headline.address.is_some_and(|address| address.0 < 4096) {
        // powerpc and others print the address and leave it at that.
        headline.kind = Kind::NullPointerDereference;
    }
    if rest.contains(" on read ") || rest.contains(" on write ") || rest.contains("instruction fetch") {
        headline.access = access_word(rest);
    }
    let kernel = rest.contains("kernel")
        || rest.contains("page fault")
        || rest.contains("NULL pointer")
        || before.ends_with('K')
        || before.ends_with('k');
    kernel.then_some(headline)
}

/// The address in `… at 0000000000000008`, `… address: (null)`, `… virtual address 0000000000000010`.
fn fault_address(text: &str) -> Option<VirtAddr> {
    for label in ["address: ", "virtual address ", " address ", " at "] {
        let Some(rest) = scan::after(text, label) else { continue };
        let rest = rest.trim_start();
        if rest.starts_with("(null)") || rest.starts_with("<null>") {
            return Some(VirtAddr(0));
        }
        if let Some((address, _)) = scan::leading_hex(rest)
            && rest.len() >= 4
        {
            return Some(VirtAddr(address));
        }
    }
    None
}

/// `general protection fault: 0000 [#1] SMP` and the other exceptions that the processor names.
fn exception(text: &str) -> Option<Headline> {
    const NAMES: [(&str, Kind, bool); 14] = [
        ("general protection fault", Kind::GeneralProtection, false),
        ("invalid opcode", Kind::InvalidOpcode, true),
        ("divide error", Kind::DivideError, false),
        ("double fault", Kind::DoubleFault, false),
        ("stack segment", Kind::GeneralProtection, false),
        ("segment not present", Kind::GeneralProtection, false),
        ("invalid TSS", Kind::GeneralProtection, false),
        ("int3", Kind::FatalException, false),
        ("alignment check", Kind::FatalException, false),
        ("illegal operation", Kind::InvalidOpcode, true),
        ("addressing exception", Kind::BadPageFault, false),
        ("specification exception", Kind::FatalException, false),
        ("monitor event", Kind::Bug, true),
        ("control protection", Kind::FatalException, false),
    ];
    let spelled = text.replace('_', " ");
    let bare = spelled.strip_prefix("Oops: ").unwrap_or(&spelled);
    let (name, kind, weak) = NAMES
        .iter()
        .find(|(name, ..)| at_start(bare, name).is_some() || (bare.contains(name) && bare.contains("[#")))?;
    let rest = scan::after(bare, name)?;
    // The error code or the kernel's explanation follows; a mere mention has neither.
    let (number, _) = rest.rsplit_once(" [#").unwrap_or((rest, ""));
    let code = number.rsplit(' ').next().and_then(scan::bare_hex);
    let named_an_oops = bare.len() < spelled.len() && (rest.is_empty() || rest.starts_with(" [#"));
    let told =
        rest.starts_with(": ") || rest.starts_with(", ") || rest == "," || rest.starts_with(':') && text.contains("[#");
    if !(told || named_an_oops) {
        return None;
    }
    // `traps: foo[12] general protection ip:… sp:…` is a program's, not the kernel's.
    if rest.contains(" ip:") {
        return None;
    }
    let mut headline = Headline::new(*kind, Die);
    headline.weak = *weak;
    headline.error_code = code.filter(|_| text.contains("[#"));
    headline.address = scan::after(rest, "non-canonical address ")
        .and_then(scan::leading_hex)
        .map(|(address, _)| VirtAddr(address));
    Some(headline)
}

fn warning(text: &str) -> Option<Headline> {
    let rest = at_start(text, "WARNING: ")?;
    // `CPU: 0 PID: 1 at file:line func+…` (3.10+), `at file:line func()` (before), `file:line at func+…, CPU#0: …` (6.18+).
    let about = if rest.starts_with("CPU: ") {
        scan::after(rest, " at ").unwrap_or(rest)
    } else if let Some(rest) = rest.strip_prefix("at ") {
        rest
    } else {
        let (place, _) = rest.split_once(" at ")?;
        let (file, number) = place.rsplit_once(':')?;
        if !file.contains(['.', '/']) || number.parse::<u32>().is_err() {
            return None;
        }
        rest
    };
    let mut headline = Headline::new(Kind::Warning, Warn);
    let file = about.split(':').next().unwrap_or_default();
    if file.ends_with("lib/refcount.c") {
        headline.kind = Kind::Refcount;
    } else if file.ends_with("lib/list_debug.c") {
        headline.kind = Kind::ListCorruption;
        headline.detector = Some(Detector::DebugList);
    } else if file.ends_with("lockdep.c") {
        headline.kind = Kind::LockMisuse;
        headline.detector = Some(Detector::Lockdep);
    } else if file.ends_with("lib/debugobjects.c") {
        headline.detector = Some(Detector::DebugObjects);
    }
    let symbol = about.split_ascii_whitespace().find_map(scan::symbol_ref);
    headline.place = symbol.map(Place::from);
    if let Some(place) = &mut headline.place {
        place.module = scan::between(about, " [", "]")
            .filter(|module| scan::is_module(module))
            .map(str::to_owned);
    }
    headline.cpu = scan::decimal_after(text, "CPU: ").or_else(|| scan::decimal_after(text, "CPU#"));
    Some(headline)
}

/// RCU stalls and hung tasks.
fn stuck(text: &str) -> Option<Headline> {
    // A task may have given itself a name with a line feed in it.
    if let Some((name, rest)) = text.split_once(" blocked for more than ")
        && !text.contains("INFO: ")
        && rest.contains(" seconds")
        && let Some(task) = task_tag(name).filter(|(_, pid)| pid.is_some())
    {
        let mut headline = Headline::new(Kind::HungTask, Lockup).by(Detector::Watchdog);
        headline.task = Some(task);
        return Some(headline);
    }
    let rest = at_start(text, "INFO: ")?;
    if rest.starts_with("rcu") && rest.contains("stall") {
        return Some(Headline::new(Kind::RcuStall, Lockup));
    }
    if let Some(task) = rest.strip_prefix("task ")
        && let Some(end) = [
            " blocked for more than",
            " blocked in I/O wait",
            " blocked on",
            " can't die",
        ]
        .iter()
        .find_map(|words| task.find(words))
    {
        let mut headline = Headline::new(Kind::HungTask, Lockup).by(Detector::Watchdog);
        headline.task = task.get(..end).and_then(task_tag);
        return Some(headline);
    }
    None
}

/// `BUG kmalloc-64 (Tainted: G    B): Redzone overwritten`
fn slub(text: &str) -> Option<Headline> {
    let rest = text.strip_prefix("BUG ")?;
    let (cache, rest) = rest.split_once(" (")?;
    let (_, what) = rest.split_once("): ")?;
    if cache.contains(' ') || what.contains("kasan: bad access") {
        return None;
    }
    let kind = if what.contains("edzone") || what.contains("padding") || what.contains("Left Redzone") {
        Kind::OutOfBounds
    } else {
        Kind::UseAfterFree
    };
    Some(Headline::new(kind, Report).by(Detector::Slub))
}

fn hardware(text: &str) -> Option<Headline> {
    if !(text.contains("[Hardware Error]") || text.contains("Machine Check Exception")) {
        return None;
    }
    let bad = text.contains("Machine Check")
        || text.contains("severity: fatal")
        || text.contains("Uncorrected") && !text.contains("no action");
    Some(Headline::new(Kind::MachineCheck, if bad { Warn } else { Context }))
}

/// Checks that drivers and file systems make by themselves.
fn assertion(text: &str) -> Option<Headline> {
    let checked = text.starts_with("VERIFY") || text.contains("ASSERTION(") || text.contains("ASSERT(");
    let hit = (checked && text.contains("failed"))
        || text.contains("ssertion failed")
        || text.starts_with("PANIC at ")
        || text.contains("SPL PANIC")
        || text.starts_with("PANIC: ");
    hit.then(|| Headline::new(Kind::Bug, Report))
}

/// `Oops: 0002 [#1] SMP`, `Internal error: Oops: 96000004 [#1] SMP`, and whatever else has the die counter.
fn oops(text: &str) -> Option<Headline> {
    let counter = text.find("[#")?;
    let digits = scan::leading_decimal(text.get(counter + 2..)?)?;
    if !digits.1.starts_with(']') || counter > 140 {
        return None;
    }
    let mut headline = Headline::new(Kind::Unknown, Die);
    headline.weak = true;
    if let Some(rest) = text.strip_prefix("Internal error: ") {
        headline.kind = if rest.contains("Oops - BUG") {
            Kind::Bug
        } else if rest.contains("ndefined instruction") {
            Kind::InvalidOpcode
        } else if rest.contains("external abort") || rest.contains("SError") {
            Kind::MachineCheck
        } else if rest.starts_with("Oops: ") || rest.contains("user space memory") {
            Kind::BadPageFault
        } else if rest.contains("stack overflow") {
            Kind::StackOverflow
        } else {
            Kind::FatalException
        };
        headline.error_code = rest
            .rsplit(": ")
            .next()
            .and_then(scan::leading_hex)
            .map(|(code, _)| code);
        return Some(headline);
    }
    if let Some(rest) = scan::after(text, "Oops: ") {
        match scan::leading_hex(rest) {
            // x86: four digits. s390 prints its own code with `ilc:`.
            Some((code, after)) if after.starts_with(" [#") => headline.error_code = Some(code),
            _ if rest.contains("access of bad area") => headline.kind = Kind::BadPageFault,
            _ if rest.contains("Machine check") => headline.kind = Kind::MachineCheck,
            _ if rest.contains("Exception in kernel mode") => headline.kind = Kind::FatalException,
            _ => {}
        }
        return Some(headline);
    }
    if text.contains("Oops") || text.contains("BUG") {
        if text.contains("BUG") {
            headline.kind = Kind::Bug;
        } else if text.contains("illegal instruction") {
            headline.kind = Kind::InvalidOpcode;
        } else if text.contains("access fault") {
            headline.kind = Kind::BadPageFault;
        }
        return Some(headline);
    }
    // `dividezero: 0000 [#1]`, `Unhandled kernel unaligned access[#1]:` and the like.
    let sound = text
        .get(..counter)?
        .trim_end()
        .ends_with(|c: char| c.is_ascii_hexdigit() || c.is_alphabetic());
    headline.kind = Kind::FatalException;
    sound.then_some(headline)
}

/// `BUG: …` that nothing above knows.
fn other_bug(text: &str) -> Option<Headline> {
    let rest = at_start(text, "BUG: ")?;
    (!rest.is_empty()).then(|| Headline::new(Kind::Bug, Report))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_age_names_a_null_pointer() {
        for (text, address) in [
            (
                "BUG: kernel NULL pointer dereference, address: 0000000000000008",
                Some(8),
            ),
            (
                "BUG: unable to handle kernel NULL pointer dereference at 0000000000000008",
                Some(8),
            ),
            (
                "BUG: unable to handle kernel NULL pointer dereference at           (null)",
                Some(0),
            ),
            (
                "Unable to handle kernel NULL pointer dereference at virtual address 0000000000000008",
                Some(8),
            ),
            (
                "Unable to handle kernel paging request for data at address 0x00000008",
                Some(8),
            ),
            ("BUG: Kernel NULL pointer dereference on read at 0x00000008", Some(8)),
            ("Unable to handle kernel NULL pointer dereference", None),
        ] {
            let headline = classify(text).unwrap_or_else(|| panic!("nothing in {text:?}"));
            assert_eq!(headline.kind, Kind::NullPointerDereference, "{text}");
            assert_eq!(headline.address.map(|address| address.0), address, "{text}");
        }
    }

    #[test]
    fn kinds_follow_the_kernels_words() {
        for (text, kind) in [
            (
                "BUG: unable to handle page fault for address: ffffffffdeadbeef",
                Kind::BadPageFault,
            ),
            (
                "BUG: unable to handle kernel paging request at ffffc90000e2a000",
                Kind::BadPageFault,
            ),
            ("general protection fault: 0000 [#1] SMP", Kind::GeneralProtection),
            (
                "Oops: general protection fault, probably for non-canonical address 0x1234beef00c10026: 0000 [#1] PREEMPT SMP",
                Kind::GeneralProtection,
            ),
            ("Oops: invalid opcode: 0000 [#1] PREEMPT SMP NOPTI", Kind::InvalidOpcode),
            ("divide error: 0000 [#1] SMP", Kind::DivideError),
            ("kernel BUG at mm/slub.c:12!", Kind::Bug),
            (
                "list_add corruption. next->prev should be prev (x), but was y.",
                Kind::ListCorruption,
            ),
            (
                "watchdog: BUG: soft lockup - CPU#1 stuck for 5s! [labswapd/1:167]",
                Kind::SoftLockup,
            ),
            ("NMI watchdog: Watchdog detected hard LOCKUP on cpu 3", Kind::HardLockup),
            ("rcu: INFO: rcu_preempt self-detected stall on CPU", Kind::RcuStall),
            ("INFO: task tee:131 blocked for more than 120 seconds.", Kind::HungTask),
            (
                "Kernel panic - not syncing: Out of memory: compulsory panic_on_oom is enabled",
                Kind::OutOfMemory,
            ),
            (
                "Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)",
                Kind::VfsRoot,
            ),
            ("Kernel panic - not syncing: Fatal machine check", Kind::MachineCheck),
            ("BUG: KASAN: slab-use-after-free in foo+0x1/0x2", Kind::UseAfterFree),
            ("BUG: KASAN: double-free in foo+0x1/0x2", Kind::UseAfterFree),
            ("BUG: KASAN: global-out-of-bounds in foo+0x1/0x2", Kind::OutOfBounds),
            (
                "BUG kmalloc-64 (Tainted: G    B): Redzone overwritten",
                Kind::OutOfBounds,
            ),
            ("BUG kmalloc-64 (Not tainted): Poison overwritten", Kind::UseAfterFree),
            (
                "WARNING: CPU: 0 PID: 1 at lib/refcount.c:28 refcount_warn_saturate+0x1/0x2",
                Kind::Refcount,
            ),
            ("WARNING: at net/core/dev.c:1 foo+0x1/0x2()", Kind::Warning),
            (
                "WARNING: lib/debugobjects.c:615 at 0x0, CPU#1: kworker/1:3/17677",
                Kind::Warning,
            ),
            ("[ INFO: possible recursive locking detected ]", Kind::Deadlock),
            ("WARNING: suspicious RCU usage", Kind::RcuUsage),
            ("PANIC: double fault, error_code: 0x0", Kind::DoubleFault),
            (
                "Internal error: synchronous external abort: 96000410 [#1] SMP",
                Kind::MachineCheck,
            ),
            (
                "dd: page allocation failure: order:4, mode:0x40d0",
                Kind::PageAllocationFailure,
            ),
        ] {
            let headline = classify(text).unwrap_or_else(|| panic!("nothing in {text:?}"));
            assert_eq!(headline.kind, kind, "{text}");
        }
    }

    #[test]
    fn harmless_lines_are_none() {
        for text in [
            "INFO: lockdep is turned off.",
            "WARNING: The mand mount option has been deprecated",
            "WARNING: /etc/ssh/moduli does not exist, using fixed modulus",
            "EXT4-fs (loop1): INFO: recovery required on readonly filesystem",
            "Command line: oops=panic panic_on_warn=1 panic=86400",
            "xlog_status: enable:1, panic:1, dump:2",
            "traps: foo[12] general protection fault ip:400000 sp:7ff error:0 in foo",
            "mce: [Hardware Error]: Machine check events logged",
            "---[ end Kernel panic - not syncing: Fatal exception ]---",
            "INFO: NMI handler (perf_event_nmi_handler) took too long to run: 1.356 msecs",
            "AMD-Vi: AMD IOMMUv2 functionality not available on this system - This is not a bug.",
            "Speculative Return Stack Overflow: WARNING: kernel not compiled with CPU_SRSO.",
        ] {
            assert_eq!(classify(text), None, "{text}");
        }
    }

    #[test]
    fn a_headline_names_task_and_place() {
        let lockup = classify("watchdog: BUG: soft lockup - CPU#1 stuck for 5s! [labswapd/1:167]").unwrap();
        assert_eq!(
            (lockup.cpu, lockup.task),
            (Some(1), Some(("labswapd/1".to_owned(), Some(167))))
        );
        let hung = classify("INFO: task kworker/1:2:435 blocked for more than 120 seconds.").unwrap();
        assert_eq!(hung.task, Some(("kworker/1:2".to_owned(), Some(435))));
        let kasan = classify("BUG: KASAN: use-after-free in sockfs_setattr+0x120/0x150").unwrap();
        assert_eq!(kasan.place.unwrap().symbol.as_deref(), Some("sockfs_setattr"));
    }

    #[test]
    fn every_headline_passes_the_prefilter() {
        for (needle, _, _, _, detector) in SIMPLE {
            // Lockdep's words always follow one of its own.
            let line = if *detector == Some(Detector::Lockdep) {
                format!("INFO: {needle}")
            } else {
                (*needle).to_owned()
            };
            assert!(PREFILTER.is_match(&line), "{needle}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_line_is_read(line in "(BUG: |WARNING: |INFO: |Oops: |Kernel panic|BUG |general protection fault|)\\PC{0,120}") {
            classify(&line);
        }
    }
}
