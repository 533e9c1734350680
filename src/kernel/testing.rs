//! A machine made by hand, for the tests of this layer: sparse physical memory, and page tables built on demand.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::paging::x86_64::{Levels, PageTables};
use super::paging::{AddressSpace, LinearMaps, Translation};
use crate::addr::PhysAddr;
use crate::dump::{MemoryError, PhysicalMemory};

const PAGE: u64 = 4096;

/// Physical memory of single pages; a page that was never written is absent from the dump.
#[derive(Clone, Debug, Default)]
pub(crate) struct SparseMemory {
    pages: BTreeMap<u64, Vec<u8>>,
    range: [Range<u64>; 1],
}

impl SparseMemory {
    pub(crate) fn write(&mut self, at: u64, bytes: &[u8]) {
        for (at, byte) in (at..).zip(bytes) {
            let page = self.pages.entry(at / PAGE).or_insert_with(|| vec![0; PAGE as usize]);
            page[(at % PAGE) as usize] = *byte;
        }
        let whole = at / PAGE * PAGE..(at + bytes.len() as u64).next_multiple_of(PAGE);
        let [range] = &mut self.range;
        *range = if range.is_empty() {
            whole
        } else {
            range.start.min(whole.start)..range.end.max(whole.end)
        };
    }

    pub(crate) fn remove(&mut self, at: u64) {
        self.pages.remove(&(at / PAGE));
    }
}

impl PhysicalMemory for SparseMemory {
    fn read(&self, at: PhysAddr, buf: &mut [u8]) -> Result<(), MemoryError> {
        let mut at = at.0;
        let mut rest = buf;
        while !rest.is_empty() {
            let page = self
                .pages
                .get(&(at / PAGE))
                .ok_or(MemoryError::Excluded(PhysAddr(at)))?;
            let from = &page[(at % PAGE) as usize..];
            let length = from.len().min(rest.len());
            let (part, behind) = rest.split_at_mut(length);
            part.copy_from_slice(&from[..length]);
            rest = behind;
            at = at.wrapping_add(length as u64);
        }
        Ok(())
    }

    fn ranges(&self) -> &[Range<u64>] {
        &self.range
    }
}

/// Memory with x86_64 page tables that grow from a given physical address on.
pub(crate) struct Machine {
    pub(crate) memory: SparseMemory,
    root: u64,
    next_table: u64,
    levels: Levels,
    sme_mask: u64,
}

impl Machine {
    pub(crate) fn new(tables_at: u64) -> Machine {
        let mut memory = SparseMemory::default();
        memory.write(tables_at, &[0; 2 * PAGE as usize]);
        Machine {
            memory,
            root: tables_at,
            // With page table isolation the user half's table is the page behind.
            next_table: tables_at + 2 * PAGE,
            levels: Levels::Four,
            sme_mask: 0,
        }
    }

    pub(crate) fn with_five_levels(mut self) -> Machine {
        self.levels = Levels::Five;
        self
    }

    pub(crate) fn with_sme_mask(mut self, mask: u64) -> Machine {
        self.sme_mask = mask;
        self
    }

    pub(crate) fn root(&self) -> u64 {
        self.root
    }

    pub(crate) fn write(&mut self, at: u64, bytes: &[u8]) {
        self.memory.write(at, bytes);
    }

    /// Maps one page of `size` (4 KiB, 2 MiB or 1 GiB) for reading and writing.
    pub(crate) fn map(&mut self, virt: u64, phys: u64, size: u64) {
        let mut table = self.root;
        let mut shift = if self.levels == Levels::Five { 48 } else { 39 };
        while size < 1 << shift {
            let slot = table + ((virt >> shift) & 511) * 8;
            let entry = self.entry(slot);
            table = if entry & 1 == 0 {
                let new = self.next_table;
                self.next_table += PAGE;
                self.memory.write(new, &[0; PAGE as usize]);
                self.memory.write(slot, &(new | self.sme_mask | 0x63).to_le_bytes());
                new
            } else {
                entry & 0x000f_ffff_ffff_f000 & !self.sme_mask
            };
            shift -= 9;
        }
        let slot = table + ((virt >> shift) & 511) * 8;
        let large = if shift > 12 { 0x80 } else { 0 };
        self.memory
            .write(slot, &(phys | self.sme_mask | 0x63 | large).to_le_bytes());
    }

    /// Takes every page of the tables out of the dump.
    pub(crate) fn drop_tables(&mut self) {
        for table in (self.root..self.next_table).step_by(PAGE as usize) {
            self.memory.remove(table);
        }
    }

    /// Takes the table out of the dump whose entry maps the page of `size` at `virt`.
    pub(crate) fn drop_table_of(&mut self, virt: u64, size: u64) {
        let mut table = self.root;
        let mut shift = if self.levels == Levels::Five { 48 } else { 39 };
        while size < 1 << shift {
            table = self.entry(table + ((virt >> shift) & 511) * 8) & 0x000f_ffff_ffff_f000 & !self.sme_mask;
            shift -= 9;
        }
        self.memory.remove(table);
    }

    pub(crate) fn tables(&self) -> PageTables {
        PageTables {
            root: PhysAddr(self.root),
            levels: self.levels,
            sme_mask: self.sme_mask,
        }
    }

    pub(crate) fn address_space(&self, maps: LinearMaps) -> AddressSpace {
        AddressSpace::new(Arc::new(self.memory.clone()), Translation::X86_64(self.tables()), maps)
    }

    fn entry(&self, at: u64) -> u64 {
        let mut entry = [0; 8];
        self.memory.read(PhysAddr(at), &mut entry).unwrap();
        u64::from_le_bytes(entry)
    }
}
