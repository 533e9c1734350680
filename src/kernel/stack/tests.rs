//! Whole walks over hand-made stacks: a few functions, a table or frame pointers, and a stack that fits them.

use proptest::prelude::*;

use super::orc::{Table, Version};
use super::registers::Register;
use super::tables::Tables;
use super::unwind::{Code, Cursor, End, Function, MAX_FRAMES, Source, Unwinder, Walk};
use crate::addr::VirtAddr;
use crate::kernel::access::KernelMemory;
use crate::kernel::access::test_memory::TestMemory;

const TEXT: u64 = 0xffff_ffff_8100_0000;
const TEXT_SIZE: usize = 0x1000;
const STACK: u64 = 0xffff_c900_0001_0000;
const IRQ_STACK: u64 = 0xffff_c900_0800_0000;
const STACK_SIZE: usize = 0x4000;
const IPS: u64 = 0xffff_ffff_8200_0000;
const ENTRIES: u64 = 0xffff_ffff_8201_0000;

/// Functions of 0x100 bytes each, one after the other.
const FUNCTIONS: [&str; 6] = [
    "oops_end",
    "exc_fault",
    "asm_exc_fault",
    "victim",
    "outer",
    "ret_from_fork_asm",
];

/// 16 bytes of locals below the return address.
const FRAME: (i16, i16, u16) = (0x18, 0, 0x205);
const REGS: (i16, i16, u16) = (0, 0, 0xb05);
const END: (i16, i16, u16) = (0, 0, 0x100);

struct World {
    text: Vec<u8>,
    stack: Vec<u8>,
    irq_stack: Vec<u8>,
    entries: Vec<(u64, (i16, i16, u16))>,
}

struct Functions;

impl Code for Functions {
    fn is_text(&self, at: VirtAddr) -> bool {
        (TEXT..TEXT + TEXT_SIZE as u64).contains(&at.0)
    }

    fn is_discarded(&self, _: VirtAddr) -> bool {
        false
    }

    fn function(&self, at: VirtAddr) -> Option<Function> {
        let index = at.0.checked_sub(TEXT)? / 0x100;
        Some(Function {
            name: (*FUNCTIONS.get(index as usize)?).to_owned(),
            start: VirtAddr(TEXT + index * 0x100),
            size: 0x100,
        })
    }
}

fn function(name: &str) -> u64 {
    TEXT + 0x100 * FUNCTIONS.iter().position(|function| *function == name).unwrap() as u64
}

impl World {
    fn new() -> World {
        World {
            text: vec![0x90; TEXT_SIZE],
            stack: vec![0; STACK_SIZE],
            irq_stack: vec![0; STACK_SIZE],
            entries: FUNCTIONS.iter().map(|name| (function(name), FRAME)).collect(),
        }
    }

    fn entry(mut self, name: &str, entry: (i16, i16, u16)) -> World {
        self.entries.retain(|(at, _)| *at != function(name));
        self.entries.push((function(name), entry));
        self.entries.sort_unstable();
        self
    }

