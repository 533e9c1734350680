//! The page bitmap of a kdump-compressed file with a rank index: which pages are there, and how many before one.
//!
//! Only a count for every 4 KiB of bitmap stays in memory (1 MiB of counts for a dump of 16 TiB); the bits themselves
//! are read again when asked for, through a small cache.

use std::ops::Range;
use std::sync::Arc;

use crate::dump::cache::BlockCache;
use crate::dump::io::{read_at_most, zero_filled};
use crate::dump::{DumpError, MemoryError};
use crate::input::ReadAt;

/// Bytes of bitmap per counted block.
const BLOCK: usize = 4096;
const BLOCK_BITS: u64 = BLOCK as u64 * 8;
/// Bytes of a block per count kept with a cached block.
const LINE: usize = 64;
/// Bytes read at a time while counting.
const CHUNK: usize = 1 << 20;
const CACHED_BLOCKS: usize = 64;
static ZEROS: [u8; BLOCK] = [0; BLOCK];
/// More ranges than this (4 MiB of them) are joined over wider gaps, so that a shredded bitmap cannot fill memory.
const MAX_RANGES: usize = 1 << 18;

/// One block of bits and the number of set bits before each of its lines.
#[derive(Debug)]
struct Block {
    bits: Box<[u8]>,
    before: Box<[u16]>,
}

impl Block {
    fn new(bits: Vec<u8>) -> Self {
        let mut count = 0u16;
        let before = bits
            .chunks(LINE)
            .map(|line| {
                let here = count;
                // At most 32768 bits in a block: fits.
                count += ones(line) as u16;
                here
            })
            .collect();
        Self {
            bits: bits.into(),
            before,
        }
    }

    fn is_set(&self, bit: usize) -> bool {
        self.bits.get(bit / 8).is_some_and(|byte| byte >> (bit % 8) & 1 == 1)
    }

    /// The number of set bits below `bit`.
    fn rank(&self, bit: usize) -> u64 {
        let line = bit / 8 / LINE;
        let whole = self.bits.get(line * LINE..bit / 8).map_or(0, ones);
        let last = self
            .bits
            .get(bit / 8)
            .map_or(0, |byte| (byte & ((1u8 << (bit % 8)) - 1)).count_ones());
        u64::from(self.before.get(line).copied().unwrap_or(0)) + u64::from(whole) + u64::from(last)
    }
}

/// A bitmap in a file.
#[derive(Debug)]
pub(super) struct Bitmap {
    offset: u64,
    /// The number of pages it speaks of.
    bits: u64,
    /// Set bits before each block.
    before: Vec<u64>,
    total: u64,
    ranges: Vec<Range<u64>>,
    cache: BlockCache<Arc<Block>>,
    /// Whether the file ends inside the bitmap.
    pub(super) cut: bool,
}

impl Bitmap {
    /// Counts the bitmap of `bits` bits at `offset`. What lies behind the end of the file counts as clear.
    pub(super) fn index(file: &dyn ReadAt, offset: u64, bits: u64) -> Result<Self, DumpError> {
        let size = bits.div_ceil(8);
        let there = file.size().saturating_sub(offset).min(size);
        let mut before = Vec::new();
        let mut total = 0u64;
        let mut ranges = RangeCollector::default();
        let mut done = 0u64;
        let mut buf = vec![0; CHUNK.min(usize::try_from(there).unwrap_or(CHUNK))];
        while done < there {
            let wanted = usize::try_from(there - done).map_or(buf.len(), |rest| rest.min(buf.len()));
            let chunk = buf.get_mut(..wanted).unwrap_or_default();
            let read = read_at_most(file, offset + done, chunk)?;
            if read == 0 {
                break;
            }
            let chunk = chunk.get_mut(..read).unwrap_or_default();
            clear_past(chunk, bits - done * 8);
            for (index, block) in chunk.chunks(BLOCK).enumerate() {
                before.push(total);
                // Most of a large machine's bitmap is zero.
                if !is_zero(block) {
                    total += u64::from(ones(block));
                    ranges.add(done * 8 + index as u64 * BLOCK_BITS, block);
                }
            }
            done += read as u64;
        }
        Ok(Self {
            offset,
            bits,
            before,
            total,
            ranges: ranges.finish(),
            cache: BlockCache::new(CACHED_BLOCKS),
            cut: done < size,
        })
    }

    /// The number of set bits.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Where pages are set, in page frame numbers: ascending, joined over gaps where there are very many.
    pub(super) fn ranges(&self) -> &[Range<u64>] {
        &self.ranges
    }

    /// The number of set bits below `pfn` when `pfn` itself is set, else `None`.
    pub(super) fn rank_if_set(&self, file: &dyn ReadAt, pfn: u64) -> Result<Option<u64>, MemoryError> {
        if pfn >= self.bits {
            return Ok(None);
        }
        let (block, before) = self.block_of(file, pfn)?;
        let bit = (pfn % BLOCK_BITS) as usize;
        Ok(block.is_set(bit).then(|| before + block.rank(bit)))
    }

    /// The number of set bits below `pfn`.
    pub(super) fn rank(&self, file: &dyn ReadAt, pfn: u64) -> Result<u64, MemoryError> {
        if pfn >= self.bits {
            return Ok(self.total);
        }
        let (block, before) = self.block_of(file, pfn)?;
        Ok(before + block.rank((pfn % BLOCK_BITS) as usize))
    }

