//! The modules that were loaded: names, places, sizes, taints.
//!
//! The list is walked with whatever layout of `struct module` is known ([`super::module_layout`]); broken links, loops
//! and wild pointers end the walk, not the run.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::module_layout::{ModuleLayout, Region, Text};
use super::module_symbols::{SymbolTable, Tables};
use crate::addr::VirtAddr;
use crate::kernel::access::KernelMemory;

/// More modules than any machine loads; a list that is longer is damaged.
const MAX_MODULES: usize = 4096;
/// `MODULE_NAME_LEN`: 64 minus a long.
const NAME_LEN: usize = 56;
/// A module is smaller than this (the largest, graphics drivers, have some 30 MiB).
const MAX_SIZE: u64 = 1 << 30;

/// A loaded module.
#[derive(Debug)]
pub struct Module {
    /// Its name, with underscores.
    pub name: Arc<str>,
    /// Where its `struct module` is.
    pub address: VirtAddr,
    /// Where its code was loaded.
    pub base: VirtAddr,
    /// Bytes of all of its memory that stays after its initialisation, as `lsmod` counts them.
    pub size: u64,
    /// `MODULE_VERSION`. `None`: it has none, or the layout does not tell.
    pub version: Option<String>,
    /// The taint bits it brought (`TAINT_*`). `None`: the layout does not tell.
    pub taints: Option<u64>,
    /// Its memory, with its initialisation's as long as that lasts.
    pub(super) regions: Vec<Range<u64>>,
    /// Its code.
    pub(super) text: Vec<Range<u64>>,
    pub(super) tables: Option<Tables>,
    pub(super) symbols: OnceLock<Option<SymbolTable>>,
}

impl Module {
    /// Whether `address` lies in its memory.
    pub fn contains(&self, address: VirtAddr) -> bool {
        self.regions.iter().any(|region| region.contains(&address.0))
    }

    /// Whether `address` lies in its code.
    pub fn is_text(&self, address: VirtAddr) -> bool {
        self.text.iter().any(|text| text.contains(&address.0))
    }

    /// Where its code lies.
    pub fn text(&self) -> &[Range<u64>] {
        &self.text
    }
}

/// The modules of a dump.
#[derive(Debug, Default)]
pub struct Modules {
    /// In the list's order: the youngest first, as `lsmod` prints them.
    pub list: Vec<Module>,
    /// Whether the list was walked to its end.
    pub complete: bool,
    /// Why it was not, or why details are missing.
    pub remark: Option<String>,
}

impl Modules {
    /// Walks the list at `head` (the address of `modules`). `layout` picks a layout, given some modules' addresses.
    pub(super) fn walk(
        memory: &KernelMemory,
        head: VirtAddr,
        layout: impl FnOnce(&[VirtAddr]) -> Option<ModuleLayout>,
    ) -> Modules {
        let (mut links, complete) = links(memory, head, 0);
        if !complete {
            // What lies behind the break can still be reached from the other end.
            let (others, _) = self::links(memory, head, memory.abi().word_size());
            let seen: HashSet<VirtAddr> = links.iter().copied().collect();
            links.extend(others.into_iter().rev().filter(|link| !seen.contains(link)));
        }
        let mut modules = Modules {
            list: Vec::new(),
            complete,
            remark: (!complete).then(|| "the list of modules is broken off".to_owned()),
        };
        // `list` follows the 4-byte state, and `name` the list, in every kernel since 2.6.
        let addresses: Vec<VirtAddr> = links
            .iter()
            .map(|link| VirtAddr(link.0.wrapping_sub(memory.abi().word_size())))
            .collect();
        if addresses.is_empty() {
            return modules;
        }
        let word = memory.abi().word_size();
        let is_readable = |module: &&VirtAddr| {
            module
                .checked_add(3 * word)
                .and_then(|at| name_at(memory, at))
                .is_some()
        };
        let witnesses: Vec<VirtAddr> = addresses.iter().filter(is_readable).copied().collect();
        let Some(layout) = layout(&witnesses).filter(|_| !witnesses.is_empty()) else {
            modules.complete = false;
            modules.remark = Some(if witnesses.is_empty() {
                "the modules' records are not in the dump".to_owned()
            } else {
                "the layout of struct module is not known".to_owned()
            });
            return modules;
        };
        for address in addresses {
            match module(memory, &layout, address) {
                Some(module) => modules.list.push(module),
                None => modules.complete &= is_unformed(memory, address),
            }
        }
        if !modules.complete && modules.remark.is_none() {
            modules.remark = Some("a module's own record cannot be read".to_owned());
        }
        modules
    }

