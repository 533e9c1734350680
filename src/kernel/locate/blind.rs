//! The kernel without VMCOREINFO in the dump's headers: a hypervisor's dump of a guest without the vmcoreinfo device.
//!
//! 1. A stopped CPU's page tables map the kernel's image, whichever task it ran.
//! 2. Without CPU notes: `linux_banner` lies in the first page of a 2 MiB step of memory, and a page near it is the
//!    table that maps it.
//! 3. Else the text of VMCOREINFO is searched for, within the budget.
//!
//! The image leads to VMCOREINFO in the kernel's memory (`vmcoreinfo_data`), which gives all the rest.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::image::{self, Facts};
use super::known::{self, cpu_tables, phys_base, space};
use super::scan;
use super::{Located, SelfCheck, Start};
use crate::addr::{PhysAddr, VirtAddr};
use crate::kernel::paging::x86_64::{Levels, PageTables};
use crate::kernel::paging::{AddressSpace, KERNEL_MAP, Leaf, LinearMaps, Translation};
use crate::kernel::vmcoreinfo::Vmcoreinfo;

/// Where modules begin at the latest: the image lies below.
const IMAGE_END: u64 = KERNEL_MAP + (1 << 30);

/// No kernel's image is smaller, in bytes: less is the entry code that isolated user page tables map.
const MIN_IMAGE: u64 = 4 << 20;

/// Ends the listing of a hostile image: its 1 GiB has as many 4 KiB pages.
const MAX_LEAVES: usize = 1 << 18;

/// The constants start at a multiple of this in physical memory, in bytes.
const SECTION: u64 = 2 << 20;

/// How far the kernel's top page table can be from its constants, in bytes: the data follows them.
const DATA_DISTANCE: u64 = 64 << 20;

/// Bounds of the search for page tables near a banner: banners that are tried, pages that are looked at as tables, steps
/// in each, images that are listed in full.
const MAX_BANNERS: usize = 8;
const MAX_TABLES: usize = 4096;
const MAX_STEPS: usize = 1024;
const MAX_IMAGES: usize = 8;

/// How many texts are tried in a search: a kernel has two, and what ran before it may have left some.
const MAX_TEXTS: usize = 16;

/// What some page tables map of a kernel's image.
struct Image {
    tables: PageTables,
    leaves: Vec<Leaf>,
}

pub(super) fn locate(start: Start<'_>) -> Result<Located, String> {
    let of_cpus = cpu_tables(start)
        .into_iter()
        .filter_map(|tables| image_of(start, tables));
    let largest = of_cpus.max_by_key(Image::size);
    if let Some(image) = largest.or_else(|| by_banner(start)) {
        return Ok(from_image(start, image));
    }
    let (found, searched) = by_text(start, &[], &|_| true);
    if let Some(found) = found {
        return Ok(found);
    }
    let cpus = match start.header.qemu_cpus.len() {
        0 => "the dump has no CPU state".to_owned(),
        count => format!("the page tables of its {count} CPUs map no kernel"),
    };
    let end = start.memory.ranges().last().map_or(0, |range| range.end);
    Err(format!(
        "the dump has no VMCOREINFO, {cpus}, and the first {searched} bytes of its memory (up to {end:#x}) hold none"
    ))
}

impl Image {
    fn size(&self) -> u64 {
        self.leaves.iter().map(|leaf| leaf.size).sum()
    }

    /// `phys_base`, as most of the image has it.
    fn phys_base(&self) -> Option<u64> {
        let largest = self.leaves.iter().max_by_key(|leaf| leaf.size)?;
        Some(phys_base(largest.start, largest.physical))
    }
}

/// The kernel's image as `tables` map it, when they do.
fn image_of(start: Start<'_>, tables: PageTables) -> Option<Image> {
    let leaves = space(start, tables).mapped(VirtAddr(KERNEL_MAP), VirtAddr(IMAGE_END), MAX_LEAVES);
    let image = Image { tables, leaves };
    (image.size() >= MIN_IMAGE).then_some(image)
}

fn from_image(start: Start<'_>, image: Image) -> Located {
    let maps = LinearMaps {
        phys_base: image.phys_base(),
        image_size: IMAGE_END - KERNEL_MAP,
        direct_map: None,
    };
    let space = Arc::new(AddressSpace::new(
        start.memory.clone(),
        Translation::X86_64(image.tables),
        maps,
    ));
    let Facts {
        banner,
        vmcoreinfo,
        utsname,
    } = image::facts(&space, &image.leaves);
    let hints: Vec<u64> = image.phys_base().into_iter().collect();
    if let Some(info) = vmcoreinfo {
        let mut found = known::locate(start, info, &hints);
        found.banner = banner.map(|(line, _)| line);
        return found;
    }
    // The image may be cut off behind its banner, or the pointer's page may be missing: the text can be there all the same.
    let release = banner.as_ref().map(|(_, release)| release.as_str());
    let (found, _) = by_text(start, &hints, &|info| release.is_none() || info.osrelease() == release);
    if let Some(mut found) = found {
        found.banner = banner.map(|(line, _)| line);
        return found;
    }
    let self_check = match (&banner, &utsname) {
        (Some((_, release)), Some(utsname)) if *release == utsname.release => {
            SelfCheck::Confirmed(format!("the image holds the banner and the utsname of {release}"))
        }
        (Some((_, release)), _) => SelfCheck::NotChecked(format!("the image holds the banner of {release} alone")),
        (None, _) => SelfCheck::NotChecked("the image's banner was not found".to_owned()),
    };
    Located {
        space,
        vmcoreinfo: None,
        utsname,
        banner: banner.map(|(line, _)| line),
        self_check,
        problems: vec!["the dump has no VMCOREINFO, nor was one found in the kernel's memory".to_owned()],
    }
}

