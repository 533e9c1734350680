//! Where each type starts, as far as questions went, and each type by its number.
//!
//! It must not know what is asked: `find` looks for names, `walk` for what belongs to a type.

use std::borrow::Cow;
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

    /// What lies from `offset` on in one page: nothing where a byte-by-byte record is kept.
    fn rest_of_page(&self, offset: u64) -> &[u8] {
        if self.is_condensed {
            self.bytes.rest_of_page(offset)
        } else {
            &[]
        }
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
    /// The definitions among them.
    pub(super) definitions: Vec<Definition>,
    /// How many of the definitions have their names in `names`.
    pub(super) named: usize,
    /// Definitions by the hash of their names, ascending.
    pub(super) names: HashMap<u64, Vec<u32>>,
    /// The types that answers came from.
    pub(super) told: BTreeSet<Id>,
}

/// A type that may be asked for by name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Definition {
    /// Which of the index's types it is.
    pub(super) number: u32,
    /// Where its name is.
    pub(super) name: u32,
}

impl Index {
    /// Takes the type that was found where the index ends into it.
    fn push(&mut self, found: Option<Type>) -> Option<()> {
        let behind = found.and_then(|found| found.data.checked_add(found.data_len()?));
        let number = u32::try_from(self.offsets.len());
        let (Some(found), Some(behind), Ok(number)) = (found, behind, number) else {
            self.done = true;
            return None;
        };
        if found.is_definition() {
            // Half as large as in `Type`: a damaged BTF may have millions.
            let name = found.name as u32;
            self.definitions.push(Definition { number, name });
        }
        self.offsets.push(self.next as u32);
        self.next = behind;
        Some(())
    }
}

impl Btf {
    /// One more than the highest type number.
    pub fn count(&self) -> u32 {
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        while self.index_more(&mut index).is_some() {}
        self.first.saturating_add(index.offsets.len() as u32)
    }

    /// Takes one more type into the index, and with it those that start on its page: they cost next to nothing.
    pub(super) fn index_more(&self, index: &mut Index) -> Option<()> {
        if index.done {
            return None;
        }
        let start = index.next;
        let page = self.types.rest_of_page(start);
        while let Some(raw) = raw_at(page, index.next - start) {
            let found = self.decode(index.next, raw);
            index.push(Some(found))?;
        }
        if index.next == start {
            let found = self.type_at(start);
            index.push(found)?;
        }
        Some(())
    }

    /// Where the type of this number in the index starts; the index is continued as far as that.
    pub(super) fn offset(&self, index: &mut Index, number: u32) -> Option<u64> {
        loop {
            match index.offsets.get(number as usize) {
                Some(offset) => return Some(u64::from(*offset)),
                None => self.index_more(index)?,
            }
        }
    }

    /// Takes all types into the index. Read as a whole, the pages are unpacked on all cores.
    pub(super) fn index_all(&self, index: &mut Index) {
        let whole = self.types.whole();
        while !index.done {
            let found = match &whole {
                Some(bytes) => raw_at(bytes, index.next).map(|raw| self.decode(index.next, raw)),
                None => self.type_at(index.next),
            };
            index.push(found);
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
        let offset = self.offset(&mut index, own)?;
        drop(index);
        Some((self, self.type_at(offset)?))
    }

    /// Notes that an answer came from type `id`.
    pub(super) fn tell(&self, id: Id) {
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        index.told.insert(id);
    }

    /// The string at `offset`, in here or in the base.
    pub(super) fn string(&self, offset: u64) -> Option<Cow<'_, [u8]>> {
        /// Names of C have no limit, but no kernel has longer ones.
        const MAX: usize = 512;
        const STEP: usize = 32;
        let Some(mut at) = offset.checked_sub(self.first_string) else {
            return self.base.as_ref()?.string(offset);
        };
        let page = self.strings.rest_of_page(at);
        if let Some(text) = page
            .split(|byte| *byte == 0)
            .next()
            .filter(|text| text.len() < MAX.min(page.len()))
        {
            return Some(Cow::Borrowed(text));
        }
        let mut text = Vec::new();
        while text.len() < MAX {
            let mut buf = [0; STEP];
            let rest = self.strings.len().checked_sub(at).filter(|rest| *rest > 0)?;
            let part = buf.get_mut(..STEP.min(usize::try_from(rest).unwrap_or(STEP)))?;
            self.strings.copy(at, part)?;
            if let Some(nul) = part.iter().position(|byte| *byte == 0) {
                text.extend(part.iter().take(nul));
                return Some(Cow::Owned(text));
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
