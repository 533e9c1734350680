//! Which file offset holds a physical address, over segments that may overlap, be unsorted or start inside a page.

use std::ops::Range;

use goblin::elf::ProgramHeader;

/// A PT_LOAD segment's place in memory and in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Load {
    address: u64,
    file_offset: u64,
    file_size: u64,
    memory_size: u64,
}

impl From<&ProgramHeader> for Load {
    fn from(segment: &ProgramHeader) -> Self {
        Self {
            address: segment.p_paddr,
            file_offset: segment.p_offset,
            file_size: segment.p_filesz,
            memory_size: segment.p_memsz,
        }
    }
}

/// What lies at a physical address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// `length` bytes from file offset `offset` on.
    Stored { offset: u64, length: u64 },
    /// It would be at `offset`, behind the end of the file.
    Behind { offset: u64 },
    /// The segment has memory there but nothing in the file: filtered, or zero.
    LeftOut,
    /// No segment.
    Nowhere,
}

/// `[start, end)` of physical memory; for stored and cut bytes, where in the file it begins.
#[derive(Clone, Copy, Debug)]
struct Extent {
    start: u64,
    end: u64,
    offset: u64,
}

/// The segments, made disjoint and sorted: what is in the file goes before what was cut off, and that before what was
/// left out, whichever segment says so (the kernel's text is described twice by kexec's headers).
#[derive(Debug)]
pub(super) struct SegmentMap {
    stored: Vec<Extent>,
    behind: Vec<Extent>,
    left_out: Vec<Extent>,
    /// Whether some segment has less in the file than in memory.
    pub(super) partial: bool,
    /// Whether some segment's bytes lie behind the end of the file.
    pub(super) truncated: bool,
}

impl SegmentMap {
    pub(super) fn new(loads: Vec<Load>, file_size: u64) -> Self {
        let (mut stored, mut behind, mut left_out) = (Vec::new(), Vec::new(), Vec::new());
        for load in loads {
            // All ones: no physical address (/proc/kcore's vmalloc and module segments).
            if load.address == u64::MAX {
                continue;
            }
            let length = load.memory_size.max(load.file_size);
            let end = load.address.saturating_add(length);
            let in_file = load.address.saturating_add(load.file_size);
            let there = file_size.saturating_sub(load.file_offset).min(load.file_size);
            let cut = load.address.saturating_add(there);
            let add = |list: &mut Vec<Extent>, start: u64, end: u64| {
                if start < end {
                    let offset = load.file_offset.saturating_add(start - load.address);
                    list.push(Extent { start, end, offset });
                }
            };
            add(&mut stored, load.address, cut);
            add(&mut behind, cut, in_file);
            add(&mut left_out, in_file, end);
        }
        let (partial, truncated) = (!left_out.is_empty(), !behind.is_empty());
        Self {
            stored: disjoint(stored),
            behind: disjoint(behind),
            left_out: disjoint(left_out),
            partial,
            truncated,
        }
    }

    pub(super) fn find(&self, address: u64) -> Place {
        if let Some(extent) = containing(&self.stored, address) {
            let within = address - extent.start;
            return Place::Stored {
                offset: extent.offset + within,
                length: extent.end - address,
            };
        }
        if let Some(extent) = containing(&self.behind, address) {
            return Place::Behind {
                offset: extent.offset.saturating_add(address - extent.start),
            };
        }
        if containing(&self.left_out, address).is_some() {
            Place::LeftOut
        } else {
            Place::Nowhere
        }
    }

    /// The address ranges with bytes in the file, joined where they touch.
    pub(super) fn ranges(&self) -> Vec<Range<u64>> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for extent in &self.stored {
            match ranges.last_mut() {
                Some(last) if last.end == extent.start => last.end = extent.end,
                _ => ranges.push(extent.start..extent.end),
            }
        }
        ranges
    }
}

fn containing(extents: &[Extent], address: u64) -> Option<Extent> {
    let after = extents.partition_point(|extent| extent.start <= address);
    let extent = extents.get(after.checked_sub(1)?)?;
    (address < extent.end).then_some(*extent)
}

