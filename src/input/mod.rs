//! One input: what is it, and what is it wrapped in? A path or standard input → bytes that can be read at any place.
//!
//! Found by content (magic bytes), never by name. Unwraps gzip, xz, zstd and bzip2 into a temporary file. It knows the
//! magic of dump formats but not their insides, and nothing of kernels.

use std::fmt;
use std::io;

/// Positional reads. Not a memory map: a dump that shrinks under a mapping kills the process.
pub trait ReadAt: fmt::Debug + Send + Sync {
    /// Reads up to `buf.len()` bytes at `offset`; fewer only at the end of the data (0 past it).
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;

    /// The size in bytes.
    fn size(&self) -> u64;
}
