//! [`Types`] from DWARF: the same questions that BTF answers, for kernels without it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::die::{Die, Dies};
use super::elf::DebugFile;
use super::names::Names;
use crate::kernel::access::Abi;
use crate::kernel::types::{Kind, Member, Placed, Source, Step, Types, steps};

/// Typedefs, qualifiers and nested members deeper than this are loops.
const MAX_DEPTH: u32 = 32;
/// Members looked at for one question: anonymous members nested in each other could multiply without end.
const MAX_STEPS: u32 = 200_000;
/// Definitions of one name looked at.
const MAX_NAMESAKES: usize = 64;
/// Answers kept.
const MAX_ANSWERS: usize = 1 << 16;

/// The types of a debuginfo file.
#[derive(Debug)]
pub struct DwarfTypes {
    abi: Abi,
    dies: Dies,
    names: Names,
    /// By structure and path.
    answers: Mutex<HashMap<(String, String), Option<Member>>>,
}

/// A type: an entry, and for arrays which of its dimensions come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Id {
    at: u64,
    dimension: usize,
}

impl Id {
    fn of(at: u64) -> Id {
        Id { at, dimension: 0 }
    }
}

/// A type behind its typedefs and qualifiers.
#[derive(Debug)]
enum Shape {
    Array { element: Id, count: u64 },
    Plain(Die),
}

impl DwarfTypes {
    /// Reads no type yet. `None` without DWARF.
    pub fn open(file: &Arc<DebugFile>) -> Option<DwarfTypes> {
        Some(DwarfTypes {
            abi: file.abi(),
            dies: Dies::open(file)?,
            names: Names::default(),
            answers: Mutex::default(),
        })
    }

    /// The first definition called `name` (`struct`, `union` or `enum` before it narrow the search).
    fn find(&self, name: &str) -> Option<Die> {
        let (wanted, name) = match name.split_once(' ') {
            Some((keyword, name)) => (Some(keyword), name.trim_start()),
            None => (None, name),
        };
        let fits = |tag| match wanted {
            None => true,
            Some("struct") => tag == gimli::DW_TAG_structure_type,
            Some("union") => tag == gimli::DW_TAG_union_type,
            Some("enum") => tag == gimli::DW_TAG_enumeration_type,
            Some(_) => false,
        };
        let mut checked = 0;
        while checked < MAX_NAMESAKES {
            let fresh = self.names.types(&self.dies, name, checked);
            if fresh.is_empty() {
                return None;
            }
            checked += fresh.len();
            let dies = fresh.into_iter().filter_map(|offset| self.dies.die(offset));
            let mut dies = dies.filter(|die| fits(die.tag) && die.name.as_deref() == Some(name.as_bytes()));
            if let Some(found) = dies.next() {
                return Some(found);
            }
        }
        None
    }

    /// The entry behind typedefs and qualifiers, from `at` on.
    fn resolve(&self, mut at: u64) -> Option<Die> {
        for _ in 0..MAX_DEPTH {
            let die = self.dies.die(at)?;
            if !is_alias(&die) {
                return Some(die);
            }
            at = die.type_at?;
        }
        None
    }

    fn shape(&self, id: Id) -> Option<Shape> {
        let die = self.resolve(id.at)?;
        if die.tag != gimli::DW_TAG_array_type {
            return Some(Shape::Plain(die));
        }
        let dimensions = self.dies.children(die.offset);
        let dimensions: Vec<&Die> = dimensions
            .iter()
            .filter(|child| child.tag == gimli::DW_TAG_subrange_type)
            .collect();
        let count = dimensions.get(id.dimension).map_or(0, |dimension| {
            let above = dimension.upper_bound.map(|last| last.wrapping_add(1));
            dimension.count.or(above).unwrap_or(0)
        });
        let element = if id.dimension + 1 < dimensions.len() {
            Id {
                at: die.offset,
                dimension: id.dimension + 1,
            }
        } else {
            Id::of(die.type_at?)
        };
        Some(Shape::Array { element, count })
    }

    fn size(&self, id: Id, depth: u32) -> Option<u64> {
        match self.shape(id)? {
            Shape::Array { element, count } if depth < MAX_DEPTH => self.size(element, depth + 1)?.checked_mul(count),
            Shape::Array { .. } => None,
            Shape::Plain(die) => match die.tag {
                gimli::DW_TAG_pointer_type => Some(die.byte_size.unwrap_or(self.abi.word_size())),
                _ => self.defined(die)?.byte_size,
            },
        }
    }

    /// The definition of what is only declared in its unit.
    fn defined(&self, die: Die) -> Option<Die> {
        if !die.is_declaration {
            return Some(die);
        }
        let keyword = match die.tag {
            gimli::DW_TAG_structure_type => "struct",
            gimli::DW_TAG_union_type => "union",
            gimli::DW_TAG_enumeration_type => "enum",
            _ => return None,
        };
        let name = String::from_utf8(die.name?).ok()?;
        self.find(&format!("{keyword} {name}"))
    }

    /// The member `name` of the record at `record`: its type, and where it lies in bits (width 0: no bit field).
    fn find_member(&self, record: u64, name: &str, depth: u32, steps: &mut u32) -> Option<(u64, u64, u32)> {
        let record = self.defined(self.resolve(record)?)?;
        if !is_record(&record) || depth > MAX_DEPTH {
            return None;
        }
        for member in self.dies.children(record.offset) {
            *steps = steps.checked_sub(1)?;
            if member.tag != gimli::DW_TAG_member {
                continue;
            }
            let Some(type_at) = member.type_at else { continue };
            match &member.name {
                Some(found) if found == name.as_bytes() => {
                    let (offset, width) = self.bits(&member)?;
                    return Some((type_at, offset, width));
                }
                Some(_) => {}
                None => {
                    if let Some((kind, offset, width)) = self.find_member(type_at, name, depth + 1, steps) {
                        return Some((kind, offset.checked_add(self.bits(&member)?.0)?, width));
                    }
                }
            }
        }
        None
    }

