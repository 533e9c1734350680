//! Opening: what kind of file is it, and the way from its first bytes to [`Content`].

use std::fs::{self, File};
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file::{CountedFile, CountedStream};
use super::long_text::LongText;
use super::sniff::{self, Kind};
use super::spool::{self, Spool};
use super::{Content, Input, InputError, ReadAt, ReadCounter};

/// Enough to recognise every format by its magic.
const MAGIC_HEAD: usize = 4096;
/// Enough to judge whether something is text.
const TEXT_HEAD: usize = 1 << 16;
const BUFFER: usize = 1 << 18;

/// How much an input may make this process take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How much of a text is kept, in bytes. One that is longer than three quarters of this loses, between its first
    /// half and its last quarter, the parts of which `telling` says no.
    pub text: u64,
    /// Whether a part of a text that is too long to be kept whole tells something.
    pub telling: fn(&[u8]) -> bool,
    /// How many wrappers around each other are followed.
    pub nesting: usize,
    /// What may be unpacked, however small the file is, in bytes.
    pub unpacked: u64,
    /// How many times its own size a larger file may unpack to. Zeros count for little: see `stored_ratio`.
    pub unpacked_ratio: u64,
    /// How many times its own size a file may take on the disk once it is unpacked (holes do not count).
    pub stored_ratio: u64,
}

impl Default for Limits {
    fn default() -> Self {
        // Dumps of mostly empty machines shrink a thousandfold, but what is not zero in them at most about tenfold.
        Self {
            text: 256 << 20,
            telling: |_| true,
            nesting: 4,
            unpacked: 16 << 30,
            unpacked_ratio: 2000,
            stored_ratio: 100,
        }
    }
}

/// Opens `path` (`-`: standard input) and finds out what it holds.
pub fn open(path: &Path) -> Result<Input, InputError> {
    open_with(path, &Limits::default())
}

/// [`open`] with other limits.
pub fn open_with(path: &Path, limits: &Limits) -> Result<Input, InputError> {
    let opening = Opening {
        path,
        limits,
        counter: ReadCounter::default(),
    };
    if path == Path::new("-") {
        return opening.standard_input();
    }
    let io_error = |source| InputError::Io {
        path: path.to_owned(),
        source,
    };
    let kind = fs::metadata(path).map_err(io_error)?.file_type();
    if kind.is_dir() {
        return Err(InputError::Folder { path: path.to_owned() });
    }
    if kind.is_fifo() && is_open_descriptor(path) {
        return opening.stream(File::open(path).map_err(io_error)?);
    }
    let refused = if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_char_device() {
        "a character device"
    } else {
        let mut file = File::open(path).map_err(io_error)?;
        // A block device (kdump can write to a raw partition) has no length, but an end.
        let size = if kind.is_file() {
            file.metadata().map(|data| data.len())
        } else {
            file.seek(SeekFrom::End(0))
        };
        return opening.seekable(file, size.map_err(io_error)?);
    };
    Err(InputError::NoFile {
        path: path.to_owned(),
        what: refused,
    })
}

/// Whether the path names a descriptor of this process (a shell's `<(command)`): its pipe is open at the other end, so
/// that opening it does not block.
fn is_open_descriptor(path: &Path) -> bool {
    path.starts_with("/dev/fd") || path.starts_with("/proc/self/fd") || path == Path::new("/dev/stdin")
}

/// One input on its way to being opened.
struct Opening<'a> {
    path: &'a Path,
    limits: &'a Limits,
    counter: ReadCounter,
}

