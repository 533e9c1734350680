//! The compilation units of `.debug_info`: where each lies, and which has the code at an address.

use std::ops::Range;
use std::sync::Arc;

use gimli::{EndianSlice, Reader, RunTimeEndian, SectionId};

use super::elf::DebugFile;
use super::section::{Section, SectionReader};

/// More than any kernel has (one for each source file: 3000 in a distribution's, 30,000 with everything built in).
const MAX_UNITS: usize = 1 << 20;
/// More address ranges than any kernel has: one or two a unit, some dozen sections each at most.
const MAX_RANGES: usize = 1 << 22;
/// The initial length in the 64-bit format; every unit has more.
const HEAD: u64 = 12;

/// Where a unit lies in `.debug_info`, its header included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    pub(super) offset: u64,
    pub(super) len: u64,
}

/// The units, ascending. Ends at the first that makes no sense.
pub(super) fn units(info: &Section, endian: RunTimeEndian) -> Vec<Unit> {
    let mut units = Vec::new();
    let mut next = unit(info, endian, 0);
    while let Some(found) = next.filter(|_| units.len() < MAX_UNITS) {
        units.push(found);
        next = unit(info, endian, found.offset + found.len);
    }
    units
}

/// The unit whose header is at `offset`.
pub(super) fn unit(info: &Section, endian: RunTimeEndian, offset: u64) -> Option<Unit> {
    let head = info.bytes(offset, HEAD)?;
    let (len, format) = EndianSlice::new(&head, endian).read_initial_length().ok()?;
    let len = (len as u64).checked_add(u64::from(format.initial_length_size()))?;
    let end = offset.checked_add(len)?;
    (len > HEAD && end <= info.len()).then_some(Unit { offset, len })
}

/// Whose code lies where.
#[derive(Debug, Default)]
pub(super) struct Ranges {
    /// Ascending by start: the range, and the offset of its unit in `.debug_info`.
    list: Vec<(Range<u64>, u64)>,
}

impl Ranges {
    /// What `.debug_aranges` says. Some compilers do not write it.
    pub(super) fn told(file: &DebugFile) -> Ranges {
        let mut ranges = Ranges::default();
        if let Some(section) = file.section(".debug_aranges") {
            // As far as it can be read.
            let _ = ranges.add_told(SectionReader::new(section, file.endian()));
        }
        ranges.sorted()
    }

    fn add_told(&mut self, reader: SectionReader) -> gimli::Result<()> {
        let section = gimli::DebugAranges::from(reader);
        let mut headers = section.headers();
        while let Some(header) = headers.next()? {
            let unit = header.debug_info_offset().0 as u64;
            let mut entries = header.entries();
            while let Some(entry) = entries.next()? {
                if self.list.len() < MAX_RANGES {
                    self.list
                        .push((entry.address()..entry.address().saturating_add(entry.length()), unit));
                }
            }
        }
        Ok(())
    }

    /// What the units themselves say: each must be looked into.
    pub(super) fn gathered(file: &DebugFile) -> Ranges {
        let mut ranges = Ranges::default();
        let dwarf = dwarf(file, |_, section| Some(Arc::new(section?.afresh())));
        let mut headers = dwarf.units();
        while let Ok(Some(header)) = headers.next() {
            let Some(offset) = header.debug_info_offset() else {
                continue;
            };
            // One that is damaged spoils only itself.
            let _ = ranges.add_unit(&dwarf, header, offset.0 as u64);
        }
        ranges.sorted()
    }

    fn add_unit(
        &mut self,
        dwarf: &gimli::Dwarf<SectionReader>,
        header: gimli::UnitHeader<SectionReader>,
        offset: u64,
    ) -> gimli::Result<()> {
        let unit = dwarf.unit(header)?;
        let mut found = dwarf.unit_ranges(&unit)?;
        while let Some(range) = found.next()? {
            if self.list.len() < MAX_RANGES {
                self.list.push((range.begin..range.end, offset));
            }
        }
        Ok(())
    }

    fn sorted(mut self) -> Ranges {
        self.list.retain(|(range, _)| range.start < range.end);
        self.list.sort_unstable_by_key(|(range, unit)| (range.start, *unit));
        self
    }

    /// The offset of the unit that has the code at `address`.
    pub(super) fn unit_at(&self, address: u64) -> Option<u64> {
        let behind = self.list.partition_point(|(range, _)| range.start <= address);
        let (range, unit) = self.list.get(behind.checked_sub(1)?)?;
        range.contains(&address).then_some(*unit)
    }
}

/// The sections of `file` for `gimli`; `choose` may put another one in a section's place.
pub(super) fn dwarf(
    file: &DebugFile,
    choose: impl Fn(SectionId, Option<Arc<Section>>) -> Option<Arc<Section>>,
) -> gimli::Dwarf<SectionReader> {
    let loaded = gimli::Dwarf::load(|id| -> Result<SectionReader, std::convert::Infallible> {
        let section = choose(id, file.section(id.name()));
        let section = section.unwrap_or_else(|| Arc::new(Section::new(Arc::new(Vec::new()), 0, 0)));
        Ok(SectionReader::new(section, file.endian()))
    });
    let Ok(dwarf) = loaded;
    dwarf
}
