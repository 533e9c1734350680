//! What may be done with a catalogue's file, and how SQLite is told so.

use std::ffi::OsString;
use std::fmt::Write;
use std::fs::File;
use std::io;
use std::path::Path;

use rusqlite::OpenFlags;

/// What is to be done with the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Written to, and made where it is not there.
    Make,
    /// Written to.
    Write,
    /// Asked.
    Read,
    /// Asked, while nobody writes to it. SQLite keeps nothing beside it then.
    ReadStill,
}

impl Access {
    pub(super) fn writes(self) -> bool {
        matches!(self, Access::Make | Access::Write)
    }

    pub(super) fn flags(self) -> OpenFlags {
        let access = match self {
            Access::Make => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
            Access::Write => OpenFlags::SQLITE_OPEN_READ_WRITE,
            Access::Read | Access::ReadStill => OpenFlags::SQLITE_OPEN_READ_ONLY,
        };
        access | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI
    }

    /// Opens the file as SQLite would.
    pub(super) fn try_open(self, path: &Path) -> io::Result<File> {
        let mut options = File::options();
        options.read(true).write(self.writes()).create(self == Access::Make);
        options.open(path)
    }

    /// The file's name for SQLite, which takes names of any bytes in this form only (`sqlite.org/uri.html`).
    pub(super) fn uri(self, path: &Path) -> String {
        // Two slashes at the beginning would be a machine's name.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let mut uri = "file:".to_owned();
        for byte in path.as_os_str().as_encoded_bytes() {
            match byte {
                b'/' | b'-' | b'.' | b'_' | b'~' => uri.push(char::from(*byte)),
                byte if byte.is_ascii_alphanumeric() => uri.push(char::from(*byte)),
                // Text can always be written to.
                byte => write!(uri, "%{byte:02X}").unwrap_or_default(),
            }
        }
        uri.push_str(match self {
            Access::Make => "?mode=rwc",
            Access::Write => "?mode=rw",
            Access::Read => "?mode=ro",
            Access::ReadStill => "?immutable=1",
        });
        uri
    }
}

/// Whether nobody writes to a file: while somebody does, there is a log of what was written.
pub(super) fn is_still(path: &Path) -> bool {
    let mut log = OsString::from(path);
    log.push("-wal");
    Path::new(&log).metadata().map_or(true, |log| log.len() == 0)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;
    use crate::catalog::{Catalog, CatalogError};

    #[test]
    fn files_of_any_name_are_opened_for_what_is_wanted() {
        let folder = tempfile::tempdir().unwrap();
        for name in [&b"c.db"[..], b"a b%20?mode=ro#x;'\"", b"f\xfcr alle", b"file:x"] {
            let path = folder.path().join(OsStr::from_bytes(name));
            assert!(Catalog::open_to_ask(&path).is_err() && !path.exists());
            let made = Catalog::open(&path).unwrap();
            let run = made.begin("scan", "d", 1).unwrap();
            made.end(run, 2).unwrap();
            drop(made);
            let before = std::fs::read(&path).unwrap();
            for access in [Access::Read, Access::ReadStill] {
                let catalog = Catalog::open_with(&path, access).unwrap();
                assert_eq!(catalog.len().unwrap(), 0);
                let refused = catalog.begin("scan", "d", 3).unwrap_err();
                assert!(matches!(refused, CatalogError::ReadOnly { .. }), "{refused}");
            }
            assert_eq!(std::fs::read(&path).unwrap(), before);
            let all = Catalog::open(&folder.path().join("all")).unwrap();
            all.absorb(&path).unwrap();
        }
    }

    #[test]
    fn a_file_with_a_log_is_not_still() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.db");
        assert!(is_still(&path));
        let catalog = Catalog::open(&path).unwrap();
        catalog.begin("scan", "d", 1).unwrap();
        assert!(!is_still(&path));
    }
}
