//! The file of a capsule: kdump-compressed, header version 6, pages in zlib; `disk_dump_header` and `kdump_sub_header`
//! of makedumpfile's diskdump_mod.h, little-endian and 64-bit.
//!
//! Zlib is what every reader of such files understands. Of pages of mostly zeros, each packed by itself, nothing else at
//! hand makes less: the zstd that is written here takes twice as much.
//!
//! The page bitmaps keep the number of page frames of the first dump, since that tells the size of the machine. They
//! cannot be compressed: for a machine of 16 TiB they are a gigabyte, of which a capsule sets some hundred bits. So a
//! file whose bitmaps would weigh more than [`PLAIN_BITMAPS`] is written in the flattened form (`makedumpfile -F`),
//! which leaves zeros out; `crash` reads it as it is and `makedumpfile -R` makes a (sparse) plain file of it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;

use crate::dump::Header;
use crate::dump::capsule::{CapsuleFacts, NOTE_NAME, NOTE_TYPE};

/// Both bitmaps of a machine of 8 GiB, in bytes.
const PLAIN_BITMAPS: u64 = 128 << 10;

const VERSION: u32 = 6;
const STATUS_ZLIB: u32 = 0x1;
const STATUS_INCOMPLETE: u32 = 0x8;
const DESCRIPTOR_SIZE: u64 = 24;
const SUB_HEADER_SIZE: u64 = 104;
/// What of a dump is filtered: all that makedumpfile can filter, and more.
const DUMP_LEVEL: u32 = 31;

/// What a capsule is made of.
pub(super) struct Content<'a> {
    /// The header that the file is to have, with VMCOREINFO, `phys_base` and the notes.
    pub(super) header: &'a Header,
    /// The number of page frames of the machine.
    pub(super) page_frames: u64,
    pub(super) facts: &'a CapsuleFacts,
    /// By page frame number; each of the header's page size.
    pub(super) pages: BTreeMap<u64, Vec<u8>>,
    /// Page frames with memory that the first dump leaves out, as far as they were asked for.
    pub(super) excluded: &'a BTreeSet<u64>,
}

/// The bytes of the file.
pub(super) fn file(content: &Content<'_>) -> Vec<u8> {
    let block = content.header.page_size.max(4096);
    let last = content.pages.keys().next_back().max(content.excluded.last());
    let last = last.map_or(0, |last| last + 1);
    let frames = content.page_frames.max(last);
    let bitmap = frames.div_ceil(8).next_multiple_of(block).max(block);
    let sub_header = sub_header(content, block, frames);
    let sub_blocks = (sub_header.len() as u64).div_ceil(block);

    let mut file = Sparse::default();
    file.put(0, &main_header(content, block, frames, sub_blocks, 2 * bitmap / block));
    file.put(block, &sub_header);
    let bitmaps_at = (1 + sub_blocks) * block;
    for (at, bits) in bitmap_bytes(content.pages.keys().chain(content.excluded)) {
        file.put(bitmaps_at + at, &[bits]);
    }
    for (at, bits) in bitmap_bytes(content.pages.keys()) {
        file.put(bitmaps_at + bitmap + at, &[bits]);
    }
    let mut descriptors = Vec::new();
    let mut data = Vec::new();
    let data_at = bitmaps_at + 2 * bitmap + DESCRIPTOR_SIZE * content.pages.len() as u64;
    // Pages that are alike (blanked tables have many) are stored once, as makedumpfile stores zeros.
    let mut places: BTreeMap<Vec<u8>, (u64, u32)> = BTreeMap::new();
    for page in content.pages.values() {
        let (stored, flags) = match packed(page) {
            Some(packed) => (packed, STATUS_ZLIB),
            None => (page.clone(), 0),
        };
        let size = stored.len() as u32;
        let (offset, _) = *places.entry(stored).or_insert_with_key(|stored| {
            let place = (data_at + data.len() as u64, size);
            data.extend_from_slice(stored);
            place
        });
        descriptors.extend(offset.to_le_bytes());
        descriptors.extend(size.to_le_bytes());
        descriptors.extend(flags.to_le_bytes());
        descriptors.extend(0_u64.to_le_bytes());
    }
    file.put(bitmaps_at + 2 * bitmap, &descriptors);
    file.put(data_at, &data);
    if 2 * bitmap > PLAIN_BITMAPS {
        file.flattened()
    } else {
        file.plain()
    }
}

/// The page as a zlib stream, where that is shorter.
fn packed(page: &[u8]) -> Option<Vec<u8>> {
    let mut packer = ZlibEncoder::new(Vec::new(), Compression::best());
    packer.write_all(page).ok()?;
    packer.finish().ok().filter(|packed| packed.len() < page.len())
}

