//! The header blocks of kdump-compressed and diskdump files.
//!
//! Structures: `disk_dump_header` and `kdump_sub_header` of makedumpfile's diskdump_mod.h. All integers are in the
//! dumped machine's byte order and alignment, and nothing in the file says which: [`MainHeader::parse`] tries them.

use crate::dump::layout::Layout;
use crate::dump::{ByteOrder, DumpError, Utsname};

/// Size of the main header up to `tasks[]` in its largest (64-bit) form.
pub(super) const MAIN_HEADER_SIZE: usize = 464;
/// Size of the largest sub header (version 6, 64-bit).
pub(super) const SUB_HEADER_SIZE: usize = 104;

/// `status` bits of a kdump header; the compression bits are those of [`super::codec`].
pub(super) const STATUS_INCOMPLETE: u32 = 0x8;

const UTSNAME_AT: usize = 12;
const UTSNAME_FIELD: usize = 65;

/// Which program's family wrote the file: the layouts agree, some meanings do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// makedumpfile and QEMU.
    Kdump,
    /// The diskdump and netdump of RHEL 3 and 4.
    Diskdump,
}

impl Family {
    pub(super) fn of(first_bytes: &[u8]) -> Option<Self> {
        match first_bytes.first_chunk::<8>()? {
            b"KDUMP   " => Some(Family::Kdump),
            b"DISKDUMP" => Some(Family::Diskdump),
            _ => None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Family::Kdump => "kdump-compressed",
            Family::Diskdump => "diskdump",
        }
    }
}

/// `disk_dump_header`: the fields that are used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MainHeader {
    pub(super) family: Family,
    pub(super) layout: Layout,
    pub(super) version: i32,
    pub(super) utsname: Utsname,
    pub(super) timestamp: u64,
    pub(super) status: u32,
    pub(super) block_size: u32,
    pub(super) sub_header_blocks: u32,
    pub(super) bitmap_blocks: u32,
    pub(super) max_mapnr: u32,
}

impl MainHeader {
    /// Reads the header at the start of `bytes` in the first word size and byte order that makes sense.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, DumpError> {
        let family = Family::of(bytes).ok_or(DumpError::Unrecognised { found: String::new() })?;
        let candidates = [
            (true, ByteOrder::Little),
            (true, ByteOrder::Big),
            (false, ByteOrder::Little),
            (false, ByteOrder::Big),
        ];
        let mut plausible = candidates.into_iter().filter_map(|(is_64bit, order)| {
            let header = Self::decode(bytes, family, Layout { order, is_64bit })?;
            header.is_plausible().then_some(header)
        });
        let first = plausible.next().ok_or(DumpError::BadHeader {
            format: family.name(),
            what: "no plausible block size and bitmap size".to_owned(),
            offset: 416,
            expected: "them in one of four layouts (32/64-bit, either byte order)",
        })?;
        // Two layouts seldom both make sense; then the machine's name decides.
        let agreeing = |header: &Self| word_size_of(&header.utsname.machine) == Some(header.layout.is_64bit);
        if agreeing(&first) {
            return Ok(first);
        }
        Ok(plausible.find(agreeing).unwrap_or(first))
    }

    fn decode(bytes: &[u8], family: Family, layout: Layout) -> Option<Self> {
        // After the utsname (six fields of 65 bytes, at 12) come two longs, aligned as longs are.
        let after_times = if layout.is_64bit { 424 } else { 412 };
        let u32_at = |index: usize| layout.u32(bytes, after_times + 4 * index);
        let name = |index: usize| text_field(bytes, UTSNAME_AT + index * UTSNAME_FIELD);
        Some(Self {
            family,
            layout,
            version: layout.u32(bytes, 8)? as i32,
            utsname: Utsname {
                sysname: name(0)?,
                nodename: name(1)?,
                release: name(2)?,
                version: name(3)?,
                machine: name(4)?,
            },
            timestamp: layout.word(bytes, if layout.is_64bit { 408 } else { 404 })?,
            status: u32_at(0)?,
            block_size: u32_at(1)?,
            sub_header_blocks: u32_at(2)?,
            bitmap_blocks: u32_at(3)?,
            max_mapnr: u32_at(4)?,
        })
    }

    fn is_plausible(&self) -> bool {
        (-1..=64).contains(&self.version)
            && self.block_size.is_power_of_two()
            && (512..=1 << 20).contains(&self.block_size)
            && self.sub_header_blocks < 1 << 20
            && self.bitmap_blocks != 0
            // Version 6 has the true number in the sub header; this one may be cut to 32 bits, never too large.
            && u64::from(self.max_mapnr) <= self.bitmaps_size() * 8
    }

    /// The offset of the sub header.
    pub(super) fn sub_header_at(&self) -> u64 {
        u64::from(self.block_size)
    }

    /// The offset of the first bitmap.
    pub(super) fn bitmaps_at(&self) -> u64 {
        (1 + u64::from(self.sub_header_blocks)) * u64::from(self.block_size)
    }

    /// The size of both bitmaps together.
    pub(super) fn bitmaps_size(&self) -> u64 {
        u64::from(self.bitmap_blocks) * u64::from(self.block_size)
    }

    /// The offset of the first page descriptor.
    pub(super) fn descriptors_at(&self) -> u64 {
        self.bitmaps_at() + self.bitmaps_size()
    }
}

/// `kdump_sub_header`: zero for what the header's version does not have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SubHeader {
    pub(super) phys_base: u64,
    pub(super) dump_level: Option<u32>,
    pub(super) split: bool,
    pub(super) start_pfn: u64,
    pub(super) end_pfn: u64,
    pub(super) vmcoreinfo: Extent,
    pub(super) notes: Extent,
    pub(super) max_mapnr: u64,
}

