//! One dump, of whatever format and however many files: header facts and physical memory.

use std::ops::Range;
use std::sync::Arc;

use crate::addr::PhysAddr;
use crate::input::ReadAt;

use super::cache::BlockCache;
use super::elf::{self, ElfFile};
use super::flat::{self, Flattened};
use super::io::read_vec;
use super::kdump::{self, KdumpFile};
use super::{DumpError, Header, MemoryError, PhysicalMemory};

/// Memory for decoded pages, in bytes: what one walk over the kernel's data touches again and again.
const PAGE_CACHE: usize = 4 << 20;

/// An opened dump.
#[derive(Debug)]
pub struct Vmcore {
    header: Header,
    ranges: Vec<Range<u64>>,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Kdump {
        files: Vec<KdumpFile>,
        page_size: usize,
        pages: BlockCache<Arc<[u8]>>,
    },
    Elf(Box<ElfFile>),
}

impl Vmcore {
    /// Opens a dump that is stored in one file, or in the files of one split set (in any order).
    pub fn open(parts: Vec<Arc<dyn ReadAt>>) -> Result<Self, DumpError> {
        let mut files = Vec::new();
        let mut flattened = None;
        for mut part in parts {
            let mut first_bytes = read_vec(&*part, 0, 16)?;
            if flat::is_flattened(&first_bytes) {
                let flat = Flattened::open(part)?;
                flattened = Some(flat.cut.clone());
                first_bytes = read_vec(&flat, 0, 16)?;
                part = Arc::new(flat);
            }
            if elf::is_elf(&first_bytes) {
                let elf = ElfFile::open(part)?;
                let mut header = elf.header().clone();
                note_flattened(&mut header, flattened);
                return Ok(Self {
                    header,
                    ranges: elf.ranges(),
                    source: Source::Elf(Box::new(elf)),
                });
            }
            if !kdump::is_kdump(&first_bytes) {
                let found = first_bytes
                    .iter()
                    .map(|byte| format!("{byte:02x} "))
                    .collect::<String>();
                return Err(DumpError::Unrecognised {
                    found: found.trim_end().to_owned(),
                });
            }
            files.push(KdumpFile::open(part)?);
        }
        let first = files.first().ok_or(DumpError::Unrecognised {
            found: "none".to_owned(),
        })?;
        let mut header = first.header()?;
        note_flattened(&mut header, flattened);
        let page_size = first.page_size() as usize;
        let mut ranges: Vec<_> = files.iter().flat_map(KdumpFile::stored_ranges).collect();
        ranges.sort_by_key(|range| range.start);
        let to_bytes = |pfn: u64| pfn.saturating_mul(page_size as u64);
        let ranges = ranges
            .into_iter()
            .map(|range| to_bytes(range.start)..to_bytes(range.end))
            .collect();
        let pages = BlockCache::new((PAGE_CACHE / page_size).max(16));
        Ok(Self {
            header,
            ranges,
            source: Source::Kdump {
                files,
                page_size,
                pages,
            },
        })
    }

    /// What its headers and notes say.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The page compressions that the header announces or that pages read so far used: `zlib`, `lzo`, `snappy`, `zstd`.
    pub fn compressions_seen(&self) -> Vec<&'static str> {
        match &self.source {
            Source::Kdump { files, .. } => {
                let mut names: Vec<_> = files.iter().flat_map(KdumpFile::compressions).collect();
                names.sort_unstable();
                names.dedup();
                names
            }
            Source::Elf(_) => Vec::new(),
        }
    }
}

/// Says in the header that the file was a flattened one; `cut` is why that one is not whole.
fn note_flattened(header: &mut Header, flattened: Option<Option<String>>) {
    if let Some(cut) = flattened {
        header.remarks.push(format!(
            "the flattened file holds a dump in the format {}",
            header.format
        ));
        header.format = "flattened";
        header.truncated |= cut.is_some();
        header.remarks.extend(cut);
    }
}

impl PhysicalMemory for Vmcore {
    fn read(&self, at: PhysAddr, buf: &mut [u8]) -> Result<(), MemoryError> {
        let (files, page_size, pages) = match &self.source {
            Source::Elf(elf) => return elf.read(at, buf),
            Source::Kdump {
                files,
                page_size,
                pages,
            } => (files, *page_size, pages),
        };
        let mut done = 0;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let address = at.checked_add(done as u64).ok_or(MemoryError::NotPresent(at))?;
            let (pfn, within) = (address.0 / page_size as u64, (address.0 % page_size as u64) as usize);
            let length = rest.len().min(page_size - within);
            let page = pages.get_or_load(pfn, || {
                let file = files.iter().find(|file| file.covers(pfn));
                let file = file.ok_or(MemoryError::NotPresent(address))?;
                let mut page = vec![0; page_size];
                file.read_page(pfn, &mut page)?;
                Ok(Arc::<[u8]>::from(page))
            })?;
            if let (Some(to), Some(from)) = (rest.get_mut(..length), page.get(within..within + length)) {
                to.copy_from_slice(from);
            }
            done += length;
        }
        Ok(())
    }

    fn ranges(&self) -> &[Range<u64>] {
        &self.ranges
    }
}
