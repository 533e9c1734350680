//! BTF, the kernel's own type information, out of the dump's memory (Documentation/bpf/btf.rst).
//!
//! vmlinux's has some 100,000 types in 4 MB. The types that matter most come first (the build meets `task_struct` in
//! its first files), so types are indexed only as far as a question needs: most questions touch some dozen pages.
//! A question about a name that does not exist reads them all.
//!
//! Since 7.0 the types with names follow those without and ascend by name (the kernel's own search relies on it, as
//! kernel/bpf/btf.c finds by `named_start_id`): there the names are halved, and only where each type starts has to be
//! known of all.
//!
//! A module's BTF is "split": its type numbers and string offsets go on where vmlinux's end.

mod condense;
mod find;
mod index;
mod record;
#[cfg(test)]
mod tests;
mod walk;

use std::sync::{Arc, Mutex, OnceLock};

use self::index::{Index, Section};
use super::path::steps;
use super::{Member, Source, Types};
use crate::addr::VirtAddr;
use crate::kernel::access::{Abi, KernelMemory};
use crate::kernel::paged::PagedBytes;

const MAGIC: u64 = 0xeb9f;
/// `struct btf_header` up to `str_len`: later fields may follow.
const HEADER: usize = 24;
/// Larger than any kernel's BTF (an allyesconfig's has some 20 MB).
const MAX_SECTION: u64 = 64 << 20;

/// One module of types: vmlinux's, or a module's on top of it.
#[derive(Debug)]
pub struct Btf {
    abi: Abi,
    base: Option<Arc<Btf>>,
    start: VirtAddr,
    types: Section,
    strings: Section,
    /// The number of the first type here: 1, or how many the base has.
    first: u32,
    /// The offset of the first string here: 0, or the length of the base's.
    first_string: u64,
    index: Mutex<Index>,
    /// How many nameless types precede the named ones, where those ascend.
    nameless: OnceLock<Option<u32>>,
}

/// A type number together with the BTF that it is to be looked up in.
type Id = u32;

impl Btf {
    /// The BTF that starts at `start`; `len` bounds it. `None` when there is none.
    pub fn open(memory: &KernelMemory, start: VirtAddr, len: u64) -> Option<Btf> {
        Btf::read(memory, start, len, None)
    }

    /// A module's BTF on top of vmlinux's.
    pub fn open_split(memory: &KernelMemory, start: VirtAddr, len: u64, base: Arc<Btf>) -> Option<Btf> {
        Btf::read(memory, start, len, Some(base))
    }

    fn read(memory: &KernelMemory, start: VirtAddr, len: u64, base: Option<Arc<Btf>>) -> Option<Btf> {
        let abi = memory.abi();
        let header = memory.bytes(start, HEADER).ok()?;
        let field = |at: usize, size: usize| Some(abi.uint(header.get(at..at + size)?));
        if field(0, 2)? != MAGIC {
            return None;
        }
        let body = field(4, 4)?;
        let section = |at: usize| -> Option<Section> {
            let (offset, size) = (field(at, 4)?, field(at + 4, 4)?);
            let offset = body + offset;
            if size > MAX_SECTION || offset + size > len {
                return None;
            }
            Some(Section {
                bytes: PagedBytes::new(memory.clone(), start.checked_add(offset)?, size)?,
                is_condensed: base.is_none(),
            })
        };
        let (types, strings) = (section(8)?, section(16)?);
        let first = match &base {
            Some(base) => base.count(),
            None => 1,
        };
        let first_string = base.as_ref().map_or(0, |base| base.first_string + base.strings.len());
        Some(Btf {
            abi,
            base,
            start,
            types,
            strings,
            first,
            first_string,
            index: Mutex::default(),
            nameless: OnceLock::new(),
        })
    }
}

impl Types for Btf {
    fn source(&self) -> Option<Source> {
        Some(Source::Btf)
    }

    fn member(&self, structure: &str, path: &str) -> Option<Member> {
        let path = steps(path)?;
        let (id, _) = self.find(structure)?;
        self.walk(id, &path)
    }

    fn size_of(&self, name: &str) -> Option<u64> {
        let (id, _) = self.find(name)?;
        self.size(id, 0)
    }

    fn enum_value(&self, enumerator: &str) -> Option<i64> {
        self.find_enumerator(enumerator)
    }
}
