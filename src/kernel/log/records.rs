//! The log of 3.5–5.9: records in a circular buffer (`struct printk_log` in kernel/printk/printk.c; `struct log` up to
//! 3.10 and in el7).
//!
//! A record is its head, the text, a dictionary, and padding. A record of length 0 says that the next one is at the
//! buffer's start.

use std::ops::Range;

use super::collect::Collector;
use super::{Caller, FLAG_CONT, Form, KernelLog, LogError, Record, Source, State};
use crate::addr::VirtAddr;
use crate::kernel::access::Abi;
use crate::kernel::partial::Partial;

/// No kernel allocates more (`LOG_BUF_LEN_MAX`).
const MAX_BUFFER: u64 = 1 << 31;

/// How much of the buffer is read at once, and how much of that lies before the place asked for.
const WINDOW: u64 = 1 << 20;
const WINDOW_BEHIND: u64 = 256 << 10;

/// More records than any real log has, and more bytes than one has to search behind damage: both end the walk over a
/// hostile one.
const MAX_STEPS: usize = 4 << 20;
const MAX_SEARCH: u64 = 64 << 20;

/// All records start at a multiple of this (`LOG_ALIGN`: 4 on x86 since 3.6, else 8).
const ALIGN: u64 = 4;

/// Reads the log; `first` is the address of `log_first_idx`.
pub(super) fn read(source: &Source<'_>, first: VirtAddr) -> Result<KernelLog, LogError> {
    let first = source.memory.u32(first).map_err(|source| LogError::Unreadable {
        what: "log_first_idx",
        source,
    })?;
    let next = source.u32("log_next_idx")?;
    let size = u64::from(source.u32("log_buf_len")?);
    let buffer = source.pointer("log_buf")?;
    if size == 0 || size > MAX_BUFFER {
        return Err(LogError::Implausible {
            what: "log_buf_len",
            value: size,
        });
    }
    for (what, index) in [("log_first_idx", first), ("log_next_idx", next)] {
        if u64::from(index) > size {
            return Err(LogError::Implausible {
                what,
                value: u64::from(index),
            });
        }
    }
    let first_seq = source.symbol("log_first_seq").and_then(|at| source.memory.u64(at).ok());
    let mut walk = Walk {
        source,
        layout: Layout::new(source),
        buffer,
        part: 0..0,
        window: Window::default(),
        log: Collector::new(),
        seq: first_seq.unwrap_or(0),
        steps: 0,
        searched: 0,
    };
    // Without the number of the first record: an index of 0 means that nothing was overwritten, or (rarely) that the
    // oldest record left happens to lie there.
    let from_start = first_seq.map_or(first == 0, |seq| seq == 0);
    let (first, next) = (u64::from(first), u64::from(next));
    if first <= next {
        walk.over(first..next, false);
    } else {
        walk.over(first..size, true);
        walk.over(0..next, false);
    }
    walk.settle_facilities();
    Ok(walk.log.finish(Form::Records, from_start))
}

/// Where the members of a record's head are, in bytes.
struct Layout {
    abi: Abi,
    size: u64,
    time: usize,
    len: usize,
    text_len: usize,
    dict_len: usize,
    caller: Option<usize>,
}

/// A record's head.
struct Head {
    nanoseconds: u64,
    len: u64,
    text_len: u64,
    dict_len: u64,
    facility: u8,
    /// Flags in the lower 5 bits, the level above.
    flags: u8,
    caller: Option<u32>,
}

struct Walk<'a> {
    source: &'a Source<'a>,
    layout: Layout,
    buffer: VirtAddr,
    /// The part of the buffer that is walked over now, in bytes from the buffer's start.
    part: Range<u64>,
    window: Window,
    log: Collector,
    seq: u64,
    steps: usize,
    searched: u64,
}

/// What was read last.
#[derive(Default)]
struct Window {
    range: Range<u64>,
    bytes: Partial,
}

impl Layout {
    fn new(source: &Source<'_>) -> Layout {
        let get = |member: &str| {
            let offset = |name| source.info.offset(&format!("{name}.{member}"));
            offset("printk_log")
                .or_else(|| offset("log"))
                .and_then(|offset| usize::try_from(offset).ok())
        };
        let size = source.info.size("printk_log").or_else(|| source.info.size("log"));
        // The fallback is the layout of every 64-bit kernel without PRINTK_CALLER.
        Layout {
            abi: source.memory.abi(),
            size: size.filter(|size| (12..=256).contains(size)).unwrap_or(16),
            time: get("ts_nsec").unwrap_or(0),
            len: get("len").unwrap_or(8),
            text_len: get("text_len").unwrap_or(10),
            dict_len: get("dict_len").unwrap_or(12),
            caller: get("caller_id"),
        }
    }