/// `struct disk_dump_header`.
fn main_header(content: &Content<'_>, block: u64, frames: u64, sub_blocks: u64, bitmap_blocks: u64) -> Vec<u8> {
    let mut bytes = b"KDUMP   ".to_vec();
    bytes.extend(VERSION.to_le_bytes());
    let utsname = content.header.utsname.clone().unwrap_or_default();
    let names = [
        &utsname.sysname,
        &utsname.nodename,
        &utsname.release,
        &utsname.version,
        &utsname.machine,
    ];
    for name in names {
        let end = bytes.len() + 65;
        bytes.extend(name.bytes().take(64));
        bytes.resize(end, 0);
    }
    bytes.resize(408, 0);
    bytes.extend(content.header.timestamp.unwrap_or(0).to_le_bytes());
    bytes.extend(0_u64.to_le_bytes());
    let incomplete = if content.facts.of.truncated {
        STATUS_INCOMPLETE
    } else {
        0
    };
    let written = content.pages.len() as u32;
    let cpus = content.header.prstatus.len().max(content.header.qemu_cpus.len()).max(1) as u32;
    let words = [
        STATUS_ZLIB | incomplete,
        block as u32,
        sub_blocks as u32,
        bitmap_blocks as u32,
        u32::try_from(frames).unwrap_or(u32::MAX),
        written, // total_ram_blocks
        0,       // device_blocks
        written, // written_blocks
        0,       // current_cpu
        cpus,    // nr_cpus
    ];
    for word in words {
        bytes.extend(word.to_le_bytes());
    }
    bytes
}

/// `struct kdump_sub_header` with the notes behind it.
fn sub_header(content: &Content<'_>, block: u64, frames: u64) -> Vec<u8> {
    let mut notes = content.header.notes.clone();
    notes.resize(notes.len().next_multiple_of(4), 0);
    let notes_at = block + SUB_HEADER_SIZE.next_multiple_of(16);
    let mut vmcoreinfo_place = (0, 0);
    if let Some(text) = &content.header.vmcoreinfo {
        let at = note(&mut notes, "VMCOREINFO", 0, text);
        vmcoreinfo_place = (notes_at + at, text.len() as u64);
    }
    // Serialising plain data into memory does not fail.
    if let Ok(text) = serde_json::to_vec(content.facts) {
        note(&mut notes, NOTE_NAME, NOTE_TYPE, &text);
    }
    let mut bytes = Vec::new();
    let word = |bytes: &mut Vec<u8>, value: u64| bytes.extend(value.to_le_bytes());
    word(&mut bytes, content.header.phys_base.unwrap_or(0));
    bytes.extend(DUMP_LEVEL.to_le_bytes());
    bytes.extend(0_u32.to_le_bytes()); // split
    word(&mut bytes, 0); // start_pfn
    word(&mut bytes, 0); // end_pfn
    word(&mut bytes, vmcoreinfo_place.0);
    word(&mut bytes, vmcoreinfo_place.1);
    word(&mut bytes, notes_at);
    word(&mut bytes, notes.len() as u64);
    for _ in 0..4 {
        word(&mut bytes, 0); // offset_eraseinfo, size_eraseinfo, start_pfn_64, end_pfn_64
    }
    word(&mut bytes, frames); // max_mapnr_64
    bytes.resize((notes_at - block) as usize, 0);
    bytes.extend(notes);
    bytes
}

/// Adds an ELF note; where its description starts.
fn note(notes: &mut Vec<u8>, name: &str, kind: u32, description: &[u8]) -> u64 {
    for word in [name.len() as u32 + 1, description.len() as u32, kind] {
        notes.extend(word.to_le_bytes());
    }
    notes.extend(name.bytes());
    notes.resize((notes.len() + 1).next_multiple_of(4), 0);
    let at = notes.len() as u64;
    notes.extend(description);
    notes.resize(notes.len().next_multiple_of(4), 0);
    at
}

/// The bytes of a bitmap that are not zero, with their places.
fn bitmap_bytes<'a>(frames: impl Iterator<Item = &'a u64>) -> BTreeMap<u64, u8> {
    let mut bytes = BTreeMap::new();
    for frame in frames {
        *bytes.entry(frame / 8).or_insert(0) |= 1 << (frame % 8);
    }
    bytes
}

/// A file with holes.
#[derive(Default)]
struct Sparse {
    /// By offset; neither touching nor overlapping.
    runs: BTreeMap<u64, Vec<u8>>,
}

impl Sparse {
    /// Adds bytes behind all that was added before.
    fn put(&mut self, at: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        /// A hole that is smaller costs less as zeros than as a record.
        const SMALL_HOLE: u64 = 64;
        if let Some((start, run)) = self.runs.iter_mut().next_back()
            && let Some(hole) = at.checked_sub(start + run.len() as u64)
            && hole <= SMALL_HOLE
        {
            run.resize(run.len() + hole as usize, 0);
            run.extend_from_slice(bytes);
            return;
        }
        self.runs.insert(at, bytes.to_vec());
    }

    fn plain(self) -> Vec<u8> {
        let mut file = Vec::new();
        for (at, run) in self.runs {
            file.resize(at as usize, 0);
            file.extend(run);
        }
        file
    }

