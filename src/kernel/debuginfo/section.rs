//! One section of a debuginfo file, read in chunks as it is asked for and then kept; and a `gimli` reader over it.
//!
//! Knows nothing of what the bytes mean.

use std::borrow::Cow;
use std::io::{self, Read};
use std::sync::{Arc, OnceLock};

use gimli::{Reader, ReaderOffsetId, RunTimeEndian};

use crate::input::ReadAt;

/// The grain of reading: what a line number program or a unit's tree has is a few of these.
const CHUNK: u64 = 16 << 10;

/// `len` bytes of a file from `offset` on.
#[derive(Debug)]
pub(super) struct Section {
    file: Arc<dyn ReadAt>,
    offset: u64,
    len: u64,
    chunks: Box<[Chunk]>,
}

/// A chunk once it was asked for; `None` inside: it could not be read.
type Chunk = OnceLock<Option<Box<[u8]>>>;

impl Section {
    /// Reads nothing yet. What lies past the file's end is left out.
    pub(super) fn new(file: Arc<dyn ReadAt>, offset: u64, len: u64) -> Section {
        let len = len.min(file.size().saturating_sub(offset));
        let chunks = (0..len.div_ceil(CHUNK)).map(|_| OnceLock::new()).collect();
        Section {
            file,
            offset,
            len,
            chunks,
        }
    }

    /// Its length in bytes.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// The same bytes with nothing kept yet.
    pub(super) fn afresh(&self) -> Section {
        Section::new(self.file.clone(), self.offset, self.len)
    }

    /// `len` bytes of it from `at` on, as a section of its own.
    pub(super) fn part(&self, at: u64, len: u64) -> Option<Section> {
        (at.checked_add(len)? <= self.len)
            .then(|| Some(Section::new(self.file.clone(), self.offset.checked_add(at)?, len)))?
    }

    /// `len` bytes from `at` on, past the chunks: for what is read once.
    pub(super) fn bytes(&self, at: u64, len: u64) -> Option<Vec<u8>> {
        if at.checked_add(len)? > self.len {
            return None;
        }
        let mut buf = vec![0; usize::try_from(len).ok()?];
        let read = self.file.read_at(self.offset.checked_add(at)?, &mut buf).ok()?;
        (read == buf.len()).then_some(buf)
    }

    /// The whole section as a stream.
    pub(super) fn stream(self: &Arc<Section>) -> impl Read + use<> {
        Stream {
            section: self.clone(),
            at: 0,
        }
    }

    /// The chunk that holds byte `at`, from there on.
    fn from(&self, at: u64) -> Option<&[u8]> {
        let index = at / CHUNK;
        let chunk = self.chunks.get(usize::try_from(index).ok()?)?;
        let start = index * CHUNK;
        let bytes = chunk.get_or_init(|| {
            let len = CHUNK.min(self.len.saturating_sub(start));
            self.bytes(start, len).map(Vec::into_boxed_slice)
        });
        bytes.as_deref()?.get(usize::try_from(at - start).ok()?..)
    }

    fn copy(&self, mut at: u64, mut buf: &mut [u8]) -> Option<()> {
        while !buf.is_empty() {
            let found = self.from(at)?;
            let count = found.len().min(buf.len());
            let (head, rest) = buf.split_at_mut_checked(count)?;
            head.copy_from_slice(found.get(..count).filter(|found| !found.is_empty())?);
            buf = rest;
            at += count as u64;
        }
        Some(())
    }
}

/// Reads a section from front to back, past its chunks.
struct Stream {
    section: Arc<Section>,
    at: u64,
}

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let rest = self.section.len.saturating_sub(self.at);
        let len = buf.len().min(usize::try_from(rest).unwrap_or(usize::MAX));
        let part = buf.get_mut(..len).unwrap_or_default();
        let read = self
            .section
            .file
            .read_at(self.section.offset.saturating_add(self.at), part)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// A view of a section for `gimli`; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct SectionReader {
    section: Arc<Section>,
    endian: RunTimeEndian,
    start: u64,
    end: u64,
}

impl SectionReader {
    /// All of `section`.
    pub(super) fn new(section: Arc<Section>, endian: RunTimeEndian) -> SectionReader {
        SectionReader {
            end: section.len(),
            section,
            endian,
            start: 0,
        }
    }

    fn size(&self) -> u64 {
        self.end - self.start
    }

    fn end_reached(&self) -> gimli::Error {
        gimli::Error::UnexpectedEof(self.offset_id())
    }

    fn within(&self, len: usize) -> gimli::Result<u64> {
        let len = len as u64;
        if len > self.size() {
            return Err(self.end_reached());
        }
        Ok(len)
    }

