//! Why a file with a dump's magic cannot be read as one.

use std::io;

/// Why a dump cannot be opened. Damage to single pages is a [`super::MemoryError`] when they are read.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// The first bytes are no dump's.
    #[error("not a dump: the first bytes are {found}, expected an ELF core, `KDUMP   `, `DISKDUMP` or `makedumpfile`")]
    Unrecognised {
        /// The first bytes, in hex.
        found: String,
    },
    /// The file ends inside its own header.
    #[error("the {format} file ends after {size} bytes, inside its {part} ({needed} bytes): copy the dump again")]
    HeaderCut {
        /// The format, as far as it could be told.
        format: &'static str,
        /// Which header.
        part: &'static str,
        /// The end of that header in the file, in bytes.
        needed: u64,
        /// The file's size in bytes.
        size: u64,
    },
    /// A header field makes no sense.
    #[error("damaged {format} header: {what} at offset {offset}, expected {expected}")]
    BadHeader {
        /// The format.
        format: &'static str,
        /// The field and what it holds.
        what: String,
        /// Where in the file, in bytes.
        offset: u64,
        /// What it should be.
        expected: &'static str,
    },
    /// An ELF core of something else than a kernel.
    #[error("not a kernel's dump but {what}: {advice}")]
    OtherCore {
        /// What it is, with an article.
        what: &'static str,
        /// What to do instead.
        advice: &'static str,
    },
    /// The parts given together are not of one dump.
    #[error("part {index} of the given files is not of the same split dump: {why}")]
    PartMismatch {
        /// Which of the given parts, from 1.
        index: usize,
        /// What differs.
        why: &'static str,
    },
    /// The file could not be read.
    #[error("cannot read the dump at offset {offset}: {source}")]
    Io {
        /// Where, in bytes.
        offset: u64,
        /// What the system said.
        source: io::Error,
    },
}
