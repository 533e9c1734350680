//! The flattened form (`makedumpfile -F`, QEMU's kdump-zlib/lzo/snappy): a dump as a stream of records that say where
//! their bytes belong. Read in place through an index of the records, as far as the file goes.
//!
//! All integers are big-endian, whatever machine was dumped. Later records overwrite earlier ones; what no record
//! fills is zero.

use std::collections::BinaryHeap;
use std::io;
use std::sync::Arc;

use crate::input::ReadAt;

use super::DumpError;
use super::cache::BlockCache;
use super::io::{read_at_most, read_vec};

const SIGNATURE: &[u8] = b"makedumpfile\0\0\0\0";
/// The file header is padded to this size (MAX_SIZE_MDF_HEADER, makedumpfile.h).
const HEADER_SIZE: u64 = 4096;
const RECORD_HEADER: usize = 16;
/// Records in one chunk at most: a read walks the headers of the chunk it falls into.
const CHUNK_RECORDS: u32 = 64;
/// Extents in one chunk at most. makedumpfile writes two streams in turn, page descriptors and pages.
const CHUNK_EXTENTS: usize = 4;
/// Extents at most, about 80 MiB of index: what is in the records behind that is not read. Real files have one every
/// megabyte.
const MAX_EXTENTS: usize = 1 << 20;
/// Records without bytes at most: they are of no use, and a hole in the file looks like a row of them.
const MAX_EMPTY: u32 = 4096;
/// Records looked at to find the headers: they are written first.
const PEEK_RECORDS: u64 = 32;
const CACHED_CHUNKS: usize = 64;
/// Bytes read at a time while records are short.
const BUFFER: usize = 1 << 16;
/// Records longer than this are stepped over rather than read through.
const SHORT_RECORD: u64 = 4096;

/// A flattened dump as the plain file that it stands for.
#[derive(Debug)]
pub(super) struct Flattened {
    file: Arc<dyn ReadAt>,
    pieces: Vec<Extent>,
    chunks: Vec<Chunk>,
    cache: BlockCache<Arc<[Record]>>,
    size: u64,
    /// Why the file is not whole.
    pub(super) cut: Option<String>,
}

/// Some records in a row. What they fill does not overlap.
#[derive(Clone, Copy, Debug)]
struct Chunk {
    /// The first record's header in the file.
    header: u64,
    records: u32,
}

/// A part of the plain file that one chunk's records fill without a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Extent {
    start: u64,
    end: u64,
    chunk: u32,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    target: u64,
    size: u64,
    source: u64,
}

impl Record {
    fn end(&self) -> u64 {
        self.target.saturating_add(self.size)
    }
}

/// Whether the first bytes are those of a flattened file.
pub(super) fn is_flattened(first_bytes: &[u8]) -> bool {
    first_bytes.starts_with(SIGNATURE)
}

impl Flattened {
    /// Reads the record headers, once and in order.
    pub(super) fn open(file: Arc<dyn ReadAt>) -> Result<Self, DumpError> {
        Self::index(file, u64::MAX)
    }

    /// Reads the first few records only: enough for the headers of the dump inside.
    pub(super) fn peek(file: Arc<dyn ReadAt>) -> Result<Self, DumpError> {
        Self::index(file, PEEK_RECORDS)
    }

    fn index(file: Arc<dyn ReadAt>, max_records: u64) -> Result<Self, DumpError> {
        let head = read_vec(&*file, 0, 32)?;
        let field = |at: usize| head.get(at..)?.first_chunk().map(|raw| i64::from_be_bytes(*raw));
        match (field(16), field(24)) {
            (Some(1), Some(1)) => {}
            (Some(kind), Some(version)) => {
                return Err(DumpError::BadHeader {
                    format: "flattened",
                    what: format!("type {kind}, version {version}"),
                    offset: 16,
                    expected: "type 1, version 1",
                });
            }
            _ => {
                let size = file.size();
                return Err(DumpError::HeaderCut {
                    format: "flattened",
                    part: "header",
                    needed: 32,
                    size,
                });
            }
        }
        let mut walk = Walk::default();
        let cut = walk.run(&*file, max_records)?;
        let pieces = resolve(&walk.extents);
        let cache = BlockCache::new(CACHED_CHUNKS);
        Ok(Self {
            file,
            pieces,
            chunks: walk.chunks,
            cache,
            size: walk.size,
            cut,
        })
    }

