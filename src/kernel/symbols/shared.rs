//! Indexes over the names of a kernel build, made once for all dumps of it.
//!
//! Whose index it is, is told by the names themselves: names, tokens and markers are compared in full. So the index of
//! a dump whose names are damaged or cut down serves that dump alone.

use std::sync::{Arc, Mutex, PoisonError};

use super::names::{NameIndex, Tokens};

/// How much memory may be taken, in bytes: five builds of distributions' kernels.
const LIMIT: usize = 32 << 20;
/// How many builds may share it.
const BUILDS: usize = 64;

/// Indexes by what they are over; for all dumps of a run, and for several threads.
#[derive(Debug, Default)]
pub struct SharedNames {
    /// The one that was asked for last is the last.
    kept: Mutex<Vec<Arc<Kept>>>,
}

#[derive(Debug)]
struct Kept {
    count: u32,
    markers: Box<[u32]>,
    tokens: Vec<Box<[u8]>>,
    names: Arc<Vec<u8>>,
    index: Arc<NameIndex>,
}

/// The names of a dump.
pub(super) struct Names<'a> {
    pub(super) count: u32,
    pub(super) markers: &'a [u32],
    pub(super) tokens: &'a Tokens,
    /// The name stream.
    pub(super) bytes: &'a Arc<Vec<u8>>,
}

impl Names<'_> {
    fn are_of(&self, kept: &Kept) -> bool {
        self.count == kept.count
            && *self.markers == *kept.markers
            && self.tokens.texts().eq(kept.tokens.iter().map(|text| &**text))
            && **self.bytes == *kept.names
    }
}

impl Kept {
    fn size(&self) -> usize {
        self.names.len() + 4 * self.markers.len() + self.index.size()
    }
}

impl SharedNames {
    /// The index over `names`; `build` makes it where none is kept.
    pub(super) fn index(&self, names: &Names<'_>, build: impl FnOnce() -> NameIndex) -> Arc<NameIndex> {
        let lock = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let all = lock().clone();
        let known = all.into_iter().rev().find(|kept| names.are_of(kept));
        let wanted = known.unwrap_or_else(|| {
            Arc::new(Kept {
                count: names.count,
                markers: names.markers.into(),
                tokens: names.tokens.texts().map(Into::into).collect(),
                names: Arc::clone(names.bytes),
                index: Arc::new(build()),
            })
        });
        let mut kept = lock();
        kept.retain(|other| !Arc::ptr_eq(other, &wanted));
        let mut room = LIMIT.saturating_sub(wanted.size());
        let index = Arc::clone(&wanted.index);
        // Those that were asked for longest ago go; one that is too large by itself is not kept.
        let fitting = kept.iter().rev().take(BUILDS - 1).take_while(|other| {
            let fits = other.size() <= room;
            room = room.saturating_sub(other.size());
            fits
        });
        let gone = kept.len() - fitting.count();
        kept.drain(..gone);
        if wanted.size() <= LIMIT {
            kept.push(wanted);
        }
        index
    }
}
