use proptest::prelude::*;

use super::*;
use crate::kernel::access::test_memory::TestMemory;
use crate::kernel::vmcoreinfo::Vmcoreinfo;

const PRB: u64 = 0xffff_ffff_8200_0000;
const RING: u64 = 0xffff_ffff_8200_1000;
const DESCS: u64 = 0xffff_ffff_8201_0000;
const INFOS: u64 = 0xffff_ffff_8202_0000;
const TEXT: u64 = 0xffff_ffff_8204_0000;
const COMMITTED: u64 = 1;

/// A ring that is written as the kernel writes it, without its races.
struct Writer {
    count_bits: u32,
    size_bits: u32,
    head_id: u64,
    head: u64,
    tail: u64,
    written: u64,
    descs: Vec<[u64; 3]>,
    infos: Vec<Vec<u8>>,
    text: Vec<u8>,
}

impl Writer {
    fn new(count_bits: u32, size_bits: u32) -> Writer {
        let (count, size) = (1u64 << count_bits, 1u64 << size_bits);
        let first = count.wrapping_add(1).wrapping_neg() & (u64::MAX >> 2);
        let mut descs = vec![[0, 1, 1]; count as usize];
        descs[(first % count) as usize][0] = first | REUSABLE << 62;
        Writer {
            count_bits,
            size_bits,
            head_id: first,
            head: size.wrapping_neg(),
            tail: size.wrapping_neg(),
            written: 0,
            descs,
            infos: vec![vec![0; 88]; count as usize],
            text: vec![0; size as usize],
        }
    }

    fn size(&self) -> u64 {
        1 << self.size_bits
    }

    fn add(&mut self, text: &[u8], state: u64) -> u64 {
        let id = self.head_id.wrapping_add(1) & (u64::MAX >> 2);
        self.head_id = id;
        let index = (id % (1 << self.count_bits)) as usize;
        let length = (8 + text.len() as u64).next_multiple_of(8);
        let (begin, next) = if text.is_empty() {
            (3, 3)
        } else {
            let round = |at: u64| at & !(self.size() - 1);
            let begin = self.head;
            let mut next = begin.wrapping_add(length);
            let mut start = begin;
            if round(next) != round(begin) {
                start = round(next);
                next = start.wrapping_add(length);
            }
            self.head = next;
            if next.wrapping_sub(self.tail) as i64 > self.size() as i64 {
                self.tail = next.wrapping_sub(self.size());
            }
            let at = (start % self.size()) as usize;
            self.text[at..at + 8].copy_from_slice(&id.to_le_bytes());
            self.text[at + 8..at + 8 + text.len()].copy_from_slice(text);
            (begin, next)
        };
        self.descs[index] = [id | state << 62, begin, next];
        let info = &mut self.infos[index];
        info[0..8].copy_from_slice(&self.written.to_le_bytes());
        info[8..16].copy_from_slice(&(self.written * 1_000_000_000).to_le_bytes());
        info[16..18].copy_from_slice(&(text.len() as u16).to_le_bytes());
        info[19] = 6 << 5;
        info[20..24].copy_from_slice(&(0x8000_0001u32).to_le_bytes());
        self.written += 1;
        id
    }

    fn memory(&self) -> TestMemory {
        let count = 1u64 << self.count_bits;
        let oldest = self.head_id.wrapping_sub(self.written.min(count - 1)) & (u64::MAX >> 2);
        let words = [
            u64::from(self.count_bits),
            DESCS,
            INFOS,
            self.head_id,
            oldest,
            0,
            u64::from(self.size_bits),
            TEXT,
            self.head,
            self.tail,
            0,
        ];
        let bytes = |words: &[u64]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
        TestMemory {
            parts: vec![
                (PRB, bytes(&[RING])),
                (RING, bytes(&words)),
                (DESCS, bytes(self.descs.as_flattened())),
                (INFOS, self.infos.concat()),
                (TEXT, self.text.clone()),
            ],
        }
    }

