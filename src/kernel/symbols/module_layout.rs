//! Where things are in `struct module` (include/linux/module.h): by types, or by what fits.
//!
//! Eras: to 4.4 `module_core` and sizes in the struct itself; 4.5 to 6.3 `core_layout` and `init_layout`; from 6.4 on
//! `mem[]`, one entry a kind of memory. The symbol table: to 4.4 `symtab`, `num_symtab`, `strtab`; since, the pointer
//! `kallsyms` to a `struct mod_kallsyms`.

use super::module::{name_at, region_at};
use crate::addr::VirtAddr;
use crate::kernel::access::KernelMemory;
use crate::kernel::types::{Kind, Types};

/// Where things are in `struct module`, in bytes from its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ModuleLayout {
    pub(super) name: u64,
    /// The code's first.
    pub(super) regions: Vec<Region>,
    pub(super) version: Option<u64>,
    /// Offset and size.
    pub(super) taints: Option<(u64, u64)>,
    pub(super) symbols: SymbolsAt,
}

/// A piece of a module's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Region {
    /// Where the pointer to it is.
    pub(super) base: u64,
    /// Where its size (an `unsigned int`) is.
    pub(super) size: u64,
    pub(super) text: Text,
    /// It is given back when the module's initialisation is done.
    pub(super) init: bool,
}

/// Which part of a region is code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Text {
    None,
    All,
    /// As many bytes as stand at this offset.
    First(u64),
}

/// Where a module says where its symbol table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SymbolsAt {
    /// In `struct module` itself: symtab, num_symtab, strtab.
    Here(SymbolFields),
    /// In a `struct mod_kallsyms` that the pointer at `pointer` leads to.
    Behind {
        pointer: u64,
        fields: SymbolFields,
    },
    Unknown,
}

/// The fields that describe a symbol table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SymbolFields {
    pub(super) symtab: u64,
    pub(super) count: u64,
    pub(super) strtab: u64,
    /// 5.2 on.
    pub(super) typetab: Option<u64>,
}

/// Indices of `enum mod_mem_type`: the two kinds of code; from MOD_INIT_TEXT on memory goes after initialisation.
const MOD_TEXT: u64 = 0;
const MOD_INIT_TEXT: u64 = 4;
/// MOD_MEM_NUM_TYPES is 7.
const MAX_KINDS: u64 = 16;

impl ModuleLayout {
    /// The layout as `types` have it.
    pub(super) fn from_types(types: &dyn Types) -> Option<ModuleLayout> {
        let at = |path: &str| types.offset_of("module", path);
        let regions = if let Some(mem) = types.member("module", "mem") {
            let Kind::Array { count, size, .. } = mem.kind else {
                return None;
            };
            let (base, len) = (at("mem[0].base")?, at("mem[0].size")?);
            let region = |kind: u64| Region {
                base: base + kind * size,
                size: len + kind * size,
                text: if kind == MOD_TEXT || kind == MOD_INIT_TEXT {
                    Text::All
                } else {
                    Text::None
                },
                init: kind >= MOD_INIT_TEXT,
            };
            (0..count.min(MAX_KINDS)).map(region).collect()
        } else {
            let region = |base: &str, size: &str, text: &str, init| {
                Some(Region {
                    base: at(base)?,
                    size: at(size)?,
                    text: at(text).map_or(Text::All, Text::First),
                    init,
                })
            };
            let core = region("core_layout.base", "core_layout.size", "core_layout.text_size", false)
                .or_else(|| region("module_core", "core_size", "core_text_size", false))?;
            let init = region("init_layout.base", "init_layout.size", "init_layout.text_size", true)
                .or_else(|| region("module_init", "init_size", "init_text_size", true));
            [Some(core), init].into_iter().flatten().collect()
        };
        let fields = |structure: &str| {
            Some(SymbolFields {
                symtab: types.offset_of(structure, "symtab")?,
                count: types.offset_of(structure, "num_symtab")?,
                strtab: types.offset_of(structure, "strtab")?,
                typetab: types.offset_of(structure, "typetab"),
            })
        };
        let symbols = match at("kallsyms") {
            Some(pointer) => fields("mod_kallsyms").map(|fields| SymbolsAt::Behind { pointer, fields }),
            None => fields("module").map(SymbolsAt::Here),
        };
        Some(ModuleLayout {
            name: at("name")?,
            regions,
            version: at("version"),
            taints: types
                .member("module", "taints")
                .map(|taints| (taints.offset, taints.size)),
            symbols: symbols.unwrap_or(SymbolsAt::Unknown),
        })
    }

