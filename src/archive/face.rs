//! What a file shows of itself in its first bytes: enough to say what it belongs to.
//!
//! A face is small and can be kept, so that an archive that did not change need not be looked at again.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{FileStamp, Listing};
use crate::console;
use crate::dump::{self, Split};
use crate::input::{self, Looks, Peek};

/// How long a text may be to be kept whole in its face: the elements of an ABRT folder are single words.
const WORD: usize = 200;

/// What a file shows of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Face {
    /// A dump.
    Dump {
        /// The kernel's release, where its header tells.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        release: Option<String>,
        /// Its place in a split set.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        split: Option<Split>,
    },
    /// Kernel text.
    Log {
        /// The release in its banner, where that is within the first bytes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        release: Option<String>,
    },
    /// One of our own answers or reports.
    Answer {
        /// The file name of the input that it is about.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        of: Option<String>,
    },
    /// A tar archive.
    Tarball,
    /// A text of a line or two.
    Word(String),
    /// A symbol map of a kernel (`System.map`).
    SymbolMap,
    /// How a dump was written, in the words of SUSE's kdump.
    KdumpReadme,
    /// An ELF file that is no core.
    Elf,
    /// Anything else.
    Other,
}

impl Face {
    /// Looks at a file.
    pub fn of_file(path: &Path) -> io::Result<Self> {
        input::peek(path).map(Face::of)
    }

    /// Judges what was seen of a file.
    pub fn of(peek: Peek) -> Self {
        match peek.looks {
            Looks::Dump => {
                let peeked = dump::peek(peek.head);
                Face::Dump {
                    release: peeked.release,
                    split: peeked.split,
                }
            }
            Looks::Tar => Face::Tarball,
            Looks::Elf => Face::Elf,
            Looks::Text => of_text(&peek.head),
            Looks::Empty | Looks::Other => Face::Other,
        }
    }
}

fn of_text(head: &[u8]) -> Face {
    let start = head.trim_ascii_start();
    if start.first() == Some(&b'{') && (find(head, b"vmcoroner/report/1").is_some() || is_failed_row(start)) {
        return Face::Answer { of: subject(head) };
    }
    let release = release(head);
    if release.is_some() || has_kernel_times(head) || console::may_tell(head) {
        return Face::Log { release };
    }
    if is_symbol_map(head) {
        return Face::SymbolMap;
    }
    if start.starts_with(b"Kernel crashdump") {
        return Face::KdumpReadme;
    }
    match std::str::from_utf8(head) {
        Ok(text) if text.len() <= WORD => Face::Word(text.trim().to_owned()),
        _ => Face::Other,
    }
}

/// Whether it is the row of what could not be read at all, which has no report.
fn is_failed_row(text: &[u8]) -> bool {
    text.starts_with(b"{\"input\":\"") && find(text, b"\"status\":\"failed\"").is_some()
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// The release of the first banner: `Linux version 6.1.0-13-amd64 (…`.
fn release(head: &[u8]) -> Option<String> {
    const BANNER: &[u8] = b"Linux version ";
    let rest = head.get(find(head, BANNER)? + BANNER.len()..)?;
    let end = rest.iter().position(|byte| byte.is_ascii_whitespace())?;
    let word = std::str::from_utf8(rest.get(..end)?).ok()?;
    word.starts_with(|c: char| c.is_ascii_digit()).then(|| word.to_owned())
}

/// Whether the first lines carry the times of printk: `[    1.234567] `.
fn has_kernel_times(head: &[u8]) -> bool {
    let timed = |line: &[u8]| {
        let line = line.trim_ascii_start();
        // `<6>[    1.234567] ` as it stands in pstore and /dev/kmsg.
        let line = match line.first() {
            Some(b'<') => line
                .iter()
                .position(|byte| *byte == b'>')
                .and_then(|at| line.get(at + 1..))
                .unwrap_or(line),
            _ => line,
        };
        let time = line
            .strip_prefix(b"[")
            .map(|rest| rest.trim_ascii_start())
            .unwrap_or_default();
        let digits = time.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let micros = time.get(digits + 1..).unwrap_or_default();
        digits > 0
            && time.get(digits) == Some(&b'.')
            && micros.iter().take_while(|byte| byte.is_ascii_digit()).count() == 6
            && micros.get(6).is_some_and(|byte| matches!(byte, b']' | b','))
    };
    head.split(|byte| *byte == b'\n').take(50).any(timed)
}

/// `ffffffff81000000 T _text`, line after line.
fn is_symbol_map(head: &[u8]) -> bool {
    let mut lines = head.split(|byte| *byte == b'\n').take(20).peekable();
    let is_symbol = |line: &[u8]| {
        let mut words = line.split(|byte| *byte == b' ');
        let (address, kind, name) = (words.next(), words.next(), words.next());
        address.is_some_and(|word| matches!(word.len(), 8 | 16) && word.iter().all(u8::is_ascii_hexdigit))
            && kind.is_some_and(|word| word.len() == 1)
            && name.is_some_and(|word| !word.is_empty())
    };
    lines.peek().is_some() && head.len() > 400 && lines.all(is_symbol)
}

/// The file name behind the first `"input":` or `"path":`.
fn subject(head: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(head);
    let keys = ["\"input\"", "\"path\""];
    let (at, key) = keys.iter().filter_map(|key| Some((text.find(key)?, key))).min()?;
    let rest = text.get(at + key.len()..)?.trim_start().strip_prefix(':')?.trim_start();
    let mut values = serde_json::Deserializer::from_str(rest).into_iter::<String>();
    let path = values.next()?.ok()?;
    Path::new(&path)
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
}

/// What is known of a folder from an earlier look.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// What lay in it.
    pub listing: Option<Listing>,
    /// Its files' faces, by name.
    faces: Vec<KnownFace>,
}