    fn block_of(&self, file: &dyn ReadAt, pfn: u64) -> Result<(Arc<Block>, u64), MemoryError> {
        let index = pfn / BLOCK_BITS;
        let block = self.cache.get_or_load(index, || {
            let start = index * BLOCK as u64;
            let size = self.bits.div_ceil(8).saturating_sub(start).min(BLOCK as u64) as usize;
            let mut bits = zero_filled(file, self.offset + start, size)?;
            clear_past(&mut bits, self.bits - start * 8);
            Ok(Arc::new(Block::new(bits)))
        })?;
        let before = usize::try_from(index)
            .ok()
            .and_then(|index| self.before.get(index))
            .copied();
        Ok((block, before.unwrap_or(self.total)))
    }
}

/// Whether bit `pfn` is set in the bitmap at `offset`, for bitmaps that are seldom asked.
pub(super) fn is_set(file: &dyn ReadAt, offset: u64, pfn: u64) -> bool {
    let mut byte = [0];
    let read = offset.checked_add(pfn / 8).map(|at| file.read_at(at, &mut byte));
    matches!(read, Some(Ok(1))) && byte[0] >> (pfn % 8) & 1 == 1
}

pub(super) fn is_zero(bytes: &[u8]) -> bool {
    bytes
        .chunks(BLOCK)
        .all(|part| ZEROS.get(..part.len()).is_some_and(|zeros| part == zeros))
}

fn ones(bytes: &[u8]) -> u32 {
    let (words, rest) = bytes.as_chunks::<8>();
    words
        .iter()
        .map(|word| u64::from_ne_bytes(*word).count_ones())
        .sum::<u32>()
        + rest.iter().map(|byte| byte.count_ones()).sum::<u32>()
}

/// Clears the bits from bit `end` on: a bitmap's last byte may hold more than there are pages.
fn clear_past(bytes: &mut [u8], end: u64) {
    let whole = usize::try_from(end / 8).unwrap_or(usize::MAX);
    if let Some(byte) = bytes.get_mut(whole) {
        *byte &= (1u8 << (end % 8)) - 1;
    }
    if let Some(rest) = bytes.get_mut(whole.saturating_add(1)..) {
        rest.fill(0);
    }
}

/// Collects runs of set bits and joins those with small gaps between them when they become too many.
#[derive(Default)]
struct RangeCollector {
    ranges: Vec<Range<u64>>,
    gap: u64,
}

impl RangeCollector {
    fn add(&mut self, first_bit: u64, bytes: &[u8]) {
        for (index, line) in bytes.chunks(LINE).enumerate() {
            if !is_zero(line) {
                self.add_line(first_bit + (index * LINE) as u64 * 8, line);
            }
        }
    }

    fn add_line(&mut self, first_bit: u64, line: &[u8]) {
        for (index, chunk) in line.chunks(8).enumerate() {
            let mut raw = [0; 8];
            raw.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
            let mut word = u64::from_le_bytes(raw);
            let base = first_bit + index as u64 * 64;
            while word != 0 {
                let start = word.trailing_zeros();
                let length = (word >> start).trailing_ones();
                self.push(base + u64::from(start)..base + u64::from(start + length));
                word = if start + length >= 64 {
                    0
                } else {
                    word & (u64::MAX << (start + length))
                };
            }
        }
    }

    fn push(&mut self, range: Range<u64>) {
        match self.ranges.last_mut() {
            Some(last) if range.start - last.end <= self.gap => last.end = range.end,
            _ => self.ranges.push(range),
        }
        if self.ranges.len() > MAX_RANGES {
            self.gap = (self.gap * 4).max(16);
            let ranges = std::mem::take(&mut self.ranges);
            for range in ranges {
                match self.ranges.last_mut() {
                    Some(last) if range.start - last.end <= self.gap => last.end = range.end,
                    _ => self.ranges.push(range),
                }
            }
        }
    }

    fn finish(self) -> Vec<Range<u64>> {
        self.ranges
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rank_counts_what_a_loop_counts(bytes in proptest::collection::vec(any::<u8>(), 1..9000), cut in 0u64..8) {
            let bits = bytes.len() as u64 * 8 - cut;
            let bitmap = Bitmap::index(&bytes, 0, bits).unwrap();
            let mut count = 0;
            for pfn in 0..bits {
                let set = bytes[(pfn / 8) as usize] >> (pfn % 8) & 1 == 1;
                if pfn % 61 == 0 || pfn + 70 > bits {
                    prop_assert_eq!(bitmap.rank(&bytes, pfn).unwrap(), count);
                    prop_assert_eq!(bitmap.rank_if_set(&bytes, pfn).unwrap(), set.then_some(count));
                }
                if set {
                    let after = bitmap.ranges().partition_point(|range| range.end <= pfn);
                    prop_assert!(bitmap.ranges()[after].contains(&pfn));
                }
                count += u64::from(set);
            }
            prop_assert_eq!(bitmap.total(), count);
            prop_assert!(bitmap.ranges().is_sorted_by(|a, b| a.end < b.start));
        }
    }

    #[test]
    fn a_shredded_bitmap_has_few_ranges() {
        let bytes = vec![0x55; 200_000];
        let bitmap = Bitmap::index(&bytes, 0, 1_600_000).unwrap();
        assert!(bitmap.ranges().len() <= MAX_RANGES);
        assert_eq!(bitmap.total(), 800_000);
    }

    #[test]
    fn a_cut_bitmap_says_so() {
        let bytes = vec![0xff; 10];
        let bitmap = Bitmap::index(&bytes, 0, 100).unwrap();
        assert!(bitmap.cut);
        assert_eq!(bitmap.total(), 80);
        assert_eq!(bitmap.rank_if_set(&bytes, 90).unwrap(), None);
    }
}