    /// The module whose memory holds `address`.
    pub fn holding(&self, address: VirtAddr) -> Option<&Module> {
        self.list.iter().find(|module| module.contains(address))
    }
}

/// The links of a list, without its head, and whether it leads back there. `pointer` is where in a `list_head` the
/// pointer to follow lies: `next` at 0, `prev` a word further.
fn links(memory: &KernelMemory, head: VirtAddr, pointer: u64) -> (Vec<VirtAddr>, bool) {
    let mut links = Vec::new();
    let mut seen = HashSet::new();
    let mut at = head;
    while links.len() < MAX_MODULES {
        let next = at.checked_add(pointer).and_then(|at| memory.pointer(at).ok());
        let Some(next) = next else { break };
        if next == head {
            return (links, true);
        }
        if next.0 == 0 || !seen.insert(next) {
            break;
        }
        links.push(next);
        at = next;
    }
    (links, false)
}

/// `MODULE_STATE_UNFORMED`: still being set up, and not shown by `lsmod` either.
fn is_unformed(memory: &KernelMemory, module: VirtAddr) -> bool {
    memory.u32(module) == Ok(3)
}

fn module(memory: &KernelMemory, layout: &ModuleLayout, address: VirtAddr) -> Option<Module> {
    let at = |offset: u64| address.checked_add(offset);
    if is_unformed(memory, address) {
        return None;
    }
    let name = name_at(memory, at(layout.name)?)?;
    let mut base = None;
    let mut size = 0_u64;
    let (mut regions, mut texts) = (Vec::new(), Vec::new());
    for region in &layout.regions {
        let Some((range, text)) = region_at(memory, address, region) else {
            continue;
        };
        if !region.init {
            base.get_or_insert(range.start);
            size = size.saturating_add(range.end - range.start);
        }
        regions.push(range);
        texts.extend(text);
    }
    let string = |offset: Option<u64>| {
        let pointer = memory.pointer(at(offset?)?).ok().filter(|pointer| pointer.0 != 0)?;
        let text = memory.c_string(pointer, 256).ok()?;
        Some(String::from_utf8_lossy(&text).into_owned())
    };
    let taints = layout.taints.and_then(|(offset, size)| {
        let bytes = memory.bytes(at(offset)?, size.min(8) as usize).ok()?;
        Some(memory.abi().uint(&bytes))
    });
    Some(Module {
        name: name.into(),
        address,
        base: VirtAddr(base?),
        size,
        version: string(layout.version),
        taints,
        regions,
        text: texts,
        tables: Tables::read(memory, address, &layout.symbols),
        symbols: OnceLock::new(),
    })
}

/// The name of the module whose `name` array is at `at`: printable, not empty.
pub(super) fn name_at(memory: &KernelMemory, at: VirtAddr) -> Option<String> {
    let name = memory.c_string(at, NAME_LEN).ok()?;
    let plain = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    plain.then(|| String::from_utf8_lossy(&name).into_owned())
}

/// A region of a module, and the part of it that is code.
pub(super) fn region_at(
    memory: &KernelMemory,
    module: VirtAddr,
    region: &Region,
) -> Option<(Range<u64>, Option<Range<u64>>)> {
    let start = memory.pointer(module.checked_add(region.base)?).ok()?.0;
    let size = |offset: u64| {
        let size = memory.u32(module.checked_add(offset)?).ok()?;
        Some(u64::from(size)).filter(|size| *size <= MAX_SIZE)
    };
    let len = size(region.size)?;
    if start == 0 || len == 0 {
        return None;
    }
    let range = start..start.checked_add(len)?;
    let text = match region.text {
        Text::None => None,
        Text::All => Some(range.clone()),
        Text::First(offset) => size(offset).map(|text| start..start + text.min(len)),
    };
    Some((range, text))
}
