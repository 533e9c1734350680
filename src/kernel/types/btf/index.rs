//! Where each type starts, as far as questions went, and each type by its number.
//!
//! It must not know what is asked: `find` looks for names, `walk` for what belongs to a type.

use std::collections::{BTreeSet, HashMap};
use std::sync::PoisonError;

use super::record::{Type, raw_at, words};
use super::{Btf, Id};
use crate::kernel::paged::PagedBytes;

/// The types, or the strings.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) bytes: PagedBytes,
    /// A record of what was read is not kept byte by byte, but made from the types that were told.
    pub(super) is_condensed: bool,
}

impl Section {
    pub(super) fn len(&self) -> u64 {
        self.bytes.len()
    }

    /// All of it, for those who keep no byte-by-byte record of it.
    pub(super) fn whole(&self) -> Option<Vec<u8>> {
        self.is_condensed.then(|| self.bytes.whole()).flatten()
    }

    pub(super) fn copy(&self, offset: u64, buf: &mut [u8]) -> Option<()> {
        if self.is_condensed {
            self.bytes.peek(offset, buf)
        } else {
            self.bytes.copy(offset, buf)
        }
    }
}

/// The types found so far.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Where each type starts in the type section.
    pub(super) offsets: Vec<u32>,
    /// Where the next one starts.
    pub(super) next: u64,
    /// Nothing more can be read.
    pub(super) done: bool,
    /// How many of the types have their names in `names`.
    pub(super) named: usize,
    /// Definitions by the hash of their names, ascending.
    pub(super) names: HashMap<u64, Vec<u32>>,
    /// The types that answers came from.
    pub(super) told: BTreeSet<Id>,
}

impl Btf {
    /// One more than the highest type number.
    pub fn count(&self) -> u32 {
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        while self.index_next(&mut index).is_some() {}
        self.first.saturating_add(index.offsets.len() as u32)
    }

    /// Takes one more type into the index.
    pub(super) fn index_next(&self, index: &mut Index) -> Option<Type> {
        if index.done {
            return None;
        }
        let found = self.type_at(index.next);
        self.index_type(index, found)
    }

    /// Takes the type that was found where the index ends into it.
    fn index_type(&self, index: &mut Index, found: Option<Type>) -> Option<Type> {
        let behind = found.and_then(|found| found.data.checked_add(found.data_len()?));
        let (Some(found), Some(behind)) = (found, behind) else {
            index.done = true;
            return None;
        };
        self.first.checked_add(index.offsets.len() as u32)?;
        index.offsets.push(index.next as u32);
        index.next = behind;
        Some(found)
    }

    /// Takes all types into the index. Read as a whole, the pages are unpacked on all cores.
    pub(super) fn index_all(&self, index: &mut Index) {
        let whole = self.types.whole();
        while !index.done {
            let found = match &whole {
                Some(bytes) => raw_at(bytes, index.next).map(|raw| self.decode(index.next, raw)),
                None => self.type_at(index.next),
            };
            self.index_type(index, found);
        }
    }

    pub(super) fn type_at(&self, offset: u64) -> Option<Type> {
        let mut raw = [0; Type::SIZE as usize];
        self.types.copy(offset, &mut raw)?;
        Some(self.decode(offset, &raw))
    }

    fn decode(&self, offset: u64, raw: &[u8; Type::SIZE as usize]) -> Type {
        let [name, info, size_or_type] = words(self.abi, raw);
        Type {
            data: offset + Type::SIZE,
            name: u64::from(name),
            kind: info >> 24 & 0x1f,
            len: info & 0xffff,
            flag: info >> 31 != 0,
            size_or_type,
        }
    }

    /// The type with number `id`, and the BTF that has it (and its data), for an answer.
    pub(super) fn get(&self, id: Id) -> Option<(&Btf, Type)> {
        let (btf, found) = self.look(id)?;
        btf.tell(id);
        Some((btf, found))
    }

    /// The type with number `id`, to see whether it is the right one.
    pub(super) fn look(&self, id: Id) -> Option<(&Btf, Type)> {
        let Some(own) = id.checked_sub(self.first) else {
            return self.base.as_ref()?.look(id);
        };
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        while index.offsets.len() as u32 <= own {
            self.index_next(&mut index)?;
        }
        let offset = u64::from(*index.offsets.get(own as usize)?);
        drop(index);
        Some((self, self.type_at(offset)?))
    }

    /// Notes that an answer came from type `id`.
    pub(super) fn tell(&self, id: Id) {
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        index.told.insert(id);
    }

    /// The string at `offset`, in here or in the base.
    pub(super) fn string(&self, offset: u64) -> Option<Vec<u8>> {
        /// Names of C have no limit, but no kernel has longer ones.
        const MAX: usize = 512;
        const STEP: usize = 32;
        let Some(mut at) = offset.checked_sub(self.first_string) else {
            return self.base.as_ref()?.string(offset);
        };
        let mut text = Vec::new();
        while text.len() < MAX {
            let mut buf = [0; STEP];
            let rest = self.strings.len().checked_sub(at).filter(|rest| *rest > 0)?;
            let part = buf.get_mut(..STEP.min(usize::try_from(rest).unwrap_or(STEP)))?;
            self.strings.copy(at, part)?;
            if let Some(nul) = part.iter().position(|byte| *byte == 0) {
                text.extend(part.iter().take(nul));
                return Some(text);
            }
            text.extend_from_slice(part);
            at += part.len() as u64;
        }
        None
    }

    pub(super) fn name(&self, found: &Type) -> Option<String> {
        let name = self.string(found.name)?;
        (!name.is_empty()).then(|| String::from_utf8_lossy(&name).into_owned())
    }
}
