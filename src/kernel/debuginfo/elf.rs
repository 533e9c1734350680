//! The ELF file around the DWARF: sections (compressed ones too), build id, symbol table, the banner in its data.

use std::collections::HashMap;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

use flate2::bufread::ZlibDecoder;
use gimli::RunTimeEndian;
use goblin::container::{Container, Ctx};
use goblin::elf::compression_header::{CompressionHeader, ELFCOMPRESS_ZLIB};
use goblin::elf::header::ET_REL;
use goblin::elf::section_header::{
    SHF_ALLOC, SHF_COMPRESSED, SHF_EXECINSTR, SHF_WRITE, SHT_NOBITS, SHT_NOTE, SHT_SYMTAB, SectionHeader,
};
use goblin::elf::{Elf, Sym};

use super::MAX_WHOLE;
use super::section::Section;
use crate::addr::VirtAddr;
use crate::dump::ByteOrder;
use crate::input::{ReadAt, Spool, Wrapping};
use crate::kernel::access::Abi;

/// `ELFCOMPRESS_ZSTD` of the generic ABI (2022).
const ELFCOMPRESS_ZSTD: u32 = 2;
/// More sections than any kernel's file has.
const MAX_SECTIONS: u64 = 1 << 17;
/// The most that one compressed section may unpack to.
const MAX_UNPACKED: u64 = 8 << 30;
/// `linux_banner` is one line.
const MAX_BANNER: u64 = 1024;
/// Notes of a kernel take some hundred bytes.
const MAX_NOTES: u64 = 1 << 16;

/// Why a file cannot serve as debuginfo.
#[derive(Debug, thiserror::Error)]
pub enum DebugFileError {
    /// It could not be read.
    #[error("cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// It is no ELF file, or a damaged one.
    #[error("not an ELF file: {0} (give the vmlinux of the kernel's debuginfo package, not vmlinuz)")]
    NotElf(String),
    /// It is a module, an object file.
    #[error("an object file (a module?), not a linked kernel: give the vmlinux")]
    Object,
}

/// A symbol of the file's table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Where it lies, as linked.
    pub address: u64,
    /// Its type, as `nm` prints it.
    pub kind: char,
    /// Its name.
    pub name: String,
}

/// An ELF file with debuginfo.
#[derive(Debug)]
pub struct DebugFile {
    file: Arc<dyn ReadAt>,
    context: Ctx,
    sections: Vec<(String, SectionHeader)>,
    /// Those that were asked for, unpacked.
    opened: Mutex<HashMap<String, Option<Arc<Section>>>>,
}

impl DebugFile {
    /// Reads the section table of `file`.
    pub fn open(file: Arc<dyn ReadAt>) -> Result<DebugFile, DebugFileError> {
        let malformed = |error: goblin::error::Error| DebugFileError::NotElf(error.to_string());
        let head = read_up_to(&*file, 0, 64)?;
        let header = Elf::parse_header(&head).map_err(malformed)?;
        if header.e_type == ET_REL {
            return Err(DebugFileError::Object);
        }
        let container = header.container().map_err(malformed)?;
        let context = Ctx::new(container, header.endianness().map_err(malformed)?);
        let entry = SectionHeader::size(context) as u64;
        // With 65280 sections and more, the count stands in the first one.
        let mut count = u64::from(header.e_shnum);
        if count == 0 {
            let first = read_up_to(&*file, header.e_shoff, entry)?;
            let first = SectionHeader::parse_from(&first, 0, 1, context).map_err(malformed)?;
            count = first.first().map_or(0, |first| first.sh_size);
        }
        if count > MAX_SECTIONS {
            return Err(DebugFileError::NotElf(format!("{count} sections")));
        }
        let table = read_up_to(&*file, header.e_shoff, count * entry)?;
        let headers = SectionHeader::parse_from(&table, 0, count as usize, context).map_err(malformed)?;
        let names = headers
            .get(usize::from(header.e_shstrndx))
            .filter(|names| names.sh_size <= MAX_WHOLE)
            .map(|names| read_up_to(&*file, names.sh_offset, names.sh_size))
            .transpose()?
            .unwrap_or_default();
        let sections = headers
            .into_iter()
            .map(|section| (c_string(&names, section.sh_name), section))
            .collect();
        Ok(DebugFile {
            file,
            context,
            sections,
            opened: Mutex::default(),
        })
    }

    /// How the machine that it is for lays out integers.
    pub fn abi(&self) -> Abi {
        Abi {
            order: if self.context.is_little_endian() {
                ByteOrder::Little
            } else {
                ByteOrder::Big
            },
            is_64bit: self.context.container == Container::Big,
        }
    }