    /// The layout that fits the modules at `addresses`, with no types to ask.
    ///
    /// A module's own record lies in the memory that it describes: a page-aligned pointer in the record, and a size
    /// behind it that reaches over the record, are the module's memory. That no accident does for several modules.
    pub(super) fn by_fit(memory: &KernelMemory, addresses: &[VirtAddr]) -> Option<ModuleLayout> {
        const WITNESSES: usize = 6;
        let word = memory.abi().word_size();
        let witnesses = addresses.get(..addresses.len().min(WITNESSES))?;
        let name = 3 * word;
        if !witnesses.iter().all(|module| named(memory, *module, name)) {
            return None;
        }
        let all_hold = |region: &Region| witnesses.iter().all(|module| holds_itself(memory, *module, region));
        let region = candidates(word).find(all_hold)?;
        let all_have = |symbols: &SymbolsAt| {
            witnesses
                .iter()
                .all(|module| has_symbols(memory, *module, &region, symbols))
        };
        let symbols = symbol_candidates(word, region.base).find(all_have);
        Some(ModuleLayout {
            name,
            regions: vec![region],
            version: None,
            taints: None,
            symbols: symbols.unwrap_or(SymbolsAt::Unknown),
        })
    }

    /// Whether this layout, not read from the dump itself, fits the modules at `addresses`.
    pub(super) fn fits(&self, memory: &KernelMemory, addresses: &[VirtAddr]) -> bool {
        let holds = |module: &VirtAddr| {
            self.regions
                .iter()
                .any(|region| !region.init && holds_itself(memory, *module, region))
        };
        addresses
            .iter()
            .take(4)
            .all(|module| named(memory, *module, self.name) && holds(module))
    }
}

/// `struct module` is smaller than this in every kernel seen (1280 bytes in 6.12).
const SEARCHED: u64 = 1536;

/// Every place where the memory could be described: `module_core` with the sizes of both parts behind it (to 4.4), or
/// a `core_layout`.
fn candidates(word: u64) -> impl Iterator<Item = Region> {
    (word..SEARCHED / word)
        .map(move |slot| slot * word)
        .flat_map(move |base| {
            let region = |size: u64, text: u64| Region {
                base,
                size: base + size,
                text: Text::First(base + text),
                init: false,
            };
            [region(word, word + 4), region(word + 4, word + 12)]
        })
}

fn symbol_candidates(word: u64, from: u64) -> impl Iterator<Item = SymbolsAt> {
    let places = (from / word..SEARCHED / word).map(move |slot| slot * word);
    places.flat_map(move |at| {
        let fields = |count: u64, strtab: u64| SymbolFields {
            symtab: at,
            count: at + count,
            strtab: at + strtab,
            typetab: None,
        };
        // To 4.4: symtab, core_symtab, num_symtab, core_num_syms, strtab. Since: the mod_kallsyms core_kallsyms.
        let old = fields(2 * word, 2 * word + 8);
        let new = fields(word, 2 * word);
        [SymbolsAt::Here(old), SymbolsAt::Here(new)]
    })
}

fn named(memory: &KernelMemory, module: VirtAddr, name: u64) -> bool {
    module.checked_add(name).and_then(|at| name_at(memory, at)).is_some()
}

fn holds_itself(memory: &KernelMemory, module: VirtAddr, region: &Region) -> bool {
    const PAGE: u64 = 4096;
    region_at(memory, module, region).is_some_and(|(range, text)| {
        let code = text.map_or(0, |text| text.end - text.start);
        range.start % PAGE == 0 && range.contains(&module.0) && code > 0 && range.start + code <= module.0
    })
}

/// Whether a symbol table of `module` is where `symbols` say: in its memory, the first symbol empty as ELF has it.
fn has_symbols(memory: &KernelMemory, module: VirtAddr, region: &Region, symbols: &SymbolsAt) -> bool {
    let SymbolsAt::Here(fields) = symbols else { return false };
    let Some((range, _)) = region_at(memory, module, region) else {
        return false;
    };
    let pointer = |offset: u64| memory.pointer(module.checked_add(offset)?).ok();
    let (Some(symtab), Some(strtab)) = (pointer(fields.symtab), pointer(fields.strtab)) else {
        return false;
    };
    let Some(count) = module.checked_add(fields.count).and_then(|at| memory.u32(at).ok()) else {
        return false;
    };
    let end = symtab.0.saturating_add(u64::from(count) * 24);
    range.contains(&symtab.0)
        && range.contains(&strtab.0)
        && (2..1 << 20).contains(&count)
        && end <= range.end
        && memory
            .bytes(symtab, 24)
            .is_ok_and(|first| first.iter().all(|byte| *byte == 0))
        && memory.u8(strtab) == Ok(0)
}