/// The face of a file, and what the file was like when it showed it.
#[derive(Clone, Debug)]
pub struct KnownFace {
    /// Its name within its folder.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was last written, in nanoseconds since 1970.
    pub modified: i64,
    /// What it showed.
    pub face: Face,
}

impl KnownFace {
    /// What `file` shows now.
    pub fn new(file: &FileStamp, face: Face) -> Self {
        KnownFace {
            name: file.name().into_owned(),
            size: file.size,
            modified: file.modified,
            face,
        }
    }
}

impl Known {
    /// Adds what a file showed, in place of what it showed before.
    pub fn add(&mut self, seen: KnownFace) {
        // They mostly come by name.
        if self.faces.last().is_none_or(|last| last.name < seen.name) {
            self.faces.push(seen);
            return;
        }
        match self.faces.binary_search_by(|known| known.name.cmp(&seen.name)) {
            Ok(at) => {
                if let Some(known) = self.faces.get_mut(at) {
                    *known = seen;
                }
            }
            Err(at) => self.faces.insert(at, seen),
        }
    }

    /// What a file showed, if it has not changed since.
    pub fn face(&self, file: &FileStamp) -> Option<&Face> {
        let name = file.name();
        let at = self
            .faces
            .binary_search_by(|known| known.name.as_str().cmp(&name))
            .ok()?;
        let known = self.faces.get(at)?;
        (known.size == file.size && known.modified == file.modified).then_some(&known.face)
    }

    /// How many files' faces are known.
    pub fn faces(&self) -> usize {
        self.faces.len()
    }
}

/// Where what was seen of folders is kept from scan to scan.
pub trait FaceCache: Send + Sync {
    /// What is known of a folder.
    fn known(&self, folder: &str) -> io::Result<Known>;

    /// Keeps faces that were seen in a folder.
    fn keep(&self, folder: &str, seen: &[(FileStamp, Face)]) -> io::Result<()>;

    /// Keeps what lies in a folder.
    fn keep_listing(&self, folder: &str, listing: &Listing) -> io::Result<()>;
}

/// Nowhere.
#[derive(Clone, Copy, Debug)]
pub struct NoCache;

impl FaceCache for NoCache {
    fn known(&self, _: &str) -> io::Result<Known> {
        Ok(Known::default())
    }

    fn keep(&self, _: &str, _: &[(FileStamp, Face)]) -> io::Result<()> {
        Ok(())
    }

    fn keep_listing(&self, _: &str, _: &Listing) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> Face {
        Face::of(Peek {
            looks: Looks::Text,
            head: bytes.to_vec(),
            wrapped: false,
        })
    }

    #[test]
    fn texts_are_told_apart() {
        let release = |release: &str| Face::Log {
            release: Some(release.to_owned()),
        };
        assert_eq!(
            text(b"[    0.000000] Linux version 6.1.0-13-amd64 (x)\n"),
            release("6.1.0-13-amd64")
        );
        assert_eq!(text(b"<6>[   12.345678] usb: x\n"), Face::Log { release: None });
        assert_eq!(
            text(b"BUG: unable to handle kernel NULL pointer dereference at 8\n"),
            Face::Log { release: None }
        );
        assert_eq!(text(b"vmcore\n"), Face::Word("vmcore".to_owned()));
        assert_eq!(text(b"Kernel crashdump\n----\n"), Face::KdumpReadme);
        assert_eq!(text(&b"ffffffff81000000 T _text\n".repeat(30)), Face::SymbolMap);
        assert_eq!(text(&b"nothing of a kernel's\n".repeat(30)), Face::Other);
        let answer = br#"{"input": "/var/crash/x/vmcore", "report": {"schema": "vmcoroner/report/1"}}"#;
        let failed = br#"{"input":"/var/crash/x/vmcore","status":"failed","error":"it ends"}"#;
        for row in [answer.as_slice(), failed.as_slice()] {
            let of = Some("vmcore".to_owned());
            assert_eq!(text(row), Face::Answer { of });
        }
    }

    #[test]
    fn a_face_survives_json() {
        let faces = [
            Face::Dump {
                release: Some("6.1".to_owned()),
                split: Some(Split {
                    dump: u64::MAX,
                    pages: 0..u64::MAX,
                }),
            },
            Face::Word("vmcore".to_owned()),
            Face::Other,
        ];
        for face in faces {
            let json = serde_json::to_string(&face).unwrap();
            assert_eq!(serde_json::from_str::<Face>(&json).unwrap(), face);
        }
    }
}
