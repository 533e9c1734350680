//! ELF cores of either class and byte order.

use super::encoder::{Abi, Encoder, Order};
use super::{Machine, notes};

/// The choices of the program that wrote the dump.
#[derive(Clone, Copy, Debug, Default)]
pub struct Elf {
    /// Write ELF64 for a 32-bit machine, as is done for x86 with PAE.
    pub force_64bit: bool,
    /// Keep the segment count in section header 0 even when it would fit into the header (it is always done from
    /// 65535 segments on).
    pub extended_numbering: bool,
    /// The flag of makedumpfile's that says it ran out of space.
    pub incomplete: bool,
}

/// A PT_LOAD segment.
#[derive(Clone, Debug)]
pub struct Load {
    pub physical_address: u64,
    pub virtual_address: u64,
    pub bytes: Vec<u8>,
    /// p_memsz; more than `bytes` holds where pages were left out.
    pub memory_size: u64,
}

/// Writes a machine's pages, a segment for each run of pages; what was filtered lengthens p_memsz.
pub fn write(machine: &Machine, options: &Elf) -> Vec<u8> {
    write_segments(machine, &loads(machine), options)
}

/// The segments of a machine's memory in ascending order.
pub fn loads(machine: &Machine) -> Vec<Load> {
    let size = machine.page_size as u64;
    let mut loads: Vec<Load> = Vec::new();
    let frames = machine
        .pages
        .keys()
        .chain(&machine.filtered)
        .collect::<std::collections::BTreeSet<_>>();
    for frame in frames {
        let address = frame * size;
        let page = machine.pages.get(frame);
        let follows = loads
            .last()
            .is_some_and(|last| last.physical_address + last.memory_size == address);
        let whole = loads
            .last()
            .is_some_and(|last| last.bytes.len() as u64 == last.memory_size);
        if !follows || (page.is_some() && !whole) {
            let start = Load {
                physical_address: address,
                virtual_address: 0,
                bytes: Vec::new(),
                memory_size: 0,
            };
            loads.push(start);
        }
        let last = loads.last_mut().unwrap();
        last.memory_size += size;
        last.bytes.extend(page.into_iter().flatten());
    }
    loads
}

/// Writes the given segments in the given order, with the machine's notes.
pub fn write_segments(machine: &Machine, loads: &[Load], options: &Elf) -> Vec<u8> {
    let is_64bit = machine.abi.is_64bit() || options.force_64bit;
    // ELF headers are aligned alike on all machines.
    let word = if is_64bit { 8 } else { 4 };
    let abi = Abi {
        word,
        align_of_u64: 8,
        ..machine.abi
    };
    let (header_size, entry_size, section_size) = if is_64bit { (64, 56, 64) } else { (52, 32, 40) };
    let count = loads.len() + 1;
    let extended = options.extended_numbering || count >= 0xffff;
    let notes = notes::encode(&machine.all_notes(), machine.abi);
    let notes_at = header_size + count * entry_size + if extended { section_size } else { 0 };
    let data_at = notes_at + notes.len();

    let mut file = Encoder::new(abi);
    let order = if abi.order == Order::Little { 1 } else { 2 };
    file.raw(b"\x7fELF").raw(&[word as u8 / 4, order, 1]).pad_to(16);
    file.u16(4).u16(machine_number(machine)).u32(1); // e_type, e_machine, e_version
    let sections_at = if extended { header_size + count * entry_size } else { 0 };
    file.word(0).word(header_size as u64).word(sections_at as u64); // e_entry, e_phoff, e_shoff
    file.u32(u32::from(options.incomplete)).u16(header_size as u16); // e_flags, e_ehsize
    file.u16(entry_size as u16)
        .u16(if extended { 0xffff } else { count as u16 }); // e_phentsize, e_phnum
    file.u16(if extended { section_size as u16 } else { 0 })
        .u16(u16::from(extended))
        .u16(0);
    assert_eq!(file.len(), header_size);

    let mut entry = |kind: u32, offset: usize, load: &Load| {
        let (size, memory) = (load.bytes.len() as u64, load.memory_size);
        file.u32(kind);
        if is_64bit {
            file.u32(7)
                .u64(offset as u64)
                .u64(load.virtual_address)
                .u64(load.physical_address);
            file.u64(size).u64(memory).u64(0);
        } else {
            file.u32(offset as u32)
                .u32(load.virtual_address as u32)
                .u32(load.physical_address as u32);
            file.u32(size as u32).u32(memory as u32).u32(7).u32(0);
        }
    };
    let note_segment = Load {
        physical_address: 0,
        virtual_address: 0,
        bytes: notes.clone(),
        memory_size: 0,
    };
    entry(4, notes_at, &note_segment);
    let mut at = data_at;
    for load in loads {
        entry(1, at, load);
        at += load.bytes.len();
    }
    if extended {
        // Section header 0: sh_info holds the number of program headers.
        file.u32(0)
            .u32(0)
            .word(0)
            .word(0)
            .word(0)
            .word(0)
            .u32(0)
            .u32(count as u32)
            .word(0)
            .word(0);
    }
    file.raw(&notes);
    assert_eq!(file.len(), data_at);
    for load in loads {
        file.raw(&load.bytes);
    }
    file.into_bytes()
}

fn machine_number(machine: &Machine) -> u16 {
    match machine.utsname[4].as_str() {
        "x86_64" => 62,
        "i686" => 3,
        "armv7l" => 40,
        "aarch64" => 183,
        "s390x" => 22,
        "ppc" => 20,
        other => panic!("no e_machine known for {other}"),
    }
}
