//! Huge pages (hugetlb): how many there are of each size.
//!
//! `struct hstate` proves itself: a size's order stands before the mask that follows from it, and the counts behind. So
//! no types are asked, of which this one would be among the dearest.

use super::{Fact, Machine, Unknown, count, unreadable};

/// `HUGE_MAX_HSTATE` is at most this.
const MAX_SIZES: u64 = 16;
/// All sizes' records together: each has some words for every memory node, of which there are at most 1024.
const MAX_ROOM: u64 = 1 << 20;

/// Huge pages of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HugePages {
    /// A huge page is 2 to the power of this many small ones.
    order: u32,
    /// How many there are.
    pub(super) number: u64,
}

impl HugePages {
    /// How many small pages they are.
    fn pages(self) -> u64 {
        self.number.saturating_mul(1_u64.checked_shl(self.order).unwrap_or(0))
    }

    /// The records among `words`: {…, unsigned int order, …; unsigned long mask, max_huge_pages, nr_huge_pages, …} since
    /// 2.6.31, whatever stands before and behind.
    fn find(words: &[u64], page_shift: u32) -> Vec<HugePages> {
        let records = words.windows(4).filter_map(|window| {
            let [before, mask, _, number] = *window else {
                return None;
            };
            let order = before as u32;
            let follows = (1..=40).contains(&order) && mask == u64::MAX.checked_shl(order + page_shift)?;
            follows.then_some(HugePages { order, number })
        });
        records.collect()
    }
}

impl Machine<'_> {
    /// Small pages in huge pages of all sizes.
    pub(super) fn pages_in_huge_pages(&self) -> Fact<u64> {
        if self.symbol(&["hstates"]).is_err() {
            // Built without huge pages.
            return Ok(0);
        }
        let sizes = self.huge_pages()?;
        Ok(sizes.into_iter().fold(0, |sum, size| sum.saturating_add(size.pages())))
    }

    /// Huge pages of the size that `vm.nr_hugepages` speaks of.
    pub(super) fn default_huge_pages(&self) -> Fact<HugePages> {
        let place = self.int("default_hstate_idx")?.unsigned_abs() as usize;
        let sizes = self.huge_pages()?;
        let size = sizes.get(place).copied();
        size.ok_or_else(|| Unknown::Implausible("default_hstate_idx".to_owned()))
    }

    /// Huge pages by size, in the kernel's order.
    fn huge_pages(&self) -> Fact<Vec<HugePages>> {
        let at = self.symbol(&["hstates"])?;
        let number = count(i64::from(
            self.int("hugetlb_max_hstate").or_else(|_| self.int("max_hstate"))?,
        ));
        if number > MAX_SIZES {
            return Err(Unknown::Implausible("hugetlb_max_hstate".to_owned()));
        }
        if number == 0 {
            return Ok(Vec::new());
        }
        let bytes = self
            .memory
            .bytes(at, self.room(at, 1).min(MAX_ROOM) as usize)
            .map_err(|source| unreadable("hstates", source))?;
        let words: Vec<u64> = bytes.chunks_exact(8).map(|word| self.memory.abi().uint(word)).collect();
        let found = HugePages::find(&words, self.page_size.trailing_zeros());
        match found.len() as u64 == number {
            true => Ok(found),
            false => Err(Unknown::Implausible("hstates".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_found_wherever_their_records_begin() {
        let mask = |order: u32| u64::MAX << (order + 12);
        // As in 5.10, and with the order's word shared with another number, as in 6.1.
        let words = [
            7,
            9,
            mask(9),
            5,
            100,
            90,
            0,
            0,
            3,
            3 << 32 | 18,
            mask(18),
            0,
            2,
            2,
            0,
            1,
        ];
        let found = HugePages::find(&words, 12);
        let sizes: Vec<(u32, u64)> = found.iter().map(|size| (size.order, size.number)).collect();
        assert_eq!(sizes, [(9, 100), (18, 2)]);
        assert_eq!(
            found.iter().map(|size| size.pages()).sum::<u64>(),
            100 * 512 + 2 * 262_144
        );
        assert_eq!(HugePages::find(&[0; 64], 12), []);
    }

    proptest! {
        #[test]
        fn any_words_do_no_harm(words: Vec<u64>, shift in 0u32..64) {
            for size in HugePages::find(&words, shift) {
                let _ = size.pages();
            }
        }
    }
}