/// A place in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) offset: u64,
    pub(super) size: u64,
}

impl Extent {
    fn lies_in(self, start: u64, end: u64) -> bool {
        self == Extent::default()
            || (self.offset >= start && self.offset.checked_add(self.size).is_some_and(|last| last <= end))
    }
}

impl SubHeader {
    /// Reads the sub header; `bytes` may be short when the file is.
    pub(super) fn parse(bytes: &[u8], main: &MainHeader) -> Self {
        if main.family == Family::Diskdump {
            return Self::default();
        }
        if main.layout.is_64bit {
            return Self::decode(bytes, main, &Offsets::WORD_64);
        }
        // i386 aligns a 64-bit integer to 4 bytes, other 32-bit machines to 8; only plausibility tells them apart.
        let packed = Self::decode(bytes, main, &Offsets::WORD_32_PACKED);
        let aligned = Self::decode(bytes, main, &Offsets::WORD_32_ALIGNED);
        let (start, end) = (main.sub_header_at(), main.bitmaps_at());
        let sensible = |header: &Self| {
            header.vmcoreinfo.lies_in(start, end)
                && header.notes.lies_in(start, end)
                && (main.version < 6 || header.max_mapnr as u32 == main.max_mapnr)
        };
        match (sensible(&packed), sensible(&aligned)) {
            (true, false) => packed,
            (false, true) => aligned,
            _ if is_i386(&main.utsname.machine) => packed,
            _ => aligned,
        }
    }

    fn decode(bytes: &[u8], main: &MainHeader, at: &Offsets) -> Self {
        let (layout, version) = (main.layout, main.version);
        let word = |since, offset| {
            if version >= since {
                layout.word(bytes, offset)
            } else {
                None
            }
        };
        let u32_at = |since, offset| {
            if version >= since {
                layout.u32(bytes, offset)
            } else {
                None
            }
        };
        let u64_at = |since, offset| {
            if version >= since {
                layout.u64(bytes, offset)
            } else {
                None
            }
        };
        let extent = |since, offset, size| Extent {
            offset: u64_at(since, offset).unwrap_or(0),
            size: word(since, size).unwrap_or(0),
        };
        let pfn = |narrow, wide| u64_at(6, wide).or_else(|| word(2, narrow)).unwrap_or(0);
        Self {
            phys_base: word(0, 0).unwrap_or(0),
            dump_level: u32_at(1, at.dump_level),
            split: u32_at(2, at.split).is_some_and(|flag| flag != 0),
            start_pfn: pfn(at.start_pfn, at.start_pfn_64),
            end_pfn: pfn(at.end_pfn, at.end_pfn_64),
            vmcoreinfo: extent(3, at.vmcoreinfo, at.vmcoreinfo_size),
            notes: extent(4, at.notes, at.notes_size),
            max_mapnr: u64_at(6, at.max_mapnr_64).unwrap_or(0),
        }
    }
}

/// Where the sub header's fields are, in bytes.
struct Offsets {
    dump_level: usize,
    split: usize,
    start_pfn: usize,
    end_pfn: usize,
    vmcoreinfo: usize,
    vmcoreinfo_size: usize,
    notes: usize,
    notes_size: usize,
    start_pfn_64: usize,
    end_pfn_64: usize,
    max_mapnr_64: usize,
}

impl Offsets {
    const WORD_64: Self = Self {
        dump_level: 8,
        split: 12,
        start_pfn: 16,
        end_pfn: 24,
        vmcoreinfo: 32,
        vmcoreinfo_size: 40,
        notes: 48,
        notes_size: 56,
        start_pfn_64: 80,
        end_pfn_64: 88,
        max_mapnr_64: 96,
    };
    const WORD_32_PACKED: Self = Self {
        dump_level: 4,
        split: 8,
        start_pfn: 12,
        end_pfn: 16,
        vmcoreinfo: 20,
        vmcoreinfo_size: 28,
        notes: 32,
        notes_size: 40,
        start_pfn_64: 56,
        end_pfn_64: 64,
        max_mapnr_64: 72,
    };
    const WORD_32_ALIGNED: Self = Self {
        dump_level: 4,
        split: 8,
        start_pfn: 12,
        end_pfn: 16,
        vmcoreinfo: 24,
        vmcoreinfo_size: 32,
        notes: 40,
        notes_size: 48,
        start_pfn_64: 72,
        end_pfn_64: 80,
        max_mapnr_64: 88,
    };
}

/// A NUL-terminated text of at most 64 bytes.
fn text_field(bytes: &[u8], at: usize) -> Option<String> {
    let field = bytes.get(at..at + UTSNAME_FIELD)?;
    let text = field.split(|byte| *byte == 0).next().unwrap_or_default();
    Some(String::from_utf8_lossy(text).into_owned())
}

/// Whether `uname -m` names a 64-bit machine; `None` for names not known here.
fn word_size_of(machine: &str) -> Option<bool> {
    match machine {
        "x86_64" | "aarch64" | "ppc64" | "ppc64le" | "s390x" | "riscv64" | "loongarch64" | "ia64" | "mips64"
        | "sparc64" => Some(true),
        "ppc" | "s390" | "mips" | "riscv32" => Some(false),
        _ if is_i386(machine) || machine.starts_with("arm") => Some(false),
        _ => None,
    }
}

fn is_i386(machine: &str) -> bool {
    matches!(machine.as_bytes(), [b'i', b'3'..=b'6', b'8', b'6'])
}