    /// The records of a chunk, from the file, in the order of their targets.
    fn records(&self, index: u32) -> io::Result<Arc<[Record]>> {
        self.cache.get_or_load(u64::from(index), || {
            let mut records = Vec::new();
            if let Some(chunk) = self.chunks.get(index as usize) {
                let mut at = chunk.header;
                for _ in 0..chunk.records {
                    let mut header = [0; RECORD_HEADER];
                    self.file.read_at(at, &mut header)?;
                    let (target, size) = decode(&header);
                    let source = at.saturating_add(RECORD_HEADER as u64);
                    // Cut to the file, as the walk did; negative numbers end the walk, so there are none here.
                    let size = u64::try_from(size)
                        .unwrap_or(0)
                        .min(self.file.size().saturating_sub(source));
                    // Empty ones would break the order by ends that reading relies on.
                    if size > 0 {
                        records.push(Record {
                            target: u64::try_from(target).unwrap_or(0),
                            size,
                            source,
                        });
                    }
                    at = source + size;
                }
            }
            records.sort_by_key(|record| record.target);
            Ok(records.into())
        })
    }
}

impl ReadAt for Flattened {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let length = usize::try_from(self.size.saturating_sub(offset))
            .unwrap_or(usize::MAX)
            .min(buf.len());
        let buf = buf.get_mut(..length).unwrap_or_default();
        buf.fill(0);
        let end = offset + length as u64;
        let first = self.pieces.partition_point(|piece| piece.end <= offset);
        for piece in self.pieces.iter().skip(first).take_while(|piece| piece.start < end) {
            let records = self.records(piece.chunk)?;
            let from = records.partition_point(|record| record.end() <= piece.start.max(offset));
            for record in records.iter().skip(from) {
                let start = record.target.max(piece.start).max(offset);
                let stop = record.end().min(piece.end).min(end);
                if start >= stop {
                    break;
                }
                let part = buf
                    .get_mut((start - offset) as usize..(stop - offset) as usize)
                    .unwrap_or_default();
                self.file.read_at(record.source + (start - record.target), part)?;
            }
        }
        Ok(length)
    }

    fn size(&self) -> u64 {
        self.size
    }
}

/// The pass over the record headers.
#[derive(Default)]
struct Walk {
    chunks: Vec<Chunk>,
    /// Of all chunks, in their order.
    extents: Vec<Extent>,
    /// Where the last chunk's extents begin.
    last_extents: usize,
    size: u64,
    buffer: Vec<u8>,
    buffer_at: u64,
    empty: u32,
}

impl Walk {
    /// Collects chunks; why it stopped before the end mark, if it did.
    fn run(&mut self, file: &dyn ReadAt, max_records: u64) -> Result<Option<String>, DumpError> {
        let mut at = HEADER_SIZE;
        let mut last_size = u64::MAX;
        for _ in 0..max_records {
            let Some(header) = self.header_at(file, at, last_size)? else {
                return Ok(Some("the flattened file ends without its end mark".to_owned()));
            };
            let (target, size) = decode(&header);
            if target == -1 {
                return Ok(None);
            }
            let damaged = || {
                Some(format!(
                    "the flattened file is damaged at offset {at}: what follows is not read"
                ))
            };
            let (Ok(target), Ok(size)) = (u64::try_from(target), u64::try_from(size)) else {
                return Ok(damaged());
            };
            let source = at + RECORD_HEADER as u64;
            let there = size.min(file.size().saturating_sub(source));
            let Some(end) = target.checked_add(there) else {
                return Ok(damaged());
            };
            if there == 0 {
                self.empty += 1;
            }
            if self.empty > MAX_EMPTY || self.extents.len() >= MAX_EXTENTS {
                return Ok(damaged());
            }
            self.add(target, end, at);
            if there < size {
                return Ok(Some("the flattened file ends inside a record".to_owned()));
            }
            at = source + size;
            last_size = size;
        }
        Ok(None)
    }

