//! Physical memory that keeps a record of what is read of it, byte by byte.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::addr::PhysAddr;
use crate::dump::capsule::LostPage;
use crate::dump::{MemoryError, PhysicalMemory};

/// Lost pages that are remembered; a report names a few.
const MAX_LOST: usize = 2048;

/// What a page was first read for, or what it is known to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Part {
    /// The kernel's log.
    Log,
    /// The kernel's symbol table.
    Kallsyms,
    /// The kernel's type information.
    Btf,
    /// The tables that stacks are unwound by.
    Orc,
    /// Stacks, tasks and code.
    Stacks,
    /// Page tables, variables, modules.
    Other,
}

impl Part {
    /// Every part, in the order in which they are told.
    pub const ALL: [Part; 6] = [
        Part::Log,
        Part::Kallsyms,
        Part::Btf,
        Part::Orc,
        Part::Stacks,
        Part::Other,
    ];

    /// Its name in a list of contents.
    pub fn name(self) -> &'static str {
        match self {
            Part::Log => "log",
            Part::Kallsyms => "kallsyms",
            Part::Btf => "btf",
            Part::Orc => "orc",
            Part::Stacks => "stacks",
            Part::Other => "other",
        }
    }
}

/// A page as far as it was read.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) part: Part,
    /// A bit for every byte that was read.
    used: Bits,
    /// Those that were read for the log alone.
    log: Bits,
    /// Bytes that stand in the place of the page's own.
    replaced: Vec<(Range<usize>, Vec<u8>)>,
}

type Bits = Box<[u64]>;

/// Memory under record.
#[derive(Debug)]
pub(super) struct Recorder {
    memory: Arc<dyn PhysicalMemory>,
    page_size: u64,
    part: AtomicU8,
    pages: Mutex<BTreeMap<u64, Kept>>,
    lost: Mutex<BTreeMap<u64, LostPage>>,
    excluded: Mutex<BTreeSet<u64>>,
}

/// What a record holds in the end.
pub(super) struct Record {
    /// By page frame number.
    pub(super) pages: BTreeMap<u64, Kept>,
    /// Pages that could not be read though the dump has a place for them.
    pub(super) lost: Vec<LostPage>,
    /// Page frames that the dump leaves out.
    pub(super) excluded: BTreeSet<u64>,
}

impl Recorder {
    /// `page_size` is a power of two of at least 64.
    pub(super) fn new(memory: Arc<dyn PhysicalMemory>, page_size: u64) -> Recorder {
        Recorder {
            memory,
            page_size,
            part: AtomicU8::new(Part::Other as u8),
            pages: Mutex::default(),
            lost: Mutex::default(),
            excluded: Mutex::default(),
        }
    }

    /// What is read from now on is read for this.
    pub(super) fn begin(&self, part: Part) {
        self.part.store(part as u8, Ordering::Relaxed);
    }

    /// The pages of `range` hold this, whatever they were first read for.
    pub(super) fn name(&self, range: Range<u64>, part: Part) {
        let frames = range.start / self.page_size..range.end.div_ceil(self.page_size);
        for (_, page) in locked(&self.pages).range_mut(frames) {
            page.part = part;
        }
    }

    /// `bytes` are to stand at `at` in place of what is there, if the page is there at all.
    pub(super) fn replace(&self, at: PhysAddr, bytes: &[u8], part: Part) {
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            let Some(here) = at.checked_add(done as u64) else {
                return;
            };
            let within = (here.0 % self.page_size) as usize;
            let length = rest.len().min(self.page_size as usize - within);
            let is_there = self.memory.read(here, &mut vec![0; length]).is_ok();
            if let (true, Some(part_of)) = (is_there, rest.get(..length)) {
                let mut pages = locked(&self.pages);
                let page = pages
                    .entry(here.0 / self.page_size)
                    .or_insert_with(|| Kept::new(part, self.page_size));
                page.part = part;
                page.replaced.push((within..within + length, part_of.to_vec()));
            }
            done += length;
        }
    }

    /// Ends the record.
    pub(super) fn finish(&self) -> Record {
        Record {
            pages: std::mem::take(&mut *locked(&self.pages)),
            lost: std::mem::take(&mut *locked(&self.lost)).into_values().collect(),
            excluded: std::mem::take(&mut *locked(&self.excluded)),
        }
    }

    fn part(&self) -> Part {
        let part = self.part.load(Ordering::Relaxed);
        Part::ALL
            .into_iter()
            .find(|other| *other as u8 == part)
            .unwrap_or(Part::Other)
    }

    fn note_lost(&self, at: PhysAddr, error: &MemoryError) {
        if let MemoryError::Excluded(page) = error {
            locked(&self.excluded).insert(page.0 / self.page_size);
        }
        let mut lost = locked(&self.lost);
        if let Some(page) = LostPage::of(error, at, self.page_size)
            && lost.len() < MAX_LOST
        {
            lost.entry(page.page).or_insert(page);
        }
    }
}

impl PhysicalMemory for Recorder {
    fn read(&self, at: PhysAddr, buf: &mut [u8]) -> Result<(), MemoryError> {
        match self.memory.read(at, buf) {
            Ok(()) => {
                self.used(at, buf.len() as u64);
                Ok(())
            }
            Err(error) => {
                self.note_lost(at, &error);
                Err(error)
            }
        }
    }

