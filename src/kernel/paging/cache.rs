//! What a walk would read again and again: pages of page tables, and the translations they gave.

use super::Leaf;
use crate::addr::{PhysAddr, VirtAddr};
use crate::dump::{MemoryError, PhysicalMemory};

const PAGE: u64 = 4096;
const TABLE_SLOTS: usize = 64;
const TRANSLATION_SLOTS: usize = 1024;

/// Direct-mapped caches of fixed size: about 300 KiB when full.
pub(super) struct Cache {
    tables: Vec<Option<TablePage>>,
    translations: Vec<Option<Leaf>>,
}

struct TablePage {
    start: u64,
    bytes: Vec<u8>,
}

/// Physical memory as a walk reads it: entry by entry, a page at a time.
pub(crate) struct TableMemory<'a> {
    memory: &'a dyn PhysicalMemory,
    pages: &'a mut [Option<TablePage>],
}

impl Cache {
    pub(super) fn new() -> Cache {
        Cache {
            tables: (0..TABLE_SLOTS).map(|_| None).collect(),
            translations: vec![None; TRANSLATION_SLOTS],
        }
    }

    pub(super) fn tables<'a>(&'a mut self, memory: &'a dyn PhysicalMemory) -> TableMemory<'a> {
        TableMemory {
            memory,
            pages: &mut self.tables,
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
        let slot = self.pages.get_mut(slot(start, TABLE_SLOTS));
        if let Some(Some(page)) = &slot
            && page.start == start
            && let Some(entry) = word(&page.bytes, within)
        {
            return Ok(entry);
        }
        let mut bytes = vec![0; PAGE as usize];
        match self.memory.read(PhysAddr(start), &mut bytes) {
            Ok(()) => {
                let entry = word(&bytes, within).unwrap_or(0);
                if let Some(slot) = slot {
                    *slot = Some(TablePage { start, bytes });
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
