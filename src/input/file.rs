//! A regular file or block device as [`ReadAt`], and the counter of what was read of it.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{ReadAt, gate};

/// How many bytes of an input were read so far; clones share the count.
#[derive(Clone, Debug, Default)]
pub struct ReadCounter(Arc<AtomicU64>);

impl ReadCounter {
    /// The bytes read so far.
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// An open file whose reads are counted.
#[derive(Debug)]
pub(super) struct CountedFile {
    file: File,
    size: u64,
    counter: ReadCounter,
}

impl CountedFile {
    pub(super) fn new(file: File, size: u64, counter: ReadCounter) -> Self {
        Self { file, size, counter }
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
        let read = read_fully_at(&self.file, offset, buf)?;
        self.counter.add(read);
        Ok(read)
    }

    fn size(&self) -> u64 {
        self.size
    }
}

/// An open file that is read once, from front to back; those reads are counted.
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
        let read = match &mut self.position {
            Some(position) => {
                let read = read_fully_at(&self.file, *position, buf)?;
                *position += read as u64;
                read
            }
            None => gate::waiting(|| self.file.read(buf))?,
        };
        self.counter.add(read);
        Ok(read)
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
