//! A temporary file that a stream is unpacked into once, so that it can be read at any place.
//!
//! Blocks of zeros become holes. The file has no name: it is gone when the program ends, however it ends.

use std::env;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::ReadAt;
use super::file::read_fully_at;

/// A file system's usual block: a hole is at least this large.
const BLOCK: usize = 4096;

/// The temporary file.
#[derive(Debug)]
pub(crate) struct Spool {
    file: File,
    size: u64,
    stored: u64,
}

impl Spool {
    /// Makes an empty one in [`folder`].
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            file: tempfile::tempfile_in(folder())?,
            size: 0,
            stored: 0,
        })
    }

    /// Adds `bytes` at the end; whole blocks of zeros take no space.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut at = self.size;
        for run in bytes
            .chunks(BLOCK)
            .collect::<Vec<_>>()
            .chunk_by(|a, b| is_zero(a) == is_zero(b))
        {
            let length: usize = run.iter().map(|block| block.len()).sum();
            if !run.first().is_some_and(|block| is_zero(block)) {
                let start = (at - self.size) as usize;
                self.file
                    .write_all_at(bytes.get(start..start + length).unwrap_or_default(), at)?;
                self.stored += length as u64;
            }
            at += length as u64;
        }
        self.size = at;
        Ok(())
    }

    /// The bytes added so far.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The bytes that take space on the disk.
    pub(super) fn stored(&self) -> u64 {
        self.stored
    }

    /// Gives the file its full length: a hole at the end does not by itself.
    pub(crate) fn finish(self) -> io::Result<Self> {
        self.file.set_len(self.size)?;
        Ok(self)
    }
}

impl ReadAt for Spool {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        read_fully_at(&self.file, offset, buf)
    }

    fn size(&self) -> u64 {
        self.size
    }
}

/// Where temporary files go: $TMPDIR, else /var/tmp (which is meant for large ones; /tmp is often memory).
pub(crate) fn folder() -> PathBuf {
    let large = Path::new("/var/tmp");
    match env::var_os("TMPDIR") {
        Some(folder) if !folder.is_empty() => PathBuf::from(folder),
        _ if large.is_dir() => large.to_owned(),
        _ => env::temp_dir(),
    }
}

fn is_zero(block: &[u8]) -> bool {
    let (words, rest) = block.as_chunks::<16>();
    words.iter().all(|word| *word == [0; 16]) && rest.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_become_holes_and_read_back() {
        let mut data = vec![0u8; 5 * BLOCK + 100];
        data[BLOCK + 7] = 1;
        data[4 * BLOCK] = 2;
        let mut spool = Spool::new().unwrap();
        data.chunks(BLOCK + 33).for_each(|part| spool.append(part).unwrap());
        spool.append(&[0; 3 * BLOCK]).unwrap();
        data.extend([0; 3 * BLOCK]);
        let spool = spool.finish().unwrap();
        assert!(spool.stored() < 4 * BLOCK as u64);
        let mut back = vec![9; data.len() + 10];
        assert_eq!(spool.read_at(0, &mut back).unwrap(), data.len());
        assert_eq!(back[..data.len()], data);
    }
}