    fn peek(&self, at: PhysAddr, buf: &mut [u8]) -> Result<(), MemoryError> {
        self.memory.read(at, buf)
    }

    fn used(&self, at: PhysAddr, len: u64) {
        let part = self.part();
        let mut pages = locked(&self.pages);
        let mut done = 0;
        while done < len {
            let Some(here) = at.checked_add(done) else { return };
            let within = here.0 % self.page_size;
            let length = (len - done).min(self.page_size - within);
            let page = pages
                .entry(here.0 / self.page_size)
                .or_insert_with(|| Kept::new(part, self.page_size));
            page.mark(within as usize..(within + length) as usize, part);
            done += length;
        }
    }

    fn is_recorded(&self) -> bool {
        true
    }

    fn ranges(&self) -> &[Range<u64>] {
        self.memory.ranges()
    }
}

impl Kept {
    fn new(part: Part, page_size: u64) -> Kept {
        let words = (page_size / 64) as usize;
        Kept {
            part,
            used: vec![0; words].into(),
            log: vec![0; words].into(),
            replaced: Vec::new(),
        }
    }

    fn mark(&mut self, range: Range<usize>, part: Part) {
        for at in range {
            let (Some(used), Some(log)) = (self.used.get_mut(at / 64), self.log.get_mut(at / 64)) else {
                return;
            };
            let bit = 1 << (at % 64);
            if part != Part::Log {
                *log &= !bit;
            } else if *used & bit == 0 {
                *log |= bit;
            }
            *used |= bit;
        }
    }

    /// Forgets what was read for the log alone; false when nothing is left of the page.
    pub(super) fn drop_log(&mut self) -> bool {
        for (used, log) in self.used.iter_mut().zip(&self.log) {
            *used &= !log;
        }
        self.used.iter().any(|used| *used != 0) || !self.replaced.is_empty()
    }

    /// The runs of bytes that were read.
    fn runs(&self) -> Vec<Range<usize>> {
        let mut runs: Vec<Range<usize>> = Vec::new();
        let bytes = (0..self.used.len() * 64).filter(|at| {
            let word = self.used.get(at / 64);
            word.is_some_and(|word| word >> (at % 64) & 1 == 1)
        });
        for at in bytes {
            match runs.last_mut() {
                Some(run) if run.end == at => run.end += 1,
                _ => runs.push(at..at + 1),
            }
        }
        runs
    }

    /// The page number `frame` with all bytes zero that were not read, and how many were.
    pub(super) fn bytes(&self, frame: u64, memory: &dyn PhysicalMemory, page_size: u64) -> (Vec<u8>, u64) {
        let mut page = vec![0; page_size as usize];
        let mut count = 0;
        for run in self.runs() {
            let at = PhysAddr(frame.saturating_mul(page_size).saturating_add(run.start as u64));
            count += run.len() as u64;
            if let Some(part) = page.get_mut(run)
                && memory.read(at, part).is_err()
            {
                part.fill(0);
            }
        }
        for (range, bytes) in &self.replaced {
            count += bytes.len() as u64;
            if let Some(part) = page.get_mut(range.clone()) {
                part.copy_from_slice(bytes);
            }
        }
        (page, count)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two pages of ones.
    #[derive(Debug)]
    struct Ones;

    impl PhysicalMemory for Ones {
        fn read(&self, at: PhysAddr, buf: &mut [u8]) -> Result<(), MemoryError> {
            if at.0 + buf.len() as u64 > 8192 {
                return Err(MemoryError::Excluded(PhysAddr(8192)));
            }
            buf.fill(1);
            Ok(())
        }

        fn ranges(&self) -> &[Range<u64>] {
            &[]
        }
    }

    fn page(record: &Record, frame: u64) -> Vec<u8> {
        record.pages[&frame].bytes(frame, &Ones, 4096).0
    }

    #[test]
    fn only_what_was_read_is_kept() {
        let recorder = Recorder::new(Arc::new(Ones), 4096);
        recorder.read(PhysAddr(4090), &mut [0; 10]).unwrap();
        recorder.peek(PhysAddr(100), &mut [0; 10]).unwrap();
        recorder.replace(PhysAddr(4096), &[7, 8], Part::Btf);
        recorder.read(PhysAddr(8190), &mut [0; 4]).unwrap_err();
        let record = recorder.finish();
        let first = page(&record, 0);
        assert!(first[..4090].iter().all(|byte| *byte == 0) && first[4090..] == [1; 6]);
        assert_eq!(page(&record, 1)[..6], [7, 8, 1, 1, 0, 0]);
        assert_eq!(record.pages[&1].part, Part::Btf);
        assert!(record.lost.is_empty() && record.excluded.contains(&2));
    }

    #[test]
    fn the_log_can_be_taken_out_again() {
        let recorder = Recorder::new(Arc::new(Ones), 4096);
        recorder.begin(Part::Log);
        recorder.read(PhysAddr(0), &mut [0; 100]).unwrap();
        recorder.read(PhysAddr(5000), &mut [0; 100]).unwrap();
        recorder.begin(Part::Stacks);
        recorder.read(PhysAddr(50), &mut [0; 10]).unwrap();
        let mut record = recorder.finish();
        assert!(record.pages.get_mut(&0).unwrap().drop_log());
        assert!(!record.pages.get_mut(&1).unwrap().drop_log());
        let first = page(&record, 0);
        assert_eq!(first.iter().map(|byte| u32::from(*byte)).sum::<u32>(), 10);
    }
}
