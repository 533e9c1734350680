//! What a 64-bit value is when it is used as a pointer: NULL, poison with its meaning, an error code, text, …
//!
//! It knows the values that the kernel's headers reserve and nothing of a dump: whether an address was mapped is for
//! the caller to say.

use std::fmt;

use super::poison::{Poison, poison};
use crate::addr::VirtAddr;

/// The kernel calls a fault below this a NULL pointer dereference (`PAGE_SIZE` in arch/x86/mm/fault.c); it is also how
/// far a member may lie from its object's start for the poison below to be recognised.
pub const NULL_PAGE: u64 = 4096;

/// `MAX_ERRNO`, include/linux/err.h: the last 4095 addresses are error codes.
const MAX_ERRNO: u64 = 4095;

/// `KASAN_SHADOW_OFFSET` of generic KASAN on x86_64 (arch/x86/Kconfig): the shadow of an address is it / 8 + this.
pub const KASAN_SHADOW_OFFSET: u64 = 0xdfff_fc00_0000_0000;

/// What a value looks like when it is used as a pointer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pointer {
    /// Zero.
    Null,
    /// In the first page: a member of a NULL object, this many bytes in.
    NearNull(u64),
    /// One of the kernel's reserved values.
    Poison(Poison),
    /// An error code, positive: `ERR_PTR(-12)` is 12.
    ErrPtr(u64),
    /// KASAN's shadow of an address that no object has, as its compiled-in check looks it up.
    KasanShadow(VirtAddr),
    /// Characters: a string lies where the pointer should.
    Text(String),
    /// NULL, but for one bit.
    OneBit(u32),
    /// Not an address that the processor can use. `flipped`: the one bit that parts it from a kernel address.
    NonCanonical {
        /// The bit's number and the address it would be without the flip.
        flipped: Option<(u32, VirtAddr)>,
    },
    /// In the half of the address space that belongs to processes.
    User,
    /// In the kernel's half: nothing is odd about it by itself.
    Kernel,
}

/// How wide virtual addresses are: 48 bits, or 57 with five levels of page tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressBits(u32);

impl AddressBits {
    /// Four levels of page tables.
    pub const FOUR_LEVELS: AddressBits = AddressBits(48);
    /// Five levels of page tables.
    pub const FIVE_LEVELS: AddressBits = AddressBits(57);

    /// What CR4 says: bit 12 is LA57.
    pub fn of_cr4(cr4: Option<VirtAddr>) -> AddressBits {
        match cr4 {
            Some(cr4) if cr4.0 & (1 << 12) != 0 => AddressBits::FIVE_LEVELS,
            _ => AddressBits::FOUR_LEVELS,
        }
    }

    /// The bits that must all be equal in an address that the processor accepts.
    fn sign_bits(self) -> u64 {
        u64::MAX << (self.0 - 1)
    }

    /// Whether the processor accepts `address`.
    pub fn is_canonical(self, address: VirtAddr) -> bool {
        let sign = address.0 & self.sign_bits();
        sign == 0 || sign == self.sign_bits()
    }

    /// Whether `address` is a canonical one of the kernel's half.
    pub fn is_kernel(self, address: VirtAddr) -> bool {
        address.0 & self.sign_bits() == self.sign_bits()
    }
}

impl Pointer {
    /// What `value` looks like.
    pub fn classify(value: VirtAddr, bits: AddressBits) -> Pointer {
        if value.0 == 0 {
            return Pointer::Null;
        }
        if value.0 < NULL_PAGE {
            return Pointer::NearNull(value.0);
        }
        if value.0 > u64::MAX - MAX_ERRNO {
            return Pointer::ErrPtr(value.0.wrapping_neg());
        }
        if let Some(poison) = poison(value) {
            return Pointer::Poison(poison);
        }
        if value.0.is_power_of_two() {
            return Pointer::OneBit(value.0.trailing_zeros());
        }
        if bits.is_kernel(value) {
            return Pointer::Kernel;
        }
        if bits.is_canonical(value) {
            return Pointer::User;
        }
        if let Some(of) = kasan_shadow_of(value) {
            return Pointer::KasanShadow(of);
        }
        if let Some(text) = text(value) {
            return Pointer::Text(text);
        }
        let lost = !value.0 & bits.sign_bits();
        let flipped = lost
            .is_power_of_two()
            .then(|| (lost.trailing_zeros(), VirtAddr(value.0 | lost)));
        Pointer::NonCanonical { flipped }
    }
}

