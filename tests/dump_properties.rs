//! Every format, word size, byte order and compression: what was written reads back, cut files give what they still
//! hold and say that they are cut, and no bytes make the reader panic.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use support::dump_writer::elf::{self, Elf};
use support::dump_writer::encoder::Order;
use support::dump_writer::flat::{self, Flat};
use support::dump_writer::kdump::{self, Compression, Kdump};
use support::dump_writer::{Abi, CpuState, Machine, Note, notes};
use vmcoroner::addr::PhysAddr;
use vmcoroner::dump::{ByteOrder, MemoryError, PhysicalMemory, Vmcore};
use vmcoroner::input::ReadAt;

const PAGE: usize = 4096;

/// Page contents: zero, of one byte, half compressible, not compressible.
fn page(kind: u8, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut noise = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    match kind % 4 {
        0 => vec![0; PAGE],
        1 => vec![seed as u8; PAGE],
        2 => (0..PAGE).map(|index| if index % 8 < 4 { noise() } else { 0 }).collect(),
        _ => (0..PAGE).map(|_| noise()).collect(),
    }
}

prop_compose! {
    fn machine()(
        abi in select(&Abi::ALL[..]),
        frames in prop::collection::btree_map(0u64..300, (0u8..5, any::<u64>()), 1..30),
        spare in 0u64..500,
        vmcoreinfo in prop::option::of("OSRELEASE=6\\.[0-9]\nPAGESIZE=4096\n[A-Z=0-9\n]{0,300}"),
        pids in prop::collection::vec(any::<i32>(), 0..4),
    ) -> Machine {
        let mut machine = Machine::new(abi);
        for (frame, (kind, seed)) in frames {
            if kind == 4 {
                machine.filtered.insert(frame);
            } else {
                machine.pages.insert(frame, page(kind, seed));
            }
        }
        machine.page_frames = machine.frame_count() + spare;
        machine.vmcoreinfo = vmcoreinfo.map(String::into_bytes);
        let registers = if abi == Abi::I386 { 17 } else if abi == Abi::ARM { 18 } else { 27 };
        machine.cpus = pids
            .into_iter()
            .map(|pid| CpuState { pid, registers: (0..registers).map(|index| index * 0x0101).collect() })
            .collect();
        machine
    }
}

prop_compose! {
    fn kdump_options()(
        version in 0i32..=6,
        compression in select(&Compression::ALL[..]),
        dump_level in 0u32..32,
        share_zero_page: bool,
    ) -> Kdump {
        Kdump { version, compression, dump_level, share_zero_page, ..Kdump::default() }
    }
}

fn open(file: Vec<u8>) -> Result<Vmcore, vmcoroner::dump::DumpError> {
    Vmcore::open(vec![Arc::new(file)])
}

fn read_page(dump: &Vmcore, frame: u64) -> Result<Vec<u8>, MemoryError> {
    let mut page = vec![0; PAGE];
    dump.read(PhysAddr(frame * PAGE as u64), &mut page).map(|()| page)
}

/// Every stored page reads back, every other one is refused as what it is.
fn check_memory(dump: &Vmcore, machine: &Machine) -> Result<(), TestCaseError> {
    for frame in 0..machine.frame_count() + 10 {
        let address = PhysAddr(frame * PAGE as u64);
        let inside = dump.ranges().iter().any(|range| range.contains(&address.0));
        let expected = match machine.pages.get(&frame) {
            Some(page) => {
                prop_assert!(inside, "page {frame:#x} is in no range");
                Ok(page.clone())
            }
            None if machine.filtered.contains(&frame) => Err(MemoryError::Excluded(address)),
            None => Err(MemoryError::NotPresent(address)),
        };
        prop_assert!(read_page(dump, frame) == expected, "page {frame:#x}");
    }
    prop_assert!(dump.ranges().is_sorted_by(|a, b| a.end <= b.start));
    Ok(())
}

/// After a cut: a page is as it was written, or refused; which pages could be read.
fn check_cut_memory(dump: &Vmcore, machine: &Machine) -> Result<usize, TestCaseError> {
    let mut count = 0;
    for (frame, page) in &machine.pages {
        match read_page(dump, *frame) {
            Ok(read) => {
                prop_assert!(read == *page, "page {frame:#x} reads wrong");
                count += 1;
            }
            Err(error) => prop_assert!(
                dump.header().truncated,
                "page {frame:#x}: {error}, and not said to be cut"
            ),
        }
    }
    Ok(count)
}

