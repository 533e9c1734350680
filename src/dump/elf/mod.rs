//! ELF cores: /proc/vmcore and copies of it, `makedumpfile -E`, QEMU's `dump-guest-memory`. Either class, either order.

mod segments;

use std::ops::Range;
use std::sync::Arc;

use goblin::container::{Container, Ctx, Endian};
use goblin::elf::header::{EM_386, EM_AARCH64, EM_ARM, EM_PPC64, EM_RISCV, EM_S390, EM_X86_64, ET_CORE};
use goblin::elf::program_header::{PT_LOAD, PT_NOTE};
use goblin::elf::section_header::SectionHeader;
use goblin::elf::{Elf, Header as ElfHeader, ProgramHeader};

use crate::addr::PhysAddr;
use crate::dump::cache::BlockCache;
use crate::dump::io::{read_vec, zero_filled};
use crate::dump::layout::Layout;
use crate::dump::notes::{Dialect, Notes};
use crate::dump::{ByteOrder, DumpError, Header, MemoryError, Segment};
use crate::input::ReadAt;

use segments::{Place, SegmentMap};

/// e_phnum of a file with more than 65534 program headers: the true count is sh_info of section header 0 (ELF gABI).
const PN_XNUM: u16 = 0xffff;
/// More segments than this are not read: none that write dumps come near.
const MAX_SEGMENTS: u64 = 1 << 22;
/// Bytes of program headers read at a time.
const HEADER_CHUNK: usize = 1 << 16;
/// e_flags bit that makedumpfile sets when it ran out of space (DUMP_ELF_INCOMPLETE, elf_info.h).
const DUMP_ELF_INCOMPLETE: u32 = 0x1;
/// Small reads go through blocks of this size, larger ones straight to the file.
const BLOCK: u64 = 4096;
const CACHED_BLOCKS: usize = 512;
/// Segments handed on as hints in [`Header::segments`].
const MAX_HINTS: usize = 4096;

/// One ELF core.
#[derive(Debug)]
pub(super) struct ElfFile {
    file: Arc<dyn ReadAt>,
    map: SegmentMap,
    header: Header,
    blocks: BlockCache<Arc<[u8]>>,
}

/// Whether the first bytes are those of an ELF file.
pub(super) fn is_elf(first_bytes: &[u8]) -> bool {
    first_bytes.starts_with(b"\x7fELF")
}

