//! A tar archive as a place of its own: its members, unpacked as far as they may matter, sorted into entries.
//!
//! One pass over the stream. Of what is neither dump nor text only the first bytes are kept: they say what it is. A
//! member's path is never used as a path on the disk.

use std::cell::Cell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use super::folder::{self, Group};
use super::scratch::Scratch;
use super::{Entry, Face, FileStamp, by_name};
use crate::input::{self, Limits, Looks};

/// How much of a member is looked at to judge it.
const HEAD: u64 = 72 << 10;
/// More than this between two members is no header, however long its names and maps of holes are, in bytes.
const MAX_BETWEEN: u64 = 16 << 20;
/// More members than this are not followed.
const MAX_MEMBERS: usize = 1 << 20;
const BUFFER: usize = 1 << 18;
const BLOCK: usize = 4096;

/// How many archives within archives are followed.
pub const NESTING: usize = 3;

/// What is done with the members that tell of no crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Members {
    /// Each is an input: the archive is a folder that was packed.
    All,
    /// They are what a sosreport holds beside crashes.
    CrashesOnly,
}

/// An unpacked archive. Its files are deleted when it is dropped.
#[derive(Debug)]
pub struct Unpacked {
    /// The entries, by the order of their first members' paths.
    pub entries: Vec<Entry>,
    /// What the members are.
    pub members: Members,
    /// How many regular files it holds.
    pub files: usize,
    /// Why it ends early.
    pub cut_short: Option<String>,
    folder: Scratch,
}

impl Unpacked {
    /// Where the members were unpacked to.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// Unpacks `archive`, packed itself or not. Entries are named `NAME!MEMBER`.
pub fn unpack(archive: &Path, name: &str) -> io::Result<Unpacked> {
    let file = File::open(archive)?;
    let data = file.metadata()?;
    let folder = Scratch::new()?;
    let budget = Rc::new(Cell::new(u64::MAX));
    let stream = Guarded {
        stream: input::unwrapped(Box::new(file)),
        budget: Rc::clone(&budget),
    };
    let mut unpacking = Unpacking {
        folder: folder.path(),
        limit: Limits::default()
            .unpacked
            .max(data.len().saturating_mul(Limits::default().unpacked_ratio)),
        folders: HashMap::new(),
        files: Vec::new(),
        sosreport: false,
    };
    let cut_short = unpacking.run(stream, &budget).err().map(|error| {
        let files = unpacking.files.len();
        format!("{name}: this tar archive is damaged or ends early, behind {files} files: {error}")
    });
    let Unpacking {
        mut folders,
        files,
        sosreport,
        ..
    } = unpacking;
    let count = files.len();
    let mut by_folder: Vec<(PathBuf, Vec<(FileStamp, Face)>)> =
        folders.drain().map(|(path, _)| (path, Vec::new())).collect();
    by_folder.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut member_of: HashMap<PathBuf, String> = HashMap::with_capacity(count);
    for member in files {
        member_of.insert(member.file.path.clone(), member.path.display().to_string());
        let parent = member.path.parent().map(Path::to_owned).unwrap_or_default();
        if let Ok(at) = by_folder.binary_search_by(|(path, _)| path.cmp(&parent))
            && let Some((_, files)) = by_folder.get_mut(at)
        {
            files.push((member.file, member.face));
        }
    }
    let mut entries = Vec::new();
    for (_, mut files) in by_folder {
        files.sort_by(|(a, _), (b, _)| a.name().cmp(&b.name()));
        for Group {
            kind,
            parts,
            companions,
        } in folder::group(files)
        {
            let Some(member) = parts.first().and_then(|part| member_of.get(&part.path)) else {
                continue;
            };
            entries.push(Entry {
                name: format!("{name}!{member}"),
                within: member.clone(),
                kind,
                parts,
                companions,
            });
        }
    }
    entries.sort_by(|a, b| by_name(Path::new(&a.within), Path::new(&b.within)));
    Ok(Unpacked {
        entries,
        members: if sosreport { Members::CrashesOnly } else { Members::All },
        files: count,
        cut_short,
        folder,
    })
}

struct Member {
    /// Its path in the archive.
    path: PathBuf,
    file: FileStamp,
    face: Face,
}

struct Unpacking<'a> {
    folder: &'a Path,
    /// How many bytes may still be unpacked.
    limit: u64,
    /// Where the members of a folder lie on the disk.
    folders: HashMap<PathBuf, PathBuf>,
    files: Vec<Member>,
    sosreport: bool,
}

