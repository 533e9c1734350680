//! The text ring: blocks of text at positions that only grow.

use super::Desc;
use crate::addr::VirtAddr;
use crate::kernel::access::{Abi, KernelMemory};
use crate::kernel::partial::Partial;

/// The most text that is read at once, in bytes.
const CHUNK: u64 = 4 << 20;

/// No record is longer, in bytes (`PRINTK_MESSAGE_MAX` and its block's head).
const MAX_BLOCK: u64 = 2048 + 8;

/// The most text that is searched for blocks whose descriptors are missing.
const MAX_SEARCH: u64 = 64 << 20;

/// The text ring.
pub(super) struct Text<'a> {
    pub(super) memory: &'a KernelMemory,
    pub(super) at: VirtAddr,
    pub(super) size: u64,
    pub(super) head: u64,
    pub(super) tail: u64,
    pub(super) word: u64,
    /// What [`Text::prefetch`] read.
    pub(super) fetched: Option<Stretch>,
}

/// A text position in 64 bits: they start just below 0, so that those of 32 bits need their sign.
pub(super) fn position(word: u64, size: usize) -> u64 {
    if size == 4 {
        i64::from(word as u32 as i32) as u64
    } else {
        word
    }
}

impl Text<'_> {
    /// Reads the text of all `blocks` at once, if they lie as close together as records of one time do.
    pub(super) fn prefetch(&mut self, blocks: impl Iterator<Item = Desc>) {
        let mut range: Option<(u64, u64)> = None;
        for block in blocks {
            let (begin, next) = (block.begin, block.next);
            let (low, high) = range.get_or_insert((begin, next));
            // Positions wrap around at the word's end, so "before" is a matter of sign.
            if (begin.wrapping_sub(*low) as i64) < 0 {
                *low = begin;
            }
            if (next.wrapping_sub(*high) as i64) > 0 {
                *high = next;
            }
        }
        let length = |(low, high): (u64, u64)| (low, high.wrapping_sub(low));
        let near = range.map(length).filter(|&(_, length)| length <= self.size.min(CHUNK));
        self.fetched = near.map(|(low, length)| self.read(low, length));
    }

    /// `length` bytes from position `at` on, around the ring's end if need be. At most the ring's size.
    fn read(&self, at: u64, length: u64) -> Stretch {
        let index = at % self.size;
        let first = length.min(self.size - index);
        let part = |index: u64, length: u64| {
            let at = self.at.0.wrapping_add(index);
            Partial::read(self.memory, VirtAddr(at), length as usize)
        };
        Stretch {
            start: at,
            first: part(index, first),
            rest: part(0, length - first),
        }
    }

    /// The block between these positions. `None`: there cannot be one, or it was overwritten.
    pub(super) fn block(&self, begin: u64, next: u64) -> Option<Block> {
        let round = |position: u64| position & !(self.size - 1);
        // A block that would not fit before the ring's end lies at its start.
        let start = if round(begin) == round(next.wrapping_sub(1)) {
            begin
        } else {
            round(next)
        };
        let length = next.wrapping_sub(start);
        let before = |a: u64, b: u64| (a.wrapping_sub(b) as i64) < 0;
        let left = start == begin || round(begin).wrapping_add(self.size) == start;
        if !left || length < self.word || length > self.size || before(start, self.tail) || before(self.head, next) {
            return None;
        }
        let fetched;
        let stretch = match &self.fetched {
            Some(stretch) if stretch.holds(start, length) => stretch,
            _ => {
                fetched = self.read(start, length);
                &fetched
            }
        };
        let text = stretch.bytes(start.wrapping_add(self.word), length - self.word);
        Some(Block {
            owner: stretch.word(start, self.memory.abi(), self.word),
            whole: text.len() as u64 == length - self.word,
            text: text.to_vec(),
        })
    }

    /// Finds blocks by the id that they start with: where they start, and where they end at the latest.
    pub(super) fn search(&self, mut is_wanted: impl FnMut(u64) -> bool) -> Vec<(u64, u64, u64)> {
        const PIECE: u64 = 1 << 20;
        let length = self.head.wrapping_sub(self.tail).min(self.size).min(MAX_SEARCH);
        let mut found: Vec<(u64, u64, u64)> = Vec::new();
        let mut done = 0;
        while done < length {
            let from = self.tail.wrapping_add(done);
            // A piece ends with the ring, so that no block reaches over it.
            let piece = PIECE.min(length - done).min(self.size - from % self.size);
            let stretch = self.read(from, piece);
            for offset in (0..piece).step_by(self.word as usize) {
                let at = from.wrapping_add(offset);
                let Some(id) = stretch.word(at, self.memory.abi(), self.word) else {
                    continue;
                };
                if is_wanted(id) {
                    if let Some((_, begin, end)) = found.last_mut() {
                        *end = (*end).min(at).max(*begin);
                    }
                    let round_end = self.size - at % self.size;
                    found.push((
                        id,
                        at,
                        at.wrapping_add(MAX_BLOCK.min(round_end).min(length - done - offset)),
                    ));
                }
            }
            done += piece;
        }
        found
    }
}

/// A block of text as it was found.
pub(super) struct Block {
    /// The id in front of it; `None` when its page is missing.
    pub(super) owner: Option<u64>,
    pub(super) text: Vec<u8>,
    /// Whether the text could be read to its end.
    pub(super) whole: bool,
}

/// A piece of the text ring, around the ring's end if need be.
pub(super) struct Stretch {
    start: u64,
    first: Partial,
    rest: Partial,
}

impl Stretch {
    fn holds(&self, at: u64, length: u64) -> bool {
        let total = (self.first.bytes().len() + self.rest.bytes().len()) as u64;
        let skip = at.wrapping_sub(self.start);
        skip <= total && length <= total - skip
    }

    /// The bytes from `at` on, at most `length` and not beyond the ring's end or the first hole.
    fn bytes(&self, at: u64, length: u64) -> &[u8] {
        let skip = at.wrapping_sub(self.start) as usize;
        match skip.checked_sub(self.first.bytes().len()) {
            None => self.first.prefix(skip, length as usize),
            Some(skip) => self.rest.prefix(skip, length as usize),
        }
    }

    fn word(&self, at: u64, abi: Abi, size: u64) -> Option<u64> {
        let bytes = self.bytes(at, size);
        (bytes.len() as u64 == size).then(|| abi.uint(bytes))
    }
}
