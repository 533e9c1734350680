//! All that is known of one dump's types, best source first.

use std::sync::Arc;

use super::el7::El7Table;
use super::{Btf, Member, Source, Types};
use crate::addr::VirtAddr;
use crate::kernel::Condensed;
use crate::kernel::access::KernelMemory;
use crate::kernel::symbols::Symbols;

/// The types of one dumped kernel, whatever tells them.
#[derive(Default)]
pub struct KernelTypes {
    layers: Vec<Arc<dyn Types>>,
    btf: Option<Arc<Btf>>,
}

impl KernelTypes {
    /// What the dump tells of itself: BTF, or a table of its kernel line that the dump bears out.
    pub fn open(memory: &KernelMemory, symbols: &Symbols) -> KernelTypes {
        let symbol = |name: &str| symbols.by_name(name);
        let mut types = KernelTypes::default();
        let section = symbol("__start_BTF").zip(symbol("__stop_BTF"));
        let btf = section.and_then(|(start, stop)| Btf::open(memory, start, stop.0.checked_sub(start.0)?));
        if let Some(btf) = btf {
            let btf = Arc::new(btf);
            types.layers.push(btf.clone());
            types.btf = Some(btf);
        } else if let Some(release) = release(memory, symbols)
            && let Some(table) = El7Table::open(memory, &release, &symbol)
        {
            types.layers.push(Arc::new(table));
        }
        types
    }

    /// The dump's own types, cut down to what was asked.
    pub fn condensed(&self) -> Option<Condensed> {
        self.btf.as_ref()?.condensed()
    }

    /// Adds a source that is asked before all others.
    pub fn prefer(&mut self, types: Arc<dyn Types>) {
        self.layers.insert(0, types);
    }

    /// The types of module `name`, which stand on the kernel's own (5.11+, when its BTF is in the dump).
    pub fn of_module(&self, memory: &KernelMemory, symbols: &Symbols, name: &str) -> Option<Btf> {
        /// More than a machine has modules.
        const MAX: usize = 4096;
        let base = self.btf.clone()?;
        let wanted = symbols.modules().list.iter().find(|module| &*module.name == name)?;
        let head = symbols.by_name("btf_modules")?;
        let (list, module) = (
            base.offset_of("btf_module", "list")?,
            base.offset_of("btf_module", "module")?,
        );
        let btf = base.offset_of("btf_module", "btf")?;
        let (data, size) = (base.offset_of("btf", "data")?, base.offset_of("btf", "data_size")?);
        let mut at = head;
        for _ in 0..MAX {
            at = memory.pointer(at).ok().filter(|next| *next != head)?;
            let record = VirtAddr(at.0.wrapping_sub(list));
            if memory.pointer(record.checked_add(module)?) != Ok(wanted.address) {
                continue;
            }
            let btf = memory.pointer(record.checked_add(btf)?).ok()?;
            let start = memory.pointer(btf.checked_add(data)?).ok()?;
            let len = memory.u32(btf.checked_add(size)?).ok()?;
            return Btf::open_split(memory, start, u64::from(len), base);
        }
        None
    }
}

impl Types for KernelTypes {
    fn source(&self) -> Option<Source> {
        self.layers.first()?.source()
    }

    fn member(&self, structure: &str, path: &str) -> Option<Member> {
        self.layers.iter().find_map(|types| types.member(structure, path))
    }

    fn size_of(&self, name: &str) -> Option<u64> {
        self.layers.iter().find_map(|types| types.size_of(name))
    }

    fn enum_value(&self, enumerator: &str) -> Option<i64> {
        self.layers.iter().find_map(|types| types.enum_value(enumerator))
    }
}

/// `uname -r` out of `linux_banner` ("Linux version RELEASE (…").
fn release(memory: &KernelMemory, symbols: &Symbols) -> Option<String> {
    let banner = memory.c_string(symbols.by_name("linux_banner")?, 128).ok()?;
    let banner = String::from_utf8_lossy(&banner).into_owned();
    let release = banner.strip_prefix("Linux version ")?.split(' ').next()?;
    Some(release.to_owned())
}