    fn code(&mut self, at: u64, bytes: &[u8]) {
        let at = (at - TEXT) as usize;
        self.text[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// An address in `name` that a call of `to` returns to.
    fn call(&mut self, name: &str, to: &str) -> u64 {
        let at = function(name) + 0x40;
        let mut call = vec![0xe8];
        call.extend((function(to).wrapping_sub(at) as i32).to_le_bytes());
        self.code(at - 5, &call);
        at
    }

    fn put(&mut self, at: u64, word: u64) {
        let (stack, start) = if at >= IRQ_STACK {
            (&mut self.irq_stack, IRQ_STACK)
        } else {
            (&mut self.stack, STACK)
        };
        let at = (at - start) as usize;
        stack[at..at + 8].copy_from_slice(&word.to_le_bytes());
    }

    fn put_regs(&mut self, at: u64, rip: u64, rsp: u64, rbp: u64) {
        for (register, value) in [
            (Register::Rbp, rbp),
            (Register::Rdi, 8),
            (Register::R12, 0x12),
            (Register::Rip, rip),
            (Register::Cs, if rip >> 63 == 1 || rip == 0 { 0x10 } else { 0x33 }),
            (Register::Rflags, 0x246),
            (Register::Rsp, rsp),
            (Register::Ss, if rip >> 63 == 1 || rip == 0 { 0x18 } else { 0x2b }),
        ] {
            self.put(at + 8 * register as u64, value);
        }
    }

    fn memory(&self) -> KernelMemory {
        let ips = self
            .entries
            .iter()
            .enumerate()
            .flat_map(|(index, (at, _))| (at.wrapping_sub(IPS + 4 * index as u64) as i32).to_le_bytes())
            .collect();
        let entries = self
            .entries
            .iter()
            .flat_map(|(_, (sp, bp, flags))| [sp.to_le_bytes(), bp.to_le_bytes(), flags.to_le_bytes()].concat())
            .collect();
        TestMemory {
            parts: vec![
                (TEXT, self.text.clone()),
                (STACK, self.stack.clone()),
                (IRQ_STACK, self.irq_stack.clone()),
                (IPS, ips),
                (ENTRIES, entries),
            ],
        }
        .reader()
    }

    fn walk(&self, start: Cursor, source: Source) -> Walk {
        let table = Table {
            ips: VirtAddr(IPS),
            entries: VirtAddr(ENTRIES),
            count: self.entries.len() as u64,
        };
        let tables = Tables::of_kernel(Version::V3, table);
        let unwinder = Unwinder {
            memory: &self.memory(),
            code: &Functions,
            orc: (source == Source::Orc).then_some(&tables),
            frame_pointers: source == Source::FramePointers,
        };
        unwinder.walk(
            start,
            &[
                STACK..STACK + STACK_SIZE as u64,
                IRQ_STACK..IRQ_STACK + STACK_SIZE as u64,
            ],
        )
    }
}

fn names(walk: &Walk) -> Vec<String> {
    walk.frames
        .iter()
        .map(|frame| {
            let found = Functions.function(frame.lookup_address());
            let mark = if frame.reliable { "" } else { "?" };
            let offset = |start: u64| frame.address.0.wrapping_sub(start);
            found.map_or(format!("{mark}{}", frame.address), |function| {
                format!("{mark}{}+{:#x}", function.name, offset(function.start.0))
            })
        })
        .collect()
}

/// oops_end <- exc_fault <- asm_exc_fault, registers, victim <- outer <- ret_from_fork_asm.
fn oops() -> (World, Cursor) {
    let mut world = World::new()
        .entry("asm_exc_fault", REGS)
        .entry("ret_from_fork_asm", END);
    let top = STACK + 0x3000;
    let slots = [
        (top, world.call("oops_end", "exc_fault")),
        (top + 0x18, world.call("exc_fault", "oops_end")),
        (top + 0x30, world.call("asm_exc_fault", "exc_fault")),
        (top + 0xf0, world.call("outer", "victim")),
        (top + 0x108, world.call("ret_from_fork_asm", "outer")),
    ];
    for (slot, word) in slots {
        world.put(slot, word);
    }
    world.put_regs(top + 0x38, function("victim") + 9, top + 0xe0, 0);
    let start = Cursor::at_return(slots[0].1, top, None);
    (world, start)
}

#[test]
fn orc_walks_through_an_exception_to_the_end() {
    let (world, start) = oops();
    let walk = world.walk(start, Source::Orc);
    assert_eq!(
        names(&walk),
        [
            "oops_end+0x40",
            "exc_fault+0x40",
            "asm_exc_fault+0x40",
            "victim+0x9",
            "outer+0x40",
            "ret_from_fork_asm+0x40"
        ]
    );
    assert_eq!(walk.end, End::Bottom);
    assert!(walk.complete());
    let victim = walk.interrupted().unwrap();
    assert!(victim.exact);
    let saved = victim.saved.as_ref().unwrap();
    assert_eq!(saved.at, Some(VirtAddr(STACK + 0x3038)));
    assert_eq!(saved.get(Register::Rdi), Some(8));
    assert_eq!(walk.frames[4].stack_address, Some(VirtAddr(STACK + 0x30f0)));
}

#[test]
fn a_call_to_nowhere_is_left_by_its_return_address() {
    let (mut world, start) = oops();
    for rip in [0, 0xffff_8880_1234_5678] {
        world.put_regs(STACK + 0x3038, rip, STACK + 0x30f0, 0);
        let walk = world.walk(start.clone(), Source::Orc);
        let names = names(&walk);
        assert_eq!(
            names[3..],
            [
                format!("{rip:#x}"),
                "outer+0x40".into(),
                "ret_from_fork_asm+0x40".into()
            ]
        );
        assert!(walk.complete());
    }
}

#[test]
fn user_registers_end_a_stack_and_are_no_frame() {
    let (mut world, start) = oops();
    world.put_regs(STACK + 0x3038, 0x47_b7a0, 0x7ffc_0000_1000, 0);
    let walk = world.walk(start, Source::Orc);
    assert_eq!(walk.frames.len(), 3);
    assert!(matches!(&walk.end, End::User(saved) if saved.rip() == 0x47_b7a0));
    assert!(walk.complete() && walk.interrupted().is_none());
}

#[test]
fn an_indirect_entry_changes_stacks() {
    let (mut world, _) = oops();
    // asm_exc_fault has stored the old stack's pointer at the top of the new one: sp_indirect, full registers.
    world = world.entry("asm_exc_fault", (0, 0, 0xb09));
    let into_entry = world.call("asm_exc_fault", "exc_fault");
    let top = IRQ_STACK + 0x3ff0;
    world.put(top, into_entry);
    world.put(top + 8, STACK + 0x3038);
    let walk = world.walk(Cursor::at_return(into_entry, top, None), Source::Orc);
    assert_eq!(
        names(&walk),
        [
            "asm_exc_fault+0x40",
            "victim+0x9",
            "outer+0x40",
            "ret_from_fork_asm+0x40"
        ]
    );
    assert!(walk.complete());
}

#[test]
fn rbp_is_carried_to_where_it_is_needed() {
    // oops_end saves rbp at CFA-16; exc_fault is reckoned from it.
    let (mut world, start) = oops();
    world = world
        .entry("oops_end", (0x18, -16, 0x215))
        .entry("exc_fault", (16, -16, 0x214));
    world.put(STACK + 0x3010, STACK + 0x3028);
    let walk = world.walk(start, Source::Orc);
    assert_eq!(names(&walk)[2], "asm_exc_fault+0x40");
    assert!(walk.complete());
}

#[test]
fn a_torn_stack_is_scanned_for_the_rest() {
    let (mut world, start) = oops();
    world.put(STACK + 0x3018, 0xdead_beef);
    let walk = world.walk(start, Source::Orc);
    assert!(
        matches!(&walk.end, End::Broken(why) if why.contains("0xdeadbeef")),
        "{:?}",
        walk.end
    );
    assert!(!walk.complete());
    assert_eq!(
        names(&walk),
        [
            "oops_end+0x40",
            "?asm_exc_fault+0x40",
            "?victim+0x9",
            "?outer+0x40",
            "?ret_from_fork_asm+0x40"
        ]
    );
    assert!(walk.interrupted().is_some());
}

#[test]
fn a_stack_that_runs_in_a_circle_ends() {
    let (mut world, start) = oops();
    world.put_regs(STACK + 0x3038, function("oops_end") + 0x40, STACK + 0x2ff0, 0);
    let walk = world.walk(start, Source::Orc);
    assert!(
        matches!(&walk.end, End::Broken(why) if why.contains("circle")),
        "{:?}",
        walk.end
    );
}

#[test]
fn without_tables_and_frame_pointers_the_stack_is_scanned() {
    let (world, start) = oops();
    let walk = world.walk(start, Source::Scan);
    assert_eq!(walk.source, Source::Scan);
    assert!(!walk.complete());
    assert!(names(&walk).contains(&"?outer+0x40".to_owned()));
}

/// As [`oops`], with frame pointers; the victim has been stopped at `offset`.
fn framed(offset: u64) -> (World, Cursor) {
    let mut world = World::new();
    for name in ["oops_end", "exc_fault", "victim", "outer"] {
        world.code(function(name), &[0x66, 0x66, 0x66, 0x66, 0x90, 0x55, 0x48, 0x89, 0xe5]);
    }
    let top = STACK + 0x3000;
    let (first, second) = (world.call("oops_end", "exc_fault"), world.call("exc_fault", "oops_end"));
    let entry = world.call("asm_exc_fault", "exc_fault");
    let (outer, fork) = (world.call("outer", "victim"), world.call("ret_from_fork_asm", "outer"));
    world.put(top, first);
    // oops_end's frame, exc_fault's frame, then the registers.
    world.put(top + 0x20, top + 0x40);
    world.put(top + 0x28, second);
    world.put(top + 0x48, entry);
    let outer_frame = top + 0x140;
    world.put(outer_frame, 0);
    world.put(outer_frame + 8, fork);
    // The processor has pushed right below rsp.
    let rsp = top + 0x50 + 168;
    let (return_slot, rbp) = match offset {
        0..=5 => (rsp, outer_frame),
        6..=8 => (rsp + 8, outer_frame),
        _ => (rsp + 8, rsp),
    };
    world.put(return_slot, outer);
    if offset > 5 {
        world.put(rsp, outer_frame);
    }
    world.put(top + 0x40, rbp);
    world.put_regs(top + 0x50, function("victim") + offset, rsp, rbp);
    (world, Cursor::at_return(first, top, Some(top + 0x20)))
}

#[test]
fn frame_pointers_find_the_victim_and_its_caller_at_every_prologue_step() {
    for offset in [0, 5, 6, 9, 0x30] {
        let (world, start) = framed(offset);
        let walk = world.walk(start, Source::FramePointers);
        assert_eq!(
            names(&walk),
            [
                "oops_end+0x40".to_owned(),
                "exc_fault+0x40".to_owned(),
                "asm_exc_fault+0x40".to_owned(),
                format!("victim+{offset:#x}"),
                "outer+0x40".to_owned(),
                "ret_from_fork_asm+0x40".to_owned()
            ],
            "offset {offset:#x}: {:?}",
            walk.end
        );
        assert!(walk.complete());
    }
}

#[test]
fn frame_pointers_follow_the_link_on_top_of_an_el7_irq_stack() {
    let (mut world, _) = framed(9);
    let entry = world.call("asm_exc_fault", "exc_fault");
    let handler = world.call("exc_fault", "oops_end");
    // The rsp of an interrupt before 4.2 lies further up than the registers' end: r15 to r12 were not pushed for it.
    let top = IRQ_STACK + 0x3fe8;
    let bp = {
        let saved = world.memory().u64(VirtAddr(STACK + 0x3040)).unwrap();
        world.put(top, saved);
        saved
    };
    assert_ne!(bp, 0);
    world.put(top + 8, entry);
    world.put(top + 0x10, STACK + 0x3050 + 32);
    let start = Cursor::at_return(handler, top - 0x40, Some(top));
    let (rsp, victim) = (STACK + 0x3050 + 168, function("victim") + 0x30);
    world.put(rsp, STACK + 0x3140);
    let outer = world.call("outer", "victim");
    world.put(rsp + 8, outer);
    world.put_regs(STACK + 0x3050, victim, rsp, rsp);
    let walk = world.walk(start, Source::FramePointers);
    assert_eq!(
        names(&walk),
        [
            "exc_fault+0x40",
            "asm_exc_fault+0x40",
            "victim+0x30",
            "outer+0x40",
            "ret_from_fork_asm+0x40"
        ]
    );
    let saved = walk.interrupted().unwrap().saved.clone().unwrap();
    assert_eq!((saved.get(Register::R12), saved.get(Register::Rdi)), (None, Some(8)));
}

#[test]
fn an_odd_frame_pointer_points_at_saved_registers() {
    let (mut world, start) = framed(9);
    // The handler's frame holds the encoded pointer, and the registers do not lie right beside its return address.
    let regs = STACK + 0x3070;
    world.put_regs(regs, function("victim") + 0x30, regs + 168, STACK + 0x3140 - 0x20);
    world.put(STACK + 0x3040, regs | 1);
    world.put(STACK + 0x3140 - 0x20, STACK + 0x3140);
    let outer = world.call("outer", "victim");
    world.put(STACK + 0x3140 - 0x18, outer);
    for word in 0..4 {
        world.put(STACK + 0x3050 + 8 * word, 0);
    }
    let walk = world.walk(start, Source::FramePointers);
    let names = names(&walk);
    assert_eq!(
        names[2..4],
        ["asm_exc_fault+0x40", "victim+0x30"],
        "{names:?} {:?}",
        walk.end
    );
}

proptest! {
    #[test]
    fn any_stack_ends(words in proptest::collection::vec(any::<u64>(), 1..256), entries in proptest::collection::vec(any::<(i16, i16, u16)>(), 6), pc in TEXT..TEXT + 0x600, sp in 0..0x1000u64, bp in any::<Option<u64>>()) {
        let (mut world, _) = oops();
        for (index, word) in words.iter().enumerate() {
            // Half of them point somewhere that matters.
            let word = match word % 4 {
                0 => TEXT + word % 0x600,
                1 => STACK + word % 0x4000,
                _ => *word,
            };
            world.put(STACK + 8 * index as u64, word);
        }
        for (name, entry) in FUNCTIONS.iter().zip(entries) {
            world = world.entry(name, entry);
        }
        let start = Cursor { sp: STACK + sp, ..Cursor::at_return(pc, 0, bp) };
        for source in [Source::Orc, Source::FramePointers, Source::Scan] {
            prop_assert!(world.walk(start.clone(), source).frames.len() <= MAX_FRAMES);
        }
    }
}
