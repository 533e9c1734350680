//! An archive of crashes: which of the files in its places are inputs, and which belong to another one.
//!
//! An input is every regular file that is no companion of another: a dump, its kernel log and its metadata are one
//! crash. What belongs together is told by layout and content ([`face`], [`folder`]), never by a number in a name alone.
//! It finds and stats files and looks at their first bytes; reading crashes out of them is not its work.

mod abrt;
mod face;
mod folder;
mod listing;
mod order;
mod scratch;
mod tarball;
mod walk;

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

pub use face::{Face, FaceCache, Known, KnownFace, NoCache};
pub use listing::Listing;
pub use order::by_name;
pub use scratch::clear_away;
pub use tarball::{Members, NESTING, Unpacked, unpack};
pub use walk::{Walk, measure, read_list};

/// A file as it stood when the archive was walked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStamp {
    /// Where it lies.
    #[serde(with = "path_bytes")]
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// When it was last written, in nanoseconds since 1970.
    pub modified: i64,
}

impl FileStamp {
    /// The file as `metadata` describes it.
    pub fn new(path: PathBuf, metadata: &std::fs::Metadata) -> Self {
        let modified = metadata.modified().ok();
        let since = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        FileStamp {
            path,
            size: metadata.len(),
            modified: since
                .and_then(|since| i64::try_from(since.as_nanos()).ok())
                .unwrap_or(0),
        }
    }

    /// Its name within its folder, as text.
    pub fn name(&self) -> Cow<'_, str> {
        self.path
            .file_name()
            .map(|name| name.to_string_lossy())
            .unwrap_or_default()
    }
}

/// What a companion is to its dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The crashed kernel's log: `vmcore-dmesg.txt`, `dmesg.202411231200`, ABRT's `backtrace` and `dmesg`.
    Log,
    /// The log of the kernel that wrote the dump: `kexec-dmesg.log`.
    CaptureLog,
    /// An element of an ABRT problem folder: `hostname`, `time`, `kernel`, `reason`, …
    Element,
    /// Our own answer, `vmcoroner.json`.
    Answer,
    /// The kernel that crashed, its symbols, or how the dump was written, as SUSE's kdump keeps them with it.
    Kernel,
}

/// A file that belongs to an input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Companion {
    /// What it is.
    pub role: Role,
    /// The file.
    pub file: FileStamp,
}

/// How an input is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// As a crash: a dump of one or more parts, a text, a capsule, a report, or what turns out to be none of these.
    Crash,
    /// As an archive of its own.
    Tarball,
    /// Not at all, and why: a folder that cannot be listed, a place that is not there.
    Unreadable(String),
}

/// One input of an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The name that answers are given under: the path as the place was given, of the first part.
    pub name: String,
    /// The same, below its place: equal wherever the place is mounted.
    pub within: String,
    /// How it is read.
    pub kind: Kind,
    /// Its files, several for a split dump. Empty for what is unreadable.
    pub parts: Vec<FileStamp>,
    /// What belongs to it.
    pub companions: Vec<Companion>,
}

impl Entry {
    /// What the input is known by in a catalogue: the absolute path of its first part, or its name where it has none.
    pub fn key(&self) -> String {
        match self.parts.first() {
            Some(part) => key_of(&part.path),
            None => key_of(Path::new(&self.name)),
        }
    }

    /// Bytes on the disk, of all parts.
    pub fn size(&self) -> u64 {
        self.parts.iter().map(|part| part.size).sum()
    }

    /// A number that changes when any of its files does: path, size or time.
    pub fn stamp(&self) -> i64 {
        let mut hash = Fnv::new();
        for file in self
            .parts
            .iter()
            .chain(self.companions.iter().map(|companion| &companion.file))
        {
            hash.bytes(
                file.path
                    .file_name()
                    .map(|name| name.as_encoded_bytes())
                    .unwrap_or_default(),
            );
            hash.bytes(&file.size.to_le_bytes());
            hash.bytes(&file.modified.to_le_bytes());
        }
        i64::from_le_bytes(hash.0.to_le_bytes())
    }