    /// Adds a record to the last chunk, or to a new one when it would overlap what is in that one.
    fn add(&mut self, start: u64, end: u64, header: u64) {
        if start < end {
            self.size = self.size.max(end);
        }
        let current = self.extents.get_mut(self.last_extents..).unwrap_or_default();
        let overlaps = current.iter().any(|extent| start < extent.end && extent.start < end);
        let count = current.len();
        let continued = current.iter_mut().find(|extent| extent.end == start);
        if let Some(chunk) = self.chunks.last_mut()
            && chunk.records < CHUNK_RECORDS
            && !overlaps
            && (continued.is_some() || count < CHUNK_EXTENTS)
        {
            chunk.records += 1;
            match continued {
                Some(extent) => extent.end = end,
                None => self.extents.push(Extent {
                    start,
                    end,
                    chunk: self.chunks.len() as u32 - 1,
                }),
            }
        } else {
            self.last_extents = self.extents.len();
            self.extents.push(Extent {
                start,
                end,
                chunk: self.chunks.len() as u32,
            });
            self.chunks.push(Chunk { header, records: 1 });
        }
    }

    /// The record header at `at`, or `None` where the file ends.
    fn header_at(
        &mut self,
        file: &dyn ReadAt,
        at: u64,
        last_size: u64,
    ) -> Result<Option<[u8; RECORD_HEADER]>, DumpError> {
        let buffered = |buffer: &[u8], buffer_at: u64| {
            let within = usize::try_from(at.checked_sub(buffer_at)?).ok()?;
            buffer.get(within..)?.first_chunk().copied()
        };
        if let Some(header) = buffered(&self.buffer, self.buffer_at) {
            return Ok(Some(header));
        }
        self.buffer.resize(
            if last_size < SHORT_RECORD {
                BUFFER
            } else {
                RECORD_HEADER
            },
            0,
        );
        let read = read_at_most(file, at, &mut self.buffer)?;
        self.buffer.truncate(read);
        self.buffer_at = at;
        Ok(buffered(&self.buffer, at))
    }
}

fn decode(header: &[u8; RECORD_HEADER]) -> (i64, i64) {
    let (halves, _) = header.as_chunks::<8>();
    let half = |index: usize| halves.get(index).map_or(-1, |raw| i64::from_be_bytes(*raw));
    (half(0), half(1))
}