impl ElfFile {
    pub(super) fn open(file: Arc<dyn ReadAt>) -> Result<Self, DumpError> {
        let (elf, ctx) = read_elf_header(&*file)?;
        let mut remarks = Vec::new();
        let count = segment_count(&*file, &elf, ctx)?;
        let mut truncated = false;
        let (mut loads, mut notes_at, mut hints) = (Vec::new(), Vec::new(), Vec::new());
        let all_there = for_each_program_header(&*file, &elf, ctx, count, |segment| match segment.p_type {
            PT_LOAD => {
                if hints.len() < MAX_HINTS {
                    hints.push(Segment {
                        virtual_address: segment.p_vaddr,
                        physical_address: segment.p_paddr,
                        size: segment.p_memsz,
                    });
                }
                loads.push(segments::Load::from(segment));
            }
            PT_NOTE => notes_at.push((segment.p_offset, segment.p_filesz)),
            _ => {}
        })?;
        if !all_there {
            truncated = true;
            remarks.push("the file ends inside its program headers".to_owned());
        }
        if loads.is_empty() && all_there {
            return Err(DumpError::OtherCore {
                what: "an ELF core without memory segments (Xen's dump-core keeps its pages in sections)",
                advice: "read it with crash, and give the text of that session (sys, log, bt)",
            });
        }
        let map = SegmentMap::new(loads, file.size());
        if map.truncated {
            truncated = true;
            remarks.push("the file ends before its last segment".to_owned());
        }
        if elf.e_flags & DUMP_ELF_INCOMPLETE != 0 {
            truncated = true;
            remarks.push("the dump says itself that it is incomplete (makedumpfile ran out of space)".to_owned());
        }

        let machine = machine_name(&elf, ctx);
        // A 32-bit x86 kernel with more than 4 GiB of memory is dumped as ELF64 with EM_386.
        let is_64bit = ctx.container == Container::Big && !matches!(elf.e_machine, EM_386 | EM_ARM);
        let order = if ctx.le.is_little() {
            ByteOrder::Little
        } else {
            ByteOrder::Big
        };
        let dialect = Dialect {
            layout: Layout { order, is_64bit },
            machine,
        };
        let mut notes = Notes::default();
        for (offset, size) in notes_at {
            notes.read(&*file, offset, size, dialect)?;
        }
        if notes.of_process && notes.vmcoreinfo.is_none() {
            return Err(DumpError::OtherCore {
                what: "the core of a process",
                advice: "open it with gdb; the kernel's dump is the vmcore that kdump or the hypervisor wrote",
            });
        }
        if notes.cut {
            truncated = true;
            remarks.push("the file ends inside its notes".to_owned());
        }
        let header = Header {
            format: "elf",
            byte_order: order,
            is_64bit,
            machine: machine.map(str::to_owned),
            page_size: notes.vmcoreinfo.as_deref().and_then(stated_page_size).unwrap_or(4096),
            utsname: None,
            timestamp: None,
            phys_base: None,
            vmcoreinfo: notes.vmcoreinfo,
            prstatus: notes.prstatus,
            qemu_cpus: notes.qemu_cpus,
            segments: hints,
            notes: notes.raw,
            capsule: None,
            partial: Some(map.partial),
            truncated,
            remarks,
        };
        Ok(Self {
            file,
            map,
            header,
            blocks: BlockCache::new(CACHED_BLOCKS),
        })
    }

    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    /// The physical address ranges that the segments describe.
    pub(super) fn ranges(&self) -> Vec<Range<u64>> {
        self.map.ranges()
    }

    /// Fills `buf` from physical address `at` on.
    pub(super) fn read(&self, at: PhysAddr, buf: &mut [u8]) -> Result<(), MemoryError> {
        let mut done = 0;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let address = at.checked_add(done as u64).ok_or(MemoryError::NotPresent(at))?;
            match self.map.find(address.0) {
                Place::Stored { offset, length } => {
                    let length = usize::try_from(length).unwrap_or(usize::MAX).min(rest.len());
                    let part = rest.get_mut(..length).unwrap_or_default();
                    self.read_file(address, offset, part)?;
                    done += length;
                }
                Place::Behind { offset } => return Err(MemoryError::Truncated { at: address, offset }),
                Place::LeftOut => return Err(MemoryError::Excluded(address)),
                Place::Nowhere => return Err(MemoryError::NotPresent(address)),
            }
        }
        Ok(())
    }

    fn read_file(&self, at: PhysAddr, offset: u64, buf: &mut [u8]) -> Result<(), MemoryError> {
        let within = (offset % BLOCK) as usize;
        if within + buf.len() <= BLOCK as usize && buf.len() < BLOCK as usize {
            let block = self.blocks.get_or_load(offset / BLOCK, || {
                zero_filled(&*self.file, offset - within as u64, BLOCK as usize).map(Arc::<[u8]>::from)
            })?;
            if let Some(bytes) = block.get(within..within + buf.len()) {
                buf.copy_from_slice(bytes);
            }
            return Ok(());
        }
        match self.file.read_at(offset, buf) {
            Ok(read) if read == buf.len() => Ok(()),
            Ok(_) => Err(MemoryError::Truncated { at, offset }),
            Err(error) => Err(MemoryError::Io {
                offset,
                why: error.to_string(),
            }),
        }
    }
}

