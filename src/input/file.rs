//! A regular file or block device as [`ReadAt`], and as a stream.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use super::{ReadAt, ReadCounter, gate};

/// A file of at most so many bytes is kept in memory once it was asked for [`MANY`] times: then a system call for every
/// page of a capsule costs more than the bytes.
const SMALL: u64 = 1 << 20;
/// What a file is opened for, its headers and no more, takes fewer reads.
const MANY: u32 = 16;

/// An open file whose reads are counted: the bytes that were asked for, each once.
#[derive(Debug)]
pub(super) struct CountedFile {
    file: File,
    size: u64,
    counter: ReadCounter,
    reads: AtomicU32,
    /// All of it, if it is small; empty where it could not be had.
    whole: OnceLock<Vec<u8>>,
}

impl CountedFile {
    pub(super) fn new(file: File, size: u64, counter: ReadCounter) -> Self {
        Self {
            file,
            size,
            counter,
            reads: AtomicU32::new(0),
            whole: OnceLock::new(),
        }
    }

    /// All of it, once that is worth it.
    fn whole(&self) -> Option<&Vec<u8>> {
        if self.size > SMALL || self.reads.fetch_add(1, Ordering::Relaxed) < MANY {
            return None;
        }
        let read = || {
            let mut bytes = vec![0; self.size as usize];
            let read = read_fully_at(&self.file, 0, &mut bytes);
            read.is_ok_and(|read| read == bytes.len()).then_some(bytes)
        };
        let whole = self.whole.get_or_init(|| read().unwrap_or_default());
        Some(whole).filter(|whole| !whole.is_empty())
    }

    /// The same file from its start on, as a stream.
    pub(super) fn into_stream(self) -> CountedStream {
        CountedStream {
            position: Some(0),
            file: self.file,
            counter: self.counter,
        }
    }
}

impl ReadAt for CountedFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let read = match self.whole() {
            Some(whole) => whole.read_at(offset, buf)?,
            None => read_fully_at(&self.file, offset, buf)?,
        };
        self.counter.add_at(offset, read);
        Ok(read)
    }

    fn size(&self) -> u64 {
        self.size
    }
}

/// An open file that is read once, from front to back, without its larger holes; those reads are counted.
#[derive(Debug)]
pub(super) struct CountedStream {
    file: File,
    /// Where to go on; `None` for what cannot be read at a place (a pipe).
    position: Option<u64>,
    counter: ReadCounter,
}

impl CountedStream {
    /// Reads on from wherever `file` stands.
    pub(super) fn new(file: File, counter: ReadCounter) -> Self {
        Self {
            file,
            position: None,
            counter,
        }
    }
}

impl Read for CountedStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Some(position) = &mut self.position else {
            let read = gate::waiting(|| self.file.read(buf))?;
            self.counter.add(read);
            return Ok(read);
        };
        let read = read_fully_at(&self.file, *position, buf)?;
        self.counter.add_at(*position, read);
        *position += read as u64;
        if read > 0 && buf.iter().all(|byte| *byte == 0) {
            *position = behind_hole(&self.file, *position);
        }
        Ok(read)
    }
}

/// Where the next data of a sparse file is, if that is far from `position`. A log that was preallocated, or that a
/// crash left with a length of terabytes, would take hours to be read zero by zero.
fn behind_hole(file: &File, position: u64) -> u64 {
    const FAR: u64 = 1 << 20;
    match rustix::fs::seek(file, SeekFrom::Data(position)) {
        Ok(data) if data.saturating_sub(position) >= FAR => data,
        // No data behind it: the end, however far that is.
        Err(Errno::NXIO) => u64::MAX,
        // No hole, a small one, or a file system that knows of none.
        Ok(_) | Err(_) => position,
    }
}

/// Reads until `buf` is full or the file ends: one `pread` may return less than there is.
pub(super) fn read_fully_at(file: &File, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
        let Some(position) = offset.checked_add(done as u64) else {
            break;
        };
        match gate::waiting(|| file.read_at(rest, position)) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // pread takes a signed offset: what lies past it is past the end of any file.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => break,
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_file_reads_the_same_once_it_is_kept() {
        let bytes: Vec<u8> = (0..100_000_u32).map(|number| (number / 7) as u8).collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &bytes).unwrap();
        let counter = ReadCounter::default();
        let opened = CountedFile::new(File::open(file.path()).unwrap(), bytes.len() as u64, counter.clone());
        let mut asked = 0;
        for round in 0..3 * u64::from(MANY) {
            let mut buf = [0; 10_000];
            let offset = round * 2_500;
            let read = opened.read_at(offset, &mut buf).unwrap();
            let wanted = bytes.get(offset as usize..).unwrap_or_default();
            assert_eq!(buf[..read], wanted[..wanted.len().min(10_000)], "{round}");
            asked = asked.max(offset + read as u64).min(bytes.len() as u64);
        }
        assert_eq!(counter.bytes(), asked);
        assert_eq!(opened.read_at(u64::MAX, &mut [0]).unwrap(), 0);
        assert!(opened.whole.get().is_some_and(|whole| *whole == bytes));
    }

    #[test]
    fn the_holes_of_a_huge_file_are_not_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let opened = File::options().write(true).open(file.path()).unwrap();
        opened.write_all_at(b"start", 0).unwrap();
        opened.write_all_at(b"middle", 1 << 40).unwrap();
        opened.set_len(1 << 42).unwrap();
        let counter = ReadCounter::default();
        let mut stream = CountedFile::new(File::open(file.path()).unwrap(), 1 << 42, counter.clone()).into_stream();
        let mut text: Vec<u8> = Vec::new();
        let mut buf = vec![0; 1 << 16];
        while let Ok(count @ 1..) = stream.read(&mut buf) {
            text.extend(buf[..count].iter().filter(|byte| **byte != 0));
            assert!(counter.bytes() < 1 << 30, "it reads the hole");
        }
        assert_eq!(text, b"startmiddle");
    }

    #[test]
    fn a_file_that_shrank_is_read_as_far_as_it_goes() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [1; 100]).unwrap();
        let opened = CountedFile::new(File::open(file.path()).unwrap(), 200, ReadCounter::default());
        for _ in 0..2 * MANY {
            assert_eq!(opened.read_at(90, &mut [0; 20]).unwrap(), 10);
        }
    }
}
