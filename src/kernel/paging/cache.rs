//! What a walk would read again and again: pages of page tables, and the translations they gave.

use super::Leaf;
use crate::addr::{PhysAddr, VirtAddr};
use crate::dump::{MemoryError, PhysicalMemory};

const PAGE: u64 = 4096;
/// Every walk goes through the same few tables, and two of them may well fall into one set: several have room there.
const TABLE_SETS: usize = 16;
const TABLES_OF_A_SET: usize = 4;
const TRANSLATION_SLOTS: usize = 1024;

/// Caches of fixed size: about 300 KiB when full.
pub(super) struct Cache {
    tables: Vec<TableSet>,
    translations: Vec<Option<Leaf>>,
}

/// Pages of tables, that used last first.
type TableSet = Vec<TablePage>;

struct TablePage {
    start: u64,
    bytes: Vec<u8>,
}

/// Physical memory as a walk reads it: entry by entry, a page at a time.
pub(crate) struct TableMemory<'a> {
    memory: &'a dyn PhysicalMemory,
    sets: &'a mut [TableSet],
}

impl Cache {
    pub(super) fn new() -> Cache {
        Cache {
            tables: (0..TABLE_SETS).map(|_| TableSet::new()).collect(),
            translations: vec![None; TRANSLATION_SLOTS],
        }
    }

    pub(super) fn tables<'a>(&'a mut self, memory: &'a dyn PhysicalMemory) -> TableMemory<'a> {
        TableMemory {
            memory,
            sets: &mut self.tables,
        }
    }

    pub(super) fn translation(&self, at: VirtAddr) -> Option<Leaf> {
        let leaf = (*self.translations.get(slot(at.0, TRANSLATION_SLOTS))?)?;
        leaf.locate(at).is_some().then_some(leaf)
    }

    pub(super) fn remember(&mut self, at: VirtAddr, leaf: Leaf) {
        if let Some(slot) = self.translations.get_mut(slot(at.0, TRANSLATION_SLOTS)) {
            *slot = Some(leaf);
        }
    }
}

impl<'a> TableMemory<'a> {
    /// The 8-byte little-endian entry at `at`.
    pub(crate) fn entry(&mut self, at: PhysAddr) -> Result<u64, MemoryError> {
        let start = at.0 & !(PAGE - 1);
        let within = (at.0 - start) as usize;
        let mut set = self.sets.get_mut(slot(start, TABLE_SETS));
        if let Some(set) = &mut set
            && let Some(index) = set.iter().position(|page| page.start == start)
            && let Some(found) = set.get_mut(..=index)
        {
            found.rotate_right(1);
            if let Some(entry) = found.first().and_then(|page| word(&page.bytes, within)) {
                return Ok(entry);
            }
        }
        let mut bytes = vec![0; PAGE as usize];
        match self.memory.read(PhysAddr(start), &mut bytes) {
            Ok(()) => {
                let entry = word(&bytes, within).unwrap_or(0);
                if let Some(set) = set {
                    set.truncate(TABLES_OF_A_SET - 1);
                    set.insert(0, TablePage { start, bytes });
                }
                Ok(entry)
            }
            // A segment of an ELF dump may start or end inside a page.
            Err(_) => {
                let mut entry = [0; 8];
                self.memory.read(at, &mut entry)?;
                Ok(u64::from_le_bytes(entry))
            }
        }
    }
}

fn slot(address: u64, slots: usize) -> usize {
    (address / PAGE) as usize % slots
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use std::ops::Range;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Memory whose every word is its own address, and which counts how often it is read.
    #[derive(Debug, Default)]
    struct Counted(AtomicUsize);

    impl PhysicalMemory for Counted {
        fn read(&self, at: PhysAddr, buf: &mut [u8]) -> Result<(), MemoryError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            for (word, address) in buf.chunks_mut(8).zip((at.0..).step_by(8)) {
                word.copy_from_slice(&address.to_le_bytes());
            }
            Ok(())
        }

        fn ranges(&self) -> &[Range<u64>] {
            &[]
        }
    }

    #[test]
    fn tables_of_one_set_do_not_drive_each_other_out() {
        let memory = Counted::default();
        let mut cache = Cache::new();
        let stride = PAGE * TABLE_SETS as u64;
        let tables: Vec<u64> = (0..TABLES_OF_A_SET as u64).map(|number| number * stride).collect();
        for at in (0..PAGE).step_by(8) {
            for table in &tables {
                let entry = cache.tables(&memory).entry(PhysAddr(table + at));
                assert_eq!(entry, Ok(table + at));
            }
        }
        assert_eq!(memory.0.load(Ordering::Relaxed), tables.len());
        // One more drives out that used longest ago, and only that.
        let mut tables_of = cache.tables(&memory);
        let more = tables.len() as u64 * stride;
        assert_eq!(tables_of.entry(PhysAddr(more)), Ok(more));
        for table in tables.iter().skip(1) {
            assert_eq!(tables_of.entry(PhysAddr(*table)), Ok(*table));
        }
        assert_eq!(memory.0.load(Ordering::Relaxed), tables.len() + 1);
    }
}