    fn log(&self) -> KernelLog {
        log(self.memory()).unwrap()
    }
}

fn log(memory: TestMemory) -> Result<KernelLog, LogError> {
    let info = Vmcoreinfo::parse(format!("OSRELEASE=6.1.0\nSYMBOL(prb)={PRB:x}\n").as_bytes());
    KernelLog::read(&memory.reader(), &info, &|_| None)
}

fn texts(log: &KernelLog) -> Vec<String> {
    log.records.iter().map(Record::printable).collect()
}

#[test]
fn a_young_log_is_complete() {
    let mut ring = Writer::new(4, 10);
    for text in ["Linux version 6.1", "", "multi\nline"] {
        ring.add(text.as_bytes(), FINALIZED);
    }
    ring.add(b"the last", COMMITTED);
    let log = ring.log();
    assert_eq!(texts(&log), ["Linux version 6.1", "", "multi\nline", "the last"]);
    assert!(log.complete, "{:?}", log.problems);
    let last = log.records.last().unwrap();
    assert_eq!((last.seq, last.nanoseconds), (3, Some(3_000_000_000)));
    assert_eq!((last.level, last.caller), (Some(6), Some(Caller::Cpu(1))));
}

#[test]
fn an_old_log_has_its_newest_records() {
    // 8 descriptors and 256 bytes of text: both wrap many times, at different places.
    let mut ring = Writer::new(3, 8);
    let lines: Vec<String> = (0..100)
        .map(|number| format!("line {number:0width$}", width = 1 + number % 13))
        .collect();
    for line in &lines {
        ring.add(line.as_bytes(), FINALIZED);
    }
    let log = ring.log();
    assert_eq!(texts(&log), lines[92..]);
    assert_eq!(log.records[0].seq, 92);
    assert!(!log.complete);
    assert!(log.problems.is_empty(), "{:?}", log.problems);
}

#[test]
fn a_half_written_record_is_kept_and_marked() {
    let mut ring = Writer::new(4, 10);
    ring.add(b"whole", FINALIZED);
    ring.add(b"Kernel panic - not sy", RESERVED);
    let log = ring.log();
    assert_eq!(log.records[1].state, State::HalfWritten);
    assert_eq!(log.records[1].printable(), "Kernel panic - not sy");
    assert_eq!(log.render(), "[    0.000000] whole\n");
    assert!(log.complete, "{:?}", log.problems);
    assert_eq!(log.problems, ["records half-written when the kernel stopped: 1"]);
}

#[test]
fn a_block_of_another_record_is_in_doubt() {
    let mut ring = Writer::new(4, 10);
    ring.add(b"first", FINALIZED);
    ring.add(b"second", FINALIZED);
    ring.text[0] ^= 1;
    let log = ring.log();
    assert_eq!(log.records[0].state, State::Suspect);
    assert_eq!(log.records[1].state, State::Whole);
    assert!(!log.complete);
}

/// Three pages of text and two of descriptors, of which pages will be missing.
fn large() -> (Writer, Vec<String>) {
    let mut ring = Writer::new(8, 14);
    let lines: Vec<String> = (0..200)
        .map(|number| format!("{number:03} {}", "x".repeat(number % 90)))
        .collect();
    for line in &lines {
        ring.add(line.as_bytes(), FINALIZED);
    }
    (ring, lines)
}

fn without_page(ring: &Writer, base: u64, page: u64) -> KernelLog {
    let mut memory = ring.memory();
    let part = memory.parts.iter().position(|(at, _)| *at == base).unwrap();
    let (at, bytes) = memory.parts.remove(part);
    let (start, end) = ((page * 4096) as usize, ((page + 1) * 4096) as usize);
    memory.parts.push((at, bytes[..start].to_vec()));
    memory
        .parts
        .push((at + end as u64, bytes[end.min(bytes.len())..].to_vec()));
    log(memory).unwrap()
}

