//! Bytes of a dump file → physical memory, CPU notes and header facts.
//!
//! It must not know what a kernel is: no virtual addresses, no symbols. VMCOREINFO and utsname are handed on as they
//! stand in the file.

mod cache;
pub mod capsule;
mod elf;
mod error;
mod flat;
mod io;
mod kdump;
mod layout;
mod notes;
mod set;
mod shared;
mod vmcore;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use self::capsule::CapsuleFacts;
use crate::addr::PhysAddr;

pub use error::DumpError;
pub use set::{Peeked, Split, find_siblings, group_parts, peek};
pub use shared::SharedPages;
pub use vmcore::Vmcore;

/// The dumped machine's physical memory.
pub trait PhysicalMemory: fmt::Debug + Send + Sync {
    /// Fills `buf` from `at` on; all of it or an error, and then what is in `buf` means nothing.
    fn read(&self, at: PhysAddr, buf: &mut [u8]) -> Result<(), MemoryError>;

    /// Like [`PhysicalMemory::read`], for bytes that may turn out not to matter: pages of long tables, searches. What of
    /// them mattered is told by [`PhysicalMemory::used`] to those who keep a record of it.
    fn peek(&self, at: PhysAddr, buf: &mut [u8]) -> Result<(), MemoryError> {
        self.read(at, buf)
    }

    /// The page that starts at `at`, for those who keep it: as [`PhysicalMemory::peek`], without a copy. `None` also where
    /// pages are not kept as such.
    fn page(&self, at: PhysAddr) -> Option<Arc<[u8]>> {
        let _ = at;
        None
    }

    /// Tells that `len` bytes at `at`, peeked at before, mattered.
    fn used(&self, at: PhysAddr, len: u64) {
        let _ = (at, len);
    }

    /// Whether anybody keeps a record: else [`PhysicalMemory::used`] need not be called.
    fn is_recorded(&self) -> bool {
        false
    }

    /// The ranges that the dump claims to hold, ascending, not overlapping; single pages in them may still be absent.
    fn ranges(&self) -> &[Range<u64>];
}

/// Why physical memory could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemoryError {
    /// The machine has no memory there, or the dump was not made to hold it.
    #[error("no memory at {0} in this dump")]
    NotPresent(PhysAddr),
    /// The page was left out when the dump was written (filtered), or was never written (an incomplete dump).
    #[error("the page at {0} was left out of this dump")]
    Excluded(PhysAddr),
    /// The page lies behind the end of the file.
    #[error("the page at {at} lies behind the file's end (offset {offset})")]
    Truncated {
        /// Which page.
        at: PhysAddr,
        /// Where in the file it would be, in bytes.
        offset: u64,
    },
    /// The page's bytes do not decode.
    #[error("the page at {at} is damaged (file offset {offset}): {why}")]
    Damaged {
        /// Which page.
        at: PhysAddr,
        /// Where in the file it is, in bytes.
        offset: u64,
        /// What the decoder said.
        why: String,
    },
    /// The file could not be read.
    #[error("cannot read the dump at offset {offset}: {why}")]
    Io {
        /// Where, in bytes.
        offset: u64,
        /// What the system said.
        why: String,
    },
}

/// The byte order of the dumped machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteOrder {
    /// Least significant byte first.
    Little,
    /// Most significant byte first.
    Big,
}

/// `struct new_utsname` as dump headers carry it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Utsname {
    /// `Linux`.
    pub sysname: String,
    /// The host's name.
    pub nodename: String,
    /// `uname -r`.
    pub release: String,
    /// `uname -v`.
    pub version: String,
    /// `x86_64`, …
    pub machine: String,
}

/// A CPU's registers as an NT_PRSTATUS note saved them, at the time of the dump (not of the fault).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prstatus {
    /// `pr_pid`: the task's pid (kdump) or the CPU's number (QEMU).
    pub pid: i32,
    /// `pr_reg`: the general registers in the kernel's `user_regs_struct` order (x86_64: r15 first, 27 words).
    pub registers: Vec<u64>,
}

/// A virtual CPU's state as a `QEMU` note holds it (x86: `QEMUCPUState`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QemuCpu {
    /// rax rbx rcx rdx rsi rdi rsp rbp r8 … r15 rip rflags.
    pub registers: [u64; 18],
    /// cr0 … cr4.
    pub control: [u64; 5],
    /// The interrupt descriptor table's address.
    pub idt_base: u64,
    /// The segment base of gs, and the one that swapgs would bring in (newer QEMU only).
    pub gs_base: u64,
    /// `kernel_gs_base`, when the note is long enough.
    pub kernel_gs_base: Option<u64>,
}

/// An ELF PT_LOAD segment as the file states it: a hint for address translation, not a truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// p_vaddr.
    pub virtual_address: u64,
    /// p_paddr.
    pub physical_address: u64,
    /// p_memsz, in bytes.
    pub size: u64,
}

/// What a dump's headers and notes say.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// `kdump-compressed`, `elf`, `flattened`, `diskdump`, …: the outermost format of the file.
    pub format: &'static str,
    /// The dumped machine's byte order.
    pub byte_order: ByteOrder,
    /// Whether it is a 64-bit machine.
    pub is_64bit: bool,
    /// The architecture as `uname -m` names it, when a header tells.
    pub machine: Option<String>,
    /// The page size in bytes.
    pub page_size: u64,
    /// The utsname of a kdump header.
    pub utsname: Option<Utsname>,
    /// The dump's time stamp: seconds since 1970, UTC.
    pub timestamp: Option<u64>,
    /// phys_base of the kdump sub header (0 counts as not given).
    pub phys_base: Option<u64>,
    /// The VMCOREINFO text.
    pub vmcoreinfo: Option<Vec<u8>>,
    /// One a CPU that saved its registers, in note order.
    pub prstatus: Vec<Prstatus>,
    /// One a virtual CPU, for QEMU's dumps.
    pub qemu_cpus: Vec<QemuCpu>,
    /// PT_LOAD segments of an ELF dump.
    pub segments: Vec<Segment>,
    /// The notes of CPUs and of the hypervisor as they stand in the file.
    pub notes: Vec<u8>,
    /// What the file says of the dump that it was cut down from.
    pub capsule: Option<Arc<CapsuleFacts>>,
    /// Whether pages were filtered out; `None`: not known.
    pub partial: Option<bool>,
    /// Whether the file ends before what its headers promise, or says itself that it is incomplete.
    pub truncated: bool,
    /// What is odd about the file, in plain words.
    pub remarks: Vec<String>,
}