    fn head(&self, bytes: &[u8]) -> Option<Head> {
        let uint = |at: usize, size: usize| Some(self.abi.uint(bytes.get(at..at.checked_add(size)?)?));
        let byte = |after: usize| bytes.get(self.dict_len.checked_add(after)?).copied();
        Some(Head {
            nanoseconds: uint(self.time, 8)?,
            len: uint(self.len, 2)?,
            text_len: uint(self.text_len, 2)?,
            dict_len: uint(self.dict_len, 2)?,
            // Not in VMCOREINFO: they follow dict_len in every version.
            facility: byte(2)?,
            flags: byte(3)?,
            caller: self.caller.and_then(|at| uint(at, 4)).map(|id| id as u32),
        })
    }
}

impl Walk<'_> {
    /// Takes the records of `part`, one behind the other; `wraps`: a mark may end them early.
    fn over(&mut self, part: Range<u64>, wraps: bool) {
        self.part = part.clone();
        let mut index = part.start;
        while index < part.end {
            self.steps += 1;
            if self.steps > MAX_STEPS {
                self.log
                    .problem(format!("the log does not end after {MAX_STEPS} records"));
                return;
            }
            match self.head(index) {
                // The mark that sends the reader to the buffer's start: nothing follows.
                Some(head) if wraps && head.len == 0 && head.text_len == 0 => return,
                Some(head) if self.fits(index, &head) => {
                    self.take(index, &head);
                    index += head.len;
                }
                _ => match self.resume(index) {
                    Some(found) => index = found,
                    None => return,
                },
            }
            self.seq = self.seq.wrapping_add(1);
        }
    }

    fn head(&mut self, index: u64) -> Option<Head> {
        let size = self.layout.size;
        let bytes = self.bytes(index, size)?;
        self.layout.head(&bytes)
    }

    fn fits(&self, index: u64, head: &Head) -> bool {
        let needed = self.layout.size + head.text_len + head.dict_len;
        head.len >= needed && head.len.is_multiple_of(ALIGN) && index + head.len <= self.part.end
    }

    fn take(&mut self, index: u64, head: &Head) {
        let text = self.bytes(index + self.layout.size, head.text_len);
        let state = if text.is_some() { State::Whole } else { State::Missing };
        self.log.push(Record {
            seq: self.seq,
            nanoseconds: Some(head.nanoseconds),
            level: Some(head.flags >> 5),
            facility: Some(head.facility),
            caller: head.caller.map(Caller::from_id),
            continues: head.flags & FLAG_CONT != 0,
            text: text.unwrap_or_default(),
            state,
        });
    }

    /// The next place behind a damaged or missing record at `index` where a row of records starts.
    fn resume(&mut self, index: u64) -> Option<u64> {
        // A gap that is too small for a head is the end of the buffer, not a loss.
        if self.part.end - index < self.layout.size {
            return None;
        }
        let why = self.window.why(index).unwrap_or_else(|| "damaged records".to_owned());
        let mut at = index + ALIGN;
        let found = loop {
            self.searched += ALIGN;
            if at + self.layout.size > self.part.end || self.searched > MAX_SEARCH {
                break None;
            }
            if self.starts_row(at) {
                break Some(at);
            }
            at += ALIGN;
        };
        let lost = found.unwrap_or(self.part.end) - index;
        self.log.problem(format!(
            "{lost} bytes of the log buffer at offset {index:#x} are lost: {why}"
        ));
        found
    }

    /// Whether three records, or all up to the end, follow one another from `at` on.
    fn starts_row(&mut self, at: u64) -> bool {
        const SECOND: u64 = 1_000_000_000;
        const YEARS: u64 = 20 * 366 * 24 * 3600 * SECOND;
        let mut at = at;
        let mut time = self.log.last().and_then(|last| last.nanoseconds).unwrap_or(0);
        for seen in 0..3 {
            if at == self.part.end {
                return seen > 0;
            }
            let Some(head) = self.head(at) else { return false };
            if head.len == 0 {
                return seen > 0 && head.text_len == 0;
            }
            // A time may lie a little before that of the record in front (another CPU's clock), never far behind it.
            let times = time.saturating_sub(SECOND)..time.saturating_add(YEARS);
            if !self.fits(at, &head) || head.text_len == 0 || !times.contains(&head.nanoseconds) {
                return false;
            }
            time = head.nanoseconds;
            at += head.len;
        }
        true
    }

    /// 3.5 and 3.6 had a 16-bit level with the facility above its 3 bits, where later kernels have facility and flags.
    /// Later ones set a flag in every record that ends a line, so flags that are always 0 give the old layout away.
    fn settle_facilities(&mut self) {
        let old = self
            .log
            .records_mut()
            .all(|record| record.level == Some(0) && !record.continues);
        if old && self.log.records_mut().any(|record| record.facility != Some(0)) {
            for record in self.log.records_mut() {
                let level = record.facility.unwrap_or(0);
                record.level = Some(level & 7);
                record.facility = Some(level >> 3);
            }
        }
    }
}

