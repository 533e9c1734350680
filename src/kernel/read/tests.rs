//! Members, lists and slab caches of objects written by hand.

use super::*;
use crate::kernel::symbols::Hints;
use crate::kernel::symbols::encoder::{Era, Symbol, encode};
use crate::kernel::types::{Bits, Source};

const IMAGE: u64 = 0xffff_ffff_8100_0000;
const DATA: u64 = IMAGE + 0x10_0000;
const DIRECT_MAP: u64 = 0xffff_8880_0000_0000;
const VMEMMAP: u64 = 0xffff_ea00_0000_0000;

/// A world of tasks: `init_task` and two more in a list.
struct World;

/// Offsets in the made-up `task_struct`.
const TASKS: u64 = 8;
const COMM: u64 = 24;
const MM: u64 = 40;
const FLAGS: u64 = 48;

fn signed(size: u64, offset: u64) -> Member {
    number(Kind::Signed, size, offset)
}

fn number(kind: Kind, size: u64, offset: u64) -> Member {
    Member {
        offset,
        size,
        bits: None,
        kind,
    }
}

fn pointer(to: &str, offset: u64) -> Member {
    number(
        Kind::Pointer {
            to: Some(to.to_owned()),
        },
        8,
        offset,
    )
}

impl Types for World {
    fn source(&self) -> Option<Source> {
        Some(Source::Btf)
    }

    fn member(&self, structure: &str, path: &str) -> Option<Member> {
        Some(match (structure, path) {
            ("task_struct", "pid") => signed(4, 0),
            ("task_struct", "tasks") => number(
                Kind::Struct {
                    name: Some("list_head".to_owned()),
                },
                16,
                TASKS,
            ),
            ("task_struct", "comm") => {
                let element = Box::new(Kind::Unsigned);
                number(
                    Kind::Array {
                        count: 16,
                        size: 1,
                        element,
                    },
                    16,
                    COMM,
                )
            }
            ("task_struct", "mm") => pointer("mm_struct", MM),
            ("task_struct", "in_execve") => Member {
                bits: Some(Bits { shift: 3, width: 1 }),
                ..number(Kind::Unsigned, 1, FLAGS)
            },
            ("mm_struct", "owner") => pointer("task_struct", 0),
            ("mm_struct", "count") => signed(8, 8),
            ("page", "compound_head") => number(Kind::Unsigned, 8, 8),
            ("slab", "slab_cache") => pointer("kmem_cache", 24),
            ("kmem_cache", "list") => number(Kind::Struct { name: None }, 16, 0),
            ("kmem_cache", "name") => pointer("char", 16),
            _ => return None,
        })
    }

    fn size_of(&self, name: &str) -> Option<u64> {
        match name {
            "task_struct" | "page" => Some(64),
            _ => None,
        }
    }

    fn enum_value(&self, _: &str) -> Option<i64> {
        None
    }
}

/// Bytes of a task: pid, list links, name, mm, flags.
fn task(pid: i32, next: u64, comm: &str, mm: u64) -> Vec<u8> {
    let mut bytes = vec![0; 64];
    let mut put = |at: u64, value: &[u8]| bytes[at as usize..at as usize + value.len()].copy_from_slice(value);
    put(0, &pid.to_le_bytes());
    put(TASKS, &next.to_le_bytes());
    put(COMM, comm.as_bytes());
    put(MM, &mm.to_le_bytes());
    put(FLAGS, &[0b1000]);
    bytes
}

const INIT_TASK: u64 = DATA;
const SECOND: u64 = DIRECT_MAP + 0x5000;
const THIRD: u64 = DIRECT_MAP + 0x6040;
const MEMORY: u64 = DIRECT_MAP + 0x7000;
const CACHE: u64 = DIRECT_MAP + 0x8000;

