//! What belongs to a type: members by path, sizes, enumerators, what it is behind its typedefs.

use super::record::{Int, RawMember, Type, kind, words};
use super::{Btf, Id};
use crate::kernel::types::path::Step;
use crate::kernel::types::{Kind, Member, Placed};

/// Typedefs, qualifiers and nested members deeper than this are loops.
const MAX_DEPTH: u32 = 32;
/// Members looked at for one question: anonymous members nested in each other could multiply without end.
const MAX_STEPS: u32 = 200_000;

impl Btf {
    /// The type behind typedefs and qualifiers.
    fn resolve(&self, mut id: Id) -> Option<(&Btf, Type)> {
        for _ in 0..MAX_DEPTH {
            let (btf, found) = self.get(id)?;
            if !found.is_alias() {
                return Some((btf, found));
            }
            id = found.size_or_type;
        }
        None
    }

    pub(super) fn size(&self, id: Id, depth: u32) -> Option<u64> {
        let (btf, found) = self.resolve(id)?;
        match found.kind {
            kind::INT | kind::STRUCT | kind::UNION | kind::ENUM | kind::ENUM64 | kind::FLOAT | kind::DATASEC => {
                Some(u64::from(found.size_or_type))
            }
            kind::PTR => Some(self.abi.word_size()),
            kind::ARRAY if depth < MAX_DEPTH => {
                let (element, count) = btf.array(&found)?;
                self.size(element, depth + 1)?.checked_mul(u64::from(count))
            }
            _ => None,
        }
    }

    /// An array's element type and how many elements it has.
    fn array(&self, found: &Type) -> Option<(Id, u32)> {
        let mut raw = [0; 12];
        self.types.copy(found.data, &mut raw)?;
        let [element, _, count] = words(self.abi, &raw);
        Some((element, count))
    }

    fn raw_member(&self, found: &Type, number: u32) -> Option<RawMember> {
        let mut raw = [0; 12];
        self.types.copy(found.data + 12 * u64::from(number), &mut raw)?;
        let [name, kind, offset] = words(self.abi, &raw);
        // With the flag, the upper 8 bits hold the width of a bit field.
        let (bit_offset, bit_width) = if found.flag {
            (offset & 0xff_ffff, offset >> 24)
        } else {
            (offset, 0)
        };
        Some(RawMember {
            name: u64::from(name),
            kind,
            bit_offset: u64::from(bit_offset),
            bit_width,
        })
    }

    /// The member `name` of record `id`: its type, bit offset and bit width (0: no bit field).
    fn find_member(&self, id: Id, name: &str, depth: u32, steps: &mut u32) -> Option<(Id, u64, u32)> {
        let (btf, record) = self.resolve(id)?;
        if !record.is_record() || depth > MAX_DEPTH {
            return None;
        }
        for number in 0..record.len {
            *steps = steps.checked_sub(1)?;
            let member = btf.raw_member(&record, number)?;
            if member.name == 0 {
                if let Some((kind, offset, width)) = self.find_member(member.kind, name, depth + 1, steps) {
                    return Some((kind, offset.checked_add(member.bit_offset)?, width));
                }
            } else if btf.string(member.name)? == name.as_bytes() {
                return Some((member.kind, member.bit_offset, member.bit_width));
            }
        }
        None
    }

    fn kind(&self, id: Id, depth: u32) -> Kind {
        let Some((btf, found)) = self.resolve(id) else {
            return Kind::Other;
        };
        match found.kind {
            kind::INT => match btf.int(&found) {
                Some(int) if int.signed => Kind::Signed,
                _ => Kind::Unsigned,
            },
            kind::ENUM | kind::ENUM64 => Kind::Enum,
            kind::PTR => Kind::Pointer {
                to: self.pointee(found.size_or_type),
            },
            kind::STRUCT | kind::UNION => Kind::Struct { name: btf.name(&found) },
            kind::ARRAY if depth < MAX_DEPTH => match btf.array(&found) {
                Some((element, count)) => Kind::Array {
                    count: u64::from(count),
                    size: self.size(element, 0).unwrap_or(0),
                    element: Box::new(self.kind(element, depth + 1)),
                },
                None => Kind::Other,
            },
            _ => Kind::Other,
        }
    }

    /// The name of what a pointer points to: through qualifiers, but not through typedefs that have one.
    fn pointee(&self, mut id: Id) -> Option<String> {
        for _ in 0..MAX_DEPTH {
            let (btf, found) = self.get(id)?;
            if found.kind == kind::TYPEDEF || !found.is_alias() {
                return btf.name(&found);
            }
            id = found.size_or_type;
        }
        None
    }

    fn int(&self, found: &Type) -> Option<Int> {
        let mut raw = [0; 4];
        self.types.copy(found.data, &mut raw)?;
        let word = self.abi.uint(&raw) as u32;
        Some(Int {
            signed: word >> 24 & 1 != 0,
            offset: word >> 16 & 0xff,
            bits: word & 0xff,
        })
    }

    /// The member where a path ends, by steps from record `id`.
    pub(super) fn walk(&self, mut id: Id, path: &[Step<'_>]) -> Option<Member> {
        let mut budget = MAX_STEPS;
        let mut bit_offset = 0_u64;
        let mut bit_width = 0;
        for step in path {
            let (kind, offset, width) = self.find_member(id, step.name, 0, &mut budget)?;
            bit_offset = bit_offset.checked_add(offset)?;
            bit_width = width;
            id = kind;
            for index in &step.indices {
                let (btf, found) = self.resolve(id)?;
                if found.kind != kind::ARRAY {
                    return None;
                }
                let (element, count) = btf.array(&found)?;
                if count != 0 && *index >= u64::from(count) {
                    return None;
                }
                let bytes = self.size(element, 0)?.checked_mul(*index)?;
                bit_offset = bit_offset.checked_add(bytes.checked_mul(8)?)?;
                id = element;
            }
        }
        let size = self.size(id, 0).unwrap_or(0);
        let kind = self.kind(id, 0);
        // Before 5.0 a bit field had an integer type of its own, with a width and an offset of its own.
        if bit_width == 0
            && let Some((btf, found)) = self.resolve(id)
            && found.kind == kind::INT
            && let Some(int) = btf.int(&found)
            && (u64::from(int.bits) != size * 8 || !bit_offset.is_multiple_of(8))
        {
            bit_width = int.bits;
            bit_offset = bit_offset.checked_add(u64::from(int.offset))?;
        }
        let placed = Placed {
            bit_offset,
            bit_width,
            size,
        };
        Some(placed.member(kind, self.abi.order))
    }

    /// The value of enumerator `name` if `found` has it.
    pub(super) fn enumerator(&self, found: &Type, name: &str) -> Option<i64> {
        let wide = match found.kind {
            kind::ENUM => false,
            kind::ENUM64 => true,
            _ => return None,
        };
        let size = if wide { 12 } else { 8 };
        (0..u64::from(found.len)).find_map(|number| {
            let mut raw = [0; 12];
            self.types
                .copy(found.data + size * number, raw.get_mut(..size as usize)?)?;
            let [name_at, low, high] = words(self.abi, &raw);
            if self.string(u64::from(name_at))? != name.as_bytes() {
                return None;
            }
            // The flag that tells signed enumerations from unsigned ones came with 6.0 only; negative error values
            // are far commoner than values past 2^31.
            Some(if wide {
                (u64::from(high) << 32 | u64::from(low)) as i64
            } else {
                i64::from(low as i32)
            })
        })
    }
}
