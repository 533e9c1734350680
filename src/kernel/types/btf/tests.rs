//! BTF written by hand and read back, and BTF that is nonsense.

use std::sync::Arc;

use proptest::prelude::*;

use super::Btf;
use crate::addr::VirtAddr;
use crate::kernel::access::KernelMemory;
use crate::kernel::access::test_memory::TestMemory;
use crate::kernel::types::{Bits, Kind, Member, Types};

const AT: u64 = 0xffff_ffff_8260_0000;

/// Writes types in the order they are added; the first has number 1 (or the base's next).
#[derive(Default)]
struct Builder {
    types: Vec<u8>,
    strings: Vec<u8>,
    base_strings: u32,
}

impl Builder {
    fn new() -> Builder {
        Builder {
            strings: vec![0],
            ..Builder::default()
        }
    }

    fn string(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        let at = self.base_strings + self.strings.len() as u32;
        self.strings.extend(text.as_bytes());
        self.strings.push(0);
        at
    }

    fn put(&mut self, name: &str, kind: u32, len: u32, flag: bool, size_or_type: u32, data: &[u32]) {
        let name = self.string(name);
        let info = (kind << 24) | len | (u32::from(flag) << 31);
        for word in [name, info, size_or_type].iter().chain(data) {
            self.types.extend(word.to_le_bytes());
        }
    }

    fn int(&mut self, name: &str, size: u32, signed: bool) {
        self.put(name, 1, 0, false, size, &[(u32::from(signed) << 24) | (size * 8)]);
    }

    /// Members are name, type, bit offset and bit width.
    fn record(&mut self, kind: u32, name: &str, size: u32, members: &[(&str, u32, u32, u32)]) {
        let flag = members.iter().any(|member| member.3 != 0);
        let mut data = Vec::new();
        for (name, kind, offset, width) in members {
            data.extend([self.string(name), *kind, offset | (width << 24)]);
        }
        self.put(name, kind, members.len() as u32, flag, size, &data);
    }

    fn bytes(&self) -> Vec<u8> {
        let (types, strings) = (self.types.len() as u32, self.strings.len() as u32);
        let mut bytes = vec![0x9f, 0xeb, 1, 0];
        for word in [24, 0, types, types, strings] {
            bytes.extend(u32::to_le_bytes(word));
        }
        bytes.extend(&self.types);
        bytes.extend(&self.strings);
        bytes
    }
}

fn open(bytes: Vec<u8>) -> (KernelMemory, Option<Btf>) {
    let len = bytes.len() as u64;
    let memory = TestMemory::one(AT, bytes).reader();
    let btf = Btf::open(&memory, VirtAddr(AT), len);
    (memory, btf)
}

/// A few types as a kernel has them.
fn kernel() -> Builder {
    let mut btf = Builder::new();
    btf.int("int", 4, true); // 1
    btf.int("char", 1, false); // 2
    btf.put("", 3, 0, false, 0, &[2, 1, 16]); // 3: char[16]
    btf.put("", 2, 0, false, 6, &[]); // 4: task_struct *
    btf.put("pid_t", 8, 0, false, 1, &[]); // 5
    btf.record(
        4,
        "task_struct",
        64,
        &[
            ("pid", 5, 0, 0),
            ("", 7, 64, 0),
            ("comm", 3, 128, 0),
            ("parent", 10, 256, 0),
            ("se", 8, 320, 0),
        ],
    ); // 6
    btf.record(5, "", 8, &[("state", 1, 0, 0), ("__state", 1, 0, 0)]); // 7
    btf.record(
        4,
        "sched_entity",
        16,
        &[("on_rq", 1, 32, 0), ("a", 1, 64, 1), ("b", 1, 65, 5)],
    ); // 8
    btf.put("", 10, 0, false, 4, &[]); // 9: const
    btf.put("", 9, 0, false, 9, &[]); // 10: volatile const task_struct *
    let (low, high) = (btf.string("MOD_TEXT"), btf.string("MOD_DATA"));
    btf.put("mod_mem_type", 6, 2, false, 4, &[low, 0, high, u32::MAX]); // 11
    btf.put("", 3, 0, false, 0, &[8, 1, 3]); // 12: sched_entity[3]
    btf.record(4, "rq", 48, &[("se", 12, 0, 0)]); // 13
    btf
}

