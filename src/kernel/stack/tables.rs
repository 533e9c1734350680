//! The ORC tables of the kernel and of its modules: where they are, and which version.

use std::sync::OnceLock;

use super::orc::{ENTRY_SIZE, Entry, Table, Version};
use crate::addr::VirtAddr;
use crate::kernel::ReadError;
use crate::kernel::access::KernelMemory;
use crate::kernel::symbols::{Module, Symbols};
use crate::kernel::types::Types;

/// More entries than any kernel has (6.12 with everything built as Debian does: 424,000).
const MOST_ENTRIES: u64 = 1 << 24;

/// All tables of a dump.
#[derive(Debug)]
pub struct Tables<'a> {
    version: Version,
    kernel: Table,
    modules: Vec<ModuleTable<'a>>,
}

/// A module's table, looked for when a stack first leads there.
#[derive(Debug)]
struct ModuleTable<'a> {
    module: &'a Module,
    /// Where `struct module` has `arch.num_orcs`, `arch.orc_unwind_ip` and `arch.orc_unwind`, by types.
    layout: Option<[u64; 3]>,
    table: OnceLock<Option<Table>>,
}

impl<'a> Tables<'a> {
    /// The tables, or why there are none.
    pub fn open(memory: &KernelMemory, symbols: &'a Symbols, types: &dyn Types) -> Result<Tables<'a>, String> {
        let missing = |name: &str| format!("this kernel has no ORC tables ({name} is not among its symbols)");
        let named = |name: &str| symbols.by_name(name).ok_or_else(|| missing(name));
        let ips = named("__start_orc_unwind_ip")?;
        let end = named("__stop_orc_unwind_ip")?;
        let entries = named("__start_orc_unwind")?;
        let count = end.0.saturating_sub(ips.0) / 4;
        if count == 0 || count > MOST_ENTRIES {
            return Err(format!("the ORC table between {ips} and {end} has a senseless size"));
        }
        let kernel = Table { ips, entries, count };
        let offset = |member: &str| types.offset_of("module", member);
        let layout = offset("arch.num_orcs")
            .zip(offset("arch.orc_unwind_ip"))
            .zip(offset("arch.orc_unwind"))
            .map(|((count, ips), entries)| [count, ips, entries]);
        Ok(Tables {
            version: version(memory, symbols, &kernel)?,
            kernel,
            modules: symbols
                .modules()
                .list
                .iter()
                .map(|module| ModuleTable {
                    module,
                    layout,
                    table: OnceLock::new(),
                })
                .collect(),
        })
    }

    /// Only this table, for kernels without modules.
    #[cfg(test)]
    pub(super) fn of_kernel(version: Version, kernel: Table) -> Tables<'static> {
        Tables {
            version,
            kernel,
            modules: Vec::new(),
        }
    }

    /// The entry that holds at `ip`; `None` where no table has one.
    pub fn find(&self, memory: &KernelMemory, ip: VirtAddr) -> Result<Option<Entry>, ReadError> {
        let Some(found) = self.modules.iter().find(|found| found.module.is_text(ip)) else {
            return self.kernel.find(memory, self.version, ip);
        };
        match found.table.get_or_init(|| found.open(memory)) {
            Some(table) => table.find(memory, self.version, ip),
            None => Ok(None),
        }
    }
}

impl ModuleTable<'_> {
    fn open(&self, memory: &KernelMemory) -> Option<Table> {
        match self.layout {
            Some(offsets) => self.at(memory, offsets),
            None => self.by_fit(memory),
        }
    }

    fn at(&self, memory: &KernelMemory, offsets: [u64; 3]) -> Option<Table> {
        let [count, ips, entries] = offsets.map(|offset| self.module.address.checked_add(offset));
        let table = Table {
            ips: memory.pointer(ips?).ok()?,
            entries: memory.pointer(entries?).ok()?,
            count: u64::from(memory.u32(count?).ok()?),
        };
        (1..MOST_ENTRIES).contains(&table.count).then_some(table)
    }

    /// Without types: the count and the two pointers stand side by side (struct mod_arch_specific,
    /// arch/x86/include/asm/module.h), both arrays lie in the module's memory, and the first or (once its
    /// initialisation's code is gone) the last address in its code.
    fn by_fit(&self, memory: &KernelMemory) -> Option<Table> {
        const NAME_END: u64 = 24 + 56;
        const MOST: u64 = 4096;
        (NAME_END..MOST).step_by(8).find_map(|offset| {
            let table = self.at(memory, [offset, offset + 8, offset + 16])?;
            let inside = [table.ips, table.entries].iter().all(|at| self.module.contains(*at));
            let fits = inside
                && table
                    .span(memory)
                    .is_ok_and(|span| span.iter().any(|at| self.module.is_text(*at)));
            fits.then_some(table)
        })
    }
}

fn version(memory: &KernelMemory, symbols: &Symbols, table: &Table) -> Result<Version, String> {
    let by_header = || {
        let mut hash = [0; 20];
        memory.read(symbols.by_name("__start_orc_header")?, &mut hash).ok()?;
        Version::from_header(&hash)
    };
    if let Some(version) = by_header() {
        return Ok(version);
    }
    // Ordinary code tells most, entry code the rest: see Version::guess.
    const ENOUGH: u64 = 512;
    let mut sample: Vec<[u8; ENTRY_SIZE]> = Vec::new();
    let mut why = String::new();
    for name in ["vfs_read", "asm_exc_page_fault", "page_fault", "ret_from_fork"] {
        let Some(at) = symbols.by_name(name) else { continue };
        match table.around(memory, at, ENOUGH) {
            Ok(entries) => sample.extend(entries),
            Err(error) => why = format!(" ({error})"),
        }
    }
    Version::guess(&sample).ok_or_else(|| format!("the layout of this kernel's ORC tables is not known{why}"))
}
