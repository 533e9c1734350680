//! A kernel's virtual memory under construction: the image, the direct map and the map of page structures, written by
//! virtual address; page tables are made in the end.

use std::collections::BTreeMap;

use crate::support::dump_writer::Machine;

const PAGE: u64 = 4096;
const KERNEL_MAP: u64 = 0xffff_ffff_8000_0000;
const PRESENT: u64 = 0x63;

/// Where things are mapped.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// `phys_base`.
    pub phys_base: u64,
    /// `page_offset_base`: the direct map.
    pub page_offset_base: u64,
    /// `vmemmap_base`: the structures of pages.
    pub vmemmap_base: u64,
    /// Where pages of the map of structures are taken from, in physical memory.
    pub vmemmap_pages_at: u64,
    /// Where page tables are taken from, in physical memory.
    pub tables_at: u64,
}

/// Virtual memory, page by page.
#[derive(Clone, Debug)]
pub struct Image {
    layout: Layout,
    pages: BTreeMap<u64, Vec<u8>>,
}

impl Image {
    pub fn new(layout: Layout) -> Image {
        Image {
            layout,
            pages: BTreeMap::new(),
        }
    }

    pub fn write(&mut self, at: u64, bytes: &[u8]) {
        for (at, byte) in (at..).zip(bytes) {
            let page = self.pages.entry(at / PAGE).or_insert_with(|| vec![0; PAGE as usize]);
            page[(at % PAGE) as usize] = *byte;
        }
    }

    pub fn u64(&mut self, at: u64, value: u64) {
        self.write(at, &value.to_le_bytes());
    }

    pub fn u32(&mut self, at: u64, value: u32) {
        self.write(at, &value.to_le_bytes());
    }

    /// An empty list.
    pub fn list_head(&mut self, at: u64) {
        self.u64(at, at);
        self.u64(at + 8, at);
    }

    /// Puts everything into physical memory, with page tables whose root is at the virtual address `root` of the image.
    pub fn into_pages(mut self, machine: &mut Machine, root: u64) {
        self.write(root, &[0; PAGE as usize]);
        let layout = self.layout;
        let mut next_page = layout.vmemmap_pages_at;
        let mut tables = Tables {
            pages: BTreeMap::new(),
            root: image_physical(&layout, root),
            next: layout.tables_at,
        };
        for (number, bytes) in &self.pages {
            let at = number * PAGE;
            let physical = if at >= KERNEL_MAP {
                image_physical(&layout, at)
            } else if at >= layout.vmemmap_base {
                next_page += PAGE;
                next_page - PAGE
            } else {
                at - layout.page_offset_base
            };
            tables.map(at, physical);
            machine.pages.insert(physical / PAGE, bytes.clone());
        }
        machine.pages.extend(tables.pages);
    }
}

fn image_physical(layout: &Layout, at: u64) -> u64 {
    (at - KERNEL_MAP).wrapping_add(layout.phys_base)
}

struct Tables {
    pages: BTreeMap<u64, Vec<u8>>,
    root: u64,
    next: u64,
}

impl Tables {
    fn map(&mut self, at: u64, physical: u64) {
        let mut table = self.root;
        for shift in [39, 30, 21] {
            let slot = (at >> shift & 511) as usize * 8;
            let page = self.pages.entry(table / PAGE).or_insert_with(|| vec![0; PAGE as usize]);
            let entry = u64::from_le_bytes(page[slot..slot + 8].try_into().unwrap());
            table = if entry == 0 {
                let new = self.next;
                self.next += PAGE;
                page[slot..slot + 8].copy_from_slice(&(new | PRESENT).to_le_bytes());
                new
            } else {
                entry & !0xfff
            };
        }
        let slot = (at >> 12 & 511) as usize * 8;
        let page = self.pages.entry(table / PAGE).or_insert_with(|| vec![0; PAGE as usize]);
        page[slot..slot + 8].copy_from_slice(&(physical | PRESENT).to_le_bytes());
    }
}
