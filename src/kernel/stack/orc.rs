//! ORC: the kernel's own unwind tables (x86_64, 4.14+), read in place from the dump.
//!
//! A table is two arrays: sorted place-relative addresses (`orc_unwind_ip`, i32) and as many 6-byte entries
//! (`orc_unwind`: sp_offset i16, bp_offset i16, flags u16). The kernel proper has one, each module brings its own. An
//! entry holds from its address up to the next one's. The flags changed over time, see [`Version`]
//! (arch/x86/include/asm/orc_types.h).
//!
//! This module finds and decodes entries; what a walk makes of them is [`super::unwind`]'s affair.

use crate::addr::VirtAddr;
use crate::kernel::ReadError;
use crate::kernel::access::KernelMemory;

/// Which layout the flags have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// 4.14 to 6.2, el8, el9 before 5.14.0-517: sp_reg 0-3, bp_reg 4-7, type 8-9, end 10.
    V1,
    /// 6.3: as 1, with signal 10, end 11.
    V2,
    /// 6.4 to 7.0, el9 from 5.14.0-517: type 8-10 (undefined, end, call, regs, partial regs), signal 11.
    V3,
    /// 7.1 and later: as 3, the registers numbered anew.
    V4,
}

/// What an address is reckoned from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// Nothing: unchanged for rbp, no way on for rsp.
    Undefined,
    /// The stack pointer of the caller.
    PrevSp,
    /// A register of the frame itself.
    Sp,
    /// The frame pointer.
    Bp,
    /// What rsp points at, plus the offset.
    SpIndirect,
    /// What rbp plus the offset points at.
    BpIndirect,
    /// rax, known in the innermost frame only.
    Ax,
    /// rdx, as rax.
    Dx,
    /// rdi, as rax.
    Di,
    /// r10, as rax.
    R10,
    /// r13, as rax.
    R13,
}

/// How a frame was entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// There is no way on from here.
    Undefined,
    /// The stack ends here.
    End,
    /// By a call: the return address lies below the caller's stack pointer.
    Call,
    /// By an exception or system call: a full `struct pt_regs` lies at the caller's stack pointer.
    Regs,
    /// As above, but only the iret frame has been saved.
    RegsPartial,
}

/// One entry, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What the caller's stack pointer is reckoned from.
    pub sp: Base,
    /// Bytes to add to it.
    pub sp_offset: i16,
    /// What the place of the saved rbp is reckoned from.
    pub bp: Base,
    /// Bytes to add to it.
    pub bp_offset: i16,
    /// How the frame was entered.
    pub kind: Kind,
    /// Whether the next frame's address is exact, no return address.
    pub signal: bool,
}

impl Entry {
    /// Right for code that keeps a frame pointer: what the kernel assumes where it has no entry.
    pub const FRAME_POINTER: Entry = Entry {
        sp: Base::Bp,
        sp_offset: 16,
        bp: Base::PrevSp,
        bp_offset: -16,
        kind: Kind::Call,
        signal: false,
    };

    /// Right for the first instruction of a function, and so for a jump to nowhere.
    pub const BARE: Entry = Entry {
        sp: Base::Sp,
        sp_offset: 8,
        bp: Base::Undefined,
        bp_offset: 0,
        kind: Kind::Call,
        signal: false,
    };
}

impl Version {
    /// By the hash in `.orc_header` (6.4+ and 6.3.10): SHA-1 over what the kernel's build says of the format.
    pub fn from_header(hash: &[u8; 20]) -> Option<Version> {
        const V2: [u8; 20] = *b"\xdb\x84\xae\xd4\x10\x3b\x31\xdd\x51\xe0\x17\xf8\xf7\x97\x83\xca\x98\x5c\x2c\x51";
        const V3: [u8; 20] = *b"\xfe\x5d\x32\xbf\x58\x1b\xd6\x3b\x2c\xa9\xa5\xc6\x5b\xa5\xa6\x25\xea\xb3\xfe\x24";
        const V4: [u8; 20] = *b"\x13\x7c\x36\xad\x76\x27\xc4\xdd\x55\x93\x21\x76\xbb\x0e\xcd\xbd\x50\x41\xfc\x82";
        match *hash {
            V2 => Some(Version::V2),
            V3 => Some(Version::V3),
            V4 => Some(Version::V4),
            _ => None,
        }
    }

