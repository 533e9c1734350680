//! The kernel's table of `BUG()` and `WARN()`: which source line a `ud2` belongs to, without debuginfo.
//!
//! An entry begins with the distance to its instruction, by which it is found; the others are told by what they lead
//! to, since their order and base changed (include/asm-generic/bug.h: 3.10, 5.18, 7.0).

use super::access::KernelMemory;
use super::partial::Partial;
use super::symbols::Symbols;
use super::types::Types;
use crate::addr::VirtAddr;

/// A table is smaller than this (6.12 has 116 KB), in bytes.
const MAX_TABLE: u64 = 4 << 20;
/// More entries than a module has.
const MAX_MODULE_ENTRIES: u64 = 1 << 16;
/// An entry has at most this many bytes.
const MAX_ENTRY: u64 = 16;
/// A source file's path is shorter.
const MAX_PATH: usize = 256;
/// `BUGFLAG_WARNING`: the kernel goes on.
const WARNING: u16 = 1 << 0;

/// What the table says of an instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BugEntry {
    /// The source file, as the build named it: `lib/list_debug.c`.
    pub file: String,
    /// The line in it.
    pub line: u16,
    /// Whether it is a warning, after which the kernel goes on.
    pub is_warning: bool,
}

/// The entry of the instruction at `at`. `None`: it has none, or the dump lacks it.
pub fn find(memory: &KernelMemory, symbols: &Symbols, types: &dyn Types, at: VirtAddr) -> Option<BugEntry> {
    let (start, len) = table(memory, symbols, types, at)?;
    let table = Partial::read(memory, start, usize::try_from(len).ok()?);
    let mut places = (0..).step_by(4).zip(table.bytes().chunks_exact(4));
    places.find_map(|(offset, word)| {
        let place = start.checked_add(offset)?;
        let leads_here = relative(memory, place, word) == at;
        leads_here.then(|| entry(memory, place)).flatten()
    })
}

/// Where the table of the kernel or of the module that `at` belongs to lies, and its length in bytes.
fn table(memory: &KernelMemory, symbols: &Symbols, types: &dyn Types, at: VirtAddr) -> Option<(VirtAddr, u64)> {
    let Some(module) = symbols.modules().holding(at) else {
        let start = symbols.by_name("__start___bug_table")?;
        let stop = symbols.by_name("__stop___bug_table")?;
        let len = stop.0.checked_sub(start.0)?;
        return (len <= MAX_TABLE).then_some((start, len));
    };
    let member = |name: &str| {
        let place = module.address.checked_add(types.offset_of("module", name)?)?;
        Some(place)
    };
    let count = u64::from(memory.u32(member("num_bugs")?).ok()?);
    let start = memory.pointer(member("bug_table")?).ok()?;
    // The size of an entry is 12 or 16 bytes: reading on a little does no harm.
    let len = count.min(MAX_MODULE_ENTRIES).checked_mul(MAX_ENTRY)?;
    Some((start, len))
}

/// The address that the 32-bit distance in `word`, found at `place`, leads to.
fn relative(memory: &KernelMemory, place: VirtAddr, word: &[u8]) -> VirtAddr {
    place.wrapping_offset(i64::from(memory.abi().uint(word) as u32 as i32))
}

/// The entry that begins at `start`: {distance to the instruction, to the file, line, flags}, since 7.0 with the distance
/// to a format before that to the file. Distances count from the entry's start before 5.18, from their own place since.
fn entry(memory: &KernelMemory, start: VirtAddr) -> Option<BugEntry> {
    [4, 8].into_iter().find_map(|field| {
        let place = start.checked_add(field)?;
        let word = memory.bytes(place, 4).ok()?;
        let starts = [place, start].map(|base| relative(memory, base, &word));
        let file = starts.into_iter().find_map(|at| path(memory, at))?;
        let line = memory.u16(place.checked_add(4)?).ok()?;
        let flags = memory.u16(place.checked_add(6)?).ok()?;
        Some(BugEntry {
            file,
            line,
            is_warning: flags & WARNING != 0,
        })
    })
}

/// The path of a source file at `at`, if that is what stands there: all of it, not the end of one that began before.
fn path(memory: &KernelMemory, at: VirtAddr) -> Option<String> {
    let before = memory.u8(VirtAddr(at.0.wrapping_sub(1))).ok()?;
    if before != 0 {
        return None;
    }
    let text = memory.c_string(at, MAX_PATH).ok()?;
    let text = String::from_utf8(text).ok()?;
    let is_path = text.bytes().all(|byte| byte.is_ascii_graphic());
    let is_source = [".c", ".h", ".S", ".rs"].iter().any(|suffix| text.ends_with(suffix));
    (is_path && is_source && text.len() > 2).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::access::test_memory::TestMemory;

    const TABLE: u64 = 0xffff_ffff_8200_0000;
    const TEXT: u64 = 0xffff_ffff_8101_2345;
    const FILE: u64 = TABLE + 0x100;

    /// Memory with one entry of the given fields, and a file's name.
    fn memory(fields: &[u32]) -> KernelMemory {
        let mut bytes: Vec<u8> = fields.iter().flat_map(|field| field.to_le_bytes()).collect();
        bytes.resize((FILE - TABLE) as usize - 8, 0);
        bytes.extend(b"fs/ab.c\0lib/list_debug.c\0");
        bytes.resize(0x400, 0);
        TestMemory::one(TABLE, bytes).reader()
    }

    fn distance(to: u64, from: u64) -> u32 {
        to.wrapping_sub(from) as u32
    }

    #[test]
    fn entries_of_three_eras_are_read() {
        let expected = Some(BugEntry {
            file: "lib/list_debug.c".to_owned(),
            line: 27,
            is_warning: false,
        });
        let instruction = distance(TEXT, TABLE);
        let old = [instruction, distance(FILE, TABLE), 27];
        let since_5_18 = [instruction, distance(FILE, TABLE + 4), 27];
        let since_7_0 = [
            instruction,
            distance(FILE + 16, TABLE + 4),
            distance(FILE, TABLE + 8),
            27,
        ];
        for fields in [&old[..], &since_5_18, &since_7_0] {
            assert_eq!(entry(&memory(fields), VirtAddr(TABLE)), expected, "{fields:x?}");
        }
        let warning = [instruction, distance(FILE, TABLE), 27 | 1 << 16];
        assert!(entry(&memory(&warning), VirtAddr(TABLE)).unwrap().is_warning);
    }

    #[test]
    fn what_leads_to_no_source_file_is_no_entry() {
        let instruction = distance(TEXT, TABLE);
        for fields in [[instruction, 0, 27], [instruction, 4, 27], [0, u32::MAX, u32::MAX]] {
            assert_eq!(entry(&memory(&fields), VirtAddr(TABLE)), None);
        }
    }

    #[test]
    fn a_distance_leads_both_ways() {
        let memory = memory(&[]);
        let at = VirtAddr(TABLE);
        assert_eq!(relative(&memory, at, &8_u32.to_le_bytes()), VirtAddr(TABLE + 8));
        assert_eq!(relative(&memory, at, &(-8_i32).to_le_bytes()), VirtAddr(TABLE - 8));
    }
}