    /// A member's offset and, for a bit field, its width, in bits.
    fn bits(&self, member: &Die) -> Option<(u64, u32)> {
        let start = member.location.unwrap_or(0).checked_mul(8)?;
        let Some(width) = member.bit_size else {
            return Some((member.data_bit_offset.unwrap_or(start), 0));
        };
        let offset = match (member.data_bit_offset, member.bit_offset) {
            (Some(offset), _) => offset,
            (None, None) => start,
            // Counted from the storage unit's highest bit.
            (None, Some(above)) => {
                let storage = member
                    .byte_size
                    .or_else(|| self.size(Id::of(member.type_at?), 0))?
                    .checked_mul(8)?;
                let inside = match self.abi.order {
                    crate::dump::ByteOrder::Little => storage.checked_sub(above)?.checked_sub(width)?,
                    crate::dump::ByteOrder::Big => above,
                };
                start.checked_add(inside)?
            }
        };
        Some((offset, u32::try_from(width).ok()?))
    }

    fn kind(&self, id: Id, depth: u32) -> Kind {
        match self.shape(id) {
            Some(Shape::Array { element, count }) if depth < MAX_DEPTH => Kind::Array {
                count,
                size: self.size(element, 0).unwrap_or(0),
                element: Box::new(self.kind(element, depth + 1)),
            },
            Some(Shape::Plain(die)) => match die.tag {
                gimli::DW_TAG_base_type => base(die.encoding),
                gimli::DW_TAG_enumeration_type => Kind::Enum,
                gimli::DW_TAG_pointer_type => Kind::Pointer {
                    to: die.type_at.and_then(|at| self.pointee(at)),
                },
                _ if is_record(&die) => Kind::Struct { name: name(die) },
                _ => Kind::Other,
            },
            _ => Kind::Other,
        }
    }

    /// The name of what a pointer points to: through qualifiers, but not through typedefs that have one.
    fn pointee(&self, mut at: u64) -> Option<String> {
        for _ in 0..MAX_DEPTH {
            let die = self.dies.die(at)?;
            if die.tag == gimli::DW_TAG_typedef || !is_alias(&die) {
                return name(die);
            }
            at = die.type_at?;
        }
        None
    }

    /// The member where a path ends, by steps from the record at `record`.
    fn walk(&self, record: u64, path: &[Step<'_>]) -> Option<Member> {
        let mut budget = MAX_STEPS;
        let mut id = Id::of(record);
        let (mut bit_offset, mut bit_width) = (0_u64, 0);
        for step in path {
            if id.dimension != 0 {
                return None;
            }
            let (kind, offset, width) = self.find_member(id.at, step.name, 0, &mut budget)?;
            bit_offset = bit_offset.checked_add(offset)?;
            bit_width = width;
            id = Id::of(kind);
            for index in &step.indices {
                let Shape::Array { element, count } = self.shape(id)? else {
                    return None;
                };
                if count != 0 && *index >= count {
                    return None;
                }
                let bytes = self.size(element, 0)?.checked_mul(*index)?;
                bit_offset = bit_offset.checked_add(bytes.checked_mul(8)?)?;
                id = element;
            }
        }
        let placed = Placed {
            bit_offset,
            bit_width,
            size: self.size(id, 0).unwrap_or(0),
        };
        Some(placed.member(self.kind(id, 0), self.abi.order))
    }
}

impl Types for DwarfTypes {
    fn source(&self) -> Option<Source> {
        Some(Source::Dwarf)
    }

    fn member(&self, structure: &str, path: &str) -> Option<Member> {
        let key = (structure.to_owned(), path.to_owned());
        let answers = || self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = answers().get(&key) {
            return answer.clone();
        }
        let answer = steps(path).and_then(|path| self.walk(self.find(structure)?.offset, &path));
        let mut answers = answers();
        if answers.len() < MAX_ANSWERS {
            answers.insert(key, answer.clone());
        }
        answer
    }

    fn size_of(&self, name: &str) -> Option<u64> {
        self.size(Id::of(self.find(name)?.offset), 0)
    }

    fn enum_value(&self, enumerator: &str) -> Option<i64> {
        let die = self.dies.die(self.names.enumerator(&self.dies, enumerator)?)?;
        (die.name.as_deref() == Some(enumerator.as_bytes()))
            .then_some(die.value)
            .flatten()
    }
}

fn is_alias(die: &Die) -> bool {
    matches!(
        die.tag,
        gimli::DW_TAG_typedef
            | gimli::DW_TAG_const_type
            | gimli::DW_TAG_volatile_type
            | gimli::DW_TAG_restrict_type
            | gimli::DW_TAG_atomic_type
    )
}

fn is_record(die: &Die) -> bool {
    matches!(die.tag, gimli::DW_TAG_structure_type | gimli::DW_TAG_union_type)
}

fn name(die: Die) -> Option<String> {
    Some(String::from_utf8_lossy(&die.name?).into_owned())
}

fn base(encoding: Option<gimli::DwAte>) -> Kind {
    match encoding {
        Some(gimli::DW_ATE_signed | gimli::DW_ATE_signed_char) => Kind::Signed,
        Some(gimli::DW_ATE_unsigned | gimli::DW_ATE_unsigned_char | gimli::DW_ATE_boolean | gimli::DW_ATE_UTF) => {
            Kind::Unsigned
        }
        _ => Kind::Other,
    }
}
