//! Addresses and names of the dumped kernel, from its own tables: kallsyms, the modules' symbols, per-CPU variables.
//!
//! It must not know how memory is translated nor what the symbols are used for.

mod condense;
mod find;
mod listed;
mod locate;
mod module;
mod module_layout;
mod module_symbols;
mod names;
mod percpu;
mod query;
mod shared;
mod table;

#[cfg(test)]
pub(crate) mod encoder;
#[cfg(test)]
mod module_tests;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;

pub use self::listed::ListedSymbol;
use self::listed::{Listed, Table};
use self::locate::Known;
pub use self::module::{Module, Modules};
use self::module_layout::ModuleLayout;
pub use self::query::Found;
pub use self::shared::SharedNames;
pub use self::table::{Encoding, Kallsyms};
use super::access::KernelMemory;
use super::types::{Source, Types};
use crate::addr::VirtAddr;

/// What is known of a kernel before its symbols are.
#[derive(Clone, Copy)]
pub struct Hints<'a> {
    /// The address that VMCOREINFO's line `SYMBOL(name)=` gives.
    pub vmcoreinfo: &'a dyn Fn(&str) -> Option<VirtAddr>,
    /// The lowest mapped address of the kernel's image, when VMCOREINFO does not tell `_stext`.
    pub image: Option<VirtAddr>,
}

/// Why a kernel's symbols could not be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SymbolsError {
    /// Neither VMCOREINFO nor the page tables say where the kernel is.
    #[error("where the kernel's image lies is not known: the dump has no VMCOREINFO and its text was not found")]
    NoImage,
    /// The tables are not in the dump, or damaged.
    #[error("no kallsyms tables found in the kernel's image at {0}: they were left out, cut off, or not built in")]
    NotFound(VirtAddr),
}

/// A place in code or data, by the symbol that covers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbolised {
    /// The symbol's name as the kernel spells it.
    pub name: String,
    /// Its type as `nm` prints it; lower case for static ones.
    pub kind: char,
    /// Bytes from the symbol's start.
    pub offset: u64,
    /// Bytes to the next symbol, as the kernel prints it.
    pub size: u64,
    /// The module it belongs to; `None` for the kernel proper.
    pub module: Option<Arc<str>>,
}

/// The dumped kernel's symbols.
#[derive(Debug)]
pub struct Symbols {
    memory: KernelMemory,
    table: Table,
    text: Vec<Range<u64>>,
    modules: Modules,
}

impl Symbols {
    /// Finds and proves the symbol tables: by VMCOREINFO's lines (6.0 on), or blind.
    pub fn open(memory: &KernelMemory, hints: Hints<'_>) -> Result<Symbols, SymbolsError> {
        Symbols::open_sharing(memory, hints, None)
    }

    /// [`Symbols::open`]; what other dumps made of the same names need not be made again.
    pub fn open_sharing(
        memory: &KernelMemory,
        hints: Hints<'_>,
        shared: Option<&Arc<SharedNames>>,
    ) -> Result<Symbols, SymbolsError> {
        let stext = (hints.vmcoreinfo)("_stext");
        let image = stext.or(hints.image).ok_or(SymbolsError::NoImage)?;
        let known = Known { image, stext };
        let mut kallsyms = locate::by_vmcoreinfo(memory, known, hints.vmcoreinfo)
            .or_else(|| find::find(memory, known, (hints.vmcoreinfo)("init_uts_ns")))
            .ok_or(SymbolsError::NotFound(image))?;
        kallsyms.share(shared.cloned());
        Ok(Symbols::over(memory, Table::Kallsyms(Box::new(kallsyms))))
    }

    /// The symbols of the kernel proper from a list, where its own table is not to be had.
    pub fn listed(memory: &KernelMemory, list: Vec<ListedSymbol>) -> Symbols {
        Symbols::over(memory, Table::Listed(Listed::new(list)))
    }

    fn over(memory: &KernelMemory, table: Table) -> Symbols {
        let address = |name: &str| table.named(name).first().map(|address| address.0);
        // The limits that the kernel's own is_ksym_addr() and core_kernel_text() use.
        let text = [("_stext", "_etext"), ("_sinittext", "_einittext")]
            .into_iter()
            .filter_map(|(start, end)| Some(address(start)?..address(end)?))
            .collect();
        Symbols {
            memory: memory.clone(),
            text,
            table,
            modules: Modules::default(),
        }
    }

    /// The kernel's own table, unless the symbols come from a list.
    pub fn kallsyms(&self) -> Option<&Kallsyms> {
        match &self.table {
            Table::Kallsyms(kallsyms) => Some(kallsyms),
            Table::Listed(_) => None,
        }
    }

    /// Every address of the kernel proper that bears `name`, ascending. Modules are not asked.
    pub fn own(&self, name: &str) -> Vec<VirtAddr> {
        self.table.named(name)
    }

    /// Finds the loaded modules: from then on lookups see their symbols too. `types` tell the layout of
    /// `struct module`; when they do not know it, it is told from the modules themselves.
    pub fn find_modules(&mut self, types: &dyn Types) {
        let Some(head) = self.by_name("modules") else {
            self.modules.remark = Some("the kernel has no symbol `modules`".to_owned());
            return;
        };
        self.modules = Modules::walk(&self.memory, head, |addresses| {
            let told = ModuleLayout::from_types(types)
                .filter(|layout| types.source() != Some(Source::Table) || layout.fits(&self.memory, addresses));
            told.or_else(|| ModuleLayout::by_fit(&self.memory, addresses))
        });
    }

    /// The loaded modules, once [`Symbols::find_modules`] has looked for them.
    pub fn modules(&self) -> &Modules {
        &self.modules
    }

    /// The symbol that covers `address`.
    pub fn by_address(&self, address: VirtAddr) -> Option<Symbolised> {
        if let Some(module) = self.modules.holding(address) {
            return module.symbolise(&self.memory, address);
        }
        let found = self.table.covering(address)?;
        Some(Symbolised {
            name: found.name,
            kind: found.kind,
            offset: address.0.checked_sub(found.start.0)?,
            size: found.next.0.checked_sub(found.start.0)?,
            module: None,
        })
    }

    /// The lowest address in the kernel proper that bears `name`. `mod:name` asks one module.
    ///
    /// Modules are not gone through: a variable of the kernel's that this kernel lacks must not be found in a module
    /// that happens to use its name, and the tables of hundreds of modules need not be read to learn that it lacks it.
    pub fn by_name(&self, name: &str) -> Option<VirtAddr> {
        if name.contains(':') {
            return self.all_by_name(name).first().copied();
        }
        self.table.named(name).first().copied()
    }

    /// Every address that bears `name`: static functions and variables share names. Ascending in the kernel proper,
    /// then the modules'.
    pub fn all_by_name(&self, name: &str) -> Vec<VirtAddr> {
        if let Some((module, name)) = name.split_once(':') {
            let modules = self.modules.list.iter().filter(|found| &*found.name == module);
            return modules.flat_map(|module| module.named(&self.memory, name)).collect();
        }
        let mut found = self.table.named(name);
        if found.is_empty() {
            let modules = self.modules.list.iter();
            found.extend(modules.flat_map(|module| module.named(&self.memory, name)));
        }
        found
    }

    /// Whether `address` lies in the text of the kernel or of a module.
    pub fn is_text(&self, address: VirtAddr) -> bool {
        self.text.iter().any(|range| range.contains(&address.0))
            || self
                .modules
                .holding(address)
                .is_some_and(|module| module.is_text(address))
    }
}