    /// Whether the input falls to shard `number` of `count`; each input falls to exactly one.
    pub fn falls_to(&self, number: u64, count: u64) -> bool {
        let mut hash = Fnv::new();
        hash.bytes(self.within.as_bytes());
        // FNV's low bits alone are weak on names that differ in their last character only.
        let mixed = (hash.0 ^ (hash.0 >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16;
        count < 2 || mixed % count == number % count
    }
}

/// A path made absolute, without a look at the disk; bytes that are no UTF-8 as `\xHH`.
fn key_of(path: &Path) -> String {
    // The process does not change its folder, and to ask for it costs as much as to look at a file.
    static HERE: OnceLock<PathBuf> = OnceLock::new();
    let here = HERE.get_or_init(|| std::env::current_dir().unwrap_or_default());
    let joined = here.join(path);
    let path = match is_clean(&joined) {
        true => joined,
        false => std::path::absolute(joined).unwrap_or_else(|_| path.to_owned()),
    };
    if let Some(text) = path.to_str() {
        return text.to_owned();
    }
    path.as_os_str()
        .as_encoded_bytes()
        .utf8_chunks()
        .flat_map(|chunk| {
            let odd = chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}"));
            std::iter::once(chunk.valid().to_owned()).chain(odd)
        })
        .collect()
}

/// Whether a path is absolute and as short as it can be said without a look at the disk. It may say no to one that is.
fn is_clean(path: &Path) -> bool {
    let bytes = path.as_os_str().as_encoded_bytes();
    let odd = |at: usize| matches!(bytes.get(at + 1), Some(b'/' | b'.') | None);
    bytes.first() == Some(&b'/') && !memchr::memchr_iter(b'/', bytes).any(odd)
}

/// FNV-1a, 64 bits: the same on every machine, which shards rely on.
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Fnv(0xcbf2_9ce4_8422_2325)
    }

    /// Adds bytes, closed off by their number.
    fn bytes(&mut self, bytes: &[u8]) {
        let length = (bytes.len() as u64).to_le_bytes();
        for byte in bytes.iter().chain(&length) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

/// Paths in JSON: a string, or an array of bytes for one that is no UTF-8.
mod path_bytes {
    use std::ffi::OsString;
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    use std::path::{Path, PathBuf};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Form {
        Text(String),
        Bytes(Vec<u8>),
    }

    pub fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        match path.to_str() {
            Some(text) => serializer.serialize_str(text),
            None => Form::Bytes(path.as_os_str().as_bytes().to_vec()).serialize(serializer),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
        Ok(match Form::deserialize(deserializer)? {
            Form::Text(text) => PathBuf::from(text),
            Form::Bytes(bytes) => PathBuf::from(OsString::from_vec(bytes)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    fn entry(path: PathBuf) -> Entry {
        Entry {
            name: path.display().to_string(),
            within: path.display().to_string(),
            kind: Kind::Crash,
            parts: vec![FileStamp {
                path,
                size: 1,
                modified: 2,
            }],
            companions: Vec::new(),
        }
    }

    #[test]
    fn an_entry_survives_json_whatever_its_name() {
        let odd = entry(PathBuf::from(OsString::from_vec(b"/a/\xff b".to_vec())));
        let text = serde_json::to_string(&odd).unwrap();
        assert_eq!(serde_json::from_str::<Entry>(&text).unwrap(), odd);
        assert_eq!(odd.key(), "/a/\\xff b");
    }

    #[test]
    fn a_key_is_the_absolute_path_however_a_place_is_given() {
        for (given, key) in [
            ("/a/b", "/a/b"),
            ("/a//b/", "/a/b/"),
            ("/a/./b", "/a/b"),
            ("/a/../b", "/a/../b"),
            ("/a/.b", "/a/.b"),
            ("/", "/"),
        ] {
            assert_eq!(key_of(Path::new(given)), key);
        }
        let here = std::env::current_dir().unwrap();
        for given in ["a/b", "./a/b", "a//b"] {
            assert_eq!(key_of(Path::new(given)), here.join("a/b").display().to_string());
        }
    }

    #[test]
    fn every_entry_falls_to_one_shard_and_all_shards_get_their_part() {
        let entries: Vec<Entry> = (0..1000)
            .map(|n| entry(PathBuf::from(format!("/c/{n}/vmcore"))))
            .collect();
        for count in [1, 2, 3, 7] {
            let shares: Vec<usize> = (0..count)
                .map(|number| entries.iter().filter(|entry| entry.falls_to(number, count)).count())
                .collect();
            assert_eq!(shares.iter().sum::<usize>(), 1000);
            assert!(shares.iter().all(|share| *share > 700 / count as usize), "{shares:?}");
        }
        // Numbered from 0 or from 1, the shards are the same.
        assert!(entries.iter().all(|entry| entry.falls_to(0, 3) == entry.falls_to(3, 3)));
    }

    #[test]
    fn a_stamp_changes_with_any_file() {
        let mut one = entry(PathBuf::from("/a/vmcore"));
        let before = one.stamp();
        one.companions.push(Companion {
            role: Role::Log,
            file: one.parts[0].clone(),
        });
        let with = one.stamp();
        one.companions[0].file.modified += 1;
        assert!(before != with && with != one.stamp());
    }
}