    /// `struct makedumpfile_header`, then records of big-endian offset, size and bytes, then one of -1 and -1.
    fn flattened(self) -> Vec<u8> {
        let mut file = b"makedumpfile\0\0\0\0".to_vec();
        for word in [1_i64, 1] {
            file.extend(word.to_be_bytes());
        }
        file.resize(4096, 0);
        for (at, run) in self.runs {
            file.extend(at.to_be_bytes());
            file.extend((run.len() as u64).to_be_bytes());
            file.extend(run);
        }
        for word in [-1_i64, -1] {
            file.extend(word.to_be_bytes());
        }
        file
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::addr::PhysAddr;
    use crate::dump::{PhysicalMemory, Vmcore};
    use crate::input::ReadAt;

    fn header() -> Header {
        let file: Arc<dyn ReadAt> = Arc::new(crate::capsule::tests::elf(&[(0, &[0; 4096])]));
        let mut header = Vmcore::open(vec![file]).unwrap().header().clone();
        header.vmcoreinfo = Some(b"OSRELEASE=6.1.0\nPAGESIZE=4096\n".to_vec());
        header
    }

    fn written(page_frames: u64, pages: &[(u64, u8)]) -> (usize, Vmcore) {
        let bytes = file(&Content {
            header: &header(),
            page_frames,
            facts: &CapsuleFacts {
                capsule: 1,
                ..CapsuleFacts::default()
            },
            pages: pages.iter().map(|(frame, byte)| (*frame, vec![*byte; 4096])).collect(),
            excluded: &BTreeSet::from([5]),
        });
        let len = bytes.len();
        let file: Arc<dyn ReadAt> = Arc::new(bytes);
        (len, Vmcore::open(vec![file]).unwrap())
    }

    #[test]
    fn what_is_written_reads_back() {
        let (_, vmcore) = written(100, &[(3, 7), (4, 7), (90, 1)]);
        let byte = |at| {
            let mut byte = [0];
            vmcore.read(PhysAddr(at), &mut byte).map(|()| byte[0])
        };
        assert_eq!((byte(0x3000), byte(0x4fff), byte(90 << 12)), (Ok(7), Ok(7), Ok(1)));
        assert_eq!(byte(0x5010), Err(crate::dump::MemoryError::Excluded(PhysAddr(0x5000))));
        assert_eq!(
            byte(0x6010),
            Err(crate::dump::MemoryError::NotPresent(PhysAddr(0x6000)))
        );
        let header = vmcore.header();
        assert_eq!(header.format, "kdump-compressed");
        assert_eq!(
            header.vmcoreinfo.as_deref(),
            Some(&b"OSRELEASE=6.1.0\nPAGESIZE=4096\n"[..])
        );
        assert!(header.capsule.is_some());
        assert_eq!(vmcore.page_frames(), 100);
    }

    #[test]
    fn pages_at_one_place_are_one_page_only_where_their_descriptors_agree() {
        let bytes = file(&Content {
            header: &header(),
            page_frames: 100,
            facts: &CapsuleFacts::default(),
            pages: [3, 4].map(|frame| (frame, vec![7; 4096])).into(),
            excluded: &BTreeSet::new(),
        });
        let size = DESCRIPTOR_SIZE as usize;
        let alike = |pair: &[u8]| pair[..size] == pair[size..] && pair[12] == STATUS_ZLIB as u8 && pair[13] == 0;
        let first = bytes.windows(2 * size).position(alike).unwrap();
        let open = |bytes: &[u8]| {
            let file: Arc<dyn ReadAt> = Arc::new(bytes.to_vec());
            Vmcore::open(vec![file]).unwrap()
        };
        let byte = |vmcore: &Vmcore, at| {
            let mut byte = [0];
            vmcore.read(PhysAddr(at), &mut byte).ok().map(|()| byte[0])
        };
        let whole = open(&bytes);
        assert_eq!((byte(&whole, 0x3000), byte(&whole, 0x4000)), (Some(7), Some(7)));
        let mut bytes = bytes;
        bytes[first + size + 8] -= 2;
        let (up, down) = (open(&bytes), open(&bytes));
        assert_eq!((byte(&up, 0x3000), byte(&up, 0x4000)), (Some(7), None));
        assert_eq!((byte(&down, 0x4000), byte(&down, 0x3000)), (None, Some(7)));
    }

    #[test]
    fn the_bitmaps_of_a_large_machine_weigh_nothing() {
        // 1 TiB.
        let last = (1 << 28) - 1;
        let (len, vmcore) = written(1 << 28, &[(3, 7), (last, 9)]);
        assert!(len < 16 << 10, "{len}");
        let mut byte = [0];
        vmcore.read(PhysAddr(last << 12), &mut byte).unwrap();
        assert_eq!(byte, [9]);
        assert_eq!((vmcore.header().format, vmcore.page_frames()), ("flattened", 1 << 28));
    }
}