/// Cuts overlapping extents into pieces that do not overlap, in the order of their targets: the later one wins.
fn resolve(extents: &[Extent]) -> Vec<Extent> {
    let extent = |index: u32| extents.get(index as usize);
    let mut order: Vec<u32> = (0..extents.len() as u32).collect();
    order.sort_by_key(|index| extent(*index).map(|extent| extent.start));
    let mut starts = order.into_iter().peekable();
    let mut pieces: Vec<Extent> = Vec::with_capacity(extents.len());
    // The extents that reach past `position`, the latest first; those that ended are dropped when they come up.
    let mut open: BinaryHeap<u32> = BinaryHeap::new();
    let mut position = 0u64;
    loop {
        while open
            .peek()
            .is_some_and(|index| extent(*index).is_none_or(|extent| extent.end <= position))
        {
            open.pop();
        }
        let next_start = starts
            .peek()
            .and_then(|index| extent(*index))
            .map(|extent| extent.start);
        let Some(top) = open.peek().and_then(|index| extent(*index)) else {
            let Some(start) = next_start else { return pieces };
            position = start;
            open.extend(starts.next());
            continue;
        };
        if next_start == Some(position) {
            open.extend(starts.next());
            continue;
        }
        let end = next_start.map_or(top.end, |start| top.end.min(start));
        match pieces.last_mut() {
            Some(last) if last.chunk == top.chunk && last.end == position => last.end = end,
            _ => pieces.push(Extent {
                start: position,
                end,
                chunk: top.chunk,
            }),
        }
        position = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn flatten(records: &[(u64, Vec<u8>)], end_mark: bool) -> Vec<u8> {
        let mut file = SIGNATURE.to_vec();
        file.extend([1i64, 1].iter().flat_map(|value| value.to_be_bytes()));
        file.resize(HEADER_SIZE as usize, 0);
        for (target, bytes) in records {
            file.extend(target.to_be_bytes());
            file.extend((bytes.len() as u64).to_be_bytes());
            file.extend(bytes);
        }
        if end_mark {
            file.extend([0xff; 16]);
        }
        file
    }

    fn contents(flat: &Flattened) -> Vec<u8> {
        let mut bytes = vec![0; flat.size() as usize];
        assert_eq!(flat.read_at(0, &mut bytes).unwrap(), bytes.len());
        bytes
    }

    proptest! {
        /// Any records, in any order, cut anywhere: what is read is what writing them one by one would have left.
        #[test]
        fn reads_what_writing_would_have_left(
            records in prop::collection::vec((0u64..300, prop::collection::vec(1u8.., 0..40)), 0..40),
            cut in any::<prop::sample::Index>(),
            window in (0u64..400, 0usize..200),
        ) {
            let whole = flatten(&records, true);
            let cut = HEADER_SIZE as usize + cut.index(whole.len() - HEADER_SIZE as usize + 1);
            let mut expected: Vec<u8> = Vec::new();
            let mut left = cut - HEADER_SIZE as usize;
            for (target, bytes) in &records {
                left = left.saturating_sub(RECORD_HEADER);
                let there = &bytes[..bytes.len().min(left)];
                left -= there.len();
                if !there.is_empty() {
                    let end = *target as usize + there.len();
                    expected.resize(expected.len().max(end), 0);
                    expected[*target as usize..end].copy_from_slice(there);
                }
            }
            let flat = Flattened::open(Arc::new(whole[..cut].to_vec())).unwrap();
            prop_assert_eq!(flat.cut.is_none(), cut == whole.len());
            prop_assert_eq!(contents(&flat), expected.clone());
            let mut part = vec![7; window.1];
            let read = flat.read_at(window.0, &mut part).unwrap();
            let rest = expected.get(window.0 as usize..).unwrap_or_default();
            prop_assert_eq!(&part[..read], &rest[..read]);
            prop_assert_eq!(read, rest.len().min(window.1));
        }

        #[test]
        fn arbitrary_records_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let mut file = flatten(&[], false);
            file.extend(bytes);
            if let Ok(flat) = Flattened::open(Arc::new(file)) {
                let mut part = [0; 64];
                let _ = flat.read_at(flat.size().saturating_sub(10), &mut part);
            }
        }
    }

    #[test]
    fn an_empty_record_hides_nothing() {
        let records = [(92, vec![1]), (92, vec![]), (93, vec![])];
        let flat = Flattened::open(Arc::new(flatten(&records, true))).unwrap();
        assert_eq!(contents(&flat).last(), Some(&1));
    }

    #[test]
    fn two_streams_in_turn_take_few_extents() {
        let records: Vec<_> = (0..10_000u64)
            .map(|index| (index % 2 * 15_000 + index / 2 * 3, vec![(index / 2 % 200) as u8; 3]))
            .collect();
        let flat = Flattened::open(Arc::new(flatten(&records, true))).unwrap();
        assert!(flat.pieces.len() <= 2 * 10_000usize.div_ceil(CHUNK_RECORDS as usize));
        let expected = |index: usize| [(index % 5000 % 200) as u8; 3];
        assert!(
            contents(&flat)
                .chunks(3)
                .enumerate()
                .all(|(index, bytes)| bytes == expected(index))
        );
    }

    #[test]
    fn a_hole_in_the_file_ends_the_walk() {
        let mut file = flatten(&[(0, vec![1; 10])], false);
        file.resize(10 << 20, 0);
        let flat = Flattened::open(Arc::new(file)).unwrap();
        assert!(flat.cut.is_some_and(|why| why.contains("damaged")));
        assert_eq!(flat.size, 10);
    }
}