impl fmt::Display for Pointer {
    /// What the pointer *is*, to stand behind that word: `NULL plus a member offset of 8`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pointer::Null => f.write_str("NULL"),
            Pointer::NearNull(offset) => write!(f, "NULL plus a member offset of {offset}"),
            Pointer::Poison(poison) => poison.fmt(f),
            Pointer::ErrPtr(errno) => {
                match errno_name(*errno) {
                    Some(name) => write!(f, "an error code used as a pointer (-{errno}, -{name})")?,
                    None => write!(f, "an error code used as a pointer (-{errno})")?,
                }
                // What container_of() makes of NULL is the same number.
                match errno % 8 {
                    0 => write!(f, ", or NULL less a member offset of {errno}"),
                    _ => Ok(()),
                }
            }
            Pointer::KasanShadow(of) => {
                write!(f, "KASAN's shadow of {of}, which is ")?;
                // The shadow covers eight bytes, so that poison may begin anywhere in them.
                match (0..8)
                    .filter_map(|byte| of.checked_add(byte))
                    .find_map(|near| poison(near).filter(|poison| poison.offset == 0))
                {
                    Some(poison) => poison.fmt(f),
                    None => Pointer::classify(*of, AddressBits::FOUR_LEVELS).fmt(f),
                }
            }
            Pointer::Text(text) => write!(f, "text ({text:?}) where a pointer should be"),
            Pointer::OneBit(bit) => write!(f, "NULL but for one bit ({bit})"),
            Pointer::NonCanonical { flipped: None } => f.write_str("not a canonical address"),
            Pointer::NonCanonical {
                flipped: Some((bit, address)),
            } => write!(f, "not a canonical address, but one bit ({bit}) away from {address}"),
            Pointer::User => f.write_str("a user-space address"),
            Pointer::Kernel => f.write_str("a kernel address"),
        }
    }
}

/// The address whose KASAN shadow `value` is, if that is one that a broken pointer would have.
fn kasan_shadow_of(value: VirtAddr) -> Option<VirtAddr> {
    let of = value.0.wrapping_sub(KASAN_SHADOW_OFFSET);
    if of >> 61 != 0 {
        return None;
    }
    let of = VirtAddr(of << 3);
    let is_user = of.0 >> 47 == 0;
    (is_user || poison(of).is_some()).then_some(of)
}

/// The characters that `value` holds: seven or eight printable ones and nothing else. Fewer are an ordinary address.
fn text(value: VirtAddr) -> Option<String> {
    let bytes = value.0.to_le_bytes();
    let chars: &[u8] = match &bytes {
        [chars @ .., 0] => chars,
        all => all,
    };
    chars
        .iter()
        .all(|byte| matches!(byte, b' '..=b'~'))
        .then(|| chars.iter().map(|byte| char::from(*byte)).collect())
}

