//! Physical memory over the files of one kdump-compressed dump: pages decoded on demand, a few of them kept.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;

use crate::addr::PhysAddr;
use crate::dump::cache::BlockCache;
use crate::dump::{MemoryError, SharedPages};

use super::KdumpFile;

/// Memory for decoded pages, in bytes: what one walk over the kernel's data touches again and again.
const PAGE_CACHE: usize = 4 << 20;
/// From so many pages on a read is shared among threads: starting one costs about as much as decoding ten.
const PARALLEL_FROM: usize = 64;
/// Pages that a thread takes at a time.
const SHARE: usize = 16;
/// Reading is seldom worth more: the whole symbol table of a kernel is some hundred pages.
const MAX_THREADS: usize = 4;

/// The memory of a dump, whole or split.
#[derive(Debug)]
pub(in crate::dump) struct KdumpMemory {
    files: Vec<KdumpFile>,
    page_size: usize,
    pages: BlockCache<Arc<[u8]>>,
    shared: Option<Arc<SharedPages>>,
}

/// A part of a read that lies in one page.
struct Piece<'a> {
    pfn: u64,
    within: usize,
    bytes: &'a mut [u8],
}

/// A large read, shared among threads.
struct Work<'a> {
    shares: VecDeque<Vec<Piece<'a>>>,
    /// The first page that failed so far.
    failure: Option<(u64, MemoryError)>,
}

impl KdumpMemory {
    /// Over files that are in the order of their pages; `page_size` is theirs, in bytes.
    pub(in crate::dump) fn new(files: Vec<KdumpFile>, page_size: usize, shared: Option<Arc<SharedPages>>) -> Self {
        let pages = BlockCache::new((PAGE_CACHE / page_size).max(16));
        Self {
            files,
            page_size,
            pages,
            shared,
        }
    }

    pub(in crate::dump) fn files(&self) -> &[KdumpFile] {
        &self.files
    }

    /// Fills `buf` from `at` on.
    pub(in crate::dump) fn read(&self, at: PhysAddr, buf: &mut [u8]) -> Result<(), MemoryError> {
        // What lies past the end of the address space is nowhere.
        at.checked_add(buf.len() as u64).ok_or(MemoryError::NotPresent(at))?;
        let large = buf.len() >= PARALLEL_FROM * self.page_size;
        let mut pieces = self.pieces(at, buf);
        if large {
            return self.read_large(pieces);
        }
        pieces.try_for_each(|piece| self.read_cached(piece))
    }

    /// The page that starts at `at`.
    pub(in crate::dump) fn cached_page(&self, at: PhysAddr) -> Option<Arc<[u8]>> {
        let pfn = at.0 / self.page_size as u64;
        let load = || self.page(pfn);
        at.0.is_multiple_of(self.page_size as u64)
            .then(|| self.pages.get_or_load(pfn, load).ok())
            .flatten()
    }

    fn pieces<'a>(&self, at: PhysAddr, buf: &'a mut [u8]) -> impl Iterator<Item = Piece<'a>> + use<'a> {
        let page_size = self.page_size;
        let first = (at.0 % page_size as u64) as usize;
        let (head, rest) = buf.split_at_mut(buf.len().min(page_size - first));
        let pfn = at.0 / page_size as u64;
        let head = Piece {
            pfn,
            within: first,
            bytes: head,
        };
        let rest = rest.chunks_mut(page_size).zip(pfn + 1..);
        std::iter::once(head).chain(rest.map(|(bytes, pfn)| Piece { pfn, within: 0, bytes }))
    }

    fn read_cached(&self, piece: Piece<'_>) -> Result<(), MemoryError> {
        let page = self.pages.get_or_load(piece.pfn, || self.page(piece.pfn))?;
        if let Some(bytes) = page.get(piece.within..piece.within + piece.bytes.len()) {
            piece.bytes.copy_from_slice(bytes);
        }
        Ok(())
    }

    /// Past the cache: there a large read would only push out what others want.
    /// Of several pages that fail the first one's error is returned, as if they had been read in order.
    fn read_large<'a>(&self, pieces: impl Iterator<Item = Piece<'a>>) -> Result<(), MemoryError> {
        let mut shares = VecDeque::new();
        let mut pieces = pieces.peekable();
        while pieces.peek().is_some() {
            shares.push_back(pieces.by_ref().take(SHARE).collect());
        }
        let work = Mutex::new(Work { shares, failure: None });
        thread::scope(|scope| {
            for _ in 1..thread_count() {
                // Where no thread can be had the others do the work.
                let _ = thread::Builder::new().spawn_scoped(scope, || self.take_shares(&work));
            }
            self.take_shares(&work);
        });
        let work = work.into_inner().unwrap_or_else(PoisonError::into_inner);
        work.failure.map_or(Ok(()), |(_, error)| Err(error))
    }

    fn take_shares(&self, work: &Mutex<Work<'_>>) {
        let lock = || work.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            // Those behind a page that failed, too: how far the others came by then would be chance, and with it what was
            // read of the dump in all.
            let Some(share) = lock().shares.pop_front() else { return };
            for piece in share {
                let pfn = piece.pfn;
                let whole = piece.bytes.len() == self.page_size;
                let result = match self.pages.get(pfn) {
                    Some(page) if whole => {
                        piece.bytes.copy_from_slice(&page);
                        Ok(())
                    }
                    None if whole => self.page(pfn).map(|page| piece.bytes.copy_from_slice(&page)),
                    _ => self.read_cached(piece),
                };
                if let Err(error) = result {
                    let mut work = lock();
                    if work.failure.as_ref().is_none_or(|(first, _)| pfn < *first) {
                        work.failure = Some((pfn, error));
                    }
                }
            }
        }
    }

    /// The page, shared with other dumps where that can be.
    fn page(&self, pfn: u64) -> Result<Arc<[u8]>, MemoryError> {
        self.file_of(pfn)?.page(pfn, self.page_size, self.shared.as_deref())
    }

    fn file_of(&self, pfn: u64) -> Result<&KdumpFile, MemoryError> {
        self.files.iter().find(|file| file.covers(pfn)).ok_or_else(|| {
            // In a part of a split set that was not given: the bitmaps of the others still say whether it is memory.
            let address = PhysAddr(pfn.saturating_mul(self.page_size as u64));
            self.files
                .first()
                .map_or(MemoryError::NotPresent(address), |file| file.why_absent(pfn))
        })
    }
}

/// How many threads share a large read. Where every thread has a dump of its own to read, it is one.
fn thread_count() -> usize {
    // Asked once: the answer takes reads of several files.
    static COUNT: OnceLock<usize> = OnceLock::new();
    let processors = || thread::available_parallelism().map_or(1, usize::from);
    let count = match rayon::current_thread_index() {
        Some(_) => rayon::current_num_threads(),
        None => *COUNT.get_or_init(processors),
    };
    count.min(MAX_THREADS)
}
