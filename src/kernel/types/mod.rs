//! The dumped kernel's types, asked for by name: where is `task_struct.comm`, how large is `page`?
//!
//! One interface, [`Types`], over whatever knows: BTF in the dump's own memory, a debuginfo file, a table of a kernel
//! line whose layouts were frozen. "Not known here" is a normal answer everywhere; nothing may guess.

mod btf;
mod el7;
mod known;
mod path;

pub use self::btf::Btf;
pub use self::el7::El7Table;
pub use self::known::KernelTypes;
pub(super) use self::path::{Step, steps};
use crate::dump::ByteOrder;

/// Where knowledge of types comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// BTF in the dump.
    Btf,
    /// DWARF of a debuginfo file.
    Dwarf,
    /// A table of one kernel line, checked against the dump.
    Table,
}

/// What kind of value a member holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An unsigned integer, a `bool` or a `char` array's unsigned element.
    Unsigned,
    /// A signed integer.
    Signed,
    /// An enumeration.
    Enum,
    /// A pointer; `to` is the name of the structure, union, typedef or integer it points to, when it has one.
    Pointer {
        /// What it points to.
        to: Option<String>,
    },
    /// An array of `count` elements (0: a flexible one, or not told) of `size` bytes each.
    Array {
        /// How many elements.
        count: u64,
        /// Bytes of one.
        size: u64,
        /// What one is: never another array of the same member's path.
        element: Box<Kind>,
    },
    /// A structure or union, by name when it has one.
    Struct {
        /// Its name.
        name: Option<String>,
    },
    /// Anything else: floats, functions, types that were only declared.
    Other,
}

/// The bits of a bit field within the bytes it lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bits {
    /// How far the value, read as one integer, must be shifted right.
    pub shift: u32,
    /// How many bits it then has.
    pub width: u32,
}

/// A member of a structure or union.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Bytes from the start of the structure that was asked about.
    pub offset: u64,
    /// Its size in bytes; of a bit field: the bytes its bits lie in.
    pub size: u64,
    /// Set for a bit field.
    pub bits: Option<Bits>,
    /// What it holds.
    pub kind: Kind,
}

impl Member {
    /// The member's value out of the unsigned integer that its bytes hold: bits picked, sign extended.
    pub fn value(&self, raw: u64) -> u64 {
        let (raw, width) = match self.bits {
            Some(bits) => (raw.checked_shr(bits.shift).unwrap_or(0), bits.width),
            None => (raw, (self.size as u32).saturating_mul(8)),
        };
        if width == 0 || width >= 64 {
            return raw;
        }
        let raw = raw & ((1 << width) - 1);
        match self.kind {
            Kind::Signed => ((raw << (64 - width)) as i64 >> (64 - width)) as u64,
            _ => raw,
        }
    }
}

/// Where a member lies, as compilers tell it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    /// Bits from the start of the structure that was asked about; of a bit field in the order of the machine's bytes.
    pub(super) bit_offset: u64,
    /// The bits of a bit field; 0 for any other member.
    pub(super) bit_width: u32,
    /// The size in bytes of the member's type.
    pub(super) size: u64,
}

impl Placed {
    /// The member that lies there.
    pub(super) fn member(self, kind: Kind, order: ByteOrder) -> Member {
        let offset = self.bit_offset / 8;
        if self.bit_width == 0 {
            return Member {
                offset,
                size: self.size,
                bits: None,
                kind,
            };
        }
        let inside = (self.bit_offset % 8) as u32;
        let bytes = inside.saturating_add(self.bit_width).div_ceil(8);
        let shift = match order {
            ByteOrder::Little => inside,
            ByteOrder::Big => bytes
                .saturating_mul(8)
                .saturating_sub(inside.saturating_add(self.bit_width)),
        };
        Member {
            offset,
            size: u64::from(bytes),
            bits: Some(Bits {
                shift,
                width: self.bit_width,
            }),
            kind,
        }
    }
}

/// Answers questions about types. `None` always means "not known here".
pub trait Types: Send + Sync {
    /// Where the answers come from; of several, the one that is asked first. `None`: nothing is known at all.
    fn source(&self) -> Option<Source>;

    /// The member at `path` (`comm`, `se.on_rq`, `mem[0].base`; anonymous members are looked through) of the
    /// structure, union or typedef `structure`.
    fn member(&self, structure: &str, path: &str) -> Option<Member>;

    /// The size in bytes of a structure, union, enumeration, integer or typedef.
    fn size_of(&self, name: &str) -> Option<u64>;

    /// The value of an enumerator, whatever its enumeration is called.
    fn enum_value(&self, enumerator: &str) -> Option<i64>;

    /// Where the member at `path` lies, in bytes.
    fn offset_of(&self, structure: &str, path: &str) -> Option<u64> {
        self.member(structure, path).map(|member| member.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_cut_and_sign_extended() {
        let member = |size, bits, kind| Member {
            offset: 0,
            size,
            bits,
            kind,
        };
        assert_eq!(member(4, None, Kind::Signed).value(0xffff_ffff), u64::MAX);
        assert_eq!(member(4, None, Kind::Unsigned).value(0xffff_ffff), 0xffff_ffff);
        let bits = Some(Bits { shift: 2, width: 3 });
        assert_eq!(member(1, bits, Kind::Unsigned).value(0b1111_0100), 0b101);
        assert_eq!(member(1, bits, Kind::Signed).value(0b0001_0000), (-4_i64) as u64);
        assert_eq!(member(8, None, Kind::Signed).value(u64::MAX), u64::MAX);
    }
}
