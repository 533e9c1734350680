//! A look at the first bytes of a file, unwrapped: enough to say what it is, cheap enough for every file of an archive.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;

use super::file::read_fully_at;
use super::sniff::{self, Kind};

/// How much is looked at: a dump's headers lie in its first two blocks, and a block is 64 KiB at most.
const HEAD: usize = 72 << 10;

/// As deep as inputs are unwrapped.
const NESTING: usize = 4;

/// What first bytes look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looks {
    /// A dump in a format that is read.
    Dump,
    /// Text.
    Text,
    /// A tar archive.
    Tar,
    /// An ELF file that is no core: a vmlinux, a module.
    Elf,
    /// No bytes at all.
    Empty,
    /// None of these.
    Other,
}

/// The first bytes of a file, unwrapped, and what they look like.
#[derive(Clone, Debug)]
pub struct Peek {
    /// What they look like.
    pub looks: Looks,
    /// The bytes: 72 KiB, or all of the file.
    pub head: Vec<u8>,
    /// Whether the file is packed.
    pub wrapped: bool,
}

/// Looks at the first bytes of a file. What cannot be unpacked looks like nothing.
pub fn peek(path: &Path) -> io::Result<Peek> {
    let file = File::open(path)?;
    let mut head = vec![0; HEAD];
    let read = read_fully_at(&file, 0, &mut head)?;
    head.truncate(read);
    Ok(match sniff::classify(&head) {
        Kind::Wrapped(_) => peek_stream(Box::new(file)),
        kind => judged(kind, head, false),
    })
}

/// Looks at the first bytes of a stream.
pub fn peek_stream(stream: Box<dyn Read + '_>) -> Peek {
    let mut stream = stream;
    for depth in 0..=NESTING {
        let mut head = Vec::with_capacity(HEAD);
        // What was read before a failure is in `head`, and it is all that there is to judge by.
        let _ = (&mut stream).take(HEAD as u64).read_to_end(&mut head);
        match sniff::classify(&head) {
            Kind::Wrapped(wrapping) if depth < NESTING => {
                stream = wrapping.unwrap(Box::new(Cursor::new(head).chain(stream)));
            }
            kind => return judged(kind, head, depth > 0),
        }
    }
    judged(Kind::Unknown, Vec::new(), true)
}

/// A stream with what it is packed in taken off.
pub fn unwrapped<'a>(stream: Box<dyn Read + 'a>) -> Box<dyn Read + 'a> {
    let mut stream = stream;
    for _ in 0..NESTING {
        let mut head = Vec::new();
        // A failure comes again when the rest is read.
        let _ = (&mut stream).take(4096).read_to_end(&mut head);
        let kind = sniff::classify(&head);
        stream = Box::new(Cursor::new(head).chain(stream));
        match kind {
            Kind::Wrapped(wrapping) => stream = wrapping.unwrap(stream),
            _ => break,
        }
    }
    stream
}

fn judged(kind: Kind, head: Vec<u8>, wrapped: bool) -> Peek {
    let looks = match kind {
        _ if head.is_empty() => Looks::Empty,
        // A member's name comes before the magic: that is text, too.
        _ if is_tar(&head) => Looks::Tar,
        Kind::Dump => Looks::Dump,
        Kind::Text => Looks::Text,
        Kind::Foreign(_) if head.starts_with(b"\x7fELF") => Looks::Elf,
        Kind::Foreign(_) | Kind::Zeros | Kind::Unknown | Kind::Wrapped(_) => Looks::Other,
    };
    Peek { looks, head, wrapped }
}

/// POSIX and GNU tar, by the magic of the first member's header.
fn is_tar(head: &[u8]) -> bool {
    head.get(257..262) == Some(b"ustar")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn packed_files_are_judged_by_what_is_inside() {
        let folder = tempfile::tempdir().unwrap();
        let pack = |bytes: &[u8]| {
            let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            packer.write_all(bytes).unwrap();
            packer.finish().unwrap()
        };
        let mut tar = vec![0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        let cases: Vec<(Vec<u8>, Looks, bool)> = vec![
            (Vec::new(), Looks::Empty, false),
            (b"[    1.0] Linux version 6.1\n".to_vec(), Looks::Text, false),
            (pack(b"KDUMP   \x06\0\0\0"), Looks::Dump, true),
            (tar.clone(), Looks::Tar, false),
            (pack(&pack(&tar)), Looks::Tar, true),
            (pack(b"")[..5].to_vec(), Looks::Empty, true),
            (b"PK\x03\x04\0\0\0\0".to_vec(), Looks::Other, false),
        ];
        for (number, (bytes, looks, wrapped)) in cases.into_iter().enumerate() {
            let path = folder.path().join("file");
            std::fs::write(&path, bytes).unwrap();
            let peek = peek(&path).unwrap();
            assert_eq!((peek.looks, peek.wrapped), (looks, wrapped), "case {number}");
        }
    }
}