#[test]
fn a_missing_page_of_text_costs_only_its_records() {
    let (ring, lines) = large();
    let log = without_page(&ring, TEXT, 1);
    assert_eq!(log.records.len(), lines.len());
    let whole = log.records.iter().filter(|record| record.state == State::Whole);
    assert!(
        whole
            .clone()
            .all(|record| record.printable() == lines[record.seq as usize])
    );
    assert!((100..199).contains(&whole.count()));
    assert!(!log.complete && !log.problems.is_empty());
}

#[test]
fn a_missing_page_of_infos_leaves_the_text() {
    let (ring, lines) = large();
    let log = without_page(&ring, INFOS, 1);
    let found: Vec<String> = texts(&log)
        .iter()
        .map(|text| text.trim_end_matches('\0').to_owned())
        .collect();
    assert_eq!(found, lines);
    assert!(log.records.iter().any(|record| record.nanoseconds.is_none()));
    assert!(log.records.iter().zip(0..).all(|(record, number)| record.seq == number));
}

#[test]
fn a_missing_page_of_descriptors_leaves_the_text() {
    let (ring, lines) = large();
    for page in 0..2 {
        let log = without_page(&ring, DESCS, page);
        assert_eq!(texts(&log), lines);
        assert!(log.records.iter().any(|record| record.state == State::Suspect));
    }
}

#[test]
fn a_damaged_descriptor_leaves_the_text() {
    let mut ring = Writer::new(4, 10);
    for text in ["first", "second", "third"] {
        ring.add(text.as_bytes(), FINALIZED);
    }
    let index = (ring.head_id % 16) as usize;
    ring.descs[index - 1] = [0x1234, 8, 16];
    let log = ring.log();
    assert_eq!(texts(&log), ["first", "second", "third"]);
    assert_eq!(log.records[1].state, State::Suspect);
}

#[test]
fn control_data_that_cannot_be_is_refused() {
    let mut memory = Writer::new(4, 10).memory();
    memory.parts[1].1[0] = 60;
    assert!(matches!(log(memory), Err(LogError::Implausible { .. })));
    assert!(matches!(
        log(TestMemory::default()),
        Err(LogError::Unreadable { what: "prb", .. })
    ));
}

proptest! {
    #[test]
    fn arbitrary_rings_do_no_harm(
        words in proptest::collection::vec(any::<u64>(), 11),
        count_bits in 0u64..32,
        size_bits in 0u64..33,
        junk in proptest::collection::vec(any::<u8>(), 0..4096),
        small: bool,
    ) {
        let (mut ring, _) = large();
        let spoil = |into: &mut [u8]| into.iter_mut().zip(&junk).for_each(|(byte, junk)| *byte ^= junk);
        spoil(&mut ring.text);
        ring.infos.iter_mut().for_each(|info| spoil(info));
        let mut memory = ring.memory();
        if !small {
            let bytes = &mut memory.parts[1].1;
            for (at, word) in words.iter().enumerate().filter(|(at, _)| ![1, 2, 7].contains(at)) {
                bytes[at * 8..at * 8 + 8].copy_from_slice(&word.to_le_bytes());
            }
            bytes[0..4].copy_from_slice(&(count_bits.min(16) as u32).to_le_bytes());
            bytes[48..52].copy_from_slice(&(size_bits.min(20) as u32).to_le_bytes());
        }
        spoil(&mut memory.parts[2].1);
        if let Ok(log) = log(memory) {
            let _ = log.render();
        }
    }

    #[test]
    fn what_was_written_is_read_back(
        lines in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..100), 1..60),
        count_bits in 2u32..6,
    ) {
        // Text enough for all that the descriptors can hold.
        let mut ring = Writer::new(count_bits, 13);
        for line in &lines {
            ring.add(line, FINALIZED);
        }
        let log = ring.log();
        let kept = lines.len().min(1 << count_bits);
        let found: Vec<Vec<u8>> = log.records.into_iter().map(|record| record.text).collect();
        prop_assert_eq!(&found[..], &lines[lines.len() - kept..]);
    }
}