fn ask<T>(third_next: u64, question: impl FnOnce(Reader<'_>) -> T) -> T {
    let symbol = |kind, name: &str, address| Symbol {
        kind,
        name: name.to_owned(),
        address,
    };
    let symbols = [
        symbol('T', "_stext", IMAGE),
        symbol('D', "init_task", INIT_TASK),
        symbol('D', "slab_caches", DATA + 0x100),
        symbol('D', "page_offset_base", DATA + 0x110),
        symbol('D', "vmemmap_base", DATA + 0x118),
        symbol('B', "_end", DATA + 0x1000),
    ];
    let encoded = encode(&symbols, Era::Absolute, IMAGE, 64);
    let labels = encoded.labels.clone();
    let mut memory = encoded.memory(IMAGE);
    let mut data = task(0, SECOND + TASKS, "swapper/0", 0);
    data.resize(0x1000, 0);
    data[0x100..0x108].copy_from_slice(&CACHE.to_le_bytes());
    data[0x110..0x118].copy_from_slice(&DIRECT_MAP.to_le_bytes());
    data[0x118..0x120].copy_from_slice(&VMEMMAP.to_le_bytes());
    let mut part = |at: u64, mut bytes: Vec<u8>| {
        bytes.resize(bytes.len().max(0x400), 0);
        memory.parts.push((at, bytes));
    };
    part(DATA, data);
    part(SECOND, task(1, THIRD + TASKS, "init", MEMORY));
    part(THIRD, task(-2, third_next, "a\u{1b}b", 0));
    part(MEMORY, [SECOND.to_le_bytes(), (-7_i64).to_le_bytes()].concat());
    let mut cache = [DATA + 0x100, 0, CACHE + 0x40].map(u64::to_le_bytes).concat();
    cache.resize(0x40, 0);
    cache.extend(b"task_struct\0");
    part(CACHE, cache);
    // The pages of the second task, and of the third: that is the second of its block of two.
    let page = |head: u64, cache: u64| [0, head, 0, cache].map(u64::to_le_bytes).concat();
    let mut pages = Vec::new();
    for (head, cache) in [(0, CACHE), (VMEMMAP + 5 * 64 + 1, 1), (0, 2)] {
        pages.extend(page(head, cache));
        pages.resize(pages.len().next_multiple_of(64), 0);
    }
    part(VMEMMAP + 5 * 64, pages);
    let memory = memory.reader();
    let hint = |name: &str| match name {
        "_stext" => Some(VirtAddr(IMAGE)),
        name => labels.get(name).copied().map(VirtAddr),
    };
    let hints = Hints {
        vmcoreinfo: &hint,
        image: None,
    };
    let symbols = Symbols::open(&memory, hints).unwrap();
    question(Reader::new(&memory, &symbols, &World))
}

fn names(name: &str) -> Option<VirtAddr> {
    match name {
        "current" | "r13" => Some(VirtAddr(SECOND)),
        "rdi" => Some(VirtAddr(8)),
        _ => None,
    }
}

fn read(text: &str) -> Result<Readings, ProbeError> {
    let expression: Expression = text.parse().unwrap();
    ask(INIT_TASK + TASKS, |reader| reader.read(&expression, &names))
}

fn shown(text: &str) -> String {
    match read(text) {
        Ok(readings) => {
            let values: Vec<String> = readings
                .values
                .iter()
                .map(|reading| reading.value.to_string())
                .collect();
            values.join(" | ")
        }
        Err(error) => format!("error: {error}"),
    }
}

#[test]
fn members_are_read_through_registers_symbols_and_addresses() {
    assert_eq!(shown("task_struct@r13.comm"), r#""init""#);
    assert_eq!(shown("task_struct@init_task.comm"), r#""swapper/0""#);
    assert_eq!(shown("task_struct@ffff888000005000.pid"), "1");
    assert_eq!(shown("task_struct@0xffff888000006040.pid"), "-2");
    assert_eq!(shown("task_struct@current.in_execve"), "1");
    assert_eq!(shown("current.comm"), r#""init""#);
    assert_eq!(shown("u32@current"), "1");
    assert_eq!(shown("string@current+24"), r#""init""#);
    assert_eq!(shown("vmemmap_base"), format!("{VMEMMAP:#x} ({VMEMMAP})"));
    assert_eq!(
        shown("task_struct@init_task"),
        "task_struct at 0xffffffff81100000, 64 bytes"
    );
}

#[test]
fn pointers_on_the_way_are_followed() {
    assert_eq!(shown("current.mm.count"), "-7");
    assert_eq!(shown("current.mm.owner.mm.owner.comm"), r#""init""#);
    assert_eq!(shown("(current.mm).owner"), "0xffff888000005000 task_struct *");
    assert_eq!(shown("s64@(current.mm)+8"), "-7");
    assert_eq!(shown("current.tasks"), "list_head at 0xffff888000005008, 16 bytes");
    // Through NULL there is nothing.
    assert!(shown("task_struct@init_task.mm.count").contains("nothing is mapped at 0x8"));
    assert!(shown("current.pid.x").contains("`task_struct.pid` is neither a structure nor a pointer"));
}

#[test]
fn a_name_that_does_not_exist_is_told() {
    assert!(shown("task_struct@no_such.comm").contains("`no_such` is neither a register"));
    assert!(shown("task_struct@r13.no_such").contains("no type information for `task_struct.no_such`"));
    assert!(shown("r13.comm").contains("what type is at 0xffff888000005000"));
    assert!(shown("task_struct@rdi.comm").contains("nothing is mapped"));
}

#[test]
fn a_list_is_walked_from_its_head() {
    let head = format!("task_struct.tasks*@{:#x}", INIT_TASK + TASKS);
    let readings = read(&format!("{head}.comm")).unwrap();
    let names: Vec<String> = readings
        .values
        .iter()
        .map(|reading| reading.value.to_string())
        .collect();
    // What is no text is shown as numbers.
    assert_eq!(names[0], r#""init""#);
    assert!(names[1].starts_with("[0x61, 0x1b, 0x62, 0x0"), "{names:?}");
    assert_eq!(readings.values[1].object, VirtAddr(THIRD));
    assert_eq!(readings.broken, None);
    assert!(matches!(read(&format!("{head}.no_such")), Err(ProbeError::NoLayout(_))));
    assert_eq!(shown("task_struct.tasks*@(task_struct@init_task.tasks).pid"), "1 | -2");
}

#[test]
fn a_broken_list_gives_what_it_has() {
    for (next, why) in [
        (0, "is NULL"),
        (SECOND + TASKS, "it leads back to"),
        (0xdead_0000_0000_0100, "nothing is mapped"),
    ] {
        let expression: Expression = "task_struct.tasks*@(task_struct@init_task.tasks).pid".parse().unwrap();
        let readings = ask(next, |reader| reader.read(&expression, &names)).unwrap();
        let broken = readings.broken.unwrap().to_string();
        assert!(broken.contains(why), "{broken}");
        let pids: Vec<Option<u64>> = readings.values.iter().map(|reading| reading.value.number()).collect();
        assert_eq!(pids[..2], [Some(1), Some((-2_i64) as u64)]);
    }
}

#[test]
fn numbers_are_what_rules_ask_for() {
    let number = |at, path| {
        ask(INIT_TASK + TASKS, |reader| {
            reader.number(VirtAddr(at), "task_struct", path)
        })
    };
    assert_eq!(number(SECOND, "mm.count"), Ok((-7_i64) as u64));
    assert_eq!(number(SECOND, "mm"), Ok(MEMORY));
    assert!(matches!(number(SECOND, "comm"), Err(ProbeError::NoNumber(_))));
    assert!(matches!(number(8, "pid"), Err(ProbeError::Memory { .. })));
}

#[test]
fn slab_caches_tell_what_an_address_points_to() {
    let points = |at, name| ask(INIT_TASK + TASKS, |reader| reader.points_to(VirtAddr(at), name));
    assert_eq!(points(SECOND, "task_struct"), Ok(true));
    // In the second page of a block, whose first knows the cache.
    assert_eq!(points(THIRD, "task_struct"), Ok(true));
    assert_eq!(points(MEMORY, "task_struct"), Ok(false));
    assert_eq!(points(INIT_TASK, "task_struct"), Ok(false));
    assert_eq!(points(8, "task_struct"), Ok(false));
    assert_eq!(points(VMEMMAP + 6 * 64, "page"), Ok(true));
    assert_eq!(points(VMEMMAP + 6 * 64 + 8, "page"), Ok(false));
    assert_eq!(points(SECOND, "page"), Ok(false));
    assert!(matches!(points(SECOND, "anon_vma"), Err(ProbeError::Slab(_))));
}
