//! Positional reads with this layer's errors.

use crate::dump::{DumpError, MemoryError};
use crate::input::ReadAt;

/// Reads up to `buf.len()` bytes at `offset` of a header.
pub(super) fn read_at_most(file: &dyn ReadAt, offset: u64, buf: &mut [u8]) -> Result<usize, DumpError> {
    file.read_at(offset, buf)
        .map_err(|source| DumpError::Io { offset, source })
}

/// The bytes of a header at `offset`: up to `size`, fewer where the file ends.
pub(super) fn read_vec(file: &dyn ReadAt, offset: u64, size: usize) -> Result<Vec<u8>, DumpError> {
    let there = usize::try_from(file.size().saturating_sub(offset)).unwrap_or(usize::MAX);
    let mut buf = vec![0; size.min(there)];
    let read = read_at_most(file, offset, &mut buf)?;
    buf.truncate(read);
    Ok(buf)
}

/// `size` bytes at `offset`, zero where the file ends.
pub(super) fn zero_filled(file: &dyn ReadAt, offset: u64, size: usize) -> Result<Vec<u8>, MemoryError> {
    let mut buf = vec![0; size];
    file.read_at(offset, &mut buf).map_err(|error| MemoryError::Io {
        offset,
        why: error.to_string(),
    })?;
    Ok(buf)
}
