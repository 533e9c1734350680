//! Where the kernel is: from physical memory and a dump's headers to an address space that is known to be right.
//!
//! With VMCOREINFO ([`known`]) only `phys_base` can be in doubt. Without it ([`blind`]) the page tables of a stopped CPU
//! lead to the kernel's image, and that to VMCOREINFO in the kernel's own memory; else memory is searched.
//! It ends with [`Located`]; reading the kernel's data is for others.

mod blind;
mod image;
mod known;
mod scan;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::paging::{AddressSpace, LinearMaps, Translation};
use super::vmcoreinfo::Vmcoreinfo;
use crate::dump::{Header, PhysicalMemory, Utsname};

/// How much of physical memory is searched, in bytes, for a kernel that nothing leads to.
pub const SEARCH_BUDGET: u64 = 4 << 30;

/// What was found of a kernel.
pub(super) struct Located {
    pub(super) space: Arc<AddressSpace>,
    pub(super) vmcoreinfo: Option<Vmcoreinfo>,
    pub(super) utsname: Option<Utsname>,
    /// `linux_banner`, where the way led past it.
    pub(super) banner: Option<String>,
    pub(super) self_check: SelfCheck,
    /// What went wrong on the way.
    pub(super) problems: Vec<String>,
}

/// Whether what the kernel says of itself reads back through the addresses that were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SelfCheck {
    /// It does: this was read.
    Confirmed(String),
    /// Nothing could be compared, for this reason.
    NotChecked(String),
    /// Something else was read: addresses are probably translated wrongly.
    Failed(String),
}

/// What a search may start from.
#[derive(Clone, Copy)]
struct Start<'a> {
    memory: &'a Arc<dyn PhysicalMemory>,
    header: &'a Header,
    /// In bytes of physical memory.
    budget: u64,
}

/// Finds the kernel. `Err`: nothing of it was found, with what was tried.
pub(super) fn locate(memory: &Arc<dyn PhysicalMemory>, header: &Header, budget: u64) -> Result<Located, String> {
    let start = Start { memory, header, budget };
    let info = header
        .vmcoreinfo
        .as_deref()
        .map(Vmcoreinfo::parse)
        .filter(Vmcoreinfo::is_plausible);
    if let Some(machine) = foreign_machine(header, info.as_ref()) {
        let why = format!("the page tables of {machine} are not understood");
        return Ok(Located {
            vmcoreinfo: info,
            ..nothing(memory, why)
        });
    }
    match info {
        Some(info) => Ok(known::locate(start, info, &[])),
        None => blind::locate(start),
    }
}

/// A kernel of which nothing can be read, for this reason.
pub(super) fn nothing(memory: &Arc<dyn PhysicalMemory>, why: String) -> Located {
    Located {
        space: Arc::new(AddressSpace::new(
            memory.clone(),
            Translation::None,
            LinearMaps::default(),
        )),
        vmcoreinfo: None,
        utsname: None,
        banner: None,
        problems: vec![format!("virtual memory cannot be read: {why}")],
        self_check: SelfCheck::NotChecked(why),
    }
}

/// The dumped machine's name when it is known not to be an x86_64. (QEMU writes "Unknown" into its kdump headers.)
fn foreign_machine(header: &Header, info: Option<&Vmcoreinfo>) -> Option<String> {
    // By how `uname -m` begins.
    const OTHERS: [&str; 15] = [
        "aarch64",
        "alpha",
        "arm",
        "i386",
        "i486",
        "i586",
        "i686",
        "ia64",
        "loongarch",
        "mips",
        "parisc",
        "ppc",
        "riscv",
        "s390",
        "sparc",
    ];
    let named = header.machine.as_deref().into_iter();
    let mut named = named.chain(header.utsname.as_ref().map(|utsname| utsname.machine.as_str()));
    if let Some(other) = named.find(|name| OTHERS.iter().any(|other| name.starts_with(other))) {
        return Some(other.to_owned());
    }
    if !header.is_64bit {
        return Some("a 32-bit machine".to_owned());
    }
    // Only arm64 has this.
    info?.number("kimage_voffset").map(|_| "aarch64".to_owned())
}
