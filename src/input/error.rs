//! Why an input cannot be used: one line each, with what to do.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::foreign::Foreign;

/// Why an input cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which input.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A folder was given where a file is due.
    #[error("{} is a folder: give the dump or the text in it", path.display())]
    Folder {
        /// Which input.
        path: PathBuf,
    },
    /// A named pipe, a socket or a character device: opening one may block for ever.
    #[error("{} is {what}: give its content on standard input, with - as the input's name", path.display())]
    NoFile {
        /// Which input.
        path: PathBuf,
        /// What it is, with an article.
        what: &'static str,
    },
    /// There are no bytes.
    #[error("{} is empty{}: was the dump cut off when it was written or copied?", path.display(), Inside(wrappings))]
    Empty {
        /// Which input.
        path: PathBuf,
        /// What the emptiness was wrapped in.
        wrappings: Vec<&'static str>,
    },
    /// A format that is recognised and not read.
    #[error("{} is {}{}, which is not read here: {}", path.display(), format.name, Inside(wrappings), format.advice)]
    Foreign {
        /// Which input.
        path: PathBuf,
        /// What it was wrapped in.
        wrappings: Vec<&'static str>,
        /// The format and what to do with it.
        format: &'static Foreign,
    },
    /// Neither a dump nor text.
    #[error(
        "{} is neither a dump nor text{}: it begins with {found}; expected an ELF core, a kdump-compressed or \
         flattened dump, the text of a kernel log or crash session, or one of them packed with gzip, xz, zstd or bzip2",
        path.display(), Inside(wrappings)
    )]
    Unknown {
        /// Which input.
        path: PathBuf,
        /// What it was wrapped in.
        wrappings: Vec<&'static str>,
        /// The first bytes in hex, or "zero bytes only".
        found: String,
    },
    /// A wrapper from which not a single byte could be unpacked.
    #[error("{}: cannot unpack a byte of it ({wrapping}: {why}): copy the file again", path.display())]
    Wrapper {
        /// Which input.
        path: PathBuf,
        /// The innermost wrapping that was tried.
        wrapping: &'static str,
        /// What the decoder said.
        why: String,
    },
    /// Wrapped in itself again and again.
    #[error("{} is packed more than {limit} times over: unpack it first", path.display())]
    TooDeep {
        /// Which input.
        path: PathBuf,
        /// The most that is followed.
        limit: usize,
    },
    /// No room to unpack it.
    #[error(
        "{}: cannot unpack it into {} ({source}): unpack it yourself, or set TMPDIR to a folder with room",
        path.display(), folder.display()
    )]
    Spool {
        /// Which input.
        path: PathBuf,
        /// Where temporary files go.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// ` (inside gzip)`, or nothing.
struct Inside<'a>(&'a [&'static str]);

impl fmt::Display for Inside<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            Ok(())
        } else {
            write!(f, " (inside {})", self.0.join(", "))
        }
    }
}
