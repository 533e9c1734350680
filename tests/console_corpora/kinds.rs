//! Which kinds a title of the fuzzer may mean.

use vmcoroner::crash::PanicKind::{self, *};

/// What a title begins with, and the kinds that are right for it; the first that fits counts.
const KINDS: &[(&str, &[PanicKind])] = &[
    ("KASAN: null-ptr-deref", &[NullPointerDereference]),
    ("KASAN: use-after-free", &[UseAfterFree]),
    ("KASAN: slab-use-after-free", &[UseAfterFree]),
    ("KASAN: vmalloc-use-after-free", &[UseAfterFree]),
    ("KASAN: use-after-scope", &[UseAfterFree]),
    ("KASAN: invalid-free", &[UseAfterFree]),
    ("KASAN: double-free", &[UseAfterFree]),
    ("KASAN: wild-memory-access", &[BadPageFault]),
    ("KASAN: user-memory-access", &[BadPageFault]),
    // A tag that does not fit its pointer: outside the object in space or in time, KASAN cannot tell which.
    ("KASAN: invalid-access", &[OutOfBounds, UseAfterFree]),
    ("KASAN: ", &[OutOfBounds]),
    ("KFENCE: use-after-free", &[UseAfterFree]),
    ("KFENCE: invalid free", &[UseAfterFree]),
    ("KFENCE: invalid", &[BadPageFault]),
    ("KFENCE: ", &[OutOfBounds]),
    ("KMSAN: use-after-free", &[UseAfterFree]),
    ("KMSAN: ", &[UninitialisedValue]),
    ("KCSAN: ", &[DataRace]),
    // The title leaves out which behaviour was undefined.
    ("UBSAN: undefined-behaviour", &[OutOfBounds, Warning, DivideError]),
    ("UBSAN: ", &[OutOfBounds, Warning, DivideError]),
    ("general protection fault", &[GeneralProtection]),
    ("stack segment fault", &[GeneralProtection]),
    (
        "BUG: unable to handle kernel NULL pointer dereference",
        &[NullPointerDereference],
    ),
    (
        "BUG: unable to handle kernel paging request",
        &[BadPageFault, NxExecute],
    ),
    (
        "BUG: unable to handle kernel",
        &[BadPageFault, NullPointerDereference, NxExecute],
    ),
    ("Unhandled fault", &[BadPageFault]),
    ("divide error", &[DivideError]),
    ("invalid opcode", &[InvalidOpcode]),
    ("int3", &[FatalException]),
    ("PANIC: double fault", &[DoubleFault, StackOverflow]),
    (
        "Internal error",
        &[FatalException, BadPageFault, InvalidOpcode, MachineCheck],
    ),
    ("kernel BUG", &[Bug]),
    ("kernel panic: stack is corrupted", &[StackOverflow]),
    ("kernel panic: corrupted stack end", &[StackOverflow]),
    ("kernel stack overflow", &[StackOverflow]),
    ("BUG: stack guard page was hit", &[StackOverflow]),
    ("kernel panic: hung_task", &[HungTask]),
    ("kernel panic: Attempted to kill init", &[KillInit]),
    ("kernel panic: panic_on_warn set", &[Warning]),
    ("kernel panic: Fatal exception", &[FatalException]),
    ("kernel panic: bad mode", &[FatalException]),
    ("kernel panic: ", &[ExplicitPanic]),
    ("BUG: soft lockup", &[SoftLockup]),
    ("INFO: rcu detected stall", &[RcuStall]),
    ("INFO: task hung", &[HungTask]),
    ("INFO: task can't die", &[HungTask]),
    ("BUG: workqueue lockup", &[WorkqueueLockup]),
    ("BUG: scheduling while atomic", &[SchedulingWhileAtomic]),
    ("BUG: sleeping function called", &[LockMisuse]),
    ("BUG: bad usercopy", &[BadUsercopy]),
    ("BUG: corrupted list", &[ListCorruption]),
    ("BUG: Bad page", &[BadPageState]),
    ("BUG: Bad rss-counter", &[BadPageState]),
    ("memory leak", &[MemoryLeak]),
    ("WARNING: refcount bug", &[Refcount]),
    ("unregister_netdevice: waiting", &[Refcount]),
    ("VFS: ", &[UseAfterFree]),
    ("BUG: Dentry still in use", &[Refcount]),
    ("INFO: Freed in", &[UseAfterFree, OutOfBounds]),
    ("INFO: Allocated in", &[UseAfterFree, OutOfBounds]),
    ("possible deadlock", &[Deadlock]),
    ("inconsistent lock state", &[Deadlock]),
    ("WARNING: possible circular locking", &[Deadlock]),
    ("BUG: spinlock lockup", &[Deadlock]),
    ("BUG: spinlock", &[LockMisuse]),
    ("BUG: rwlock", &[LockMisuse]),
    ("BUG: bad unlock balance", &[LockMisuse]),
    ("BUG: held lock freed", &[LockMisuse]),
    ("BUG: still has locks held", &[LockMisuse]),
    ("BUG: lock held when returning", &[LockMisuse]),
    ("BUG: using ", &[LockMisuse]),
    ("BUG: workqueue leaked", &[LockMisuse]),
    ("BUG: MAX_", &[LockMisuse]),
    ("INFO: trying to register non-static key", &[LockMisuse]),
    ("WARNING: bad unlock balance", &[LockMisuse]),
    ("WARNING: held lock freed", &[LockMisuse]),
    ("WARNING: lock held when returning", &[LockMisuse]),
    ("WARNING: locking bug", &[LockMisuse, Warning]),
    ("WARNING: nested lock", &[LockMisuse]),
    ("WARNING: still has locks held", &[LockMisuse]),
    ("WARNING: suspicious RCU usage", &[RcuUsage]),
    ("INFO: suspicious RCU usage", &[RcuUsage]),
    ("WARNING", &[Warning]),
];

/// The kinds that fit a title; `None` where the title is not of the kernel (its harness, a guest's firmware).
pub fn of_title(title: &str) -> Option<&'static [PanicKind]> {
    KINDS
        .iter()
        .find(|(start, _)| title.starts_with(start))
        .map(|(_, kinds)| *kinds)
}

/// Prints the mapping.
pub fn print() {
    for (start, kinds) in KINDS {
        let words: Vec<&str> = kinds.iter().map(|kind| kind.word()).collect();
        println!("kind of `{start}…`: {}", words.join(" or "));
    }
}
