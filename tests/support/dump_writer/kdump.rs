//! kdump-compressed and diskdump files, whole or split.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Cursor, Seek, SeekFrom, Write};
use std::ops::Range;

use super::encoder::Encoder;
use super::{Machine, notes};

/// How pages are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    Raw,
    Zlib,
    Lzo,
    Snappy,
    Zstd,
}

impl Compression {
    pub const ALL: [Compression; 5] = [
        Compression::Raw,
        Compression::Zlib,
        Compression::Lzo,
        Compression::Snappy,
        Compression::Zstd,
    ];

    fn flag(self) -> u32 {
        match self {
            Compression::Raw => 0,
            Compression::Zlib => 1,
            Compression::Lzo => 2,
            Compression::Snappy => 4,
            Compression::Zstd => 0x20,
        }
    }

    fn compress(self, page: &[u8]) -> Vec<u8> {
        match self {
            Compression::Raw => page.to_vec(),
            Compression::Zlib => {
                let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(page).unwrap();
                encoder.finish().unwrap()
            }
            Compression::Lzo => lzokay::compress::compress(page).unwrap(),
            Compression::Snappy => snap::raw::Encoder::new().compress_vec(page).unwrap(),
            Compression::Zstd => ruzstd::encoding::compress_to_vec(page, ruzstd::encoding::CompressionLevel::Fastest),
        }
    }
}

/// The choices of the program that wrote the dump.
#[derive(Clone, Debug)]
pub struct Kdump {
    /// `header_version`, 0 to 6 (-1 is never written).
    pub version: i32,
    pub compression: Compression,
    pub dump_level: u32,
    /// All pages of zeros share one place.
    pub share_zero_page: bool,
    /// Ran out of space: the incomplete bit is set, and only so many page descriptors were written.
    pub incomplete_after: Option<usize>,
    /// The page frames of this file, when it is one of a split set.
    pub part: Option<Range<u64>>,
    /// `DISKDUMP` in place of `KDUMP   `.
    pub diskdump: bool,
    /// One bitmap instead of two, as early diskdump wrote.
    pub one_bitmap: bool,
}

impl Default for Kdump {
    fn default() -> Self {
        Self {
            version: 6,
            compression: Compression::Zlib,
            dump_level: 31,
            share_zero_page: false,
            incomplete_after: None,
            part: None,
            diskdump: false,
            one_bitmap: false,
        }
    }
}

/// Writes one file.
pub fn write(machine: &Machine, options: &Kdump) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    write_to(machine, options, &mut file).unwrap();
    file.into_inner()
}

/// Writes one file, without the zeros of its bitmaps: where there is no memory a real file has a hole.
pub fn write_to(machine: &Machine, options: &Kdump, out: &mut (impl Write + Seek)) -> io::Result<()> {
    let block = machine.page_size;
    let frames = machine.frame_count();
    let bitmap_size = (frames as usize).div_ceil(8).next_multiple_of(block).max(block);
    let bitmaps = if options.one_bitmap { 1 } else { 2 };
    assert!(
        !options.one_bitmap || frames as usize * 2 > bitmap_size * 8,
        "too few pages to need the only bitmap"
    );

    let sub_header = sub_header(machine, options);
    let mut head = Encoder::new(machine.abi);
    let sub_header_blocks = sub_header.len().div_ceil(block);
    let bitmap_blocks = bitmaps * bitmap_size / block;
    main_header(
        &mut head,
        machine,
        options,
        sub_header_blocks as u32,
        bitmap_blocks as u32,
    );
    head.align(block).raw(&sub_header).align(block);
    let mut at = head.len();
    out.write_all(&head.into_bytes())?;
    if !options.one_bitmap {
        let memory = machine.pages.keys().chain(&machine.filtered);
        write_bitmap(out, at..at + bitmap_size, block, memory)?;
        at += bitmap_size;
    }
    write_bitmap(out, at..at + bitmap_size, block, machine.pages.keys())?;
    at += bitmap_size;

    let part = options.part.clone().unwrap_or(0..u64::MAX);
    let pages: Vec<&Vec<u8>> = machine.pages.range(part).map(|(_, page)| page).collect();
    let mut descriptors = Encoder::new(machine.abi);
    let data_start = at + pages.len() * 24;
    let mut data: Vec<u8> = Vec::new();
    let mut zero_page: HashMap<(), (u64, u32, u32)> = HashMap::new();
    for (index, page) in pages.into_iter().enumerate() {
        if options.incomplete_after.is_some_and(|limit| index >= limit) {
            descriptors.u64(0).u32(0).u32(0).u64(0);
            continue;
        }
        let mut store = || {
            let offset = (data_start + data.len()) as u64;
            let packed = options.compression.compress(page);
            // As makedumpfile does: a page that does not shrink is stored as it is.
            let (stored, flags) = if packed.len() < page.len() {
                (&packed, options.compression.flag())
            } else {
                (page, 0)
            };
            data.extend(stored);
            (offset, stored.len() as u32, flags)
        };
        let is_zero = page.iter().all(|byte| *byte == 0);
        let (offset, size, flags) = if options.share_zero_page && is_zero {
            *zero_page.entry(()).or_insert_with(store)
        } else {
            store()
        };
        descriptors.u64(offset).u32(size).u32(flags).u64(0);
    }
    out.seek(SeekFrom::Start(at as u64))?;
    out.write_all(&descriptors.into_bytes())?;
    out.write_all(&data)
}

