//! Integers as the dumped machine wrote them: byte order and word size.

use super::ByteOrder;

/// How the dumped machine lays out integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) order: ByteOrder,
    pub(super) is_64bit: bool,
}

impl Layout {
    pub(super) fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let raw = *bytes.get(at..)?.first_chunk()?;
        Some(match self.order {
            ByteOrder::Little => u32::from_le_bytes(raw),
            ByteOrder::Big => u32::from_be_bytes(raw),
        })
    }

    pub(super) fn u64(self, bytes: &[u8], at: usize) -> Option<u64> {
        let raw = *bytes.get(at..)?.first_chunk()?;
        Some(match self.order {
            ByteOrder::Little => u64::from_le_bytes(raw),
            ByteOrder::Big => u64::from_be_bytes(raw),
        })
    }

    /// An `unsigned long`.
    pub(super) fn word(self, bytes: &[u8], at: usize) -> Option<u64> {
        if self.is_64bit {
            self.u64(bytes, at)
        } else {
            self.u32(bytes, at).map(u64::from)
        }
    }

    /// The size of an `unsigned long` in bytes.
    pub(super) fn word_size(self) -> usize {
        if self.is_64bit { 8 } else { 4 }
    }
}
