//! Frame pointers over stacks of a real el7 kernel, rebuilt from what `crash` printed of them.
//!
//! The shared folder has no el7 dumps, only `crash` sessions (`corpora/el7-lab`). Those give every return address with
//! its place on the stack and every saved register set; what the frame pointers must have been follows from that. So
//! the geometry is real (exceptions, the IRQ stack's link, system calls) and the walk must find the same frames again.
//! Without the folder these tests say so and pass.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use vmcoroner::addr::VirtAddr;
use vmcoroner::kernel::access::{Abi, KernelMemory};
use vmcoroner::kernel::stack::registers::Register;
use vmcoroner::kernel::stack::unwind::{Code, Cursor, End, Function, Source, Unwinder, Walk};
use vmcoroner::kernel::{ReadError, VirtualMemory};

const PAGE: u64 = 4096;

/// Memory that is zero where nothing was written, page by page.
#[derive(Default)]
struct Pages(BTreeMap<u64, Vec<u8>>);

impl Pages {
    fn write(&mut self, at: u64, bytes: &[u8]) {
        for (at, byte) in (at..).zip(bytes) {
            let page = self.0.entry(at / PAGE).or_insert_with(|| vec![0; PAGE as usize]);
            page[(at % PAGE) as usize] = *byte;
        }
    }

    fn word(&mut self, at: u64, word: u64) {
        self.write(at, &word.to_le_bytes());
    }
}

impl VirtualMemory for Pages {
    fn read(&self, at: VirtAddr, buf: &mut [u8]) -> Result<(), ReadError> {
        for (at, byte) in (at.0..).zip(buf) {
            let page = self.0.get(&(at / PAGE)).ok_or(ReadError::NotMapped(VirtAddr(at)))?;
            *byte = page[(at % PAGE) as usize];
        }
        Ok(())
    }
}

/// Names by start; a function reaches to the next one.
#[derive(Default)]
struct Names(BTreeMap<u64, String>);

impl Code for Names {
    fn is_text(&self, at: VirtAddr) -> bool {
        self.function(at).is_some()
    }

    fn is_discarded(&self, _: VirtAddr) -> bool {
        false
    }

    fn function(&self, at: VirtAddr) -> Option<Function> {
        let (start, name) = self.0.range(..=at.0).next_back()?;
        let next = self.0.range(at.0 + 1..).next().map_or(u64::MAX, |(next, _)| *next);
        let size = (next - start).min(0x2000);
        (at.0 - start < size).then(|| Function {
            name: name.clone(),
            start: VirtAddr(*start),
            size,
        })
    }
}

/// A line of `bt -s -x`.
#[derive(Debug)]
struct Printed {
    slot: u64,
    name: String,
    address: u64,
    offset: u64,
    /// The registers printed behind it.
    registers: BTreeMap<String, u64>,
    /// Whether the IRQ stack ends behind it.
    irq_stack_ends: bool,
}

fn parse(session: &str) -> Vec<Printed> {
    let mut frames: Vec<Printed> = Vec::new();
    let bt = session.split("crash> bt -s -x\n").nth(1).unwrap();
    for line in bt.lines().take_while(|line| !line.starts_with("crash>")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let hex = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap();
        if words.first().is_some_and(|word| word.starts_with('#')) {
            let (name, offset) = words[2].rsplit_once('+').unwrap();
            frames.push(Printed {
                slot: hex(words[1].trim_matches(['[', ']'])),
                name: name.to_owned(),
                offset: hex(offset),
                address: hex(words[4]),
                registers: BTreeMap::new(),
                irq_stack_ends: false,
            });
        } else if line.starts_with("---") {
            frames.last_mut().unwrap().irq_stack_ends = true;
        } else if let Some(last) = frames.last_mut() {
            for pair in words.chunks_exact(2).filter(|pair| pair[0].ends_with(':')) {
                if let Ok(value) = u64::from_str_radix(pair[1], 16) {
                    last.registers
                        .insert(pair[0].trim_end_matches(':').to_lowercase(), value);
                }
            }
        }
    }
    frames
}

/// Whether the function is assembly of the entry code, which keeps no frame.
fn is_entry(name: &str) -> bool {
    const ENTRY: [&str; 8] = [
        "page_fault",
        "invalid_op",
        "general_protection",
        "apic_timer_interrupt",
        "double_fault",
        "system_call_fastpath",
        "stub_execve",
        "ret_from_fork_nospec_begin",
    ];
    ENTRY.contains(&name)
}