    /// Whether there is any DWARF in it.
    pub fn has_dwarf(&self) -> bool {
        self.section(".debug_info").is_some_and(|info| info.len() > 0)
    }

    /// The build id, in hex, that the linker put into its notes.
    pub fn build_id(&self) -> Option<String> {
        self.sections
            .iter()
            .filter(|(_, section)| section.sh_type == SHT_NOTE && section.sh_size <= MAX_NOTES)
            .find_map(|(_, section)| {
                let notes = read_up_to(&*self.file, section.sh_offset, section.sh_size).ok()?;
                build_id_of_notes(self.abi(), &notes)
            })
    }

    /// `linux_banner`, when the file holds the kernel's data and not only its debuginfo.
    pub fn banner(&self) -> Option<String> {
        let address = self.symbol("linux_banner")?.0;
        let (_, section) = self.sections.iter().find(|(_, section)| {
            section.sh_type != SHT_NOBITS
                && section.sh_flags & u64::from(SHF_ALLOC) != 0
                && address
                    .checked_sub(section.sh_addr)
                    .is_some_and(|offset| offset < section.sh_size)
        })?;
        let offset = address - section.sh_addr;
        let len = MAX_BANNER.min(section.sh_size - offset);
        let text = read_up_to(&*self.file, section.sh_offset.checked_add(offset)?, len).ok()?;
        let banner = c_string(&text, 0);
        banner.starts_with("Linux version ").then_some(banner)
    }

    /// Where the symbol `name` was linked to; the first of several.
    pub fn symbol(&self, name: &str) -> Option<VirtAddr> {
        let mut found = None;
        self.each_symbol(|symbol, listed| {
            if listed == name.as_bytes() {
                found = Some(VirtAddr(symbol.st_value));
            }
            found.is_none()
        });
        found
    }

    /// All named symbols that lie in a section, in the file's order.
    pub fn symbols(&self) -> Vec<Listed> {
        let mut symbols = Vec::new();
        self.each_symbol(|symbol, name| {
            symbols.push(Listed {
                address: symbol.st_value,
                kind: self.kind(symbol),
                name: String::from_utf8_lossy(name).into_owned(),
            });
            true
        });
        symbols
    }

    /// Goes through the symbols that have a name and lie somewhere, until `visit` says stop (false).
    fn each_symbol(&self, mut visit: impl FnMut(&Sym, &[u8]) -> bool) {
        /// Enough to make reading cheap.
        const BATCH: usize = 4096;
        let table = self.sections.iter().find(|(_, s)| s.sh_type == SHT_SYMTAB);
        let Some((_, table)) = table.filter(|(_, table)| table.sh_size <= MAX_WHOLE) else {
            return;
        };
        let names = self.sections.get(table.sh_link as usize);
        let names = names.filter(|(_, names)| names.sh_size <= MAX_WHOLE);
        let Some(names) = names.and_then(|(_, n)| read_up_to(&*self.file, n.sh_offset, n.sh_size).ok()) else {
            return;
        };
        let Ok(entries) = read_up_to(&*self.file, table.sh_offset, table.sh_size) else {
            return;
        };
        let size = Sym::size(self.context.container);
        for batch in entries.chunks(size * BATCH) {
            let Ok(symbols) = Sym::parse(batch, 0, batch.len() / size, self.context) else {
                return;
            };
            for symbol in &symbols {
                let name = names.get(symbol.st_name..).unwrap_or_default();
                let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
                // Types 3 and 4 stand for sections and source files.
                if symbol.st_shndx != 0 && symbol.st_type() < 3 && !name.is_empty() && !visit(symbol, name) {
                    return;
                }
            }
        }
    }

    /// The type character of a symbol, from the section it lies in.
    fn kind(&self, symbol: &Sym) -> char {
        let flags = self.sections.get(symbol.st_shndx).map(|(_, section)| section);
        let has = |flag: u32| flags.is_some_and(|section| section.sh_flags & u64::from(flag) != 0);
        let kind = match flags {
            None => 'a',
            Some(_) if has(SHF_EXECINSTR) => 't',
            Some(section) if section.sh_type == SHT_NOBITS && has(SHF_WRITE) => 'b',
            Some(_) if has(SHF_WRITE) => 'd',
            Some(_) => 'r',
        };
        // Binding 0 is local.
        if symbol.st_bind() == 0 {
            kind
        } else {
            kind.to_ascii_uppercase()
        }
    }

    pub(super) fn endian(&self) -> RunTimeEndian {
        if self.context.is_little_endian() {
            RunTimeEndian::Little
        } else {
            RunTimeEndian::Big
        }
    }

