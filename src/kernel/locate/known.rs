//! The address space by VMCOREINFO. All it may lack is a right `phys_base`, so every source of one is tried, and what
//! `init_uts_ns` says there is held against `OSRELEASE`.

use std::sync::Arc;

use super::scan;
use super::{Located, SelfCheck, Start};
use crate::addr::{PhysAddr, VirtAddr};
use crate::dump::{MemoryError, PhysicalMemory, Utsname};
use crate::kernel::paging::x86_64::{Levels, PageTables};
use crate::kernel::paging::{AddressSpace, KERNEL_MAP, LinearMaps, Translation};
use crate::kernel::utsname;
use crate::kernel::vmcoreinfo::Vmcoreinfo;

/// `phys_base` moves in steps of at least this (`CONFIG_PHYSICAL_ALIGN`), in bytes.
const PHYSICAL_ALIGN: u64 = 2 << 20;

/// The image's size up to which a kernel without KASLR is mapped, and with it (`KERNEL_IMAGE_SIZE`).
const SMALL_IMAGE: u64 = 512 << 20;
const LARGE_IMAGE: u64 = 1 << 30;

/// CR4's bit for 57-bit addresses (Intel SDM volume 3, 2.5).
const CR4_LA57: u64 = 1 << 12;

/// How many CPUs' page tables are tried: all map the kernel, so a few would do.
const MAX_CPUS: usize = 16;

/// What reading back with one `phys_base` gave.
enum Check {
    Right(Utsname),
    Wrong(String),
    Unreadable(MemoryError),
    Nothing,
}

/// The address space that `info` describes; `hints` are values of `phys_base` found elsewhere.
pub(super) fn locate(start: Start<'_>, info: Vmcoreinfo, hints: &[u64]) -> Located {
    let Start { memory, header, .. } = start;
    let mut problems = Vec::new();
    let image_size = image_size(&info);
    let candidates = candidates(start, &info, hints);
    let (phys_base, utsname, self_check) = choose(start, &info, &candidates, image_size, &mut problems);
    let maps = LinearMaps {
        phys_base,
        image_size,
        direct_map: direct_map(start),
    };
    let translation = match tables(start, &info, &maps) {
        Ok(tables) => Translation::X86_64(tables),
        Err(problem) => {
            problems.push(problem);
            Translation::None
        }
    };
    if let Some(release) = info.osrelease()
        && let Some(found) = header
            .utsname
            .as_ref()
            .filter(|utsname| utsname::is_release(&utsname.release))
        && found.release != release
    {
        problems.push(format!(
            "the dump's header says release {}, VMCOREINFO says {release}",
            found.release
        ));
    }
    Located {
        space: Arc::new(AddressSpace::new(memory.clone(), translation, maps)),
        vmcoreinfo: Some(info),
        utsname,
        banner: None,
        self_check,
        problems,
    }
}

/// How far the image's map reaches.
fn image_size(info: &Vmcoreinfo) -> u64 {
    let told = info
        .number("KERNEL_IMAGE_SIZE")
        .and_then(|size| u64::try_from(size).ok());
    if let Some(size) = told.filter(|size| (1 << 20..=LARGE_IMAGE).contains(size)) {
        return size;
    }
    // A symbol past the smaller size shows that the kernel was moved.
    let moved = ["_stext", "swapper_pg_dir", "init_uts_ns"]
        .into_iter()
        .filter_map(|name| info.symbol(name))
        .any(|at| at.0 >= KERNEL_MAP + SMALL_IMAGE);
    if moved || info.kernel_offset().is_some() {
        LARGE_IMAGE
    } else {
        SMALL_IMAGE
    }
}

/// Every value of `phys_base` that something claims, the best witness first.
fn candidates(start: Start<'_>, info: &Vmcoreinfo, hints: &[u64]) -> Vec<u64> {
    let mut found: Vec<u64> = info.number("phys_base").map(i64::cast_unsigned).into_iter().collect();
    found.extend(hints);
    found.extend(start.header.phys_base);
    let text = start
        .header
        .segments
        .iter()
        .filter(|segment| segment.virtual_address >= KERNEL_MAP);
    found.extend(text.map(|segment| {
        segment
            .physical_address
            .wrapping_sub(segment.virtual_address - KERNEL_MAP)
    }));
    if let Some(at) = info.symbol("init_uts_ns") {
        let spaces = cpu_tables(start).into_iter().map(|tables| space(start, tables));
        let physical = spaces.filter_map(|space| space.translate(at).ok());
        found.extend(physical.map(|physical| physical.0.wrapping_sub(at.0.wrapping_sub(KERNEL_MAP))));
    }
    let mut seen = std::collections::HashSet::new();
    found.retain(|&candidate| seen.insert(candidate));
    found
}