/// The walk over the stack that was printed.
fn walk(printed: &[Printed]) -> Walk {
    let mut memory = Pages::default();
    let mut names = Names::default();
    let mut function = |name: &str, start: u64, memory: &mut Pages| {
        names.0.insert(start, name.to_owned());
        memory.write(start, &[0x90; 64]);
        if !is_entry(name) && !name.ends_with(".cold") {
            memory.write(start, &[0x66, 0x66, 0x66, 0x66, 0x90, 0x55, 0x48, 0x89, 0xe5]);
        }
    };
    for (index, frame) in printed.iter().enumerate() {
        function(&frame.name, frame.address - frame.offset, &mut memory);
        // crash prints an interrupt's entry twice; the second place is that of the registers themselves.
        let repeated = index > 0 && printed[index - 1].irq_stack_ends;
        let next = printed.get(index + 1);
        if !repeated {
            memory.write(frame.address - 5, &[0xe8, 0, 0, 0, 0]);
            memory.word(frame.slot, frame.address);
            let of_entry = if frame.irq_stack_ends {
                next.and_then(|next| next.registers.get("rbp"))
            } else {
                frame.registers.get("rbp")
            };
            let rbp = match next {
                Some(next) if !is_entry(&frame.name) => next.slot - 8,
                _ => of_entry.copied().unwrap_or(0),
            };
            memory.word(frame.slot - 8, rbp);
        }
        let at = if repeated { frame.slot } else { frame.slot + 8 };
        for register in Register::ALL {
            if let Some(value) = frame.registers.get(register.name()) {
                memory.word(at + 8 * register as u64, *value);
            }
        }
        if repeated {
            // The link on top of the IRQ stack.
            memory.word(printed[index - 1].slot + 8, frame.slot + 32);
        }
        if let Some(rip) = frame.registers.get("rip").filter(|rip| *rip >> 63 == 1) {
            let start = rip & !0xff;
            if !printed
                .iter()
                .any(|other| (other.address - other.offset..=other.address).contains(rip))
            {
                function("victim", start.max(rip - 9), &mut memory);
            }
        }
    }
    let first = &printed[0];
    let memory = KernelMemory::new(Arc::new(memory), Abi::LE64);
    let unwinder = Unwinder {
        memory: &memory,
        code: &names,
        orc: None,
        frame_pointers: true,
    };
    let start = Cursor::at_return(first.address, first.slot, Some(printed[1].slot - 8));
    unwinder.walk(start, &[])
}

#[test]
fn frame_pointers_find_what_crash_printed() {
    let Some(folder) = support::shared_folder() else { return };
    let mut cases = 0;
    for entry in std::fs::read_dir(folder.join("corpora/el7-lab")).unwrap() {
        let path = entry.unwrap().path();
        if !path.to_string_lossy().ends_with(".crash.txt") {
            continue;
        }
        let name = path.display();
        let printed = parse(&std::fs::read_to_string(&path).unwrap());
        let walk = walk(&printed);
        assert_eq!(walk.source, Source::FramePointers, "{name}");
        assert!(walk.complete(), "{name}: {:?}", walk.end);
        let mut wanted = Vec::new();
        for (index, frame) in printed.iter().enumerate() {
            if index == 0 || !printed[index - 1].irq_stack_ends {
                wanted.push(frame.address);
            }
            wanted.extend(frame.registers.get("rip").filter(|rip| *rip >> 63 == 1));
        }
        let found: Vec<_> = walk.frames.iter().map(|frame| frame.address.0).collect();
        assert_eq!(found, wanted, "{name}: {:?}", walk.end);
        let user = printed.last().unwrap().registers.get("rip");
        match (&walk.end, user) {
            (End::User(saved), Some(rip)) => assert_eq!(saved.rip(), *rip, "{name}"),
            (End::Bottom, None) => {}
            (end, user) => panic!("{name}: {end:?}, {user:?}"),
        }
        let exception = printed.iter().find(|frame| frame.registers.get("cs") == Some(&0x10));
        let saved = walk.interrupted().and_then(|frame| frame.saved.clone());
        assert_eq!(saved.is_some(), exception.is_some(), "{name}");
        if let (Some(exception), Some(saved)) = (exception, saved) {
            assert_eq!(saved.at.map(|at| at.0 % 8), Some(0));
            for (register, value) in saved.iter() {
                assert_eq!(exception.registers.get(register), Some(&value.0), "{name}: {register}");
            }
            assert!(saved.iter().count() >= 17, "{name}");
        }
        cases += 1;
    }
    assert!(cases >= 8, "{cases} sessions");
}