fn read_elf_header(file: &dyn ReadAt) -> Result<(ElfHeader, Ctx), DumpError> {
    let bytes = read_vec(file, 0, 64)?;
    let bad = |what: String, offset, expected| DumpError::BadHeader {
        format: "ELF",
        what,
        offset,
        expected,
    };
    let (container, size) = match bytes.get(4) {
        Some(1) => (Container::Little, 52),
        Some(2) => (Container::Big, 64),
        class => return Err(bad(format!("class {class:?}"), 4, "1 (32-bit) or 2 (64-bit)")),
    };
    let order = match bytes.get(5) {
        Some(1) => Endian::Little,
        Some(2) => Endian::Big,
        data => {
            return Err(bad(
                format!("data encoding {data:?}"),
                5,
                "1 (little-endian) or 2 (big-endian)",
            ));
        }
    };
    if bytes.len() < size {
        return Err(DumpError::HeaderCut {
            format: "ELF",
            part: "header",
            needed: size as u64,
            size: file.size(),
        });
    }
    let elf = Elf::parse_header(&bytes).map_err(|error| bad(error.to_string(), 0, "an ELF header"))?;
    if elf.e_type != ET_CORE {
        return Err(bad(format!("type {}", elf.e_type), 16, "4 (a core)"));
    }
    let ctx = Ctx::new(container, order);
    let entry = ProgramHeader::size(ctx);
    if usize::from(elf.e_phentsize) != entry {
        return Err(bad(
            format!("program header size {}", elf.e_phentsize),
            0x36,
            "56 (64-bit) or 32 (32-bit)",
        ));
    }
    Ok((elf, ctx))
}

fn segment_count(file: &dyn ReadAt, elf: &ElfHeader, ctx: Ctx) -> Result<u64, DumpError> {
    if elf.e_phnum != PN_XNUM || elf.e_shoff == 0 {
        return Ok(u64::from(elf.e_phnum));
    }
    let bytes = read_vec(file, elf.e_shoff, SectionHeader::size(ctx))?;
    let section = SectionHeader::parse_from(&bytes, 0, 1, ctx)
        .ok()
        .and_then(|sections| sections.into_iter().next());
    Ok(section
        .map_or(u64::from(PN_XNUM), |section| u64::from(section.sh_info))
        .min(MAX_SEGMENTS))
}

/// Calls `visit` with each program header; `false` when the file ends before the last one.
fn for_each_program_header(
    file: &dyn ReadAt,
    elf: &ElfHeader,
    ctx: Ctx,
    count: u64,
    mut visit: impl FnMut(&ProgramHeader),
) -> Result<bool, DumpError> {
    let entry = ProgramHeader::size(ctx);
    let per_chunk = HEADER_CHUNK / entry;
    let mut done = 0;
    while done < count {
        let wanted = usize::try_from(count - done).unwrap_or(per_chunk).min(per_chunk);
        let bytes = read_vec(file, elf.e_phoff.saturating_add(done * entry as u64), wanted * entry)?;
        let there = bytes.len() / entry;
        for segment in ProgramHeader::parse(&bytes, 0, there, ctx).unwrap_or_default() {
            visit(&segment);
        }
        if there < wanted {
            return Ok(false);
        }
        done += there as u64;
    }
    Ok(true)
}

/// e_machine as `uname -m` names it.
fn machine_name(elf: &ElfHeader, ctx: Ctx) -> Option<&'static str> {
    const EM_LOONGARCH: u16 = 258;
    let is_64bit = ctx.container == Container::Big;
    Some(match elf.e_machine {
        EM_X86_64 => "x86_64",
        EM_386 => "i686",
        EM_AARCH64 => "aarch64",
        EM_ARM => "arm",
        EM_PPC64 if ctx.le.is_little() => "ppc64le",
        EM_PPC64 => "ppc64",
        EM_S390 if is_64bit => "s390x",
        EM_S390 => "s390",
        EM_RISCV if is_64bit => "riscv64",
        EM_LOONGARCH => "loongarch64",
        _ => return None,
    })
}

/// `PAGESIZE=` of a VMCOREINFO text: the one fact of it that belongs to the dump itself.
fn stated_page_size(vmcoreinfo: &[u8]) -> Option<u64> {
    let line = vmcoreinfo
        .split(|byte| *byte == b'\n')
        .find_map(|line| line.strip_prefix(b"PAGESIZE="))?;
    let size: u64 = std::str::from_utf8(line).ok()?.trim_end_matches('\0').parse().ok()?;
    (size.is_power_of_two() && (512..=1 << 20).contains(&size)).then_some(size)
}
