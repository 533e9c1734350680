//! One input: what is it, and what is it wrapped in? A path or standard input → bytes that can be read at any place.
//!
//! Found by content (magic bytes), never by name. Unwraps gzip, xz, zstd, bzip2 and apport's reports into a temporary file.
//! It knows the magic of dump formats but not their insides, and nothing of kernels.

mod apport;
mod counter;
mod error;
mod file;
mod foreign;
pub mod gate;
mod long_text;
mod open;
mod peek;
mod sniff;
mod spool;
mod wrapping;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use counter::ReadCounter;
pub use error::InputError;
pub use foreign::Foreign;
pub use open::{Limits, open, open_with};
pub use peek::{Looks, Peek, peek, peek_stream, unwrapped};
pub(crate) use spool::{Spool, folder as spool_folder};
pub(crate) use wrapping::Wrapping;

/// Positional reads. Not a memory map: a dump that shrinks under a mapping kills the process.
pub trait ReadAt: fmt::Debug + Send + Sync {
    /// Reads up to `buf.len()` bytes at `offset`; fewer only at the end of the data (0 past it).
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;

    /// The size in bytes.
    fn size(&self) -> u64;
}

impl ReadAt for Vec<u8> {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|start| self.get(start..))
            .unwrap_or_default();
        let count = rest.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        Ok(count)
    }

    fn size(&self) -> u64 {
        self.len() as u64
    }
}

/// A regular file as it is, unjudged: for what is no input but helps to read one (a vmlinux).
pub fn open_plain(path: &Path) -> io::Result<Arc<dyn ReadAt>> {
    let found = std::fs::metadata(path)?;
    if !found.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let file = std::fs::File::open(path)?;
    Ok(Arc::new(file::CountedFile::new(
        file,
        found.len(),
        ReadCounter::default(),
    )))
}

/// What an input holds once it is unwrapped.
#[derive(Clone, Debug)]
pub enum Content {
    /// A dump in a format that [`crate::dump`] reads.
    Dump(Arc<dyn ReadAt>),
    /// Text: kernel messages, a `crash` session, a report's JSON. Mostly UTF-8, but any 8-bit code may come.
    /// A vector, so that a large one need not be copied to be shared.
    Text(Arc<Vec<u8>>),
}

/// One opened input.
#[derive(Clone, Debug)]
pub struct Input {
    /// The path as it was given; `-` for standard input.
    pub path: PathBuf,
    /// What is in it.
    pub content: Content,
    /// What it was wrapped in, the outermost first: `gzip`, `xz`, `zstd`, `bzip2`, `apport`.
    pub wrappings: Vec<&'static str>,
    /// The size on disk (of the wrapped file), in bytes.
    pub size: u64,
    /// Why `content` ends early: a wrapper that was cut or damaged, a limit that was reached. What came before it is
    /// in `content`. A dump that is itself cut short says so in [`crate::dump::Header::truncated`].
    pub cut_short: Option<String>,
    /// How many bytes of the file were read so far, those of a dump counted once however often they were.
    pub counter: ReadCounter,
}
