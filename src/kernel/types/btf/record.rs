//! How one type stands in BTF: `struct btf_type` and what follows it (include/uapi/linux/btf.h).
//!
//! It must not know where types are or what they are called.

use crate::kernel::access::Abi;

/// Kinds of types (`BTF_KIND_*`, include/uapi/linux/btf.h).
pub(super) mod kind {
    pub const INT: u32 = 1;
    pub const PTR: u32 = 2;
    pub const ARRAY: u32 = 3;
    pub const STRUCT: u32 = 4;
    pub const UNION: u32 = 5;
    pub const ENUM: u32 = 6;
    pub const FWD: u32 = 7;
    pub const TYPEDEF: u32 = 8;
    pub const VOLATILE: u32 = 9;
    pub const CONST: u32 = 10;
    pub const RESTRICT: u32 = 11;
    pub const FUNC: u32 = 12;
    pub const FUNC_PROTO: u32 = 13;
    pub const VAR: u32 = 14;
    pub const DATASEC: u32 = 15;
    pub const FLOAT: u32 = 16;
    pub const DECL_TAG: u32 = 17;
    pub const TYPE_TAG: u32 = 18;
    pub const ENUM64: u32 = 19;
}

/// `struct btf_type`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Type {
    /// Where what follows the fixed part lies in the type section.
    pub(super) data: u64,
    pub(super) name: u64,
    pub(super) kind: u32,
    pub(super) len: u32,
    pub(super) flag: bool,
    /// The size in bytes, or the number of the type referred to.
    pub(super) size_or_type: u32,
}

impl Type {
    /// Bytes of the fixed part.
    pub(super) const SIZE: u64 = 12;

    pub(super) fn is_record(&self) -> bool {
        matches!(self.kind, kind::STRUCT | kind::UNION)
    }

    pub(super) fn is_definition(&self) -> bool {
        matches!(
            self.kind,
            kind::INT | kind::STRUCT | kind::UNION | kind::ENUM | kind::TYPEDEF | kind::FLOAT | kind::ENUM64
        )
    }

    pub(super) fn is_alias(&self) -> bool {
        matches!(
            self.kind,
            kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG
        )
    }

    /// Bytes of what follows the fixed part. `None`: a kind that is not known, so nothing behind it can be read.
    pub(super) fn data_len(&self) -> Option<u64> {
        let len = u64::from(self.len);
        Some(match self.kind {
            kind::INT | kind::VAR | kind::DECL_TAG => 4,
            kind::ARRAY => 12,
            kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => 12 * len,
            kind::ENUM | kind::FUNC_PROTO => 8 * len,
            kind::PTR
            | kind::FWD
            | kind::TYPEDEF
            | kind::VOLATILE
            | kind::CONST
            | kind::RESTRICT
            | kind::FUNC
            | kind::FLOAT
            | kind::TYPE_TAG => 0,
            _ => return None,
        })
    }
}

/// `struct btf_member`.
pub(super) struct RawMember {
    pub(super) name: u64,
    pub(super) kind: u32,
    pub(super) bit_offset: u64,
    pub(super) bit_width: u32,
}

/// An integer type's encoding word.
pub(super) struct Int {
    pub(super) signed: bool,
    pub(super) offset: u32,
    pub(super) bits: u32,
}

/// Three 32-bit words, the shape of most of BTF.
#[inline]
pub(super) fn words(abi: Abi, raw: &[u8; 12]) -> [u32; 3] {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = *raw;
    [[a, b, c, d], [e, f, g, h], [i, j, k, l]].map(|word| abi.uint(&word) as u32)
}

/// The fixed part of the type at `offset` of `bytes`.
pub(super) fn raw_at(bytes: &[u8], offset: u64) -> Option<&[u8; Type::SIZE as usize]> {
    bytes.get(usize::try_from(offset).ok()?..)?.first_chunk()
}