    fn all(&self) -> gimli::Result<Vec<u8>> {
        let mut buf = vec![0; self.len()];
        self.section.copy(self.start, &mut buf).ok_or(gimli::Error::Io)?;
        Ok(buf)
    }
}

impl Reader for SectionReader {
    type Endian = RunTimeEndian;
    type Offset = usize;

    fn endian(&self) -> RunTimeEndian {
        self.endian
    }

    fn len(&self) -> usize {
        self.size() as usize
    }

    fn empty(&mut self) {
        self.end = self.start;
    }

    fn truncate(&mut self, len: usize) -> gimli::Result<()> {
        self.end = self.start + self.within(len)?;
        Ok(())
    }

    fn offset_from(&self, base: &SectionReader) -> usize {
        self.start.saturating_sub(base.start) as usize
    }

    fn offset_id(&self) -> ReaderOffsetId {
        ReaderOffsetId(self.start)
    }

    fn lookup_offset_id(&self, id: ReaderOffsetId) -> Option<usize> {
        (self.start..=self.end)
            .contains(&id.0)
            .then(|| (id.0 - self.start) as usize)
    }

    fn find(&self, byte: u8) -> gimli::Result<usize> {
        let mut at = self.start;
        while at < self.end {
            let found = self.section.from(at).filter(|found| !found.is_empty());
            let found = found.ok_or(gimli::Error::Io)?;
            let rest = usize::try_from(self.end - at).unwrap_or(usize::MAX);
            let found = found.get(..rest).unwrap_or(found);
            if let Some(hit) = found.iter().position(|other| *other == byte) {
                return Ok((at - self.start) as usize + hit);
            }
            at += found.len() as u64;
        }
        Err(self.end_reached())
    }

    fn skip(&mut self, len: usize) -> gimli::Result<()> {
        self.start += self.within(len)?;
        Ok(())
    }

    fn split(&mut self, len: usize) -> gimli::Result<SectionReader> {
        let mut front = self.clone();
        front.truncate(len)?;
        self.skip(len)?;
        Ok(front)
    }

    fn to_slice(&self) -> gimli::Result<Cow<'_, [u8]>> {
        self.all().map(Cow::Owned)
    }

    fn to_string(&self) -> gimli::Result<Cow<'_, str>> {
        String::from_utf8(self.all()?)
            .map(Cow::Owned)
            .map_err(|_| gimli::Error::BadUtf8)
    }

    fn to_string_lossy(&self) -> gimli::Result<Cow<'_, str>> {
        Ok(Cow::Owned(String::from_utf8_lossy(&self.all()?).into_owned()))
    }

    fn read_slice(&mut self, buf: &mut [u8]) -> gimli::Result<()> {
        let len = self.within(buf.len())?;
        self.section.copy(self.start, buf).ok_or(gimli::Error::Io)?;
        self.start += len;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reader(data: Vec<u8>) -> SectionReader {
        let len = data.len() as u64;
        SectionReader::new(Arc::new(Section::new(Arc::new(data), 0, len)), RunTimeEndian::Little)
    }

    proptest! {
        #[test]
        fn it_reads_what_a_slice_reads(seed in any::<u8>(), len in 0usize..40_000, from in 0usize..40_000, count in 0usize..40_000) {
            let data: Vec<u8> = (0..len).map(|i| (i as u8).wrapping_mul(seed) | 1).collect();
            let mut lazy = reader(data.clone());
            let mut slice = gimli::EndianSlice::new(&data, RunTimeEndian::Little);
            prop_assert_eq!(lazy.skip(from).is_ok(), slice.skip(from).is_ok());
            let (a, b) = (lazy.split(count), slice.split(count));
            prop_assert_eq!(a.is_ok(), b.is_ok());
            if let (Ok(a), Ok(b)) = (a, b) {
                prop_assert_eq!(a.to_slice().unwrap(), b.to_slice().unwrap());
            }
            prop_assert_eq!(Reader::find(&lazy, seed).ok(), Reader::find(&slice, seed).ok());
            prop_assert_eq!(lazy.read_uleb128().ok(), slice.read_uleb128().ok());
            prop_assert_eq!(lazy.len(), slice.len());
        }
    }

    #[test]
    fn a_section_ends_where_its_file_does() {
        let section = Section::new(Arc::new(vec![1, 2, 3]), 1, 100);
        assert_eq!(section.len(), 2);
        assert_eq!(section.bytes(1, 1), Some(vec![3]));
        assert_eq!(section.bytes(1, 2), None);
    }
}
