//! The address types every layer speaks: physical, virtual, page frame number.
//!
//! They are distinct so that the compiler refuses a physical address where a virtual one is due. This module knows
//! nothing of page tables: translating one into the other is `kernel::paging`'s work.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A physical address of the dumped machine, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PhysAddr(pub u64);

/// A page frame number: a physical address divided by the dumped machine's page size.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Pfn(pub u64);

/// A virtual address of the dumped machine's kernel, or a register's value, in bytes.
///
/// Serialised as a hex string (`"0xffffffff9c0c2e89"`), since JSON numbers lose bits past 2^53.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct VirtAddr(pub u64);

impl PhysAddr {
    /// The page frame this address lies in; `page_shift` is log2 of the page size.
    pub fn pfn(self, page_shift: u32) -> Pfn {
        Pfn(self.0.checked_shr(page_shift).unwrap_or(0))
    }

    /// This address moved up by `bytes`, or `None` past the end of the address space.
    pub fn checked_add(self, bytes: u64) -> Option<PhysAddr> {
        self.0.checked_add(bytes).map(PhysAddr)
    }
}

impl Pfn {
    /// The first address of this page frame, or `None` when it lies past the address space.
    pub fn start(self, page_shift: u32) -> Option<PhysAddr> {
        let address = self.0.checked_shl(page_shift)?;
        (address >> page_shift == self.0).then_some(PhysAddr(address))
    }
}

impl VirtAddr {
    /// This address moved up by `bytes`, or `None` past the end of the address space.
    pub fn checked_add(self, bytes: u64) -> Option<VirtAddr> {
        self.0.checked_add(bytes).map(VirtAddr)
    }

    /// This address moved by `bytes` in either direction, around the end of the address space if need be.
    pub fn wrapping_offset(self, bytes: i64) -> VirtAddr {
        VirtAddr(self.0.wrapping_add_signed(bytes))
    }
}

impl fmt::Debug for PhysAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PhysAddr({:#x})", self.0)
    }
}

impl fmt::Debug for VirtAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VirtAddr({:#x})", self.0)
    }
}

impl fmt::Display for PhysAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Display for VirtAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl FromStr for VirtAddr {
    type Err = std::num::ParseIntError;

    /// Reads hex digits with or without `0x`, as a report (`0x…`) and kernel text (bare digits) write them.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        u64::from_str_radix(digits, 16).map(VirtAddr)
    }
}

impl Serialize for VirtAddr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for VirtAddr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if !text.starts_with("0x") {
            return Err(de::Error::custom(format!(
                "expected an address as a hex string with 0x, found {text:?}"
            )));
        }
        text.parse()
            .map_err(|_| de::Error::custom(format!("{text:?} is not a 64-bit hex address")))
    }
}

impl JsonSchema for VirtAddr {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Address".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": "^0x[0-9a-f]{1,16}$",
            "description": "an address or register value in hex"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pfn_beyond_the_address_space_has_no_start() {
        assert_eq!(Pfn(1).start(12), Some(PhysAddr(0x1000)));
        assert_eq!(Pfn(u64::MAX).start(12), None);
    }

    #[test]
    fn an_address_survives_json() {
        let address = VirtAddr(0xffff_ffff_9c0c_2e89);
        let text = serde_json::to_string(&address).unwrap();
        assert_eq!(text, r#""0xffffffff9c0c2e89""#);
        assert_eq!(serde_json::from_str::<VirtAddr>(&text).unwrap(), address);
        assert!(serde_json::from_str::<VirtAddr>(r#""12""#).is_err());
    }
}
