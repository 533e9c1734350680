//! What lies in a folder; and whether that is known already, so that it need not be listed again.
//!
//! Every file that is made, removed or renamed changes its folder's times, and nobody can set them all back. What is kept
//! of a folder therefore holds for as long as they stay the same. It is kept only where that can be relied upon.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::{Fnv, by_name};

/// A folder of more names is listed again each time: its files have to be looked at one by one, which takes longer.
const MOST_NAMES: usize = 256;
/// A folder that was changed within this time may be changed once more without a sign of it: the coarsest times that the
/// file systems below keep are seconds (ext3, and ext4 with small inodes).
const SETTLED: Duration = Duration::from_secs(2);

/// File systems that change a folder's times with its content: `statfs.f_type` by `linux/magic.h`, ZFS's by its module.
/// Others may too, but an object store behind FUSE need not.
const RELIABLE: [u32; 8] = [
    0x0000_ef53, // ext2, ext3, ext4
    0x5846_5342, // XFS
    0x9123_683e, // btrfs
    0xf2f5_2010, // F2FS
    0x0102_1994, // tmpfs
    0x0000_6969, // NFS
    0x794c_7630, // overlayfs
    0x2fc1_2fc1, // ZFS
];

/// What lies in a folder, but for what is neither file nor folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// A number over the folder's times, at which it was listed.
    #[serde(skip)]
    pub stamp: i64,
    /// The names of folders in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "names")]
    pub folders: Vec<OsString>,
    /// The names of regular files in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "names")]
    pub files: Vec<OsString>,
}

impl Listing {
    /// How many names there are.
    pub fn names(&self) -> usize {
        self.folders.len() + self.files.len()
    }
}

/// Lists folders.
#[derive(Debug, Default)]
pub(super) struct Lister {
    /// By file system (`st_dev`), whether its times can be relied upon.
    reliable: HashMap<u64, bool>,
}

/// A folder's listing.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Listed {
    /// As it was known.
    Known(Listing),
    /// Made now, and to be kept.
    Lasting(Listing),
    /// Made now; it may differ the next time without a sign of it.
    Fleeting(Listing),
}

impl Lister {
    /// Lists a folder, unless what is `known` of it still holds. `now` is a time before this is called.
    pub(super) fn list(&mut self, folder: &Path, known: Option<Listing>, now: SystemTime) -> io::Result<Listed> {
        // Before the folder is read: a change meanwhile shows the next time.
        let data = fs::metadata(folder)?;
        let stamp = stamp(&data);
        if let Some(known) = known.filter(|known| known.stamp == stamp) {
            return Ok(Listed::Known(known));
        }
        let mut listing = Listing {
            stamp,
            ..Listing::default()
        };
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                listing.folders.push(entry.file_name());
            } else if kind.is_file() {
                listing.files.push(entry.file_name());
            }
        }
        // What is kept in order need not be put in order again.
        listing.folders.sort_by(|a, b| by_name(a.as_ref(), b.as_ref()));
        listing.files.sort_by(|a, b| by_name(a.as_ref(), b.as_ref()));
        let is_small = listing.names() <= MOST_NAMES;
        Ok(
            match is_small && is_settled(&data, now) && self.is_reliable(folder, &data) {
                true => Listed::Lasting(listing),
                false => Listed::Fleeting(listing),
            },
        )
    }

    fn is_reliable(&mut self, folder: &Path, data: &Metadata) -> bool {
        *self.reliable.entry(data.dev()).or_insert_with(|| {
            // A 32-bit number, whatever the type of the field is on a machine.
            rustix::fs::statfs(folder).is_ok_and(|system| RELIABLE.contains(&(system.f_type as u32)))
        })
    }
}

fn stamp(folder: &Metadata) -> i64 {
    let mut hash = Fnv::new();
    hash.bytes(&folder.ino().to_le_bytes());
    for time in [folder.mtime(), folder.mtime_nsec(), folder.ctime(), folder.ctime_nsec()] {
        hash.bytes(&time.to_le_bytes());
    }
    i64::from_le_bytes(hash.0.to_le_bytes())
}

/// Whether a folder was last changed long enough ago for another change to show.
fn is_settled(folder: &Metadata, now: SystemTime) -> bool {
    let changed = folder.ctime().max(folder.mtime());
    let settled = now
        .checked_sub(SETTLED)
        .and_then(|then| then.duration_since(UNIX_EPOCH).ok());
    settled.is_some_and(|settled| changed < i64::try_from(settled.as_secs()).unwrap_or(0))
}

