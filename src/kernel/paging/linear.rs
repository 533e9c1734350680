//! The linear maps of x86_64: physical memory that appears in one piece at a fixed distance.
//! (Documentation/arch/x86/x86_64/mm.rst; arch/x86/include/asm/page_64_types.h.)

use std::ops::Range;

use crate::addr::{PhysAddr, VirtAddr};

/// `__START_KERNEL_map`: what an image that was not moved is linked against.
pub const KERNEL_MAP: u64 = 0xffff_ffff_8000_0000;

/// The unit in which a dump can lack memory, in bytes.
pub(super) const PAGE: u64 = 4096;

/// Where the linear maps lie, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinearMaps {
    /// The kernel's `phys_base`: where [`KERNEL_MAP`] lies in physical memory, modulo 2^64 (it may be negative).
    pub phys_base: Option<u64>,
    /// `KERNEL_IMAGE_SIZE`: how far the map of the image reaches, in bytes.
    pub image_size: u64,
    /// Where all of physical memory is mapped: from `page_offset_base` up to the end of that memory.
    pub direct_map: Option<Range<u64>>,
}

impl LinearMaps {
    /// Where `at` lies when it is in the kernel's image.
    pub fn image(&self, at: VirtAddr) -> Option<PhysAddr> {
        let offset =
            at.0.checked_sub(KERNEL_MAP)
                .filter(|&offset| offset < self.image_size)?;
        physical(offset.wrapping_add(self.phys_base?))
    }
}

/// Where `at` lies when it is in this direct map.
pub(super) fn direct(map: &Range<u64>, at: VirtAddr) -> Option<PhysAddr> {
    physical(map.contains(&at.0).then(|| at.0 - map.start)?)
}

/// x86 has at most 52 physical address bits: more means that `phys_base` is wrong.
fn physical(address: u64) -> Option<PhysAddr> {
    (address >> 52 == 0).then_some(PhysAddr(address))
}
