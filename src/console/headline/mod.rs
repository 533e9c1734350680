//! Lines that name a failure → its class, who noticed it, and what the line itself says of it.
//!
//! [`classify`] asks its parts in turn: `table` has the failures that constant words name, `exception` reads what a CPU
//! could not do, `report` what the kernel's own checks found. It must not know what stands before or after a line;
//! [`super::event`] puts lines together.

mod exception;
mod report;
mod table;

use crate::addr::VirtAddr;
use crate::crash::{Access, Detector, PanicKind};

use super::registers::Place;
use super::words::Words;
use exception::{exception, oops, page_fault};
use report::{assertion, hardware, other_bug, sanitizer, slub, stuck, warning};
use table::{panic_line, simple};

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
    /// A line of which the kind and the class are known, and nothing else.
    pub fn new(kind: PanicKind, class: Class) -> Self {
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

/// What any line that names a failure must hold. Kept short and few: a miss here is a miss.
#[rustfmt::skip]
const FAILURES: &[&str] = &[
    "BUG", "anic", "PANIC", "nable to handle", "general protection", "[#", "double fault", "Internal error",
    "Unhandled", "Alignment trap", "Bad mode in", "SError", "WARNING: ", "INFO: ", "corruption",
    "list_add double", "refcount_t: ", "usercopy: ", "tried to execute", "to execute userspace", "SysRq",
    "sysrq", "VFS: Close: ", "VFS: Busy ", "unregister_netdevice: ", "UBSAN: ", "slab error",
    "nreferenced object", "Bad page", "scheduling from", "lock order detected", "locks held!", "LOCKUP",
    "oom-killer", "allocation failure", "allocation stalls", "Machine Check", "Hardware Error", "NMI received",
    "VERIFY", "ASSERT", "ssertion failed", "stack overflow", "Insufficient stack", "overran stack",
    "CFI failure", "Kernel bug", " blocked for more than ", "Oops: ",
];

/// What other lines matter by.
#[rustfmt::skip]
const TRACES: &[&str] = &[
    // What is left of an oops whose headline is cut off.
    "RIP: ", "RIP  [<", "EIP is at", "EIP: 0060", "IP: [<", "Call Trace", "Call trace", "traceback for pid",
    "PC is at", "PC: [<", "pc : ", "NIP [", "Krnl PSW", "epc : ", "Comm: ",
    // Facts of the boot.
    "Linux version ", "ommand line: ", "Brought up ", "-- Reboot --", "-- Boot ",
];

/// Finds the lines that may matter, for one fast pass over a text.
pub static PREFILTER: Words = Words::new(|| FAILURES.iter().chain(TRACES).copied().collect());

/// Finds the lines that may name a failure.
static NAMING: Words = Words::new(|| FAILURES.to_vec());

/// One automaton for some words.
/// Reads a message as the line that names a failure; `None` when it names none.
pub fn classify(body: &str) -> Option<Headline> {
    let text = body.trim();
    if !NAMING.is_in(text) || HARMLESS.is_in(text) {
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

/// Reads the first line of a text as the rest of one that names a failure, of which the first letters are cut off.
pub fn classify_tail(body: &str) -> Option<Headline> {
    // The start, and how much of its end is enough to know it by.
    const STARTS: [(&str, usize); 12] = [
        ("BUG: ", 2),
        ("INFO: ", 3),
        ("WARNING: ", 4),
        ("kernel BUG at ", 4),
        ("Kernel panic - not syncing: ", 9),
        ("Unable to handle kernel ", 14),
        ("general protection fault", 11),
        ("Internal error: ", 10),
        ("divide error: ", 9),
        ("invalid opcode: ", 9),
        ("list_add corruption", 12),
        ("list_del corruption", 12),
    ];
    let text = body.trim_start();
    STARTS.iter().find_map(|(start, least)| {
        let cuts = 1..=start.len().saturating_sub(*least);
        let cut = cuts
            .into_iter()
            .find(|cut| start.get(*cut..).is_some_and(|tail| text.starts_with(tail)))?;
        let headline = classify(&format!("{}{text}", start.get(..cut)?))?;
        // A colon is little to go by, if the rest does not say more.
        (start.len() - cut > 2 || headline.detector.is_some()).then_some(headline)
    })
}

/// Words of lines that hold the others and mean nothing.
static HARMLESS: Words = Words::new(|| {
    vec![
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
        // The kernel's source, and no message of its own.
        "\\n\"",
    ]
});

/// At most so many bytes stand before a message that begins behind something else.
const REACH: usize = 40;

/// What follows `needle`, where that stands at the start of the message, or behind at most a few words that end in `: `,
/// in `[ ` or in `] `.
fn at_start<'a>(text: &'a str, needle: &str) -> Option<&'a str> {
    if let Some(rest) = text.strip_prefix(needle) {
        return Some(rest);
    }
    let first = *needle.as_bytes().first()?;
    let window = text.as_bytes().get(..text.len().min(REACH + 1))?;
    let starts = window
        .iter()
        .enumerate()
        .filter(|(at, byte)| **byte == first && is_start(text, *at));
    starts.filter_map(|(at, _)| text.get(at..)?.strip_prefix(needle)).next()
}

/// Whether a message may begin there: at its start, or behind what [`at_start`] takes off.
fn is_start(text: &str, at: usize) -> bool {
    let before = at.checked_sub(2).and_then(|start| text.as_bytes().get(start..at));
    at == 0 || at <= REACH && matches!(before, Some([b':' | b'[' | b']', b' ']))
}

/// `labswapd/1:167` → name and pid.
fn task_tag(tag: &str) -> Option<(String, Option<u64>)> {
    let (name, pid) = tag.rsplit_once(':')?;
    Some((name.to_owned(), pid.trim().parse().ok()))
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

#[cfg(test)]
mod tests {
    use super::table::SIMPLE;
    use super::*;
    use PanicKind as Kind;

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
            "pr_alert(\"BUG: Bad page state in process %s\\n\", current->comm);",
            "INFO: NMI handler (perf_event_nmi_handler) took too long to run: 1.356 msecs",
            "AMD-Vi: AMD IOMMUv2 functionality not available on this system - This is not a bug.",
            "Speculative Return Stack Overflow: WARNING: kernel not compiled with CPU_SRSO.",
        ] {
            assert_eq!(classify(text), None, "{text}");
        }
    }

    #[test]
    fn a_headline_without_its_first_letters_is_known() {
        for (text, kind) in [
            ("G: KASAN: use-after-free in lab_get+0x1/0x2", Kind::UseAfterFree),
            (": KASAN: use-after-free in lab_get+0x1/0x2", Kind::UseAfterFree),
            ("FO: task tee:131 blocked for more than 120 seconds.", Kind::HungTask),
            ("NING: CPU: 0 PID: 1 at lab/lab.c:12 lab_get+0x1/0x2", Kind::Warning),
            ("ide error: 0000 [#1] SMP", Kind::DivideError),
            ("not syncing: Fatal machine check", Kind::MachineCheck),
            (
                "panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)",
                Kind::VfsRoot,
            ),
        ] {
            assert_eq!(classify_tail(text).map(|headline| headline.kind), Some(kind), "{text}");
        }
        for text in [
            "",
            " ",
            ": ",
            ": foo",
            "t ",
            "Linux version 6.1.0",
            "- a list",
            "error: lab.c:12: no such file",
        ] {
            assert_eq!(classify_tail(text), None, "{text}");
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
            assert!(NAMING.is_in(&line), "{needle}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_line_is_read(line in "(BUG: |WARNING: |INFO: |Oops: |Kernel panic|BUG |general protection fault|)\\PC{0,120}") {
            classify(&line);
        }
    }
}
