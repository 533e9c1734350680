//! The classes of failure, and who noticed them. The kind is the class of failure, the detector who noticed it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! words {
    ($(#[$outer:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        pub enum $name {
            $($(#[$doc])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// Every value, in the order of declaration.
            pub const ALL: &[$name] = &[$($name::$variant,)+];

            /// The word that reports and rules use.
            pub const fn word(self) -> &'static str {
                match self { $($name::$variant => $word,)+ }
            }
        }

        impl $name {
            /// The value that a word stands for.
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.word() == word)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.word())
            }
        }
    };
}

words! {
    /// The class of failure that killed the machine.
    PanicKind {
        /// An access in the first page, through a NULL pointer or a member of a NULL object.
        NullPointerDereference = "null-pointer-dereference",
        /// A kernel paging request that could not be met, at an address that is not near NULL.
        BadPageFault = "bad-page-fault",
        /// #GP: mostly a non-canonical address; also privileged or malformed operations.
        GeneralProtection = "general-protection",
        /// `BUG()`: a check in the kernel's own code failed.
        Bug = "bug",
        /// `WARN()`, fatal through `panic_on_warn` or the last thing known.
        Warning = "warning",
        /// The list debug checks found broken links.
        ListCorruption = "list-corruption",
        /// Memory used after it was freed.
        UseAfterFree = "use-after-free",
        /// An access outside its object.
        OutOfBounds = "out-of-bounds",
        /// An exception during the delivery of another, mostly a broken stack.
        DoubleFault = "double-fault",
        /// The kernel stack ran into its guard, or its canary was overwritten.
        StackOverflow = "stack-overflow",
        /// Division by zero or a quotient that does not fit.
        DivideError = "divide-error",
        /// An undefined instruction that is no `BUG()`.
        InvalidOpcode = "invalid-opcode",
        /// An attempt to execute memory that may not be executed.
        NxExecute = "nx-execute",
        /// A CPU did not schedule for too long.
        SoftLockup = "soft-lockup",
        /// A CPU did not take interrupts for too long.
        HardLockup = "hard-lockup",
        /// RCU's grace period did not end.
        RcuStall = "rcu-stall",
        /// A task stayed in uninterruptible sleep for too long.
        HungTask = "hung-task",
        /// A deadlock, found or possible (lockdep, spinlock debugging, rtmutex).
        Deadlock = "deadlock",
        /// No memory and nothing left to kill, or `panic_on_oom`.
        OutOfMemory = "out-of-memory",
        /// An allocation that was not met.
        PageAllocationFailure = "page-allocation-failure",
        /// A hardware error that the processor or firmware reported.
        MachineCheck = "machine-check",
        /// A non-maskable interrupt that nobody claimed or that asks for a panic.
        Nmi = "nmi",
        /// schedule() in atomic context.
        SchedulingWhileAtomic = "scheduling-while-atomic",
        /// The init task was killed or left.
        KillInit = "kill-init",
        /// No root file system could be mounted.
        VfsRoot = "vfs-root",
        /// A fatal exception of which no more is known.
        FatalException = "fatal-exception",
        /// A crash that somebody asked for with SysRq.
        Sysrq = "sysrq",
        /// A call of panic() that fits no other kind.
        ExplicitPanic = "explicit-panic",
        /// A reference count that over- or underflowed.
        Refcount = "refcount",
        /// A copy to or from user space that leaves its object.
        BadUsercopy = "bad-usercopy",
        /// A page's state is impossible.
        BadPageState = "bad-page-state",
        /// Memory that nobody refers to any more.
        MemoryLeak = "memory-leak",
        /// A lock used against its rules; sleeping where one may not.
        LockMisuse = "lock-misuse",
        /// RCU used against its rules.
        RcuUsage = "rcu-usage",
        /// A work queue made no progress.
        WorkqueueLockup = "workqueue-lockup",
        /// A value used before it was set.
        UninitialisedValue = "uninitialised-value",
        /// Two unsynchronised accesses.
        DataRace = "data-race",
        /// A crash of which no class could be told.
        Unknown = "unknown",
    }
}

words! {
    /// The debugging facility that noticed the failure, when one spoke.
    Detector {
        /// Kernel address sanitizer.
        Kasan = "kasan",
        /// Kernel electric fence.
        Kfence = "kfence",
        /// Kernel memory sanitizer.
        Kmsan = "kmsan",
        /// Kernel concurrency sanitizer.
        Kcsan = "kcsan",
        /// Undefined behaviour sanitizer.
        Ubsan = "ubsan",
        /// Lock dependency validator.
        Lockdep = "lockdep",
        /// The slab allocator's own checks.
        Slub = "slub",
        /// Linked list debugging.
        DebugList = "debug-list",
        /// Object lifetime debugging.
        DebugObjects = "debug-objects",
        /// Memory leak detector.
        Kmemleak = "kmemleak",
        /// The lockup and hung task detectors.
        Watchdog = "watchdog",
    }
}

words! {
    /// What the kind was told from.
    KindSource {
        /// The kernel's own line that names the failure.
        Headline = "headline",
        /// The exception stub in the trace, where the headline is cut off.
        Stub = "stub",
        /// CR2 held against the decoded operand, where the headline is cut off.
        Cr2 = "cr2",
        /// The code or the registers at the fault.
        Registers = "registers",
        /// Variables of the dumped kernel.
        Memory = "memory",
    }
}