/// Sorts by address, cuts what an earlier-starting extent already covers, joins neighbours in memory and file.
fn disjoint(mut extents: Vec<Extent>) -> Vec<Extent> {
    extents.sort_by_key(|extent| extent.start);
    let mut result: Vec<Extent> = Vec::with_capacity(extents.len());
    for mut extent in extents {
        if let Some(last) = result.last_mut() {
            if extent.end <= last.end {
                continue;
            }
            if extent.start < last.end {
                extent.offset = extent.offset.saturating_add(last.end - extent.start);
                extent.start = last.end;
            }
            let joins =
                last.end == extent.start && last.offset.checked_add(last.end - last.start) == Some(extent.offset);
            if joins {
                last.end = extent.end;
                continue;
            }
        }
        result.push(extent);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn load(address: u64, file_offset: u64, file_size: u64, memory_size: u64) -> Load {
        Load {
            address,
            file_offset,
            file_size,
            memory_size,
        }
    }

    #[test]
    fn what_is_in_the_file_goes_first() {
        // The second segment repeats the first's tail, which lies behind the end of the file.
        let map = SegmentMap::new(
            vec![load(0x1000, 0x900, 0x1000, 0x3000), load(0x1800, 0x100, 0x800, 0x800)],
            0x1000,
        );
        assert_eq!(
            map.find(0x1000),
            Place::Stored {
                offset: 0x900,
                length: 0x700
            }
        );
        assert_eq!(map.find(0x1700), Place::Behind { offset: 0x1000 });
        assert_eq!(
            map.find(0x1810),
            Place::Stored {
                offset: 0x110,
                length: 0x7f0
            }
        );
        assert_eq!(map.find(0x2000), Place::LeftOut);
        assert_eq!(map.find(0x4000), Place::Nowhere);
        assert_eq!(map.find(0xfff), Place::Nowhere);
        assert!(map.partial && map.truncated);
    }

    proptest! {
        /// Any segments: what `find` says is what some segment says, and `length` bytes hold together.
        #[test]
        fn found_places_are_true(segments in proptest::collection::vec((0u64..64, 0u64..64, 0u64..32, 0u64..32), 0..8)) {
            let loads: Vec<_> = segments.into_iter().map(|(a, o, f, m)| load(a, o, f, f + m)).collect();
            let map = SegmentMap::new(loads.clone(), 48);
            for address in 0..200 {
                let inside = |size: fn(&Load) -> u64| {
                    move |load: &&Load| address >= load.address && address - load.address < size(load)
                };
                let in_file = |load: &&Load| inside(|load| load.file_size)(load)
                    && load.file_offset + (address - load.address) < 48;
                match map.find(address) {
                    Place::Stored { offset, length } => {
                        prop_assert!(length > 0);
                        prop_assert!(loads.iter().filter(in_file)
                            .any(|load| load.file_offset + (address - load.address) == offset));
                    }
                    Place::Behind { .. } => {
                        prop_assert!(!loads.iter().any(|load| in_file(&load)));
                        prop_assert!(loads.iter().any(|load| inside(|load| load.file_size)(&load)));
                    }
                    Place::LeftOut => {
                        prop_assert!(!loads.iter().any(|load| inside(|load| load.file_size)(&load)));
                        prop_assert!(loads.iter().any(|load| inside(|load| load.memory_size)(&load)));
                    }
                    Place::Nowhere => prop_assert!(!loads.iter().any(|load| inside(|load| load.memory_size)(&load))),
                }
            }
        }

        #[test]
        fn wild_segments_do_not_panic(segments in proptest::collection::vec(any::<(u64, u64, u64, u64)>(), 0..6), at: u64) {
            let loads = segments.into_iter().map(|(a, o, f, m)| load(a, o, f, m)).collect();
            let map = SegmentMap::new(loads, 1 << 40);
            map.find(at);
            map.ranges();
        }
    }
}