fn choose(
    start: Start<'_>,
    info: &Vmcoreinfo,
    candidates: &[u64],
    image_size: u64,
    problems: &mut Vec<String>,
) -> (Option<u64>, Option<Utsname>, SelfCheck) {
    let claimed = info.number("phys_base").map(i64::cast_unsigned);
    let mut wrong = None;
    let mut unreadable = None;
    // Last a guess: a kernel that was loaded where it was linked. It must prove right to count.
    for candidate in candidates.iter().copied().chain([0]) {
        match check(start.memory.as_ref(), info, candidate, image_size) {
            Check::Right(utsname) => {
                if let Some(claimed) = claimed.filter(|&claimed| claimed != candidate) {
                    problems.push(format!(
                        "VMCOREINFO's phys_base {claimed:#x} is wrong: {candidate:#x} reads back"
                    ));
                }
                let read = format!("init_uts_ns reads back release {}", utsname.release);
                return (Some(candidate), Some(utsname), SelfCheck::Confirmed(read));
            }
            Check::Wrong(found) => wrong = wrong.or(Some(found)),
            Check::Unreadable(why) if candidates.contains(&candidate) => {
                unreadable = unreadable.or(Some((candidate, why)));
            }
            Check::Unreadable(_) => {}
            Check::Nothing => {
                let why = "VMCOREINFO has no SYMBOL(init_uts_ns) or OSRELEASE".to_owned();
                return (Some(candidate), None, SelfCheck::NotChecked(why));
            }
        }
    }
    // A page that the dump lost says nothing against the best witness. One that no dump could hold does, unless this file
    // is known to lack some of the memory: then memory is searched first.
    let unsure = unreadable.filter(|(candidate, _)| claimed.is_none_or(|claimed| claimed == *candidate));
    let lost = |why: &MemoryError| start.header.truncated || !matches!(why, MemoryError::NotPresent(_));
    let is_lost = unsure.as_ref().is_some_and(|(_, why)| lost(why));
    if let Some((candidate, utsname)) = (!is_lost).then(|| search(start, info, image_size)).flatten() {
        problems.push(format!(
            "phys_base {candidate:#x} was found by searching memory for init_uts_ns"
        ));
        let read = format!("init_uts_ns reads back release {}", utsname.release);
        return (Some(candidate), Some(utsname), SelfCheck::Confirmed(read));
    }
    if let Some((candidate, why)) = unsure {
        return (
            Some(candidate),
            None,
            SelfCheck::NotChecked(format!("init_uts_ns cannot be read: {why}")),
        );
    }
    let wrong = wrong.unwrap_or_else(|| "nothing".to_owned());
    let release = info.osrelease().unwrap_or("a release");
    (
        claimed,
        None,
        SelfCheck::Failed(format!("init_uts_ns should hold {release}, but {wrong} was read")),
    )
}

/// Reads `init_uts_ns` with one `phys_base`.
fn check(memory: &dyn PhysicalMemory, info: &Vmcoreinfo, phys_base: u64, image_size: u64) -> Check {
    let (Some(at), Some(release)) = (info.symbol("init_uts_ns"), info.osrelease()) else {
        return Check::Nothing;
    };
    let maps = LinearMaps {
        phys_base: Some(phys_base),
        image_size,
        direct_map: None,
    };
    let Some(physical) = maps.image(at) else {
        return Check::Wrong("no place for it".to_owned());
    };
    let mut found = None;
    for offset in name_offsets(info) {
        let Some(physical) = physical.checked_add(offset) else {
            continue;
        };
        let mut bytes = vec![0; utsname::SIZE];
        if let Err(why) = memory.read(physical, &mut bytes) {
            return Check::Unreadable(why);
        }
        match utsname::decode(&bytes) {
            Some(utsname) if utsname.release == release => return Check::Right(utsname),
            Some(utsname) => found = Some(format!("release {}", utsname.release)),
            None => {}
        }
    }
    Check::Wrong(found.unwrap_or_else(|| "something else".to_owned()))
}

/// Where `name` can be in `struct uts_namespace`: told since 5.12, behind a reference count before.
fn name_offsets(info: &Vmcoreinfo) -> Vec<u64> {
    match info.offset("uts_namespace.name") {
        Some(offset) => vec![offset],
        None => vec![4, 0],
    }
}

/// Looks for `init_uts_ns` at every place that some `phys_base` would give it: one page every 2 MiB.
fn search(start: Start<'_>, info: &Vmcoreinfo, image_size: u64) -> Option<(u64, Utsname)> {
    let at = info.symbol("init_uts_ns")?;
    let offset = at.0.checked_sub(KERNEL_MAP).filter(|&offset| offset < image_size)?;
    scan::strides(start.memory.as_ref(), PHYSICAL_ALIGN).find_map(|stride| {
        let phys_base = stride.wrapping_sub(offset - offset % PHYSICAL_ALIGN);
        match check(start.memory.as_ref(), info, phys_base, image_size) {
            Check::Right(utsname) => Some((phys_base, utsname)),
            _ => None,
        }
    })
}