fn plain(offset: u64, size: u64, kind: Kind) -> Option<Member> {
    Some(Member {
        offset,
        size,
        bits: None,
        kind,
    })
}

/// Nameless types, then named ones in the order of their names, as the build sorts them since 7.0.
fn sorted() -> Builder {
    let mut btf = Builder::new();
    for _ in 0..300 {
        btf.put("", 2, 0, false, 302, &[]); // 1 to 300: int *
    }
    btf.put("alpha", 12, 2, false, 1, &[]); // 301: a function
    btf.int("int", 4, true); // 302
    btf.put("rq", 12, 2, false, 1, &[]); // 303: a function
    btf.record(4, "rq", 16, &[("cpu", 302, 64, 0)]); // 304
    btf.record(4, "zone", 24, &[("next", 1, 0, 0), ("id", 302, 128, 0)]); // 305
    btf
}

#[test]
fn names_that_ascend_are_found_like_others() {
    let (_, btf) = open(sorted().bytes());
    let btf = Arc::new(btf.unwrap());
    assert_eq!(btf.offset_of("rq", "cpu"), Some(8));
    assert_eq!(btf.offset_of("struct zone", "id"), Some(16));
    assert_eq!(btf.size_of("int"), Some(4));
    for missing in ["alpha", "alph", "m", "zones", "union rq"] {
        assert_eq!(btf.size_of(missing), None, "{missing}");
    }
    // On top of it, a module's: sorted too, or with a few types only.
    let mut module = Builder {
        base_strings: sorted().strings.len() as u32,
        ..Builder::default()
    };
    module.record(4, "widget", 8, &[("id", 302, 32, 0)]);
    let split = module.bytes();
    let len = split.len() as u64;
    let memory = TestMemory::one(AT, split).reader();
    let split = Btf::open_split(&memory, VirtAddr(AT), len, btf).unwrap();
    assert_eq!(split.offset_of("widget", "id"), Some(4));
    assert_eq!(split.offset_of("zone", "id"), Some(16));
    assert_eq!(split.size_of("gadget"), None);
}

#[test]
fn condensed_types_keep_the_answers_that_were_given() {
    for builder in [kernel(), sorted()] {
        let (_, btf) = open(builder.bytes());
        let btf = btf.unwrap();
        let ask = |btf: &Btf| (btf.offset_of("zone", "id"), btf.offset_of("task_struct", "pid"));
        let told = ask(&btf);
        assert_ne!(told, (None, None));
        let condensed = btf.condensed().unwrap();
        assert_eq!(condensed.what, "BTF");
        let (_, again) = open(condensed.bytes);
        let again = again.unwrap();
        assert_eq!(ask(&again), told);
        assert_eq!(again.size_of("struct rq"), None, "nobody asked for it before");
    }
}

#[test]
fn members_are_found_by_path() {
    let (_, btf) = open(kernel().bytes());
    let btf = btf.unwrap();
    assert_eq!(btf.member("task_struct", "pid"), plain(0, 4, Kind::Signed));
    assert_eq!(btf.member("struct task_struct", "__state"), plain(8, 4, Kind::Signed));
    let comm = Kind::Array {
        count: 16,
        size: 1,
        element: Box::new(Kind::Unsigned),
    };
    assert_eq!(btf.member("task_struct", "comm"), plain(16, 16, comm));
    let parent = Kind::Pointer {
        to: Some("task_struct".into()),
    };
    assert_eq!(btf.member("task_struct", "parent"), plain(32, 8, parent));
    assert_eq!(btf.offset_of("task_struct", "se.on_rq"), Some(44));
    assert_eq!(btf.offset_of("rq", "se[2].on_rq"), Some(36));
    assert_eq!(btf.member("rq", "se[3].on_rq"), None);
    assert_eq!(btf.member("rq", "se.on_rq"), None);
    assert_eq!(btf.member("union task_struct", "pid"), None);
    assert_eq!(btf.member("task_struct", "no_such"), None);
    assert_eq!(btf.member("no_such", "pid"), None);
    assert_eq!(btf.size_of("task_struct"), Some(64));
    assert_eq!(btf.size_of("pid_t"), Some(4));
    assert_eq!(btf.enum_value("MOD_DATA"), Some(-1));
    assert_eq!(btf.enum_value("MOD_NONE"), None);
    assert_eq!(btf.count(), 14);
}