    /// The entry that these 6 bytes (least significant byte first) hold; `None` for values that no kernel writes.
    pub fn decode(self, raw: [u8; ENTRY_SIZE]) -> Option<Entry> {
        let [sp_low, sp_high, bp_low, bp_high, flags_low, flags_high] = raw;
        let flags = u16::from_le_bytes([flags_low, flags_high]);
        let bit = |number: u32| flags >> number & 1 == 1;
        let sp = self.base(flags & 0xf)?;
        let bp = self.base(flags >> 4 & 0xf)?;
        let (kind, signal) = match self {
            Version::V1 | Version::V2 => {
                let end = bit(if self == Version::V1 { 10 } else { 11 });
                let kind = match flags >> 8 & 3 {
                    _ if sp == Base::Undefined && end => Kind::End,
                    _ if sp == Base::Undefined => Kind::Undefined,
                    0 => Kind::Call,
                    1 => Kind::Regs,
                    2 => Kind::RegsPartial,
                    _ => return None,
                };
                // Before 6.3 whoever saved registers was taken for a signal frame.
                let saved = matches!(kind, Kind::Regs | Kind::RegsPartial);
                (kind, if self == Version::V1 { saved } else { bit(10) })
            }
            Version::V3 | Version::V4 => {
                let kind = match flags >> 8 & 7 {
                    0 => Kind::Undefined,
                    1 => Kind::End,
                    2 => Kind::Call,
                    3 => Kind::Regs,
                    4 => Kind::RegsPartial,
                    _ => return None,
                };
                (kind, bit(11))
            }
        };
        Some(Entry {
            sp,
            sp_offset: i16::from_le_bytes([sp_low, sp_high]),
            bp,
            bp_offset: i16::from_le_bytes([bp_low, bp_high]),
            kind,
            signal,
        })
    }

    fn base(self, number: u16) -> Option<Base> {
        use Base::*;
        const OLD: [Base; 11] = [Undefined, PrevSp, Dx, Di, Bp, Sp, R10, R13, BpIndirect, SpIndirect, Ax];
        const NEW: [Base; 11] = [Undefined, Ax, Dx, Sp, Bp, Di, R10, R13, PrevSp, SpIndirect, BpIndirect];
        let table = if self == Version::V4 { NEW } else { OLD };
        table.get(usize::from(number)).copied()
    }

    /// Tells the version from what a stretch of entries says, for kernels without a header or with an unknown one.
    ///
    /// Almost every entry is a call reckoned from rsp: the commonest type field (2 since version 3) and the commonest
    /// sp_reg (5, since version 4: 3) tell three ages apart. Version 2 differs from 1 only where registers were saved
    /// (its signal bit goes with them) and at the end (bit 11), so `entries` must contain entry code.
    pub fn guess(entries: &[[u8; ENTRY_SIZE]]) -> Option<Version> {
        let flags = || {
            entries
                .iter()
                .map(|[_, _, _, _, low, high]| u16::from_le_bytes([*low, *high]))
                .filter(|flags| *flags != 0)
        };
        let share = |wanted: &dyn Fn(u16) -> bool| flags().filter(|flags| wanted(*flags)).count();
        let total = flags().count();
        let most = |wanted: &dyn Fn(u16) -> bool| share(wanted) * 2 > total;
        if total == 0 {
            return None;
        }
        if most(&|flags| flags >> 8 & 7 == 2) {
            let old = share(&|flags| flags & 0xf == 5);
            let new = share(&|flags| flags & 0xf == 3);
            return Some(if new > old { Version::V4 } else { Version::V3 });
        }
        if most(&|flags| flags >> 8 & 3 == 0 && flags & 0xf == 5) {
            let second = share(&|flags| flags >> 11 & 1 == 1 || (flags >> 10 & 1 == 1 && flags & 0xf != 0));
            return Some(if second > 0 { Version::V2 } else { Version::V1 });
        }
        None
    }
}

/// Bytes of `struct orc_entry`.
pub const ENTRY_SIZE: usize = 6;

/// One table: the kernel's or a module's.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Where the addresses begin.
    pub ips: VirtAddr,
    /// Where the entries begin.
    pub entries: VirtAddr,
    /// How many there are.
    pub count: u64,
}

impl Table {
    /// The entry that holds at `ip`. It reads some twenty words, however large the table is.
    pub fn find(&self, memory: &KernelMemory, version: Version, ip: VirtAddr) -> Result<Option<Entry>, ReadError> {
        match self.index(memory, ip)? {
            Some(index) => Ok(version.decode(self.raw(memory, index)?)),
            None => Ok(None),
        }
    }