/// include/uapi/asm-generic/errno-base.h and errno.h, include/linux/errno.h: those that functions return in pointers.
fn errno_name(errno: u64) -> Option<&'static str> {
    Some(match errno {
        1 => "EPERM",
        2 => "ENOENT",
        3 => "ESRCH",
        4 => "EINTR",
        5 => "EIO",
        6 => "ENXIO",
        7 => "E2BIG",
        8 => "ENOEXEC",
        9 => "EBADF",
        10 => "ECHILD",
        11 => "EAGAIN",
        12 => "ENOMEM",
        13 => "EACCES",
        14 => "EFAULT",
        16 => "EBUSY",
        17 => "EEXIST",
        18 => "EXDEV",
        19 => "ENODEV",
        20 => "ENOTDIR",
        21 => "EISDIR",
        22 => "EINVAL",
        23 => "ENFILE",
        24 => "EMFILE",
        27 => "EFBIG",
        28 => "ENOSPC",
        30 => "EROFS",
        32 => "EPIPE",
        34 => "ERANGE",
        35 => "EDEADLK",
        36 => "ENAMETOOLONG",
        38 => "ENOSYS",
        39 => "ENOTEMPTY",
        40 => "ELOOP",
        61 => "ENODATA",
        71 => "EPROTO",
        75 => "EOVERFLOW",
        95 => "EOPNOTSUPP",
        107 => "ENOTCONN",
        110 => "ETIMEDOUT",
        113 => "EHOSTUNREACH",
        115 => "EINPROGRESS",
        116 => "ESTALE",
        117 => "EUCLEAN",
        125 => "ECANCELED",
        512 => "ERESTARTSYS",
        517 => "EPROBE_DEFER",
        524 => "ENOTSUPP",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(value: u64) -> String {
        Pointer::classify(VirtAddr(value), AddressBits::FOUR_LEVELS).to_string()
    }

    #[test]
    fn each_kind_of_pointer_is_told() {
        assert_eq!(words(0), "NULL");
        assert_eq!(words(8), "NULL plus a member offset of 8");
        assert_eq!(words(u64::MAX - 11), "an error code used as a pointer (-12, -ENOMEM)");
        assert_eq!(words(u64::MAX - 998), "an error code used as a pointer (-999)");
        assert_eq!(
            words(u64::MAX - 15),
            "an error code used as a pointer (-16, -EBUSY), or NULL less a member offset of 16"
        );
        assert_eq!(words(0x7f80_1234_5678), "a user-space address");
        assert_eq!(words(0xffff_8880_1234_5678), "a kernel address");
        assert_eq!(words(0x1234_beef_00c0_ffee), "not a canonical address");
        assert_eq!(words(0x0000_0008_0000_0000), "NULL but for one bit (35)");
        assert_eq!(
            words(0xff7f_8880_1234_5678),
            "not a canonical address, but one bit (55) away from 0xffff888012345678"
        );
        assert_eq!(
            words(u64::from_le_bytes(*b"/dev/sda")),
            r#"text ("/dev/sda") where a pointer should be"#
        );
    }

    #[test]
    fn five_levels_move_the_border() {
        let value = VirtAddr(0xff11_0000_1234_5678);
        assert_eq!(Pointer::classify(value, AddressBits::FIVE_LEVELS), Pointer::Kernel);
        assert!(!AddressBits::of_cr4(Some(VirtAddr(0x77_0ee0))).is_canonical(value));
        assert!(AddressBits::of_cr4(Some(VirtAddr(0x77_1ee0))).is_canonical(value));
    }

    #[test]
    fn kasan_shadow_leads_back_to_the_pointer() {
        assert_eq!(
            words(0xdfff_fc00_0000_0003),
            "KASAN's shadow of 0x18, which is NULL plus a member offset of 24"
        );
        assert_eq!(
            words(0xfbd5_9c00_0000_0020),
            "KASAN's shadow of 0xdead000000000100, which is LIST_POISON1: the list entry was already deleted \
             (include/linux/poison.h)"
        );
        assert!(words(0xfbd5_9c00_0000_0024).contains("LIST_POISON2: "));
    }

    proptest! {
        #[test]
        fn any_value_has_words(value: u64) {
            for bits in [AddressBits::FOUR_LEVELS, AddressBits::FIVE_LEVELS] {
                prop_assert!(!Pointer::classify(VirtAddr(value), bits).to_string().is_empty());
            }
        }

        #[test]
        fn one_lost_sign_bit_is_found(low in 0u64..1 << 47, bit in 47u32..64) {
            let address = VirtAddr(u64::MAX << 47 | low);
            let lost = VirtAddr(address.0 & !(1 << bit));
            if let Pointer::NonCanonical { flipped } = Pointer::classify(lost, AddressBits::FOUR_LEVELS) {
                prop_assert_eq!(flipped, Some((bit, address)));
            }
        }
    }
}