/// Writes a split set, cut at the given page frame numbers.
pub fn write_split(machine: &Machine, options: &Kdump, cuts: &[u64]) -> Vec<Vec<u8>> {
    let mut edges = vec![0];
    edges.extend(cuts);
    edges.push(machine.frame_count());
    edges
        .windows(2)
        .map(|edge| {
            write(
                machine,
                &Kdump {
                    part: Some(edge[0]..edge[1]),
                    ..options.clone()
                },
            )
        })
        .collect()
}

/// `struct disk_dump_header`.
fn main_header(file: &mut Encoder, machine: &Machine, options: &Kdump, sub_header_blocks: u32, bitmap_blocks: u32) {
    let frames = machine.frame_count();
    file.raw(if options.diskdump { b"DISKDUMP" } else { b"KDUMP   " })
        .u32(options.version as u32);
    for name in &machine.utsname {
        file.text(name, 65);
    }
    file.word(machine.timestamp).word(0); // timestamp
    let incomplete = if options.incomplete_after.is_some() { 8 } else { 0 };
    file.u32(options.compression.flag() | incomplete); // status
    file.u32(machine.page_size as u32)
        .u32(sub_header_blocks)
        .u32(bitmap_blocks);
    file.u32(frames as u32); // max_mapnr, cut to 32 bits
    file.u32(0).u32(0).u32(0).u32(0); // total_ram_blocks, device_blocks, written_blocks, current_cpu
    file.u32(machine.cpus.len() as u32).word(0); // nr_cpus, tasks
}

/// `struct kdump_sub_header` with what it points at behind it.
fn sub_header(machine: &Machine, options: &Kdump) -> Vec<u8> {
    if options.diskdump {
        return vec![0xee; 64];
    }
    let frames = machine.frame_count();
    let part = options.part.clone();
    let range = part.clone().unwrap_or(0..0);
    let notes = notes::encode(&machine.all_notes(), machine.abi);
    // Behind the largest sub header there is.
    const CONTENT: usize = 128;
    let vmcoreinfo = machine.vmcoreinfo.clone().unwrap_or_default();
    let place = |offset: usize, bytes: &[u8]| {
        if bytes.is_empty() {
            (0, 0)
        } else {
            ((machine.page_size + offset) as u64, bytes.len() as u64)
        }
    };
    let notes_at = (CONTENT + vmcoreinfo.len()).next_multiple_of(4);
    let (vmcoreinfo_offset, vmcoreinfo_size) = place(CONTENT, &vmcoreinfo);
    let (notes_offset, notes_size) = place(notes_at, &notes);

    let version = options.version;
    let mut header = Encoder::new(machine.abi);
    header.word(machine.phys_base);
    if version >= 1 {
        header.u32(options.dump_level);
    }
    if version >= 2 {
        header.u32(u32::from(part.is_some())).word(range.start).word(range.end);
    }
    if version >= 3 {
        header.u64(vmcoreinfo_offset).word(vmcoreinfo_size);
    }
    if version >= 4 {
        header.u64(notes_offset).word(notes_size);
    }
    if version >= 5 {
        header.u64(0).word(0); // offset_eraseinfo, size_eraseinfo
    }
    if version >= 6 {
        header.u64(range.start).u64(range.end).u64(frames);
    }
    header.pad_to(CONTENT).raw(&vmcoreinfo).pad_to(notes_at).raw(&notes);
    header.into_bytes()
}

/// The blocks of a bitmap that have a bit set, and its last, so that the file does not end before it.
fn write_bitmap<'a>(
    out: &mut (impl Write + Seek),
    place: Range<usize>,
    block: usize,
    frames: impl Iterator<Item = &'a u64>,
) -> io::Result<()> {
    let mut blocks = BTreeMap::from([((place.len() / block - 1) as u64, vec![0_u8; block])]);
    for frame in frames {
        let (number, bit) = (frame / (block as u64 * 8), frame % (block as u64 * 8));
        let bits = blocks.entry(number).or_insert_with(|| vec![0; block]);
        bits[(bit / 8) as usize] |= 1 << (bit % 8);
    }
    for (number, bits) in blocks {
        out.seek(SeekFrom::Start(place.start as u64 + number * block as u64))?;
        out.write_all(&bits)?;
    }
    Ok(())
}