    /// The bytes of entry `index`.
    fn raw(&self, memory: &KernelMemory, index: u64) -> Result<[u8; ENTRY_SIZE], ReadError> {
        let mut raw = [0; ENTRY_SIZE];
        let at = self.entries.0.wrapping_add(index.wrapping_mul(ENTRY_SIZE as u64));
        memory.read(VirtAddr(at), &mut raw)?;
        Ok(raw)
    }

    /// The bytes of up to `count` entries around the one that holds at `ip`.
    pub fn around(&self, memory: &KernelMemory, ip: VirtAddr, count: u64) -> Result<Vec<[u8; ENTRY_SIZE]>, ReadError> {
        let middle = self.index(memory, ip)?.unwrap_or(0);
        let first = middle.saturating_sub(count / 2);
        let count = count
            .min(self.count.saturating_sub(first))
            .saturating_mul(ENTRY_SIZE as u64);
        let start = self.entries.0.wrapping_add(first.wrapping_mul(ENTRY_SIZE as u64));
        let bytes = memory.bytes(VirtAddr(start), usize::try_from(count).unwrap_or(0))?;
        Ok(bytes.as_chunks().0.to_vec())
    }

    /// The address that `ips[index]` stands for, given its value.
    fn address(&self, index: u64, value: i32) -> u64 {
        let place = self.ips.0.wrapping_add(index.wrapping_mul(4));
        place.wrapping_add_signed(i64::from(value))
    }

    /// The first and the last address that an entry begins at.
    pub fn span(&self, memory: &KernelMemory) -> Result<[VirtAddr; 2], ReadError> {
        let last = self.count.saturating_sub(1);
        let value = |index: u64| memory.i32(VirtAddr(self.ips.0.wrapping_add(index.wrapping_mul(4))));
        Ok([
            VirtAddr(self.address(0, value(0)?)),
            VirtAddr(self.address(last, value(last)?)),
        ])
    }

