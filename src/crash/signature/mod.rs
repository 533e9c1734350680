//! What gathers a crash with its siblings: a title in the field's words, the function to blame, and an id.
//!
//! Version 1. The id is `v1-` and the 16 hex digits of FNV-1a (64 bit, offset basis 0xcbf29ce484222325, prime
//! 0x100000001b3) over the kind's word and the blamed function, the first of [`Signature::frames`], each followed by a
//! zero byte. The callers tell crashes of one id apart where somebody wants that (`compare`, `group`); in the id they
//! would part the siblings: the ways into one bug are many. Where no function is known, the module of the fault stands
//! for it, else the message without its numbers. What names a build, a machine or a
//! moment is in none of them: addresses, offsets, sizes, compiler suffixes, `?` frames, inlined frames, plumbing, entry
//! code, the spelling of system calls, and whether a driver was built in or a module.

mod blame;

use super::{CrashReport, PanicKind, Signature};

/// The version of the way signatures are made.
pub const VERSION: u32 = 1;

/// How many names of callers are kept beside the blamed function's.
const DEPTH: usize = 3;

/// The signature of a report's crash; `None` when it holds none.
pub fn of(report: &CrashReport) -> Option<Signature> {
    let panic = report.panic.as_ref()?;
    let frames = blame::names(report, panic, DEPTH);
    let function = frames.first().cloned();
    let title = match &function {
        Some(function) => format!("{} in {function}", words(panic.kind)),
        None => words(panic.kind).to_owned(),
    };
    let mut hash = Fnv::new();
    hash.word(panic.kind.word());
    let module = report.fault.as_ref().and_then(|fault| fault.module.as_deref());
    match (&function, module) {
        (Some(function), _) => hash.word(function),
        (None, Some(module)) => hash.word(module),
        (None, None) if panic.kind == PanicKind::Sysrq => {}
        (None, None) => {
            let words = panic
                .message
                .iter()
                .flat_map(|message| message.split(|c: char| !c.is_alphanumeric()));
            for word in words.filter(|word| word.bytes().all(|byte| byte.is_ascii_alphabetic())) {
                hash.word(word);
            }
        }
    }
    Some(Signature {
        version: VERSION,
        title,
        function,
        id: format!("v{VERSION}-{:016x}", hash.0),
        frames,
    })
}

/// The normalised names of the stack from the blamed function outwards, at most `depth`: without plumbing, entry code,
/// `?` frames and inlined ones.
pub fn stack(report: &CrashReport, depth: usize) -> Vec<String> {
    let Some(panic) = &report.panic else { return Vec::new() };
    blame::names(report, panic, depth)
}

/// A class of failure in the field's words.
fn words(kind: PanicKind) -> &'static str {
    match kind {
        PanicKind::NullPointerDereference => "NULL pointer dereference",
        PanicKind::BadPageFault => "bad page fault",
        PanicKind::GeneralProtection => "general protection fault",
        PanicKind::Bug => "kernel BUG",
        PanicKind::Warning => "WARNING",
        PanicKind::ListCorruption => "list corruption",
        PanicKind::UseAfterFree => "use after free",
        PanicKind::OutOfBounds => "out-of-bounds access",
        PanicKind::DoubleFault => "double fault",
        PanicKind::StackOverflow => "stack overflow",
        PanicKind::DivideError => "divide error",
        PanicKind::InvalidOpcode => "invalid opcode",
        PanicKind::NxExecute => "execution of non-executable memory",
        PanicKind::SoftLockup => "soft lockup",
        PanicKind::HardLockup => "hard lockup",
        PanicKind::RcuStall => "RCU stall",
        PanicKind::HungTask => "task hung",
        PanicKind::Deadlock => "deadlock",
        PanicKind::OutOfMemory => "out of memory",
        PanicKind::PageAllocationFailure => "page allocation failure",
        PanicKind::MachineCheck => "machine check",
        PanicKind::Nmi => "NMI",
        PanicKind::SchedulingWhileAtomic => "scheduling while atomic",
        PanicKind::KillInit => "init killed",
        PanicKind::VfsRoot => "no root file system",
        PanicKind::FatalException => "fatal exception",
        PanicKind::Sysrq => "crash asked for by SysRq",
        PanicKind::ExplicitPanic => "panic",
        PanicKind::Refcount => "reference count error",
        PanicKind::BadUsercopy => "bad user copy",
        PanicKind::BadPageState => "bad page state",
        PanicKind::MemoryLeak => "memory leak",
        PanicKind::LockMisuse => "lock misuse",
        PanicKind::RcuUsage => "RCU misuse",
        PanicKind::WorkqueueLockup => "workqueue lockup",
        PanicKind::UninitialisedValue => "use of an uninitialised value",
        PanicKind::DataRace => "data race",
        PanicKind::Unknown => "crash",
    }
}

/// FNV-1a, 64 bit: stable over versions and machines, which the standard library's hashers do not promise.
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Fnv(0xcbf2_9ce4_8422_2325)
    }

    fn word(&mut self, word: &str) {
        for byte in word.bytes().chain([0]) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}
