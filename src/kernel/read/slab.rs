//! Which slab cache an address belongs to: the way to tell a pointer to a live kind of object from a wild one.
//!
//! x86_64: an address of the direct map has its page's `struct page` at a place that two variables give.

use super::{ProbeError, Reader};
use crate::addr::VirtAddr;

/// A machine has some hundreds of caches; with containers some ten thousands.
const MAX_CACHES: usize = 65_536;
const MAX_NAME: usize = 128;

/// Where x86_64 maps all of physical memory and its pages' records, in kernels that do not randomise it: since 4.20, and
/// before (Documentation/arch/x86/x86_64/mm.rst).
const DIRECT_MAPS: [u64; 2] = [0xffff_8880_0000_0000, 0xffff_8800_0000_0000];
const VMEMMAP: u64 = 0xffff_ea00_0000_0000;
const PAGE_SHIFT: u32 = 12;

/// Records of one block lie closer together than this, as a power of two: those of 64 GiB.
const VMEMMAP_BITS: u32 = 30;

/// How large a direct map that starts at `base` can be, as a power of two: 64 TiB, or 32 PiB with five levels of page
/// tables, where it starts much lower.
fn direct_map_bits(base: u64) -> u32 {
    if base >> 47 == u64::MAX >> 47 { 46 } else { 55 }
}

impl Reader<'_> {
    /// Whether `at` lies in an object of the slab cache `name`, or (for `page`) is the record of a page.
    pub fn points_to(&self, at: VirtAddr, name: &str) -> Result<bool, ProbeError> {
        let page_size = self
            .types
            .size_of("page")
            .filter(|size| *size > 0)
            .ok_or_else(|| ProbeError::NoLayout("page".to_owned()))?;
        let vmemmap = self.variable("vmemmap_base").unwrap_or(VMEMMAP);
        if name == "page" {
            let offset = at.0.wrapping_sub(vmemmap);
            // What is mapped there is the record of a page that exists.
            let fits = offset.is_multiple_of(page_size) && offset >> direct_map_bits(vmemmap) == 0;
            return Ok(fits && self.memory.u64(at).is_ok());
        }
        let cache = self.cache(name)?;
        let Some(physical) = self.physical(at) else {
            // Objects of slab caches lie in the direct map.
            return Ok(false);
        };
        let record = (physical >> PAGE_SHIFT)
            .checked_mul(page_size)
            .map(|offset| VirtAddr(vmemmap.wrapping_add(offset)));
        let record = record.ok_or_else(|| ProbeError::Slab(format!("{at} lies past all memory")))?;
        let record = self.head(record)?;
        Ok(self.cache_of(record)? == cache)
    }

    /// The `kmem_cache` called `name`.
    fn cache(&self, name: &str) -> Result<VirtAddr, ProbeError> {
        let head = self
            .symbols
            .by_name("slab_caches")
            .ok_or_else(|| ProbeError::NoSuchName("slab_caches".to_owned()))?;
        let (caches, broken) = self.list(head, "kmem_cache", "list")?;
        let offset = self.member("kmem_cache", "name")?.offset;
        let is_named = |cache: &VirtAddr| {
            let text = self.memory.pointer(VirtAddr(cache.0.wrapping_add(offset)));
            let text = text.and_then(|at| self.memory.c_string(at, MAX_NAME));
            text.is_ok_and(|text| text == name.as_bytes())
        };
        match caches.iter().take(MAX_CACHES).find(|cache| is_named(cache)) {
            Some(cache) => Ok(*cache),
            None => Err(broken.unwrap_or_else(|| {
                ProbeError::Slab(format!(
                    "there is no slab cache `{name}` (the kernel merges caches of equal size)"
                ))
            })),
        }
    }

    /// The cache that a page's record names; of a page that is none of a slab, whatever stands there.
    fn cache_of(&self, record: VirtAddr) -> Result<VirtAddr, ProbeError> {
        // `struct slab` covers `struct page` since 5.17.
        ["slab", "page"]
            .into_iter()
            .find_map(|owner| self.number(record, owner, "slab_cache").map(VirtAddr).ok())
            .ok_or_else(|| ProbeError::NoLayout("slab.slab_cache".to_owned()))
    }

    /// The record of the first page of the block that a page belongs to.
    fn head(&self, record: VirtAddr) -> Result<VirtAddr, ProbeError> {
        /// Page flag of a block's later pages until 4.3 (include/linux/page-flags.h of 3.10).
        const PG_TAIL: u64 = 15;
        let link = ["compound_head", "compound_info"]
            .into_iter()
            .find_map(|member| self.number(record, "page", member).ok());
        if let Some(link) = link {
            return Ok(first_record(record, link));
        }
        let flags = self.number(record, "page", "flags")?;
        match self.number(record, "page", "first_page") {
            Ok(first) if flags >> PG_TAIL & 1 == 1 => Ok(VirtAddr(first)),
            Ok(_) => Ok(record),
            Err(_) => Err(ProbeError::NoLayout("page.compound_head".to_owned())),
        }
    }

    /// Where an address of the direct map lies.
    fn physical(&self, at: VirtAddr) -> Option<u64> {
        let bases = match self.variable("page_offset_base") {
            Some(base) => vec![base],
            None => DIRECT_MAPS.to_vec(),
        };
        bases
            .into_iter()
            .find_map(|base| Some(at.0.checked_sub(base)?).filter(|physical| physical >> direct_map_bits(base) == 0))
    }

    fn variable(&self, name: &str) -> Option<u64> {
        self.memory.u64(self.symbols.by_name(name)?).ok()
    }
}

/// The record of the first page of a block, by what a page's record says of it. From 4.4 on a later page has the first
/// one's address there, with bit 0 set; from 7.0 on it may have a mask instead, under which its own address is the
/// first one's.
fn first_record(record: VirtAddr, link: u64) -> VirtAddr {
    let is_near = VMEMMAP_BITS >= 64 - (link ^ record.0).leading_zeros();
    match link & 1 {
        0 => record,
        _ if is_near => VirtAddr(link - 1),
        _ => VirtAddr(record.0 & (link - 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_page_knows_the_first() {
        let record = VirtAddr(VMEMMAP + 0x1c0);
        assert_eq!(first_record(record, 0), record);
        assert_eq!(first_record(record, VMEMMAP + 0x101), VirtAddr(VMEMMAP + 0x100));
        assert_eq!(first_record(record, !0xff | 1), VirtAddr(VMEMMAP + 0x100));
    }
}
