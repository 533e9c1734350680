//! The values that the kernel writes where no pointer should be read any more, or not yet, and what each means.

use std::fmt;

use super::pointer::NULL_PAGE;
use crate::addr::VirtAddr;

/// A value that the kernel writes where no pointer should be read from any more, or not yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Poison {
    /// Its name in the source.
    pub name: &'static str,
    /// What it means to find it in a pointer.
    pub meaning: &'static str,
    /// The header that defines it.
    pub header: &'static str,
    /// How far the value lies from the poison itself: a member's offset, negative where the object was computed back
    /// from a poisoned member.
    pub offset: i64,
}

impl fmt::Display for Poison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        match self.offset {
            0 => {}
            ahead @ 1.. => write!(f, " plus {ahead}")?,
            behind => write!(f, " less {}", behind.unsigned_abs())?,
        }
        write!(f, ": {} ({})", self.meaning, self.header)
    }
}

/// What a poison looks like in memory.
enum Pattern {
    /// Every byte is this.
    Byte(u8),
    /// The whole word is this, or this and the offset of a member.
    Word(u64),
    /// The whole word is this.
    Exact(u64),
    /// One half of the word is this, and the other says nothing.
    Half(u32),
}

use Pattern::{Byte, Exact, Half, Word};

const POISON_H: &str = "include/linux/poison.h";
const DELETED: &str = "the list entry was already deleted";

/// Pattern, name, meaning, header. `POISON_POINTER_DELTA` (`CONFIG_ILLEGAL_POINTER_VALUE`, 0xdead000000000000 on
/// x86_64) is added in where the header adds it.
#[rustfmt::skip]
const POISONS: &[(Pattern, &str, &str, &str)] = &[
    // 0x100 and 0x122 on 5.x, 0x100 and 0x200 from 4.3 on (and in late el7), 0x00100100 and 0x00200200 before.
    (Word(0xdead_0000_0000_0100), "LIST_POISON1", DELETED, POISON_H),
    (Word(0xdead_0000_0000_0122), "LIST_POISON2", DELETED, POISON_H),
    (Word(0xdead_0000_0000_0200), "LIST_POISON2", DELETED, POISON_H),
    (Word(0xdead_0000_0010_0100), "LIST_POISON1", DELETED, POISON_H),
    (Word(0xdead_0000_0020_0200), "LIST_POISON2", DELETED, POISON_H),
    // Without a delta: kernels before 2.6.31, and 32-bit ones.
    (Word(0x0010_0100), "LIST_POISON1", DELETED, POISON_H),
    (Word(0x0020_0200), "LIST_POISON2", DELETED, POISON_H),
    (Word(0xdead_0000_0000_0300), "TIMER_ENTRY_STATIC", "a static timer that was never started", POISON_H),
    (Word(0xdead_0000_7473_7461), "TIMER_ENTRY_STATIC", "a static timer that was never started", POISON_H),
    (Exact(0xdead_0000_0000_0400), "TAIL_MAPPING", "the mapping of a compound page's tail, which has none", POISON_H),
    (Exact(0xdead_0000_0000_0500), "MUTEX_POISON_WW_CTX", "a wait/wound mutex context that is over", POISON_H),
    (Exact(0xdead_0000_0000_0040), "PP_SIGNATURE", "the mark of a page that belongs to a page pool", POISON_H),
    (Exact(0xdead_0000_0000_0eb9), "BPF_PTR_POISON", "a BPF pointer that must not be used", POISON_H),
    (Exact(0x09f9_1102_9d74_e35b), "RED_INACTIVE", "the red zone of a freed slab object", POISON_H),
    (Exact(0xd841_56c5_6356_88c0), "RED_ACTIVE", "the red zone of a slab object in use", POISON_H),
    (Byte(0x6b), "POISON_FREE", "freed slab memory", POISON_H),
    (Byte(0x5a), "POISON_INUSE", "slab memory that was allocated and never written", POISON_H),
    (Byte(0xa5), "POISON_END", "the end of a freed slab object", POISON_H),
    (Byte(0xbb), "SLUB_RED_INACTIVE", "the red zone of a freed slab object", POISON_H),
    (Byte(0xcc), "POISON_FREE_INITMEM", "freed init memory, a slab object's red zone, or padding", POISON_H),
    (Byte(0xaa), "PAGE_POISON", "a freed page", POISON_H),
    (Byte(0xa7), "POOL_POISON_FREED", "freed DMA pool memory", POISON_H),
    (Byte(0xa9), "POOL_POISON_ALLOCATED", "DMA pool memory that was allocated and never written", POISON_H),
    (Byte(0x5b), "JBD_POISON_FREE", "a freed journal head", POISON_H),
    (Byte(0x5c), "JBD2_POISON_FREE", "a freed journal head", POISON_H),
    (Byte(0x6c), "FLEX_ARRAY_FREE", "a freed element of a flexible array", POISON_H),
    (Byte(0xbd), "KEY_DESTROY", "a destroyed key", POISON_H),
    (Byte(0x22), "MUTEX_DEBUG_FREE", "a destroyed mutex", POISON_H),
    (Byte(0x11), "MUTEX_DEBUG_INIT", "a mutex waiter that was never set up", POISON_H),
    (Half(0xdead_4ead), "SPINLOCK_MAGIC", "a spinlock's debug mark", "include/linux/spinlock_types.h"),
    (Half(0xdeaf_1eed), "RWLOCK_MAGIC", "a rwlock's debug mark", "include/linux/rwlock_types.h"),
    (Half(0x57ac_6e9d), "STACK_END_MAGIC", "the mark at a stack's end", "include/uapi/linux/magic.h"),
    (Half(0xdead_57ac), "NETFILTER_LINK_POISON", "a netfilter hook that is gone", POISON_H),
    (Half(0xdead_beef), "NEIGHBOR_DEAD", "something marked dead by hand (network neighbours, ATM, drivers)", POISON_H),
];

