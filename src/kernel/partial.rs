//! Reading a stretch of virtual memory of which some pages may be missing.

use std::ops::Range;

use super::ReadError;
use super::access::KernelMemory;
use crate::addr::VirtAddr;

/// The smallest unit in which dumps lose memory, in bytes (machines with larger pages lose several at once).
const PAGE: u64 = 4096;

/// A stretch of virtual memory with holes.
#[derive(Clone, Debug, Default)]
pub struct Partial {
    bytes: Vec<u8>,
    holes: Vec<Hole>,
}

/// A part of a [`Partial`] that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hole {
    /// Where in the stretch, in bytes from its start.
    pub range: Range<usize>,
    /// Why its first page could not be read.
    pub why: ReadError,
}

impl Partial {
    /// Reads `len` bytes from `at` on: in one go if that works, else page by page. The caller bounds `len`.
    pub fn read(memory: &KernelMemory, at: VirtAddr, len: usize) -> Partial {
        let mut bytes = vec![0; len];
        if memory.read(at, &mut bytes).is_ok() {
            return Partial {
                bytes,
                holes: Vec::new(),
            };
        }
        let mut holes: Vec<Hole> = Vec::new();
        let mut done = 0;
        while done < len {
            let here = at.0.wrapping_add(done as u64);
            let end = len.min(done.saturating_add((PAGE - here % PAGE) as usize));
            let Some(part) = bytes.get_mut(done..end) else { break };
            if let Err(why) = memory.read(VirtAddr(here), part) {
                part.fill(0);
                match holes.last_mut() {
                    Some(hole) if hole.range.end == done => hole.range.end = end,
                    _ => holes.push(Hole { range: done..end, why }),
                }
            }
            done = end;
        }
        Partial { bytes, holes }
    }

    /// These bytes, when all of them are in the stretch and were read.
    pub fn get(&self, range: Range<usize>) -> Option<&[u8]> {
        let bytes = self.bytes.get(range.clone())?;
        let broken = |hole: &Hole| hole.range.start < range.end && range.start < hole.range.end;
        (!self.holes.iter().any(broken)).then_some(bytes)
    }

    /// The bytes from `start` on: `length` of them, or as many as there are before the end or the next hole.
    pub fn prefix(&self, start: usize, length: usize) -> &[u8] {
        let end = start.saturating_add(length).min(self.bytes.len());
        let hole = self.holes.iter().find(|hole| hole.range.end > start);
        let end = hole.map_or(end, |hole| end.min(hole.range.start));
        self.bytes.get(start..end).unwrap_or_default()
    }

    /// All bytes; those in holes are zero.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What could not be read, ascending.
    pub fn holes(&self) -> &[Hole] {
        &self.holes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::access::test_memory::TestMemory;

    #[test]
    fn what_lies_around_a_missing_page_is_read() {
        let memory = TestMemory {
            parts: vec![(0x1ff0, vec![1; 0x10]), (0x4000, vec![4; 0x1000])],
        }
        .reader();
        let partial = Partial::read(&memory, VirtAddr(0x1ff0), 0x2020);
        assert_eq!(partial.holes().len(), 1);
        assert_eq!(partial.holes()[0].range, 0x10..0x2010);
        assert_eq!(partial.get(0..0x10), Some(&[1; 0x10][..]));
        assert_eq!(partial.get(0..0x11), None);
        assert_eq!(partial.get(0x2010..0x2020), Some(&[4; 0x10][..]));
        assert_eq!(partial.get(0x2010..0x2021), None);
    }
}
