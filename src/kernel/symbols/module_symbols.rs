//! A module's own symbol table: the ELF symbols the kernel kept of it, with final addresses.

use super::Symbolised;
use super::module::Module;
use super::module_layout::{SymbolFields, SymbolsAt};
use crate::addr::VirtAddr;
use crate::kernel::access::KernelMemory;

/// More symbols than any module has (the largest have some 60,000).
const MAX_SYMBOLS: u32 = 1 << 20;
/// Bytes of an `Elf64_Sym` / `Elf32_Sym`.
const SYMBOL_64: usize = 24;
const SYMBOL_32: usize = 16;

/// Where a module's tables are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tables {
    symtab: VirtAddr,
    count: u32,
    strtab: VirtAddr,
    /// One type character a symbol (5.2 on).
    typetab: Option<VirtAddr>,
}

impl Tables {
    pub(super) fn read(memory: &KernelMemory, module: VirtAddr, symbols: &SymbolsAt) -> Option<Tables> {
        match symbols {
            SymbolsAt::Unknown => None,
            SymbolsAt::Here(fields) => Tables::at(memory, module, fields),
            SymbolsAt::Behind { pointer, fields } => {
                let behind = memory.pointer(module.checked_add(*pointer)?).ok()?;
                Tables::at(memory, behind, fields)
            }
        }
    }

    fn at(memory: &KernelMemory, record: VirtAddr, fields: &SymbolFields) -> Option<Tables> {
        let pointer = |offset: u64| {
            let pointer = memory.pointer(record.checked_add(offset)?).ok()?;
            (pointer.0 != 0).then_some(pointer)
        };
        let count = memory.u32(record.checked_add(fields.count)?).ok()?;
        Some(Tables {
            symtab: pointer(fields.symtab)?,
            count: (count <= MAX_SYMBOLS).then_some(count)?,
            strtab: pointer(fields.strtab)?,
            typetab: fields.typetab.and_then(pointer),
        })
    }
}

/// The defined symbols of a module in the table's order, without names.
#[derive(Debug)]
pub(super) struct SymbolTable {
    symbols: Vec<ModuleSymbol>,
}

#[derive(Clone, Copy, Debug)]
struct ModuleSymbol {
    name: VirtAddr,
    value: u64,
    /// `None`: to be told by where it is.
    kind: Option<char>,
}

impl SymbolTable {
    fn read(memory: &KernelMemory, tables: &Tables) -> Option<SymbolTable> {
        let abi = memory.abi();
        let size = if abi.is_64bit { SYMBOL_64 } else { SYMBOL_32 };
        let raw = memory.bytes(tables.symtab, tables.count as usize * size).ok()?;
        let types = tables
            .typetab
            .and_then(|at| memory.bytes(at, tables.count as usize).ok());
        let mut symbols = Vec::new();
        // The first symbol is always empty.
        for (number, raw) in raw.chunks_exact(size).enumerate().skip(1) {
            let field = |at: usize, len: usize| raw.get(at..at + len).map_or(0, |field| abi.uint(field));
            let (info, section, value, len) = if abi.is_64bit {
                (field(4, 1), field(6, 2), field(8, 8), field(16, 8))
            } else {
                (field(12, 1), field(14, 2), field(4, 4), field(8, 4))
            };
            // SHN_UNDEF: another's symbol that this one uses.
            if section == 0 {
                continue;
            }
            // Before 5.2 the kernel wrote the type over st_info, for a while over st_size.
            let told = types.as_ref().and_then(|types| types.get(number)).copied();
            let kind = [told, u8::try_from(info).ok(), u8::try_from(len).ok()]
                .into_iter()
                .take(if types.is_some() { 1 } else { 3 })
                .flatten()
                .find(u8::is_ascii_alphabetic);
            let Some(name) = tables.strtab.checked_add(field(0, 4)) else {
                continue;
            };
            symbols.push(ModuleSymbol {
                name,
                value,
                kind: kind.map(char::from),
            });
        }
        Some(SymbolTable { symbols })
    }
}

impl Module {
    /// The symbol that covers `address`, as the kernel's find_kallsyms_symbol() picks it.
    pub(super) fn symbolise(&self, memory: &KernelMemory, address: VirtAddr) -> Option<Symbolised> {
        let region = self
            .text
            .iter()
            .chain(&self.regions)
            .find(|region| region.contains(&address.0))?;
        let table = self.table(memory)?;
        let mut best: Option<(&ModuleSymbol, String)> = None;
        let mut next = region.end;
        for symbol in table.symbols.iter().filter(|symbol| region.contains(&symbol.value)) {
            if symbol.value > address.0 {
                next = next.min(symbol.value);
            } else if best.as_ref().is_none_or(|(best, _)| symbol.value > best.value)
                && let Some(name) = name_of(memory, symbol)
            {
                best = Some((symbol, name));
            }
        }
        let (symbol, name) = best?;
        Some(Symbolised {
            name,
            kind: self.kind_of(symbol),
            offset: address.0 - symbol.value,
            size: next - symbol.value,
            module: Some(self.name.clone()),
        })
    }

    /// The addresses of its symbols called `name`.
    pub(super) fn named(&self, memory: &KernelMemory, name: &str) -> Vec<VirtAddr> {
        let Some(table) = self.table(memory) else {
            return Vec::new();
        };
        let is_named = |symbol: &&ModuleSymbol| {
            // One byte more than the name: it must end there.
            let found = memory.c_string(symbol.name, name.len() + 1);
            found.is_ok_and(|found| found == name.as_bytes())
        };
        let found = table.symbols.iter().filter(is_named);
        found.map(|symbol| VirtAddr(symbol.value)).collect()
    }

    fn table(&self, memory: &KernelMemory) -> Option<&SymbolTable> {
        self.symbols
            .get_or_init(|| SymbolTable::read(memory, self.tables.as_ref()?))
            .as_ref()
    }

    fn kind_of(&self, symbol: &ModuleSymbol) -> char {
        let by_place = if self.is_text(VirtAddr(symbol.value)) { 't' } else { 'd' };
        symbol.kind.unwrap_or(by_place)
    }
}

/// The name, unless it is empty or one of the compiler's local labels (the kernel's is_mapping_symbol()).
fn name_of(memory: &KernelMemory, symbol: &ModuleSymbol) -> Option<String> {
    let name = memory.c_string(symbol.name, 512).ok()?;
    let local = name.is_empty() || name.starts_with(b".L") || name.starts_with(b"L0") || name.starts_with(b"$");
    (!local).then(|| String::from_utf8_lossy(&name).into_owned())
}