impl Unpacking<'_> {
    fn run(&mut self, stream: Guarded<'_>, budget: &Cell<u64>) -> io::Result<()> {
        let mut archive = tar::Archive::new(stream);
        let mut members = archive.entries()?;
        loop {
            // Long names and maps of holes are read into memory: no more of them than anybody has.
            budget.set(MAX_BETWEEN);
            let Some(member) = members.next() else { return Ok(()) };
            let mut member = member?;
            budget.set(u64::MAX);
            if !member.header().entry_type().is_file() && !member.header().entry_type().is_gnu_sparse() {
                io::copy(&mut member, &mut io::sink())?;
                continue;
            }
            if self.files.len() >= MAX_MEMBERS {
                return Err(io::Error::other(format!("it holds more than {MAX_MEMBERS} files")));
            }
            let path: PathBuf = member
                .path()?
                .components()
                .filter(|component| matches!(component, Component::Normal(_)))
                .collect();
            let modified = member.header().mtime().unwrap_or(0);
            let kept = self.member(path, modified, &mut member)?;
            let rest = io::copy(&mut member, &mut io::sink())?;
            if kept.saturating_add(rest) < member.size() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Keeps a member; how many of its bytes were read.
    fn member(&mut self, path: PathBuf, modified: u64, stream: &mut dyn Read) -> io::Result<u64> {
        let first = path
            .components()
            .next()
            .map(|first| first.as_os_str().to_string_lossy().into_owned());
        self.sosreport |= first.is_some_and(|first| first.starts_with("sosreport-"))
            || path
                .components()
                .any(|component| component.as_os_str() == "sos_commands");
        let parent = path.parent().map(Path::to_owned).unwrap_or_default();
        let number = self.folders.len();
        let on_disk = self
            .folders
            .entry(parent)
            .or_insert_with(|| self.folder.join(number.to_string()));
        std::fs::create_dir_all(&on_disk)?;
        // The name only: it can neither lead elsewhere nor be empty.
        let name = path
            .file_name()
            .map(ToOwned::to_owned)
            .unwrap_or_else(|| "member".into());
        let mut at = on_disk.join(&name);
        if at.symlink_metadata().is_ok() || name.len() > 200 {
            // A member that is there twice: each is a file of its own.
            at = on_disk.join(format!("{}.member", self.files.len()));
        }
        let mut head = Vec::new();
        let failure = stream.take(HEAD).read_to_end(&mut head).err();
        let peek = input::peek_stream(Box::new(head.as_slice()));
        let whole = matches!(peek.looks, Looks::Dump | Looks::Text | Looks::Tar) && failure.is_none();
        let rest: Box<dyn Read> = if whole { Box::new(stream) } else { Box::new(io::empty()) };
        let file = File::create_new(&at)?;
        let copied = copy_sparse(Cursor::new(head).chain(rest), &file, &mut self.limit);
        let data = file.metadata()?;
        self.files.push(Member {
            path,
            face: Face::of(peek),
            file: FileStamp {
                modified: i64::try_from(modified).unwrap_or(0).saturating_mul(1_000_000_000),
                ..FileStamp::new(at, &data)
            },
        });
        match failure {
            Some(error) => Err(error),
            None => copied,
        }
    }
}

/// Copies a stream; blocks of zeros become holes. How many bytes it had.
fn copy_sparse(mut from: impl Read, to: &File, limit: &mut u64) -> io::Result<u64> {
    let mut buf = vec![0; BUFFER];
    let mut at = 0u64;
    loop {
        let mut filled = 0;
        let mut failure = None;
        while let Some(rest) = buf.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match from.read(rest) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        for block in buf.get(..filled).unwrap_or_default().chunks(BLOCK) {
            if block.iter().any(|byte| *byte != 0) {
                to.write_all_at(block, at)?;
            }
            at += block.len() as u64;
        }
        let over = filled as u64 > *limit;
        *limit = limit.saturating_sub(filled as u64);
        if over || failure.is_some() || filled < buf.len() {
            to.set_len(at)?;
        }
        match failure {
            Some(error) => return Err(error),
            None if over => return Err(io::Error::other("it unpacks to far more than crashes do")),
            None if filled < buf.len() => return Ok(at),
            None => {}
        }
    }
}

/// A stream that gives no more than its budget.
struct Guarded<'a> {
    stream: Box<dyn Read + 'a>,
    budget: Rc<Cell<u64>>,
}