/// Names in JSON: strings. A folder with a name that is no UTF-8 is not kept.
mod names {
    use std::ffi::OsString;

    use serde::ser::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(names: &[OsString], serializer: S) -> Result<S::Ok, S::Error> {
        let texts: Option<Vec<&str>> = names.iter().map(|name| name.to_str()).collect();
        serializer.collect_seq(texts.ok_or_else(|| S::Error::custom("a name that is no UTF-8"))?)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<OsString>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        Ok(texts.into_iter().map(OsString::from).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    /// A lister that relies on the file system of `folder`, whichever it is.
    fn lister(folder: &Path) -> Lister {
        let data = fs::metadata(folder).unwrap();
        Lister {
            reliable: HashMap::from([(data.dev(), true)]),
        }
    }

    fn names(listed: &Listed) -> (&'static str, Vec<&OsString>) {
        let (word, listing) = match listed {
            Listed::Known(listing) => ("known", listing),
            Listed::Lasting(listing) => ("lasting", listing),
            Listed::Fleeting(listing) => ("fleeting", listing),
        };
        (word, listing.folders.iter().chain(&listing.files).collect())
    }

    #[test]
    fn what_is_kept_holds_until_the_folder_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let mut lister = lister(path);
        fs::create_dir(path.join("sub")).unwrap();
        File::create(path.join("a")).unwrap();
        std::os::unix::fs::symlink("a", path.join("link")).unwrap();
        let now = SystemTime::now();
        let fresh = lister.list(path, None, now).unwrap();
        assert_eq!(names(&fresh), ("fleeting", vec![&"sub".into(), &"a".into()]));
        let later = now + 10 * SETTLED;
        let Listed::Lasting(listing) = lister.list(path, None, later).unwrap() else {
            panic!("not to be kept");
        };
        let text = serde_json::to_string(&listing).unwrap();
        assert_eq!(text, r#"{"folders":["sub"],"files":["a"]}"#);
        let kept = Listing {
            stamp: listing.stamp,
            ..serde_json::from_str(&text).unwrap()
        };
        assert_eq!(kept, listing);
        // Other content of a file is none of the folder's.
        fs::write(path.join("a"), "x").unwrap();
        let same = lister.list(path, Some(kept.clone()), later).unwrap();
        assert_eq!(same, Listed::Known(kept.clone()));
        // The times of a folder have no finer steps than the clock's ticks.
        std::thread::sleep(Duration::from_millis(20));
        File::create(path.join("b")).unwrap();
        let other = lister.list(path, Some(kept.clone()), later).unwrap();
        assert_eq!(names(&other).1.len(), 3);
        // Nor does it help to set the time back, as `rsync` and `tar` do.
        std::thread::sleep(Duration::from_millis(20));
        fs::remove_file(path.join("b")).unwrap();
        let then = File::open(path).unwrap();
        then.set_modified(now).unwrap();
        assert!(matches!(
            lister.list(path, Some(kept), later).unwrap(),
            Listed::Lasting(_)
        ));
    }

    #[test]
    fn a_folder_is_not_kept_where_that_cannot_be_relied_upon() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let later = SystemTime::now() + 10 * SETTLED;
        let device = fs::metadata(path).unwrap().dev();
        let mut unreliable = Lister {
            reliable: HashMap::from([(device, false)]),
        };
        assert!(matches!(
            unreliable.list(path, None, later).unwrap(),
            Listed::Fleeting(_)
        ));
        let mut proc = Lister::default();
        assert!(matches!(
            proc.list(Path::new("/proc/self"), None, later).unwrap(),
            Listed::Fleeting(_)
        ));
        for name in 0..=MOST_NAMES {
            File::create(path.join(name.to_string())).unwrap();
        }
        assert!(matches!(
            lister(path).list(path, None, later).unwrap(),
            Listed::Fleeting(_)
        ));
        assert!(lister(path).list(&path.join("nowhere"), None, later).is_err());
    }

    #[test]
    fn a_name_that_is_no_text_is_not_kept() {
        let listing = Listing {
            files: vec![OsString::from_vec(b"\xff".to_vec())],
            ..Listing::default()
        };
        assert!(serde_json::to_string(&listing).is_err());
    }
}