fn check_header(dump: &Vmcore, machine: &Machine) -> Result<(), TestCaseError> {
    let header = dump.header();
    let order = if machine.abi.order == Order::Little {
        ByteOrder::Little
    } else {
        ByteOrder::Big
    };
    prop_assert_eq!(header.byte_order, order);
    prop_assert_eq!(header.is_64bit, machine.abi.is_64bit());
    prop_assert_eq!(header.page_size, PAGE as u64);
    prop_assert!(!header.truncated, "{:?}", header.remarks);
    Ok(())
}

fn check_notes(dump: &Vmcore, machine: &Machine) -> Result<(), TestCaseError> {
    let read: Vec<_> = dump
        .header()
        .prstatus
        .iter()
        .map(|cpu| (cpu.pid, cpu.registers.clone()))
        .collect();
    let written: Vec<_> = machine
        .cpus
        .iter()
        .map(|cpu| (cpu.pid, cpu.registers.clone()))
        .collect();
    // Registers of machines without a known count: those, and what follows them.
    prop_assert_eq!(read.len(), written.len());
    for (read, written) in read.iter().zip(&written) {
        prop_assert_eq!(read.0, written.0);
        prop_assert!(read.1.starts_with(&written.1), "{:x?}", read.1);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn kdump_reads_back(machine in machine(), options in kdump_options()) {
        let dump = open(kdump::write(&machine, &options)).unwrap();
        check_header(&dump, &machine)?;
        check_memory(&dump, &machine)?;
        let header = dump.header();
        let names = header.utsname.clone().unwrap();
        prop_assert_eq!([names.sysname, names.nodename, names.release, names.version, names.machine],
            ["Linux", "tester", "6.1.0-test", "#1 SMP", machine.abi.machine()]);
        prop_assert_eq!(header.timestamp, Some(machine.timestamp));
        prop_assert_eq!(header.partial, (options.version >= 1).then_some(options.dump_level != 0));
        if options.version >= 3 {
            prop_assert_eq!(&header.vmcoreinfo, &machine.vmcoreinfo);
        }
        if options.version >= 4 {
            check_notes(&dump, &machine)?;
        }
        let compressions = dump.compressions_seen();
        let expected = match options.compression {
            Compression::Raw => vec![],
            Compression::Zlib => vec!["zlib"],
            Compression::Lzo => vec!["lzo"],
            Compression::Snappy => vec!["snappy"],
            Compression::Zstd => vec!["zstd"],
        };
        prop_assert_eq!(compressions, expected);
    }

    #[test]
    fn elf_reads_back(machine in machine(), extended_numbering: bool, force_64bit: bool) {
        let force_64bit = force_64bit && machine.abi == Abi::I386;
        let options = Elf { extended_numbering, force_64bit, incomplete: false };
        let dump = open(elf::write(&machine, &options)).unwrap();
        check_header(&dump, &machine)?;
        check_memory(&dump, &machine)?;
        check_notes(&dump, &machine)?;
        prop_assert_eq!(&dump.header().vmcoreinfo, &machine.vmcoreinfo);
        prop_assert_eq!(dump.header().partial, Some(!machine.filtered.is_empty()));
    }

    #[test]
    fn flattened_reads_back(
        machine in machine(), options in kdump_options(), as_elf: bool,
        record in 100usize..9000, disorder: bool, skip_zeros: bool,
    ) {
        let plain = if as_elf { elf::write(&machine, &Elf::default()) } else { kdump::write(&machine, &options) };
        let dump = open(flat::write(&plain, &Flat { record, disorder, skip_zeros, end_mark: true })).unwrap();
        prop_assert_eq!(dump.header().format, "flattened");
        check_header(&dump, &machine)?;
        check_memory(&dump, &machine)?;
    }

    /// Cut anywhere: nothing that reads is wrong, what the bytes hold is read, and the cut is said.
    #[test]
    fn cut_files_give_what_they_hold(
        machine in machine(), options in kdump_options(), format in 0..3, cut in any::<Index>(),
    ) {
        let plain = if format == 1 { elf::write(&machine, &Elf::default()) } else { kdump::write(&machine, &options) };
        let whole = if format == 2 { flat::write(&plain, &Flat::default()) } else { plain };
        let cut = cut.index(whole.len());
        let Ok(dump) = open(whole[..cut].to_vec()) else {
            prop_assert!(cut < 3 * PAGE, "a cut at {cut} of {} leaves nothing", whole.len());
            return Ok(());
        };
        let read = check_cut_memory(&dump, &machine)?;
        prop_assert!(dump.header().truncated || read == machine.pages.len(), "cut at {cut} of {}", whole.len());
        // Page data comes last: uncompressed pages show how many the rest must still hold.
        if format == 1 || options.compression == Compression::Raw && !options.share_zero_page {
            let lost = (whole.len() - cut).div_ceil(PAGE);
            prop_assert!(read + lost >= machine.pages.len(), "{read} pages of {}", machine.pages.len());
        }
    }

    #[test]
    fn split_sets_read_back_in_any_order(
        machine in machine(), options in kdump_options(), cuts in prop::collection::btree_set(1u64..200, 1..4),
        rotation in 0usize..4, lost in prop::option::of(0usize..4), flatten: bool,
    ) {
        let options = Kdump { version: options.version.max(2), ..options };
        let frames = machine.frame_count();
        let cuts: Vec<u64> = cuts.into_iter().filter(|cut| *cut < frames).collect();
        let mut files = kdump::write_split(&machine, &options, &cuts);
        let count = files.len();
        if flatten {
            files = files.iter().map(|file| flat::write(file, &Flat::default())).collect();
        }
        let lost = lost.filter(|_| count > 1).map(|lost| lost % count);
        if let Some(lost) = lost {
            files.remove(lost);
        }
        let rotation = rotation % files.len();
        files.rotate_left(rotation);
        let dump = Vmcore::open(files.into_iter().map(|file| Arc::new(file) as Arc<dyn ReadAt>).collect()).unwrap();
        match lost {
            None => {
                check_header(&dump, &machine)?;
                check_memory(&dump, &machine)?;
            }
            Some(lost) => {
                prop_assert!(dump.header().truncated);
                prop_assert!(dump.header().remarks.iter().any(|remark| remark.contains("part of this split dump")));
                let edges: Vec<u64> = [0].into_iter().chain(cuts).chain([frames]).collect();
                for (frame, page) in &machine.pages {
                    let expected = (!(edges[lost]..edges[lost + 1]).contains(frame)).then(|| page.clone());
                    prop_assert!(read_page(&dump, *frame).ok() == expected, "page {frame:#x}");
                }
            }
        }
    }

    #[test]
    fn an_incomplete_dump_says_so(machine in machine(), options in kdump_options(), kept in any::<Index>()) {
        let kept = kept.index(machine.pages.len().max(1));
        let options = Kdump { incomplete_after: Some(kept), share_zero_page: false, ..options };
        let dump = open(kdump::write(&machine, &options)).unwrap();
        prop_assert!(dump.header().truncated);
        for (index, (frame, page)) in machine.pages.iter().enumerate() {
            let address = PhysAddr(frame * PAGE as u64);
            let expected = if index < kept { Ok(page.clone()) } else { Err(MemoryError::Excluded(address)) };
            prop_assert!(read_page(&dump, *frame) == expected);
        }
    }

    /// Any reads, across page borders and out of range, agree with memory.
    #[test]
    fn reads_of_any_size_agree(
        machine in machine(), as_elf: bool, reads in prop::collection::vec((0u64..400 * 4096, 0usize..10_000), 1..30),
    ) {
        let file = if as_elf { elf::write(&machine, &Elf::default()) } else { kdump::write(&machine, &Kdump::default()) };
        let dump = open(file).unwrap();
        for (at, size) in reads {
            let expected: Option<Vec<u8>> = (at..at + size as u64)
                .map(|at| Some(machine.pages.get(&(at / PAGE as u64))?[at as usize % PAGE]))
                .collect();
            let mut buf = vec![0; size];
            let read = dump.read(PhysAddr(at), &mut buf).ok().map(|()| buf);
            prop_assert_eq!(read, expected);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Bytes changed anywhere in the headers: whatever comes of it, nothing panics, and it ends.
    #[test]
    fn damaged_headers_are_answered(
        machine in machine(), options in kdump_options(), format in 0..3,
        damage in prop::collection::vec((0usize..9000, any::<u8>()), 1..12),
    ) {
        let plain = if format == 1 { elf::write(&machine, &Elf::default()) } else { kdump::write(&machine, &options) };
        let mut file = if format == 2 { flat::write(&plain, &Flat::default()) } else { plain };
        for (at, value) in damage {
            if let Some(byte) = file.get_mut(at) {
                *byte = value;
            }
        }
        if let Ok(dump) = open(file) {
            for frame in (0..300).step_by(7) {
                let _ = read_page(&dump, frame);
            }
        }
    }

    /// Any bytes behind a magic.
    #[test]
    fn arbitrary_bytes_are_answered(
        magic in select(vec![b"KDUMP   ".as_slice(), b"DISKDUMP", b"\x7fELF\x02\x01\x01", b"\x7fELF\x01\x02\x01",
            b"makedumpfile\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01"]),
        bytes in prop::collection::vec(any::<u8>(), 0..12_000),
    ) {
        if let Ok(dump) = open([magic, &bytes].concat()) {
            let _ = read_page(&dump, 1);
        }
    }
}

#[test]
fn large_reads_agree_and_fail_as_small_ones_do() {
    let mut machine = Machine::new(Abi::X86_64);
    machine.pages = (10..500).map(|frame| (frame, page(2, frame + 1))).collect();
    let dump = open(kdump::write(&machine, &Kdump::default())).unwrap();
    let memory: Vec<u8> = machine.pages.values().flatten().copied().collect();
    let start = 10 * PAGE as u64;
    let mut bytes = vec![0; 400 * PAGE];
    dump.read(PhysAddr(start + 1234), &mut bytes).unwrap();
    assert!(bytes == memory[1234..][..bytes.len()]);
    let behind = dump.read(PhysAddr(start + 100 * PAGE as u64), &mut bytes);
    assert_eq!(behind, Err(MemoryError::NotPresent(PhysAddr(500 * PAGE as u64))));
    let nowhere = dump.read(PhysAddr(u64::MAX - 8), &mut bytes);
    assert_eq!(nowhere, Err(MemoryError::NotPresent(PhysAddr(u64::MAX - 8))));
}

#[test]
fn old_diskdump_has_one_bitmap() {
    let mut machine = Machine::new(Abi::I386);
    for frame in [0, 5, 20_000, 30_000] {
        machine.pages.insert(frame, page(2, frame + 1));
    }
    let options = Kdump {
        version: 0,
        diskdump: true,
        one_bitmap: true,
        compression: Compression::Raw,
        ..Kdump::default()
    };
    let dump = open(kdump::write(&machine, &options)).unwrap();
    assert_eq!(dump.header().format, "diskdump");
    assert_eq!(dump.header().partial, None);
    for (frame, page) in &machine.pages {
        assert!(read_page(&dump, *frame).unwrap() == *page);
    }
}

#[test]
fn more_segments_than_the_header_can_count() {
    let mut machine = Machine::new(Abi::X86_64);
    machine.vmcoreinfo = Some(b"OSRELEASE=6.1.0\n".to_vec());
    let loads: Vec<_> = (0..70_000u64)
        .rev()
        .map(|index| elf::Load {
            physical_address: index * 64 + 3,
            virtual_address: 0,
            bytes: vec![index as u8; 16],
            memory_size: 16,
        })
        .collect();
    let dump = open(elf::write_segments(&machine, &loads, &Elf::default())).unwrap();
    assert_eq!(dump.header().vmcoreinfo, machine.vmcoreinfo);
    for index in [0u64, 1, 65_534, 69_999] {
        let mut bytes = [0; 16];
        dump.read(PhysAddr(index * 64 + 3), &mut bytes).unwrap();
        assert_eq!(bytes, [index as u8; 16]);
        assert!(dump.read(PhysAddr(index * 64 + 2), &mut bytes).is_err());
    }
    assert_eq!(dump.ranges().len(), 70_000);
}

#[test]
fn segments_may_overlap_and_begin_inside_a_page() {
    let machine = Machine::new(Abi::X86_64);
    let load = |physical_address: u64, bytes: Vec<u8>, memory_size: u64| elf::Load {
        physical_address,
        virtual_address: 0,
        bytes,
        memory_size,
    };
    let pattern: Vec<u8> = (0..3 * PAGE).map(|index| (index / 7) as u8).collect();
    // Memory from 0x1234 on, given three times over: whole, its middle, and its end without bytes.
    let loads = [
        load(0x1234 + 5000, pattern[5000..6000].to_vec(), 1000),
        load(0x1234, pattern.clone(), 3 * PAGE as u64),
        load(0x1234 + 9000, Vec::new(), 5000),
    ];
    let dump = open(elf::write_segments(&machine, &loads, &Elf::default())).unwrap();
    let mut bytes = vec![0; 3 * PAGE];
    dump.read(PhysAddr(0x1234), &mut bytes).unwrap();
    assert!(bytes == pattern);
    assert_eq!(
        dump.read(PhysAddr(0x1234 + 13_000), &mut [0]),
        Err(MemoryError::Excluded(PhysAddr(0x1234 + 13_000)))
    );
}

#[test]
fn hypervisor_notes_are_read() {
    let mut machine = Machine::new(Abi::X86_64);
    machine.pages.insert(1, page(2, 9));
    machine.cpus = vec![CpuState {
        pid: 1,
        registers: (100..127).collect(),
    }];
    let registers: [u64; 18] = std::array::from_fn(|index| 0xffff_8000_0000_0000 + index as u64);
    let bases: [u64; 10] = std::array::from_fn(|index| 0x1000 * index as u64);
    machine.notes = vec![
        Note::blank(),
        Note::new("LINUX", 0x700, vec![7; 3 << 20]),
        notes::qemu_cpu(registers, bases, [1, 2, 3, 4, 5], None),
        notes::qemu_cpu(registers, bases, [1, 2, 3, 4, 5], Some(6)),
    ];
    for file in [
        elf::write(&machine, &Elf::default()),
        kdump::write(&machine, &Kdump::default()),
    ] {
        let dump = open(file).unwrap();
        let cpus = &dump.header().qemu_cpus;
        assert_eq!(cpus.len(), 2);
        assert_eq!(cpus[0].registers, registers);
        assert_eq!(cpus[0].control, [1, 2, 3, 4, 5]);
        assert_eq!((cpus[0].gs_base, cpus[0].idt_base), (0x4000, 0x9000));
        assert_eq!((cpus[0].kernel_gs_base, cpus[1].kernel_gs_base), (None, Some(6)));
        assert_eq!(dump.header().prstatus[0].registers, (100..127).collect::<Vec<_>>());
    }
}

#[test]
fn cores_of_other_things_are_named() {
    let mut machine = Machine::new(Abi::X86_64);
    let without_memory = open(elf::write(&machine, &Elf::default())).unwrap_err();
    assert!(without_memory.to_string().contains("Xen"), "{without_memory}");
    machine.pages = BTreeMap::from([(0, page(1, 1))]);
    machine.notes = vec![Note::new("CORE", 6, vec![0; 320])];
    let of_process = open(elf::write(&machine, &Elf::default())).unwrap_err();
    assert!(of_process.to_string().contains("core of a process"), "{of_process}");
}

#[test]
fn files_of_different_dumps_are_no_set() {
    let mut machine = Machine::new(Abi::X86_64);
    machine.pages = (0..40).map(|frame| (frame, page(2, frame + 1))).collect();
    let first = kdump::write_split(&machine, &Kdump::default(), &[20]);
    machine.timestamp += 1;
    let second = kdump::write_split(&machine, &Kdump::default(), &[20]);
    let open_two = |a: &[u8], b: &[u8]| Vmcore::open(vec![Arc::new(a.to_vec()), Arc::new(b.to_vec())]);
    assert!(open_two(&first[0], &first[1]).is_ok());
    assert!(
        open_two(&first[0], &second[1])
            .unwrap_err()
            .to_string()
            .contains("part 2")
    );
    let whole = kdump::write(&machine, &Kdump::default());
    assert!(open_two(&whole, &whole).is_err());
}

#[test]
fn an_elf_core_may_say_that_it_is_incomplete() {
    let mut machine = Machine::new(Abi::X86_64);
    machine.pages.insert(3, page(1, 1));
    let dump = open(elf::write(
        &machine,
        &Elf {
            incomplete: true,
            ..Elf::default()
        },
    ))
    .unwrap();
    assert!(dump.header().truncated);
}