/// The poison that `value` is, or is a member's offset away from.
pub fn poison(value: VirtAddr) -> Option<Poison> {
    POISONS
        .iter()
        .filter_map(|(pattern, name, meaning, header)| {
            let offset = pattern.distance(value.0)?;
            Some(Poison {
                name,
                meaning,
                header,
                offset,
            })
        })
        // Members lie at multiples of a word, which tells LIST_POISON1 (…100) and LIST_POISON2 (…122) apart.
        .min_by_key(|poison| (poison.offset != 0, poison.offset % 8 != 0, poison.offset.unsigned_abs()))
}

impl Pattern {
    /// How far `value` lies from the pattern, when it is near enough to stem from it.
    fn distance(&self, value: u64) -> Option<i64> {
        match *self {
            Byte(byte) => {
                let word = u64::from_ne_bytes([byte; 8]);
                near(value, word).or_else(|| near(value, word >> 32))
            }
            Word(word) => near(value, word),
            Exact(word) => (value == word).then_some(0),
            Half(half) => {
                let says_nothing = |rest: u64| rest < NULL_PAGE || rest == u64::from(u32::MAX);
                let (high, low) = (value >> 32, value & u64::from(u32::MAX));
                let half = u64::from(half);
                ((high == half && says_nothing(low)) || (low == half && says_nothing(high))).then_some(0)
            }
        }
    }
}

fn near(value: u64, word: u64) -> Option<i64> {
    let distance = value.wrapping_sub(word) as i64;
    (distance.unsigned_abs() < NULL_PAGE).then_some(distance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn poison_is_named_with_its_distance() {
        let of = |value| poison(VirtAddr(value)).map(|poison| (poison.name, poison.offset));
        assert_eq!(of(0x6b6b_6b6b_6b6b_6b6b), Some(("POISON_FREE", 0)));
        assert_eq!(of(0x6b6b_6b6b_6b6b_6ba3), Some(("POISON_FREE", 0x38)));
        assert_eq!(of(0x6b6b_6b6b), Some(("POISON_FREE", 0)));
        assert_eq!(of(0xdead_0000_0000_0100), Some(("LIST_POISON1", 0)));
        assert_eq!(of(0xdead_0000_0000_0122), Some(("LIST_POISON2", 0)));
        assert_eq!(of(0xdead_0000_0000_0108), Some(("LIST_POISON1", 8)));
        assert_eq!(of(0xdead_0000_0000_011a), Some(("LIST_POISON2", -8)));
        assert_eq!(of(0xdead_0000_0000_00e8), Some(("LIST_POISON1", -0x18)));
        assert_eq!(of(0xdeac_ffff_ffff_ffd0), Some(("LIST_POISON1", -0x130)));
        assert_eq!(of(0xdead_0000_0000_0040), Some(("PP_SIGNATURE", 0)));
        assert_eq!(of(0xdead_0000_0010_0100), Some(("LIST_POISON1", 0)));
        assert_eq!(of(0xdead_4ead_ffff_ffff), Some(("SPINLOCK_MAGIC", 0)));
        assert_eq!(of(0xffff_8880_0000_0000), None);
        assert_eq!(of(0x1234_5678), None);
    }
}