impl Opening<'_> {
    fn standard_input(self) -> Result<Input, InputError> {
        let descriptor = io::stdin()
            .as_fd()
            .try_clone_to_owned()
            .map_err(|source| self.io_error(source))?;
        let mut file = File::from(descriptor);
        // A redirected file is read in place. Neither a failure here nor one of the position matters to a stream.
        match (file.metadata(), file.stream_position()) {
            (Ok(data), Ok(0)) if data.is_file() => self.seekable(file, data.len()),
            (Ok(data), _) if data.is_dir() => Err(InputError::Folder {
                path: self.path.to_owned(),
            }),
            _ => self.stream(file),
        }
    }

    /// A file that can be read at any place: only a wrapped one is spooled.
    fn seekable(self, file: File, size: u64) -> Result<Input, InputError> {
        let source = CountedFile::new(file, size, self.counter.clone());
        let head = self.head_of(&source, MAGIC_HEAD)?;
        let kind = match sniff::classify(&head) {
            Kind::Text | Kind::Zeros | Kind::Unknown if head.len() == MAGIC_HEAD => {
                sniff::classify(&self.head_of(&source, TEXT_HEAD)?)
            }
            kind => kind,
        };
        match kind {
            Kind::Dump => Ok(self.input(Content::Dump(Arc::new(source)), Vec::new(), size, None)),
            _ => self.unwrap(Box::new(source.into_stream()), Some(size)),
        }
    }

    fn stream(self, file: File) -> Result<Input, InputError> {
        let stream = CountedStream::new(file, self.counter.clone());
        self.unwrap(Box::new(stream), None)
    }

    /// Takes wrapper after wrapper off a stream until a dump or a text comes to light.
    fn unwrap(self, mut stream: Box<dyn Read>, size: Option<u64>) -> Result<Input, InputError> {
        let mut wrappings: Vec<&'static str> = Vec::new();
        loop {
            let (head, failure) = read_head(&mut stream);
            if let (Some(error), true) = (&failure, head.is_empty()) {
                let why = error.to_string();
                return Err(match wrappings.last() {
                    Some(wrapping) => InputError::Wrapper {
                        path: self.path(),
                        wrapping,
                        why,
                    },
                    None => self.io_error(io::Error::new(error.kind(), why)),
                });
            }
            if head.is_empty() {
                return Err(InputError::Empty {
                    path: self.path(),
                    wrappings,
                });
            }
            let kind = sniff::classify(&head);
            // A stream that failed is not read again.
            let rest: Box<dyn Read> = match failure {
                Some(error) => Box::new(Failing(Some(error))),
                None => stream,
            };
            stream = Box::new(Cursor::new(head.clone()).chain(rest));
            let (content, cut_short) = match kind {
                Kind::Wrapped(_) if wrappings.len() >= self.limits.nesting => {
                    return Err(InputError::TooDeep {
                        path: self.path(),
                        limit: self.limits.nesting,
                    });
                }
                Kind::Wrapped(wrapping) => {
                    wrappings.push(wrapping.name());
                    stream = wrapping.unwrap(stream);
                    continue;
                }
                Kind::Foreign(format) => {
                    return Err(InputError::Foreign {
                        path: self.path(),
                        wrappings,
                        format,
                    });
                }
                Kind::Dump => self.spool(stream)?,
                Kind::Text => self.text(stream, !wrappings.is_empty()),
                Kind::Zeros | Kind::Unknown => {
                    let found = if matches!(kind, Kind::Zeros) {
                        "zero bytes only".to_owned()
                    } else {
                        hex(&head)
                    };
                    return Err(InputError::Unknown {
                        path: self.path(),
                        wrappings,
                        found,
                    });
                }
            };
            let size = size.unwrap_or_else(|| self.counter.bytes());
            return Ok(self.input(content, wrappings, size, cut_short));
        }
    }

    /// Writes a stream into a temporary file, as far as it goes.
    fn spool(&self, mut stream: Box<dyn Read>) -> Result<(Content, Option<String>), InputError> {
        let spool_error = |source| InputError::Spool {
            path: self.path(),
            folder: spool::folder(),
            source,
        };
        let mut spool = Spool::new().map_err(spool_error)?;
        let mut buf = vec![0; BUFFER];
        let cut_short = loop {
            let (count, failure) = fill(&mut stream, &mut buf);
            spool
                .append(buf.get(..count).unwrap_or_default())
                .map_err(spool_error)?;
            if let Some(error) = failure {
                break Some(why(&error));
            }
            if count < buf.len() {
                break None;
            }
            let (packed, limits) = (self.counter.bytes(), self.limits);
            let too_large = spool.size() > self.most_unpacked();
            let too_full = spool.stored() > limits.unpacked.max(packed.saturating_mul(limits.stored_ratio));
            if too_large || too_full {
                break Some(format!(
                    "stopped after {} bytes: it unpacks to far more than a dump does",
                    spool.size()
                ));
            }
        };
        let spool = spool.finish().map_err(spool_error)?;
        Ok((Content::Dump(Arc::new(spool)), cut_short))
    }

    fn text(&self, mut stream: Box<dyn Read>, packed: bool) -> (Content, Option<String>) {
        let limit = usize::try_from(self.limits.text).unwrap_or(usize::MAX);
        let mut long = LongText::new(limit, self.limits.telling);
        let mut buf = vec![0; BUFFER];
        let mut size = 0u64;
        let mut cut_short = loop {
            let (count, failure) = fill(&mut stream, &mut buf);
            long.push(buf.get(..count).unwrap_or_default());
            size += count as u64;
            if count < buf.len() || failure.is_some() {
                break failure.map(|error| why(&error));
            }
            if packed && size > self.most_unpacked() {
                break Some(format!(
                    "stopped after {size} bytes: it unpacks to far more than a log does"
                ));
            }
        };
        let (mut text, left_out) = long.finish();
        if left_out > 0 {
            let note = format!("{left_out} bytes in the middle of this long text were left out");
            cut_short = cut_short.or(Some(note));
        }
        if sniff::is_utf16(&text) {
            text = from_utf16(&text).into_bytes();
        }
        (Content::Text(Arc::new(text)), cut_short)
    }

    /// What may be unpacked of as much as was read so far, in bytes.
    fn most_unpacked(&self) -> u64 {
        let packed = self.counter.bytes();
        let limits = self.limits;
        limits.unpacked.max(packed.saturating_mul(limits.unpacked_ratio))
    }

    fn head_of(&self, source: &CountedFile, size: usize) -> Result<Vec<u8>, InputError> {
        let mut head = vec![0; size];
        let read = source.read_at(0, &mut head).map_err(|source| self.io_error(source))?;
        head.truncate(read);
        Ok(head)
    }

    fn input(self, content: Content, wrappings: Vec<&'static str>, size: u64, cut_short: Option<String>) -> Input {
        Input {
            path: self.path(),
            content,
            wrappings,
            size,
            cut_short,
            counter: self.counter,
        }
    }

    fn path(&self) -> PathBuf {
        self.path.to_owned()
    }

    fn io_error(&self, source: io::Error) -> InputError {
        InputError::Io {
            path: self.path(),
            source,
        }
    }
}