    /// The last entry whose address is at or below `ip`: of several with one address the last, since the linker sorts
    /// terminators of sections first.
    fn index(&self, memory: &KernelMemory, ip: VirtAddr) -> Result<Option<u64>, ReadError> {
        // Word by word to the end, though the last ten lie on one page: a record of what is read stays short so.
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            let value = memory.i32(VirtAddr(self.ips.0.wrapping_add(middle.wrapping_mul(4))))?;
            if self.address(middle, value) <= ip.0 {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low.checked_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::access::test_memory::TestMemory;
    use proptest::prelude::*;

    const IPS: u64 = 0xffff_ffff_8200_0000;
    const ENTRIES: u64 = 0xffff_ffff_8300_0000;
    const TEXT: u64 = 0xffff_ffff_8100_0000;

    fn raw(sp_offset: i16, bp_offset: i16, flags: u16) -> [u8; ENTRY_SIZE] {
        let ([a, b], [c, d], [e, f]) = (sp_offset.to_le_bytes(), bp_offset.to_le_bytes(), flags.to_le_bytes());
        [a, b, c, d, e, f]
    }

    fn table(offsets: &[u64]) -> (Table, KernelMemory) {
        let ips = offsets
            .iter()
            .enumerate()
            .flat_map(|(index, offset)| {
                let place = IPS + index as u64 * 4;
                ((TEXT + offset).wrapping_sub(place) as i32).to_le_bytes()
            })
            .collect();
        let entries = (0..offsets.len()).flat_map(|index| raw(index as i16, 0, 5)).collect();
        let memory = TestMemory {
            parts: vec![(IPS, ips), (ENTRIES, entries)],
        };
        let table = Table {
            ips: VirtAddr(IPS),
            entries: VirtAddr(ENTRIES),
            count: offsets.len() as u64,
        };
        (table, memory.reader())
    }

    fn found(table: &Table, memory: &KernelMemory, offset: u64) -> Option<i16> {
        let entry = table.find(memory, Version::V1, VirtAddr(TEXT + offset)).unwrap();
        entry.map(|entry| entry.sp_offset)
    }

    #[test]
    fn an_entry_holds_up_to_the_next_and_of_equals_the_last_counts() {
        let (table, memory) = table(&[0x10, 0x20, 0x20, 0x30]);
        assert_eq!(found(&table, &memory, 0xf), None);
        assert_eq!(found(&table, &memory, 0x10), Some(0));
        assert_eq!(found(&table, &memory, 0x1f), Some(0));
        assert_eq!(found(&table, &memory, 0x20), Some(2));
        assert_eq!(found(&table, &memory, 0xffff), Some(3));
        assert_eq!(
            table.span(&memory).unwrap(),
            [VirtAddr(TEXT + 0x10), VirtAddr(TEXT + 0x30)]
        );
    }

    #[test]
    fn a_large_table_is_searched_and_not_read() {
        let offsets: Vec<u64> = (0..5000).map(|index| index * 16).collect();
        let (table, memory) = table(&offsets);
        for index in [0, 1, 1023, 1024, 2499, 2500, 4999] {
            assert_eq!(found(&table, &memory, index * 16 + 15), Some(index as i16));
        }
    }

    #[test]
    fn every_version_reads_its_own_bits() {
        let call = Entry {
            sp: Base::Sp,
            sp_offset: 56,
            bp: Base::PrevSp,
            bp_offset: -16,
            kind: Kind::Call,
            signal: false,
        };
        for (version, flags) in [
            (Version::V1, 0x015),
            (Version::V2, 0x015),
            (Version::V3, 0x215),
            (Version::V4, 0x283),
        ] {
            assert_eq!(version.decode(raw(56, -16, flags)), Some(call), "{version:?}");
        }
        let regs = |version: Version, flags| version.decode(raw(0, 0, flags)).map(|e| (e.kind, e.signal));
        assert_eq!(regs(Version::V1, 0x105), Some((Kind::Regs, true)));
        assert_eq!(regs(Version::V2, 0x105), Some((Kind::Regs, false)));
        assert_eq!(regs(Version::V2, 0x505), Some((Kind::Regs, true)));
        assert_eq!(regs(Version::V3, 0xb05), Some((Kind::Regs, true)));
        assert_eq!(regs(Version::V4, 0xc03), Some((Kind::RegsPartial, true)));
        assert_eq!(regs(Version::V1, 0x400), Some((Kind::End, false)));
        assert_eq!(regs(Version::V1, 0), Some((Kind::Undefined, false)));
        assert_eq!(regs(Version::V2, 0x800), Some((Kind::End, false)));
        assert_eq!(regs(Version::V3, 0x100), Some((Kind::End, false)));
        assert_eq!(regs(Version::V3, 0x700), None);
        assert_eq!(regs(Version::V1, 0x00f), None);
    }

    #[test]
    fn entries_tell_their_version() {
        let some = |flags: &[u16]| flags.iter().map(|flags| raw(8, 0, *flags)).collect::<Vec<_>>();
        assert_eq!(Version::guess(&some(&[5, 5, 5, 0x105, 0x400, 0])), Some(Version::V1));
        assert_eq!(Version::guess(&some(&[5, 5, 5, 0x505])), Some(Version::V2));
        assert_eq!(Version::guess(&some(&[5, 5, 5, 0x800])), Some(Version::V2));
        assert_eq!(
            Version::guess(&some(&[0x205, 0x205, 0x205, 0xb05, 0x100])),
            Some(Version::V3)
        );
        assert_eq!(
            Version::guess(&some(&[0x203, 0x203, 0x203, 0xc03, 0x100])),
            Some(Version::V4)
        );
        assert_eq!(Version::guess(&some(&[0xffff, 0x1234, 0x4321])), None);
        assert_eq!(Version::guess(&[]), None);
    }

    #[test]
    fn the_header_names_the_version() {
        let v4 = b"\x13\x7c\x36\xad\x76\x27\xc4\xdd\x55\x93\x21\x76\xbb\x0e\xcd\xbd\x50\x41\xfc\x82";
        assert_eq!(Version::from_header(v4), Some(Version::V4));
        assert_eq!(Version::from_header(&[0; 20]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_not(bytes: [u8; ENTRY_SIZE]) {
            for version in [Version::V1, Version::V2, Version::V3, Version::V4] {
                let _ = version.decode(bytes);
            }
        }

        #[test]
        fn searching_agrees_with_looking_at_all(mut offsets in proptest::collection::vec(0..40_000u64, 1..3000), ip in 0..41_000u64) {
            offsets.sort_unstable();
            let (table, memory) = table(&offsets);
            let expected = offsets.iter().rposition(|offset| *offset <= ip);
            prop_assert_eq!(table.index(&memory, VirtAddr(TEXT + ip)).unwrap(), expected.map(|index| index as u64));
        }
    }
}