/// The direct map, as an ELF dump's segments state it: a hint for when page tables are missing.
fn direct_map(start: Start<'_>) -> Option<std::ops::Range<u64>> {
    const GIGABYTE: u64 = 1 << 30;
    let segments = start.header.segments.iter();
    let mut bases = segments
        .filter(|segment| segment.virtual_address >> 63 == 1 && segment.virtual_address < KERNEL_MAP)
        .map(|segment| segment.virtual_address.wrapping_sub(segment.physical_address));
    let base = bases.next().filter(|base| base.is_multiple_of(GIGABYTE))?;
    let end = start.memory.ranges().last()?.end;
    bases.all(|other| other == base).then_some(base..base.checked_add(end)?)
}

/// The kernel's page tables. `Err` says why there are none.
fn tables(start: Start<'_>, info: &Vmcoreinfo, maps: &LinearMaps) -> Result<PageTables, String> {
    let sme_mask = sme_mask(info);
    let five = match info.number("pgtable_l5_enabled") {
        Some(enabled) => enabled != 0,
        None => start.header.qemu_cpus.iter().any(|cpu| cpu.control[4] & CR4_LA57 != 0),
    };
    let levels = if five {
        [Levels::Five, Levels::Four]
    } else {
        [Levels::Four, Levels::Five]
    };
    // swapper_pg_dir is a macro for the others.
    let names = ["swapper_pg_dir", "init_top_pgt", "init_level4_pgt"];
    let root = names
        .into_iter()
        .find_map(|name| info.symbol(name))
        .and_then(|at| maps.image(at));
    let of_kernel = root
        .into_iter()
        .flat_map(|root| levels.map(|levels| PageTables { root, levels, sme_mask }));
    let of_cpus = cpu_tables(start)
        .into_iter()
        .map(|tables| PageTables { sme_mask, ..tables });
    let witness = ["init_uts_ns", "_stext", "swapper_pg_dir"]
        .into_iter()
        .find_map(|name| info.symbol(name));
    let mut unsure = None;
    for tables in of_kernel.chain(of_cpus) {
        let Some(witness) = witness else { return Ok(tables) };
        match (space(start, tables).translate(witness), maps.image(witness)) {
            (Ok(found), Some(expected)) if found == expected => return Ok(tables),
            (Ok(_), None) => return Ok(tables),
            // The dump lost a table: the root may be right, and is the best there is.
            (Err(crate::kernel::ReadError::Tables { .. }), _) => unsure = unsure.or(Some(tables)),
            _ => {}
        }
    }
    unsure.ok_or_else(|| match root {
        Some(root) => format!("the page tables at {root} do not map the kernel: only its image can be read"),
        None => "VMCOREINFO has no SYMBOL(swapper_pg_dir): only the kernel's image can be read".to_owned(),
    })
}

fn sme_mask(info: &Vmcoreinfo) -> u64 {
    info.number("sme_mask").map_or(0, i64::cast_unsigned)
}

/// The page tables that the CPUs of a hypervisor's dump used, each as it stands and as the kernel's half of a pair:
/// with page table isolation a CPU in user mode uses the odd page of two.
pub(super) fn cpu_tables(start: Start<'_>) -> Vec<PageTables> {
    let mut found: Vec<PageTables> = Vec::new();
    for cpu in start.header.qemu_cpus.iter().take(MAX_CPUS) {
        let levels = if cpu.control[4] & CR4_LA57 == 0 {
            Levels::Four
        } else {
            Levels::Five
        };
        // Below the address: flags, or the process context's number.
        let address = cpu.control[3] & 0x000f_ffff_ffff_f000;
        for root in [address, address & !0x1000] {
            let tables = PageTables {
                root: PhysAddr(root),
                levels,
                sme_mask: 0,
            };
            if root != 0 && !found.contains(&tables) {
                found.push(tables);
            }
        }
    }
    found
}

/// The space that `tables` span, for a try.
pub(super) fn space(start: Start<'_>, tables: PageTables) -> AddressSpace {
    AddressSpace::new(start.memory.clone(), Translation::X86_64(tables), LinearMaps::default())
}

/// The address that `phys_base` gives a place in the image.
pub(super) fn phys_base(at: VirtAddr, physical: PhysAddr) -> u64 {
    physical.0.wrapping_sub(at.0.wrapping_sub(KERNEL_MAP))
}
