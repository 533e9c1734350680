//! Modules as kernels of three eras keep them, written by hand.

use super::encoder::{Era, Symbol, encode};
use super::{Hints, Symbols};
use crate::addr::VirtAddr;
use crate::kernel::access::test_memory::TestMemory;
use crate::kernel::types::{KernelTypes, Kind, Member, Source, Types};

const IMAGE: u64 = 0xffff_ffff_8100_0000;
const HEAD: u64 = IMAGE + 0x8000;
const FIRST: u64 = 0xffff_ffff_c000_0000;
const SIZE: u64 = 0x4000;
const TEXT: u64 = 0x1000;
/// Where in its memory a module keeps its record, its symbols and their names.
const RECORD: u64 = 0x2000;
const SYMTAB: u64 = 0x3000;
const STRTAB: u64 = 0x3800;

/// Where one era has its fields.
struct Fields {
    base: usize,
    size: usize,
    text: usize,
    symtab: usize,
    count: usize,
    strtab: usize,
}

/// 3.10.0-1127.el7.
const EL7: Fields = Fields {
    base: 312,
    size: 324,
    text: 332,
    symtab: 376,
    count: 392,
    strtab: 400,
};
/// 6.1: `core_layout` and `core_kallsyms`.
const V6_1: Fields = Fields {
    base: 320,
    size: 328,
    text: 332,
    symtab: 552,
    count: 560,
    strtab: 568,
};

fn module(number: u64, count: u64, fields: &Fields) -> (u64, Vec<u8>) {
    let at = FIRST + number * 0x10000;
    let mut bytes = vec![0_u8; SIZE as usize];
    let mut put = |at: u64, value: &[u8]| bytes[at as usize..at as usize + value.len()].copy_from_slice(value);
    let link = |number: u64| {
        if number < count {
            FIRST + number * 0x10000 + RECORD + 8
        } else {
            HEAD
        }
    };
    let before = if number == 0 { HEAD } else { link(number - 1) };
    put(RECORD + 8, &link(number + 1).to_le_bytes());
    put(RECORD + 16, &before.to_le_bytes());
    put(RECORD + 24, format!("mod_{number}\0").as_bytes());
    put(RECORD + fields.base as u64, &at.to_le_bytes());
    put(RECORD + fields.size as u64, &(SIZE as u32).to_le_bytes());
    put(RECORD + fields.text as u64, &(TEXT as u32).to_le_bytes());
    put(RECORD + fields.symtab as u64, &(at + SYMTAB).to_le_bytes());
    put(RECORD + fields.count as u64, &5_u32.to_le_bytes());
    put(RECORD + fields.strtab as u64, &(at + STRTAB).to_le_bytes());
    put(STRTAB, b"\0do_it\0do_more\0.L42\0state\0");
    for (slot, (name, info, section, value)) in [
        (1_u32, b't', 2_u16, at + 0x10),
        (7, b'T', 2, at + 0x90),
        (15, b't', 2, at + 0x50),
        (20, b'd', 4, at + RECORD - 0x100),
    ]
    .into_iter()
    .enumerate()
    {
        let entry = SYMTAB + 24 * (slot as u64 + 1);
        put(entry, &name.to_le_bytes());
        put(entry + 4, &[info]);
        put(entry + 6, &section.to_le_bytes());
        put(entry + 8, &value.to_le_bytes());
    }
    (at, bytes)
}

fn machine(count: u64, fields: &Fields) -> TestMemory {
    let symbol = |kind, name: String, address| Symbol { kind, name, address };
    let mut all: Vec<Symbol> = (0..600).map(|n| symbol('t', format!("f{n}"), IMAGE + n * 16)).collect();
    all.push(symbol('D', "modules".into(), HEAD));
    all.push(symbol('B', "_end".into(), HEAD + 16));
    let mut memory = encode(&all, Era::AbsolutePerCpu, IMAGE + 0x10000, 4096).memory(IMAGE + 0x10000);
    let link = |number: u64| {
        if count == 0 {
            HEAD
        } else {
            FIRST + number * 0x10000 + RECORD + 8
        }
    };
    let head = [link(0).to_le_bytes(), link(count.saturating_sub(1)).to_le_bytes()].concat();
    memory.parts.push((HEAD, head));
    memory
        .parts
        .extend((0..count).map(|number| module(number, count, fields)));
    memory
}

