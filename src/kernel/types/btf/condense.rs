//! A BTF cut down to the types that answers came from, for a capsule.

use std::collections::HashMap;
use std::sync::PoisonError;

use super::record::{Type, kind};
use super::{Btf, HEADER, MAGIC};
use crate::dump::ByteOrder;
use crate::kernel::Condensed;

/// A string section under construction.
struct Strings {
    bytes: Vec<u8>,
    places: HashMap<Vec<u8>, u32>,
}

impl Strings {
    fn new() -> Strings {
        // The first string is always the empty one.
        Strings {
            bytes: vec![0],
            places: HashMap::from([(Vec::new(), 0)]),
        }
    }

    fn add(&mut self, text: Vec<u8>) -> u32 {
        let at = self.bytes.len() as u32;
        *self.places.entry(text).or_insert_with_key(|text| {
            self.bytes.extend_from_slice(text);
            self.bytes.push(0);
            at
        })
    }
}

impl Btf {
    /// This BTF with every type that no answer came from made an empty declaration, and without their names: numbers
    /// stay, all else shrinks. Those declarations share a name, or what is left of sorted types would be taken for
    /// sorted. `None` for a module's.
    pub fn condensed(&self) -> Option<Condensed> {
        if self.base.is_some() {
            return None;
        }
        let (offsets, told) = {
            let index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
            (index.offsets.clone(), index.told.clone())
        };
        let mut strings = Strings::new();
        let empty = [strings.add(b"-".to_vec()), kind::FWD << 24, 0];
        let mut types = Vec::new();
        for (id, offset) in (self.first..).zip(offsets) {
            let kept = told.contains(&id).then(|| self.record(u64::from(offset), &mut strings));
            match kept.flatten() {
                Some(record) => types.extend(record),
                None => types.extend(empty.into_iter().flat_map(|word| self.word(word))),
            }
        }
        let (types_len, strings_len) = (types.len() as u32, strings.bytes.len() as u32);
        let mut bytes = self.half(MAGIC as u16).to_vec();
        bytes.extend([1, 0]); // version, flags
        for word in [HEADER as u32, 0, types_len, types_len, strings_len] {
            bytes.extend(self.word(word));
        }
        bytes.extend(types);
        bytes.extend(strings.bytes);
        Some(Condensed {
            what: "BTF",
            at: self.start,
            bytes,
        })
    }

    /// The type at `offset` with all that belongs to it, its names moved to `strings`.
    fn record(&self, offset: u64, strings: &mut Strings) -> Option<Vec<u8>> {
        let found = self.type_at(offset)?;
        let len = Type::SIZE + found.data_len()?;
        let mut raw = vec![0; usize::try_from(len).ok()?];
        self.types.copy(offset, &mut raw)?;
        let mut rename = |raw: &mut [u8], at: usize| {
            let place = raw.get_mut(at..at + 4)?;
            let name = self.string(self.abi.uint(place)).unwrap_or_default();
            place.copy_from_slice(&self.word(strings.add(name.into_owned())));
            Some(())
        };
        rename(&mut raw, 0)?;
        // What follows are members, enumerators or parameters, each of which begins with a name.
        let size = match found.kind {
            kind::STRUCT | kind::UNION | kind::ENUM64 => 12,
            kind::ENUM | kind::FUNC_PROTO => 8,
            _ => return Some(raw),
        };
        for at in (Type::SIZE as usize..raw.len()).step_by(size) {
            rename(&mut raw, at)?;
        }
        Some(raw)
    }

    fn word(&self, value: u32) -> [u8; 4] {
        match self.abi.order {
            ByteOrder::Little => value.to_le_bytes(),
            ByteOrder::Big => value.to_be_bytes(),
        }
    }

    fn half(&self, value: u16) -> [u8; 2] {
        match self.abi.order {
            ByteOrder::Little => value.to_le_bytes(),
            ByteOrder::Big => value.to_be_bytes(),
        }
    }
}
