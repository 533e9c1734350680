//! What the kernel's image says by itself, without a symbol: its banner, its utsname, the way to its VMCOREINFO.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::scan;
use crate::addr::VirtAddr;
use crate::dump::{PhysicalMemory, Utsname};
use crate::kernel::access::{Abi, KernelMemory};
use crate::kernel::paging::{AddressSpace, KERNEL_MAP, Leaf};
use crate::kernel::symbols::{Hints, Symbols};
use crate::kernel::utsname;
use crate::kernel::vmcoreinfo::Vmcoreinfo;

/// The most pointers that are followed on the way to VMCOREINFO: an image's data holds some thousands to whole pages.
const MAX_POINTERS: usize = 1 << 16;

/// Where the page table's largest steps in an image lie: sections with other rights start at a multiple of this.
const SECTION: u64 = 2 << 20;

/// Everything that is looked for in an image.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// The banner's line and the release in it.
    pub(super) banner: Option<(String, String)>,
    pub(super) vmcoreinfo: Option<Vmcoreinfo>,
    pub(super) utsname: Option<Utsname>,
}

/// Reads the image that `leaves` make up.
pub(super) fn facts(space: &Arc<AddressSpace>, leaves: &[Leaf]) -> Facts {
    let memory = space.physical().as_ref();
    let mut order: Vec<&Leaf> = leaves.iter().collect();
    // Data first (it has what we look for), then constants, then code; kernels that map all alike keep their order.
    order.sort_by_key(|leaf| (!leaf.writable || leaf.executable, leaf.executable));
    let banner = banner(memory, &order);
    let release = banner.as_ref().map(|(_, release)| release.as_str());
    let vmcoreinfo = by_symbol(space, leaves, release).or_else(|| vmcoreinfo(space, &order, release));
    let utsname = match &vmcoreinfo {
        Some(_) => None,
        None => find_utsname(memory, &order, release),
    };
    Facts {
        banner,
        vmcoreinfo,
        utsname,
    }
}

/// `linux_banner` opens the constants of every x86_64 kernel, at the start of a section; elsewhere it costs a search.
fn banner(memory: &dyn PhysicalMemory, leaves: &[&Leaf]) -> Option<(String, String)> {
    let pattern = scan::literal("Linux version ")?;
    let in_bytes = |bytes: &[u8]| scan::occurrences(bytes, &pattern).find_map(|at| scan::banner(bytes.get(at..)?));
    let heads = leaves
        .iter()
        .filter(|leaf| !leaf.writable || leaf.executable)
        .flat_map(|leaf| {
            let end = leaf.physical.0.saturating_add(leaf.size);
            let first = leaf.physical.0;
            let rest = (first / SECTION + 1) * SECTION;
            std::iter::once(first).chain((rest..end).step_by(SECTION as usize))
        });
    let in_heads = heads.take(1024).find_map(|start| {
        let look = |_, bytes: &[u8]| in_bytes(bytes).map_or(ControlFlow::Continue(()), ControlFlow::Break);
        scan::pieces(memory, start..start.saturating_add(4096), look)
    });
    in_heads.or_else(|| each(memory, leaves, |_, bytes| in_bytes(bytes)))
}

/// VMCOREINFO by the symbol `vmcoreinfo_data`: an array before 4.13, a pointer since. A third of the image need not be
/// read for it, but a kernel without KALLSYMS_ALL does not list it.
fn by_symbol(space: &Arc<AddressSpace>, leaves: &[Leaf], release: Option<&str>) -> Option<Vmcoreinfo> {
    let memory = KernelMemory::new(space.clone(), Abi::LE64);
    // The tables are among the constants, which follow the text.
    let constants = leaves.iter().find(|leaf| !leaf.writable && !leaf.executable);
    let hints = Hints {
        vmcoreinfo: &|_| None,
        image: constants.or(leaves.first()).map(|leaf| leaf.start),
    };
    let at = Symbols::open(&memory, hints).ok()?.by_name("vmcoreinfo_data")?;
    let targets = [memory.pointer(at).ok(), Some(at)];
    let physical = targets
        .into_iter()
        .flatten()
        .filter_map(|target| space.translate(target).ok());
    let mut found = physical.filter_map(|physical| scan::vmcoreinfo(space.physical().as_ref(), physical.0));
    found.find(|info| is_of(info, release))
}

fn is_of(info: &Vmcoreinfo, release: Option<&str>) -> bool {
    release.is_none() || info.osrelease() == release
}

/// VMCOREINFO in the image itself (a static array before 4.13), or in the page that some pointer of the image leads to.
fn vmcoreinfo(space: &AddressSpace, leaves: &[&Leaf], release: Option<&str>) -> Option<Vmcoreinfo> {
    let memory = space.physical().as_ref();
    let pattern = scan::literal("OSRELEASE=")?;
    let mut seen = HashSet::new();
    each(memory, leaves, |start, bytes| {
        let here = scan::occurrences(bytes, &pattern)
            .find_map(|at| scan::vmcoreinfo(memory, start.checked_add(at as u64)?).filter(|info| is_of(info, release)));
        here.or_else(|| {
            bytes.chunks_exact(8).find_map(|word| {
                let pointer = u64::from_le_bytes(word.try_into().ok()?);
                let is_page = pointer.is_multiple_of(4096) && pointer >> 56 == 0xff && pointer < KERNEL_MAP;
                if !is_page || seen.len() >= MAX_POINTERS || !seen.insert(pointer) {
                    return None;
                }
                let page = space.translate(VirtAddr(pointer)).ok()?;
                scan::vmcoreinfo(memory, page.0).filter(|info| is_of(info, release))
            })
        })
    })
}

fn find_utsname(memory: &dyn PhysicalMemory, leaves: &[&Leaf], release: Option<&str>) -> Option<Utsname> {
    let pattern = scan::literal("Linux\0\0\0\0")?;
    each(memory, leaves, |_, bytes| {
        scan::occurrences(bytes, &pattern)
            .filter_map(|at| utsname::decode(bytes.get(at..at.checked_add(utsname::SIZE)?)?))
            .find(|utsname| release.is_none_or(|release| utsname.release == release))
    })
}

/// Hands the image to `look` piece by piece, with the physical address, until it finds something.
fn each<T>(memory: &dyn PhysicalMemory, leaves: &[&Leaf], mut look: impl FnMut(u64, &[u8]) -> Option<T>) -> Option<T> {
    leaves.iter().find_map(|leaf| {
        let range = leaf.physical.0..leaf.physical.0.saturating_add(leaf.size);
        scan::pieces(memory, range, |at, bytes| {
            look(at, bytes).map_or(ControlFlow::Continue(()), ControlFlow::Break)
        })
    })
}
