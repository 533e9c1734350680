//! The x86_64 page table walk, 4 and 5 levels (Intel SDM volume 3, chapter 4; arch/x86/include/asm/pgtable_64_types.h).

use super::{Leaf, TableMemory, Walk};
use crate::addr::{PhysAddr, VirtAddr};
use crate::dump::MemoryError;

/// What one entry of a page middle directory maps.
pub const PMD_SIZE: u64 = 1 << 21;

const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
/// In a page directory entry: it maps a large page itself.
const LARGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;
/// Bits 51:12: the physical address in an entry.
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
const INDEX_BITS: u32 = 9;
const PAGE_SHIFT: u32 = 12;

/// How many levels the tables have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Levels {
    /// 48-bit virtual addresses.
    Four,
    /// 57-bit virtual addresses (`la57`: CR4 bit 12).
    Five,
}

/// Where the page tables start and how to read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageTables {
    /// The top table's page.
    pub root: PhysAddr,
    /// How many levels there are.
    pub levels: Levels,
    /// The memory encryption bit(s) of AMD SME to take out of entries (`sme_mask`).
    pub sme_mask: u64,
}

impl PageTables {
    /// The lowest address of the kernel's half.
    pub fn kernel_half(&self) -> VirtAddr {
        VirtAddr(u64::MAX << (self.top_shift() + INDEX_BITS - 1))
    }

    fn top_shift(&self) -> u32 {
        match self.levels {
            Levels::Four => 39,
            Levels::Five => 48,
        }
    }

    /// Walks to the page that maps `at`. An error: a table's page could not be read.
    pub(crate) fn walk(&self, tables: &mut TableMemory<'_>, at: VirtAddr) -> Result<Walk, MemoryError> {
        let mut shift = self.top_shift();
        if !is_canonical(at, shift + INDEX_BITS) {
            // Nothing is mapped up to the kernel's half.
            let left = self.kernel_half().0.saturating_sub(at.0).max(1);
            return Ok(Walk::Absent { left });
        }
        let mut table = self.root;
        let (mut writable, mut executable) = (true, true);
        loop {
            let span = 1u64 << shift;
            let index = (at.0 >> shift) & ((1 << INDEX_BITS) - 1);
            let entry = tables.entry(PhysAddr(table.0 + index * 8))?;
            if entry & PRESENT == 0 {
                return Ok(Walk::Absent {
                    left: span - at.0 % span,
                });
            }
            writable &= entry & WRITABLE != 0;
            executable &= entry & NO_EXECUTE == 0;
            let target = entry & ADDRESS & !self.sme_mask;
            // Large pages exist at 2 MiB and 1 GiB; higher up the bit is reserved.
            if shift == PAGE_SHIFT || (entry & LARGE != 0 && shift <= 30) {
                return Ok(Walk::Mapped(Leaf {
                    start: VirtAddr(at.0 & !(span - 1)),
                    // The low bits of a large page's address hold its PAT bit.
                    physical: PhysAddr(target & !(span - 1)),
                    size: span,
                    writable,
                    executable,
                }));
            }
            table = PhysAddr(target);
            shift -= INDEX_BITS;
        }
    }
}

/// Whether the bits above the highest that counts repeat it.
fn is_canonical(at: VirtAddr, bits: u32) -> bool {
    let above = (at.0 as i64) >> (bits - 1);
    above == 0 || above == -1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::paging::{AddressSpace, LinearMaps};
    use crate::kernel::testing::Machine;

    fn physical(space: &AddressSpace, at: u64) -> Option<u64> {
        space.translate(VirtAddr(at)).ok().map(|found| found.0)
    }

    #[test]
    fn pages_of_every_size_are_found() {
        let mut machine = Machine::new(0x10_0000);
        machine.map(0xffff_8880_4000_0000, 0x4000_0000, 1 << 30);
        machine.map(0xffff_ffff_8100_0000, 0x1_0060_0000, 2 << 20);
        machine.map(0xffff_c900_0000_1000, 0x7000, 4096);
        let space = machine.address_space(LinearMaps::default());
        assert_eq!(physical(&space, 0xffff_8880_4123_4567), Some(0x4123_4567));
        assert_eq!(physical(&space, 0xffff_ffff_811f_ffff), Some(0x1_007f_ffff));
        assert_eq!(physical(&space, 0xffff_c900_0000_1abc), Some(0x7abc));
        assert_eq!(physical(&space, 0xffff_c900_0000_2000), None);
        assert_eq!(physical(&space, 0xffff_ffff_8120_0000), None);
    }

    #[test]
    fn a_non_canonical_address_is_not_mapped() {
        let mut machine = Machine::new(0x10_0000);
        machine.map(0xffff_8880_0000_0000, 0, 1 << 30);
        let space = machine.address_space(LinearMaps::default());
        assert_eq!(physical(&space, 0xffff_8880_0000_0000), Some(0));
        assert_eq!(physical(&space, 0x1234_8880_0000_0000), None);
        assert_eq!(physical(&space, 0x0000_8880_0000_0000), None);
    }

    #[test]
    fn five_levels_and_the_encryption_bit() {
        let mut machine = Machine::new(0x10_0000).with_five_levels().with_sme_mask(1 << 47);
        machine.map(0xff11_0000_0000_0000, 0, 1 << 30);
        machine.map(0xffff_ffff_8100_0000, 0x9000, 4096);
        let space = machine.address_space(LinearMaps::default());
        assert_eq!(physical(&space, 0xff11_0000_0012_3456), Some(0x12_3456));
        assert_eq!(physical(&space, 0xffff_ffff_8100_0010), Some(0x9010));
    }

    #[test]
    fn a_table_that_points_at_itself_ends() {
        let mut machine = Machine::new(0x10_0000);
        let root = machine.root();
        for index in 0..512 {
            machine.write(root + index * 8, &(root | 0x63).to_le_bytes());
        }
        let space = machine.address_space(LinearMaps::default());
        assert!(physical(&space, 0xffff_ffff_8100_0000).is_some());
        assert!(
            space
                .mapped(VirtAddr(0xffff_8000_0000_0000), VirtAddr(u64::MAX), 1000)
                .len()
                <= 1000
        );
    }
}