impl Walk<'_> {
    /// `len` bytes of the buffer from `at` on; `None`: outside the part, or not readable.
    fn bytes(&mut self, at: u64, len: u64) -> Option<Vec<u8>> {
        let end = at.checked_add(len).filter(|&end| end <= self.part.end)?;
        if at < self.window.range.start || end > self.window.range.end {
            let start = at.saturating_sub(WINDOW_BEHIND).max(self.part.start);
            let stop = end.max(start + WINDOW).min(self.part.end);
            let from = self.buffer.checked_add(start)?;
            let len = usize::try_from(stop - start).ok()?;
            self.window = Window {
                range: start..stop,
                bytes: Partial::read(self.source.memory, from, len),
            };
        }
        let skip = usize::try_from(at - self.window.range.start).ok()?;
        let end = skip.checked_add(usize::try_from(len).ok()?)?;
        self.window.bytes.get(skip..end).map(<[u8]>::to_vec)
    }
}

impl Window {
    /// Why the byte at `at` is missing, when it is.
    fn why(&self, at: u64) -> Option<String> {
        let at = usize::try_from(at.checked_sub(self.range.start)?).ok()?;
        let hole = self.bytes.holes().iter().find(|hole| hole.range.contains(&at))?;
        Some(hole.why.to_string())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kernel::access::test_memory::TestMemory;
    use crate::kernel::vmcoreinfo::Vmcoreinfo;

    const VARIABLES: u64 = 0xffff_ffff_8100_0000;
    const BUFFER: u64 = 0xffff_8800_0000_087c;
    const INFO_OR_LEVEL: u8 = 6;

    fn record(number: u64, text: &[u8], dict: &[u8], flags: u8) -> Vec<u8> {
        let len = (16 + text.len() + dict.len()).next_multiple_of(4);
        let mut bytes = (number * 1_000_000).to_le_bytes().to_vec();
        for value in [len, text.len(), dict.len()] {
            bytes.extend((value as u16).to_le_bytes());
        }
        bytes.extend([0, INFO_OR_LEVEL << 5 | flags]);
        bytes.extend(text);
        bytes.extend(dict);
        bytes.resize(len, 0);
        bytes
    }

    fn rows(lines: &[String]) -> Vec<u8> {
        let record = |(number, line): (u64, &String)| record(number, line.as_bytes(), b"SUBSYSTEM=acpi\0", 6);
        (0..).zip(lines).flat_map(record).collect()
    }

    fn lines(count: usize) -> Vec<String> {
        (0..count)
            .map(|number| format!("line {number} {}", "y".repeat(number % 50)))
            .collect()
    }

    fn memory(size: u32, first: u32, next: u32) -> TestMemory {
        let mut variables = BUFFER.to_le_bytes().to_vec();
        for value in [size, first, next] {
            variables.extend(value.to_le_bytes());
        }
        TestMemory::one(VARIABLES, variables)
    }

    fn log(mut memory: TestMemory, buffer: &[u8], missing: Range<u64>) -> Result<KernelLog, LogError> {
        let (start, end) = (BUFFER, BUFFER + buffer.len() as u64);
        for part in [
            start..missing.start.clamp(start, end),
            missing.end.clamp(start, end)..end,
        ] {
            let bytes = buffer[(part.start - start) as usize..(part.end - start) as usize].to_vec();
            memory.parts.push((part.start, bytes));
        }
        let at = |offset| VARIABLES + offset;
        let info = format!(
            "OSRELEASE=3.10.0-1127.el7.x86_64\nSYMBOL(log_buf)={:x}\nSYMBOL(log_buf_len)={:x}\nSYMBOL(log_first_idx)={:x}\n\
             SYMBOL(log_next_idx)={:x}\nSIZE(log)=16\nOFFSET(log.ts_nsec)=0\nOFFSET(log.len)=8\nOFFSET(log.text_len)=10\n\
             OFFSET(log.dict_len)=12\n",
            at(0),
            at(8),
            at(12),
            at(16)
        );
        KernelLog::read(&memory.reader(), &Vmcoreinfo::parse(info.as_bytes()), &|_| None)
    }

    const NOTHING: Range<u64> = 0..0;

    fn texts(log: &KernelLog) -> Vec<String> {
        log.records.iter().map(Record::printable).collect()
    }

    #[test]
    fn a_log_that_never_wrapped() {
        let lines = lines(100);
        let buffer = rows(&lines);
        let log = log(memory(1 << 20, 0, buffer.len() as u32), &buffer, NOTHING).unwrap();
        assert_eq!(texts(&log), lines);
        assert!(log.complete, "{:?}", log.problems);
        assert_eq!(
            (log.records[3].level, log.records[3].nanoseconds),
            (Some(6), Some(3_000_000))
        );
    }

    #[test]
    fn a_wrapped_log_goes_on_at_the_start() {
        let lines = lines(40);
        let (new, old) = (rows(&lines[20..]), rows(&lines[..20]));
        let mut buffer = new.clone();
        let first = buffer.len() + 64;
        buffer.resize(first, 0xee);
        buffer.extend(&old);
        // The mark, then what is left of older records.
        buffer.extend([0; 16]);
        buffer.resize(8192, 0xee);
        let log = log(memory(8192, first as u32, new.len() as u32), &buffer, NOTHING).unwrap();
        assert_eq!(texts(&log), lines);
        assert!(!log.complete);
        assert!(log.problems.is_empty(), "{:?}", log.problems);
    }

    #[test]
    fn a_missing_page_costs_only_its_records() {
        let lines = lines(400);
        let buffer = rows(&lines);
        let page = (BUFFER + 8192) & !4095;
        let log = log(memory(1 << 20, 0, buffer.len() as u32), &buffer, page..page + 4096).unwrap();
        let found = texts(&log);
        assert!((300..400).contains(&found.len()), "{}", found.len());
        assert_eq!(found[..50], lines[..50]);
        assert_eq!(found[found.len() - 50..], lines[350..]);
        assert!(!log.complete);
        assert_eq!(
            log.problems
                .iter()
                .filter(|problem| problem.contains("are lost"))
                .count(),
            1
        );
    }

    #[test]
    fn a_damaged_length_costs_only_its_records() {
        let lines = lines(50);
        let mut buffer = rows(&lines);
        let second = record(0, lines[0].as_bytes(), b"SUBSYSTEM=acpi\0", 6).len();
        buffer[second + 8] = 3;
        let log = log(memory(1 << 20, 0, buffer.len() as u32), &buffer, NOTHING).unwrap();
        assert_eq!(texts(&log)[1..], lines[2..]);
    }

    #[test]
    fn the_levels_of_3_5_are_told_apart() {
        let mut buffer = record(0, b"one", b"", 0);
        buffer[14..16].copy_from_slice(&[3 << 3 | 4, 0]);
        let log = log(memory(1 << 17, 0, buffer.len() as u32), &buffer, NOTHING).unwrap();
        assert_eq!((log.records[0].level, log.records[0].facility), (Some(4), Some(3)));
    }

    proptest! {
        #[test]
        fn arbitrary_buffers_do_no_harm(
            buffer in proptest::collection::vec(any::<u8>(), 0..4096),
            size: u32,
            first: u16,
            next: u32,
        ) {
            if let Ok(log) = log(memory(size.min(1 << 22), u32::from(first), next), &buffer, NOTHING) {
                let _ = log.render();
            }
        }

        #[test]
        fn what_was_written_is_read_back(
            lines in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..80), 0..60),
            dict in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let buffer: Vec<u8> = (0..).zip(&lines).flat_map(|(number, line)| record(number, line, &dict, 2)).collect();
            let log = log(memory(1 << 16, 0, buffer.len() as u32), &buffer, NOTHING).unwrap();
            let found: Vec<Vec<u8>> = log.records.into_iter().map(|record| record.text).collect();
            prop_assert_eq!(found, lines);
        }
    }
}