fn symbols(memory: TestMemory, types: &dyn Types) -> Symbols {
    let hints = Hints {
        vmcoreinfo: &|_| None,
        image: Some(VirtAddr(IMAGE + 0x10000)),
    };
    let mut symbols = Symbols::open(&memory.reader(), hints).unwrap();
    symbols.find_modules(types);
    symbols
}

#[test]
fn a_layout_is_told_from_the_modules_themselves() {
    for fields in [EL7, V6_1] {
        let symbols = symbols(machine(3, &fields), &KernelTypes::default());
        let modules = symbols.modules();
        let found: Vec<_> = modules.list.iter().map(|m| (&*m.name, m.base.0, m.size)).collect();
        let expected = [
            ("mod_0", FIRST, SIZE),
            ("mod_1", FIRST + 0x10000, SIZE),
            ("mod_2", FIRST + 0x20000, SIZE),
        ];
        assert_eq!(found, expected);
        assert!(modules.complete);
        let place = symbols.by_address(VirtAddr(FIRST + 0x10000 + 0x60)).unwrap();
        assert_eq!((&*place.name, place.offset, place.size), ("do_it", 0x50, 0x80));
        assert_eq!((place.module.as_deref(), place.kind), (Some("mod_1"), 't'));
        let last = symbols.by_address(VirtAddr(FIRST + 0x100)).unwrap();
        assert_eq!((&*last.name, last.offset, last.size), ("do_more", 0x70, TEXT - 0x90));
        assert!(symbols.is_text(VirtAddr(FIRST + 0x100)));
        assert!(!symbols.is_text(VirtAddr(FIRST + TEXT)));
        assert_eq!(symbols.by_address(VirtAddr(FIRST + 0x8)), None);
        assert_eq!(symbols.by_name("mod_2:do_more"), Some(VirtAddr(FIRST + 0x20000 + 0x90)));
        assert_eq!(symbols.all_by_name("do_it").len(), 3);
        assert_eq!(symbols.by_name("mod_2:f1"), None);
        let data = symbols.by_address(VirtAddr(FIRST + RECORD - 0x100 + 4)).unwrap();
        assert_eq!((&*data.name, data.kind), ("state", 'd'));
    }
}

/// A table of offsets that does not fit the dump.
struct WrongTable;

impl Types for WrongTable {
    fn source(&self) -> Option<Source> {
        Some(Source::Table)
    }

    fn member(&self, _: &str, path: &str) -> Option<Member> {
        let offset = match path {
            "name" => 24,
            "module_core" => 304,
            "core_size" => 316,
            "core_text_size" => 324,
            _ => return None,
        };
        Some(Member {
            offset,
            size: 8,
            bits: None,
            kind: Kind::Unsigned,
        })
    }

    fn size_of(&self, _: &str) -> Option<u64> {
        None
    }

    fn enum_value(&self, _: &str) -> Option<i64> {
        None
    }
}

#[test]
fn a_table_that_does_not_fit_is_not_used() {
    let symbols = symbols(machine(2, &EL7), &WrongTable);
    assert_eq!(symbols.modules().list.len(), 2);
    assert_eq!(symbols.modules().list[0].base, VirtAddr(FIRST));
}

#[test]
fn a_broken_list_gives_what_both_ends_reach() {
    let mut memory = machine(4, &EL7);
    memory.parts.retain(|(at, _)| *at != FIRST + 0x10000);
    let symbols = symbols(memory, &KernelTypes::default());
    let names: Vec<_> = symbols.modules().list.iter().map(|module| &*module.name).collect();
    assert_eq!(names, ["mod_0", "mod_2", "mod_3"]);
    assert!(!symbols.modules().complete);
}

#[test]
fn a_list_that_never_comes_back_ends() {
    let mut memory = machine(3, &EL7);
    for (at, bytes) in &mut memory.parts {
        if *at == FIRST + 0x20000 {
            let link = FIRST + RECORD + 8;
            bytes[RECORD as usize + 8..][..8].copy_from_slice(&link.to_le_bytes());
        }
    }
    let symbols = symbols(memory, &KernelTypes::default());
    assert_eq!(symbols.modules().list.len(), 3);
    assert!(!symbols.modules().complete);
}

#[test]
fn a_kernel_without_modules_has_a_complete_list_of_none() {
    let symbols = symbols(machine(0, &EL7), &KernelTypes::default());
    assert!(symbols.modules().complete && symbols.modules().list.is_empty());
}