#[test]
fn bit_fields_say_their_bits() {
    let (_, btf) = open(kernel().bytes());
    let member = btf.unwrap().member("sched_entity", "b").unwrap();
    assert_eq!((member.offset, member.size), (8, 1));
    assert_eq!(member.bits, Some(Bits { shift: 1, width: 5 }));
    assert_eq!(member.value(0b10_0000), (-16_i64) as u64);
}

#[test]
fn a_modules_types_go_on_where_the_kernels_end() {
    let base = kernel();
    let (memory, btf) = open(base.bytes());
    let btf = Arc::new(btf.unwrap());
    let mut split = Builder {
        base_strings: base.strings.len() as u32,
        ..Builder::default()
    };
    split.record(4, "widget", 72, &[("owner", 4, 0, 0), ("task", 6, 64, 0)]); // 14
    let bytes = split.bytes();
    let len = bytes.len() as u64;
    let memory_of_module = TestMemory::one(AT, bytes).reader();
    let split = Btf::open_split(&memory_of_module, VirtAddr(AT), len, btf).unwrap();
    assert_eq!(split.offset_of("widget", "task.comm"), Some(24));
    assert_eq!(split.offset_of("task_struct", "comm"), Some(16));
    assert_eq!(split.enum_value("MOD_TEXT"), Some(0));
    assert_eq!(split.member("nothing", "comm"), None);
    drop(memory);
}

#[test]
fn loops_end() {
    let mut btf = Builder::new();
    btf.put("loop", 8, 0, false, 2, &[]); // 1 -> 2
    btf.put("", 10, 0, false, 1, &[]); // 2 -> 1
    btf.record(4, "self", 8, &[("", 3, 0, 0), ("", 3, 0, 0), ("x", 4, 0, 0)]); // 3 holds itself, twice
    btf.put("", 3, 0, false, 0, &[4, 1, 2]); // 4: an array of itself
    let (_, btf) = open(btf.bytes());
    let btf = btf.unwrap();
    assert_eq!(btf.size_of("loop"), None);
    assert_eq!(btf.member("self", "y"), None);
    assert_eq!(btf.member("loop", "y"), None);
    assert!(btf.member("self", "x").is_none_or(|member| member.size == 0));
}

proptest! {
    #[test]
    fn arbitrary_types_neither_panic_nor_hang(
        types in proptest::collection::vec(any::<u32>(), 0..400),
        kinds in proptest::collection::vec(1_u32..20, 100),
    ) {
        let mut btf = Builder::new();
        let name = btf.string("task_struct");
        btf.string("comm");
        // Plausible kinds and small numbers let the reader get past the first type.
        for (three, kind) in types.chunks_exact(3).zip(kinds) {
            if let [a, b, c] = three {
                for word in [name * (a % 2), (kind << 24) | (b & 0x8000_0003), c % 140] {
                    btf.types.extend(word.to_le_bytes());
                }
            }
        }
        let (_, btf) = open(btf.bytes());
        if let Some(btf) = btf {
            btf.member("task_struct", "comm");
            btf.member("task_struct", "comm[1].comm");
            btf.size_of("task_struct");
            btf.enum_value("comm");
        }
    }

    #[test]
    fn damage_neither_panics_nor_hangs(
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..30),
    ) {
        let mut bytes = kernel().bytes();
        for (index, byte) in damage {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        if let (_, Some(btf)) = open(bytes) {
            for (name, path) in [("task_struct", "comm"), ("rq", "se[1].b"), ("task_struct", "se.a")] {
                btf.member(name, path);
                btf.size_of(name);
            }
            btf.enum_value("MOD_DATA");
        }
    }

    #[test]
    fn arbitrary_bytes_are_no_btf(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut bytes = bytes;
        if let Some(magic) = bytes.get_mut(..2) {
            magic.copy_from_slice(&[0x9f, 0xeb]);
        }
        if let (_, Some(btf)) = open(bytes) {
            btf.member("task_struct", "comm");
            btf.enum_value("x");
        }
    }
}