impl Read for Guarded<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.budget.get() == 0 && !buf.is_empty() {
            return Err(io::Error::other("a member's header goes on and on"));
        }
        let most = usize::try_from(self.budget.get()).unwrap_or(usize::MAX).min(buf.len());
        let read = self.stream.read(buf.get_mut(..most).unwrap_or_default())?;
        self.budget.set(self.budget.get() - read as u64);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::Kind;

    const LOG: &[u8] = b"[    1.000000] Linux version 6.1\n[    2.000000] BUG: unable to handle page fault\n";

    fn tarball(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, bytes) in members {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, *bytes).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn unpacked(bytes: &[u8]) -> Unpacked {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        unpack(file.path(), "x.tar").unwrap()
    }

    #[test]
    fn members_are_entries_with_their_companions() {
        let dump = [b"KDUMP   ".as_slice(), &[0; 100]].concat();
        let long = format!("{}/end.txt", "d/".repeat(150));
        let bytes = tarball(&[
            ("c/vmcore-dmesg.txt", LOG),
            ("c/vmcore", &dump),
            ("noise", &[7; 200_000]),
            (&long, LOG),
            ("inner.tar", &tarball(&[("a", LOG)])),
        ]);
        let found = unpacked(&bytes);
        let names: Vec<&str> = found.entries.iter().map(|entry| entry.within.as_str()).collect();
        let long = long.trim_start_matches('/').replace("//", "/");
        assert_eq!(names, ["c/vmcore", &long, "inner.tar", "noise"]);
        assert_eq!(found.entries[0].companions.len(), 1);
        assert_eq!(found.entries[0].name, "x.tar!c/vmcore");
        assert_eq!(found.entries[2].kind, Kind::Tarball);
        assert_eq!((found.members, found.files), (Members::All, 5));
        let text = std::fs::read(&found.entries[1].parts[0].path).unwrap();
        assert_eq!(text, LOG);
    }

    #[test]
    fn a_cut_archive_gives_what_comes_before_and_says_so() {
        let bytes = tarball(&[("a", LOG), ("b", LOG)]);
        let found = unpacked(&bytes[..1536 + 20]);
        // The second member is cut itself: what there is of it counts.
        assert_eq!(found.entries.len(), 2, "{:?}", found.entries);
        assert!(found.cut_short.unwrap().contains("ends early"));
    }

    #[test]
    fn a_sosreport_is_known_by_its_layout() {
        let found = unpacked(&tarball(&[("sosreport-db01-2024/sos_commands/kernel/dmesg", LOG)]));
        assert_eq!(found.members, Members::CrashesOnly);
    }

    #[test]
    fn a_header_without_end_and_hostile_names_do_no_harm() {
        let mut endless = tar::Header::new_gnu();
        endless.set_entry_type(tar::EntryType::GNULongName);
        endless.set_size(1 << 33);
        endless.set_cksum();
        let mut bytes = endless.as_bytes().to_vec();
        bytes.resize(40 << 20, b'a');
        assert!(unpacked(&bytes).cut_short.is_some());
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..12].copy_from_slice(b"../../../etc");
        header.set_size(LOG.len() as u64);
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend(LOG);
        bytes.resize(4096, 0);
        let found = unpacked(&bytes);
        assert!(found.entries[0].parts[0].path.starts_with(found.folder()));
        assert_eq!(found.entries[0].within, "etc");
    }
}