/// Finds the banner, and the page tables beside it that map it.
fn by_banner(start: Start<'_>) -> Option<Image> {
    let memory = start.memory.as_ref();
    let pattern = scan::literal("Linux version ")?;
    let sections = scan::strides(memory, SECTION).filter(|&section| {
        let mut page = [0; 4096];
        let read = memory.peek(PhysAddr(section), &mut page).is_ok();
        let mut places = scan::occurrences(&page, &pattern);
        read && places.any(|at| page.get(at..).and_then(scan::banner).is_some())
    });
    sections
        .take(MAX_BANNERS)
        .find_map(|section| tables_near(start, section))
}

/// The page tables of the kernel whose constants start at `section`: the page behind them that, taken for a top table,
/// maps them, with the most entries (an early boot table has few).
fn tables_near(start: Start<'_>, section: u64) -> Option<Image> {
    const PRESENT: u64 = 1;
    const USER_HALF: usize = 256 * 8;
    let nearby = section.saturating_sub(DATA_DISTANCE)..section.saturating_add(DATA_DISTANCE);
    let mut tables: Vec<(usize, u64)> = Vec::new();
    let collect = |at: u64, bytes: &[u8]| {
        for (page, at) in bytes.chunks_exact(4096).zip((at..).step_by(4096)) {
            let entries = page.get(USER_HALF..).unwrap_or_default().chunks_exact(8);
            let entries = entries.filter_map(|entry| Some(u64::from_le_bytes(entry.try_into().ok()?)));
            let entries: Vec<u64> = entries.collect();
            // The image's own top entry leads to a table in the image.
            let leads = entries
                .last()
                .is_some_and(|last| last & PRESENT != 0 && nearby.contains(&(last & 0x000f_ffff_ffff_f000)));
            if leads {
                tables.push((entries.iter().filter(|&&entry| entry & PRESENT != 0).count(), at));
            }
        }
        ControlFlow::<()>::Continue(())
    };
    scan::pieces(start.memory.as_ref(), section..nearby.end, collect);
    tables.sort_by_key(|&(count, at)| (std::cmp::Reverse(count), at));
    let tables = tables.into_iter().take(MAX_TABLES).flat_map(|(_, root)| {
        [Levels::Four, Levels::Five].map(|levels| PageTables {
            root: PhysAddr(root),
            levels,
            sme_mask: 0,
        })
    });
    let likely = tables.filter(|&tables| {
        // Most pages fail here: what they map first in an image's place does not lie as the constants do.
        let space = space(start, tables);
        let first = space.mapped(VirtAddr(KERNEL_MAP), VirtAddr(IMAGE_END), MAX_STEPS);
        first.first().is_some_and(|first| {
            let offset = section.wrapping_sub(phys_base(first.start, first.physical));
            space.translate(VirtAddr(KERNEL_MAP.wrapping_add(offset))) == Ok(PhysAddr(section))
        })
    });
    likely.take(MAX_IMAGES).find_map(|tables| image_of(start, tables))
}

/// Searches memory for a VMCOREINFO that `is_right` lets pass and that proves right. Also: how many bytes were searched.
fn by_text(start: Start<'_>, hints: &[u64], is_right: &dyn Fn(&Vmcoreinfo) -> bool) -> (Option<Located>, u64) {
    let memory = start.memory.as_ref();
    let Some(pattern) = scan::literal("OSRELEASE=") else {
        return (None, 0);
    };
    let mut searched = 0;
    let mut fallback = None;
    let mut tried = 0;
    for range in memory.ranges() {
        let end = range.end.min(range.start.saturating_add(start.budget - searched));
        let right = scan::pieces(memory, range.start..end, |at, bytes| {
            for offset in scan::occurrences(bytes, &pattern) {
                let info = scan::vmcoreinfo(memory, at.saturating_add(offset as u64));
                let Some(info) = info.filter(is_right) else { continue };
                tried += 1;
                if tried > MAX_TEXTS {
                    return ControlFlow::Continue(());
                }
                let found = known::locate(start, info, hints);
                match found.self_check {
                    SelfCheck::Confirmed(_) => return ControlFlow::Break(found),
                    // It may be a leftover of another kernel: only if nothing better turns up.
                    _ => fallback = fallback.take().or(Some(found)),
                }
            }
            ControlFlow::Continue(())
        });
        searched += end - range.start;
        if right.is_some() {
            return (right, searched);
        }
    }
    let found = fallback.map(|mut found: Located| {
        found
            .problems
            .push("VMCOREINFO was found by searching memory and may be another kernel's".to_owned());
        found
    });
    (found, searched)
}