/// A stream that gives back the error it broke with, once.
struct Failing(Option<io::Error>);

impl Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

/// Reads until `buf` is full, the stream ends or fails.
fn fill(stream: &mut dyn Read, buf: &mut [u8]) -> (usize, Option<io::Error>) {
    let mut done = 0;
    while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match stream.read(rest) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (done, Some(error)),
        }
    }
    (done, None)
}

fn read_head(stream: &mut dyn Read) -> (Vec<u8>, Option<io::Error>) {
    let mut head = vec![0; TEXT_HEAD];
    let (count, failure) = fill(stream, &mut head);
    head.truncate(count);
    (head, failure)
}

fn why(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "the packed file ends early".to_owned(),
        io::ErrorKind::OutOfMemory => format!("to unpack all of it takes more memory than there is: {error}"),
        _ => format!("the packed file is damaged or ends early: {error}"),
    }
}

fn hex(head: &[u8]) -> String {
    let bytes: Vec<String> = head.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    bytes.join(" ")
}

fn from_utf16(text: &[u8]) -> String {
    let little = text.first() == Some(&0xff);
    let units = text.as_chunks::<2>().0.iter().skip(1);
    let units = units.map(|pair| {
        if little {
            u16::from_le_bytes(*pair)
        } else {
            u16::from_be_bytes(*pair)
        }
    });
    char::decode_utf16(units)
        .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_memory_is_short_for_is_not_called_damaged() {
        let said = |kind: io::ErrorKind| why(&io::Error::new(kind, "so"));
        assert!(said(io::ErrorKind::OutOfMemory).contains("memory"));
        assert!(!said(io::ErrorKind::OutOfMemory).contains("damaged"));
        assert!(said(io::ErrorKind::InvalidData).contains("damaged"));
    }
}