    /// The section called `name`, unpacked into a temporary file when it is compressed.
    pub(super) fn section(&self, name: &str) -> Option<Arc<Section>> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened
            .entry(name.to_owned())
            .or_insert_with(|| self.open_section(name).map(Arc::new))
            .clone()
    }

    fn open_section(&self, name: &str) -> Option<Section> {
        // Before the flag SHF_COMPRESSED, packed sections had names of their own: ".zdebug_info".
        let old_name = name.strip_prefix(".debug").map(|rest| format!(".zdebug{rest}"));
        let is_old = |other: &str| old_name.as_deref() == Some(other);
        let (found, header) = self
            .sections
            .iter()
            .find(|(other, section)| section.sh_type != SHT_NOBITS && (other == name || is_old(other)))?;
        let raw = Section::new(self.file.clone(), header.sh_offset, header.sh_size);
        if is_old(found) {
            // "ZLIB", and the size unpacked as 8 bytes, the highest first.
            const HEAD: u64 = 12;
            let head = raw.bytes(0, HEAD)?;
            let size = Abi {
                order: ByteOrder::Big,
                is_64bit: true,
            }
            .uint(head.strip_prefix(b"ZLIB")?);
            let packed = Section::new(self.file.clone(), header.sh_offset.checked_add(HEAD)?, raw.len() - HEAD);
            return unpack(&Arc::new(packed), ELFCOMPRESS_ZLIB, size);
        }
        if header.sh_flags & u64::from(SHF_COMPRESSED) == 0 {
            return Some(raw);
        }
        let size = CompressionHeader::size(self.context) as u64;
        let head = raw.bytes(0, size)?;
        let head = CompressionHeader::parse(&head, 0, self.context).ok()?;
        let packed = Section::new(self.file.clone(), header.sh_offset.checked_add(size)?, raw.len() - size);
        unpack(&Arc::new(packed), head.ch_type, head.ch_size)
    }
}

/// The build id, in hex, among ELF notes (as the linker writes them: name and description aligned to 4 bytes).
pub fn build_id_of_notes(abi: Abi, notes: &[u8]) -> Option<String> {
    const NT_GNU_BUILD_ID: u64 = 3;
    let mut rest = notes;
    while let Some((head, behind)) = rest.split_at_checked(12) {
        let word = |at: usize| abi.uint(head.get(at..at + 4).unwrap_or_default());
        let padded = |len: u64| usize::try_from(len.checked_next_multiple_of(4)?).ok();
        let (name_len, len) = (word(0), word(4));
        let (name, behind) = behind.split_at_checked(padded(name_len)?)?;
        let (description, behind) = behind.split_at_checked(padded(len)?.min(behind.len()))?;
        if word(8) == NT_GNU_BUILD_ID && name == b"GNU\0" && (8..=64).contains(&len) {
            let id = description.get(..len as usize)?;
            return Some(id.iter().map(|byte| format!("{byte:02x}")).collect());
        }
        rest = behind;
    }
    None
}

/// A section's content, in a temporary file.
fn unpack(packed: &Arc<Section>, format: u32, size: u64) -> Option<Section> {
    const BUFFER: usize = 1 << 18;
    let stream = std::io::BufReader::with_capacity(BUFFER, packed.stream());
    let mut stream: Box<dyn Read> = match format {
        ELFCOMPRESS_ZLIB => Box::new(ZlibDecoder::new(stream)),
        ELFCOMPRESS_ZSTD => Wrapping::Zstd.unwrap(Box::new(stream)),
        _ => return None,
    };
    stream = Box::new(stream.take(size.min(MAX_UNPACKED)));
    let mut spool = Spool::new().ok()?;
    let mut buf = vec![0; BUFFER];
    // What came before a damaged place is still of use.
    while let Ok(count @ 1..) = stream.read(&mut buf) {
        spool.append(buf.get(..count)?).ok()?;
    }
    let spool = spool.finish().ok()?;
    let len = spool.size();
    Some(Section::new(Arc::new(spool), 0, len))
}

/// `len` bytes at `offset`, fewer where the file ends.
fn read_up_to(file: &dyn ReadAt, offset: u64, len: u64) -> std::io::Result<Vec<u8>> {
    let len = len.min(file.size().saturating_sub(offset));
    let mut buf = vec![0; usize::try_from(len).unwrap_or(0)];
    let read = file.read_at(offset, &mut buf)?;
    buf.truncate(read);
    Ok(buf)
}

fn c_string(text: &[u8], at: usize) -> String {
    let text = text.get(at..).unwrap_or_default();
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}
