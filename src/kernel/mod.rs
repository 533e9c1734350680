//! Physical memory → virtual memory → the dumped kernel's own data: log, symbols, types, stacks, figures.
//!
//! It must not know of file formats (it sees [`crate::dump::PhysicalMemory`] and [`crate::dump::Header`]) nor of rules.

pub mod access;
mod base;
pub mod bug_table;
pub mod cpus;
pub mod debuginfo;
mod locate;
pub mod log;
pub mod machine;
mod paged;
pub mod paging;
pub mod partial;
pub mod read;
pub mod stack;
pub mod symbols;
#[cfg(test)]
mod testing;
pub mod types;
pub mod utsname;
pub mod vmcoreinfo;

use std::sync::Arc;

pub use self::base::{BannerError, Kernel, KernelError, Problem};
pub use self::locate::{SEARCH_BUDGET, SelfCheck};
use crate::addr::{PhysAddr, VirtAddr};
use crate::dump::MemoryError;

/// The smallest page size of the architectures that matter, in bytes.
pub const PAGE: u64 = 4096;

/// The dumped kernel's virtual memory.
pub trait VirtualMemory: Send + Sync {
    /// Fills `buf` from `at` on; all of it or an error, and then what is in `buf` means nothing.
    fn read(&self, at: VirtAddr, buf: &mut [u8]) -> Result<(), ReadError>;

    /// Like [`VirtualMemory::read`], for bytes that may turn out not to matter ([`crate::dump::PhysicalMemory::peek`]).
    fn peek(&self, at: VirtAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        self.read(at, buf)
    }

    /// The page of [`PAGE`] bytes that starts at `at`, where it can be had without a copy
    /// ([`crate::dump::PhysicalMemory::page`]).
    fn page(&self, at: VirtAddr) -> Option<Arc<[u8]>> {
        let _ = at;
        None
    }

    /// Tells that `len` bytes at `at`, peeked at before, mattered.
    fn used(&self, at: VirtAddr, len: u64) {
        let _ = (at, len);
    }

    /// Whether anybody keeps a record: else [`VirtualMemory::used`] need not be called.
    fn is_recorded(&self) -> bool {
        false
    }

    /// Whether the CPU may execute what is mapped at `at`, be it in the dump or not. `None`: nothing tells.
    fn executable(&self, at: VirtAddr) -> Option<bool> {
        let _ = at;
        None
    }
}

/// A table cut down to what was asked of it, to be put in its place: equally large or smaller, and as readable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condensed {
    /// Which table: `kallsyms`, `BTF`.
    pub what: &'static str,
    /// Where it starts.
    pub at: VirtAddr,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Why virtual memory could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The page tables map nothing there.
    #[error("nothing is mapped at {0}")]
    NotMapped(VirtAddr),
    /// Where the page tables are is not known.
    #[error("cannot translate {0}: the kernel's page tables are not known")]
    NoTables(VirtAddr),
    /// The translation needs a page (of the page tables) that could not be read.
    #[error("cannot translate {at}: {source}")]
    Tables {
        /// The address to translate.
        at: VirtAddr,
        /// Why its tables could not be read.
        source: MemoryError,
    },
    /// The page itself could not be read.
    #[error("cannot read {at} (physical {physical}): {source}")]
    Memory {
        /// The virtual address.
        at: VirtAddr,
        /// Where it lies.
        physical: PhysAddr,
        /// Why it could not be read.
        source: MemoryError,
    },
}
