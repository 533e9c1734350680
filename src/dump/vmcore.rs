//! One dump, of whatever format and however many files: header facts and physical memory.

use std::ops::Range;
use std::sync::Arc;

use crate::addr::PhysAddr;
use crate::input::ReadAt;

use super::elf::{self, ElfFile};
use super::flat::{self, Flattened};
use super::io::read_vec;
use super::kdump::{self, KdumpFile, KdumpMemory};
use super::{DumpError, Header, MemoryError, PhysicalMemory, SharedPages, set};

/// An opened dump.
#[derive(Debug)]
pub struct Vmcore {
    header: Header,
    ranges: Vec<Range<u64>>,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Kdump(KdumpMemory),
    Elf(Box<ElfFile>),
}

/// One file with the flattening taken off.
enum Part {
    Kdump(KdumpFile),
    Elf(ElfFile),
}

impl Vmcore {
    /// Opens a dump that is stored in one file, or in the files of one split set (in any order, see
    /// [`super::group_parts`]).
    pub fn open(parts: Vec<Arc<dyn ReadAt>>) -> Result<Self, DumpError> {
        Self::open_sharing(parts, None)
    }

    /// [`Vmcore::open`]; pages that other dumps store in the same bytes are decoded once.
    pub fn open_sharing(parts: Vec<Arc<dyn ReadAt>>, shared: Option<Arc<SharedPages>>) -> Result<Self, DumpError> {
        let mut flattening = Flattening::default();
        let mut files = Vec::new();
        let count = parts.len();
        for (index, part) in parts.into_iter().enumerate() {
            match open_part(part, &mut flattening)? {
                Part::Kdump(file) => files.push(file),
                Part::Elf(file) if count == 1 => return Ok(Self::of_elf(file, flattening)),
                Part::Elf(_) => return Err(mismatch(index, "it is an ELF core, and those are never split")),
            }
        }
        Self::of_kdump(files, flattening, shared)
    }

    fn of_elf(file: ElfFile, flattening: Flattening) -> Self {
        let mut header = file.header().clone();
        flattening.note(&mut header);
        Self {
            header,
            ranges: file.ranges(),
            source: Source::Elf(Box::new(file)),
        }
    }

    fn of_kdump(
        mut files: Vec<KdumpFile>,
        flattening: Flattening,
        shared: Option<Arc<SharedPages>>,
    ) -> Result<Self, DumpError> {
        let parts: Vec<_> = files.iter().filter_map(KdumpFile::part).collect();
        if files.len() > 1 {
            let differing = files.iter().position(|file| {
                file.part()
                    .is_none_or(|part| parts.first().is_some_and(|first| first.dump != part.dump))
            });
            if let Some(index) = differing {
                return Err(mismatch(
                    index,
                    "its header is of another dump, or of one that is not split",
                ));
            }
        }
        files.sort_by_key(|file| file.part().map(|part| part.pages.start));
        let first = files.first().ok_or(DumpError::Unrecognised {
            found: "nothing".to_owned(),
        })?;
        let mut header = first.header()?;
        for other in files.iter().skip(1) {
            let other = other.header()?;
            header.truncated |= other.truncated;
            header.vmcoreinfo = header.vmcoreinfo.or(other.vmcoreinfo);
            for remark in other.remarks {
                if !header.remarks.contains(&remark) {
                    header.remarks.push(remark);
                }
            }
        }
        if !parts.is_empty() {
            let missing = set::missing_pages(&parts);
            header.truncated |= !missing.is_empty();
            header.remarks.extend(missing.iter().map(|range| {
                format!(
                    "a part of this split dump is missing: the one with pages {:#x} to {:#x}",
                    range.start, range.end
                )
            }));
        }
        flattening.note(&mut header);
        let page_size = first.page_size() as usize;
        let to_bytes = |pfn: u64| pfn.saturating_mul(page_size as u64);
        // Parts are sorted; should two overlap, what the first has is left out of the second.
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for range in files.iter().flat_map(KdumpFile::stored_ranges) {
            let end = to_bytes(range.end);
            let start = to_bytes(range.start).max(ranges.last().map_or(0, |last| last.end));
            if start < end {
                ranges.push(start..end);
            }
        }
        Ok(Self {
            header,
            ranges,
            source: Source::Kdump(KdumpMemory::new(files, page_size, shared)),
        })
    }

    /// What its headers and notes say.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The number of page frames that the dump speaks of, stored or not.
    pub fn page_frames(&self) -> u64 {
        match &self.source {
            Source::Kdump(memory) => memory.files().iter().map(KdumpFile::page_frames).max().unwrap_or(0),
            Source::Elf(_) => {
                let end = self.ranges.last().map_or(0, |last| last.end);
                end.div_ceil(self.header.page_size.max(1))
            }
        }
    }

    /// The page compressions that the header announces or that pages read so far used: `zlib`, `lzo`, `snappy`, `zstd`.
    pub fn compressions_seen(&self) -> Vec<&'static str> {
        match &self.source {
            Source::Kdump(memory) => {
                let mut names: Vec<_> = memory.files().iter().flat_map(KdumpFile::compressions).collect();
                names.sort_unstable();
                names.dedup();
                names
            }
            Source::Elf(_) => Vec::new(),
        }
    }
}

fn open_part(mut file: Arc<dyn ReadAt>, flattening: &mut Flattening) -> Result<Part, DumpError> {
    let mut first_bytes = read_vec(&*file, 0, 16)?;
    if flat::is_flattened(&first_bytes) {
        let flat = Flattened::open(file)?;
        flattening.seen = true;
        flattening.cut = flattening.cut.take().or(flat.cut.clone());
        first_bytes = read_vec(&flat, 0, 16)?;
        file = Arc::new(flat);
    }
    if elf::is_elf(&first_bytes) {
        return ElfFile::open(file).map(Part::Elf);
    }
    if kdump::is_kdump(&first_bytes) {
        return KdumpFile::open(file).map(Part::Kdump);
    }
    let found: Vec<_> = first_bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Err(DumpError::Unrecognised { found: found.join(" ") })
}

fn mismatch(index: usize, why: &'static str) -> DumpError {
    DumpError::PartMismatch { index: index + 1, why }
}

/// Whether files were flattened ones, and why one of those is not whole.
#[derive(Default)]
struct Flattening {
    seen: bool,
    cut: Option<String>,
}

impl Flattening {
    fn note(self, header: &mut Header) {
        if self.seen {
            header.remarks.push(format!(
                "the flattened file holds a dump in the format {}",
                header.format
            ));
            header.format = "flattened";
            header.truncated |= self.cut.is_some();
            header.remarks.extend(self.cut);
        }
    }
}

impl PhysicalMemory for Vmcore {
    fn read(&self, at: PhysAddr, buf: &mut [u8]) -> Result<(), MemoryError> {
        if buf.is_empty() {
            return Ok(());
        }
        match &self.source {
            Source::Elf(elf) => elf.read(at, buf),
            Source::Kdump(memory) => memory.read(at, buf).map_err(|error| match &self.header.capsule {
                Some(capsule) => capsule.error(at, self.header.page_size, error),
                None => error,
            }),
        }
    }

    fn page(&self, at: PhysAddr) -> Option<Arc<[u8]>> {
        match &self.source {
            Source::Elf(_) => None,
            Source::Kdump(memory) => memory.cached_page(at),
        }
    }

    fn ranges(&self) -> &[Range<u64>] {
        &self.ranges
    }
}
