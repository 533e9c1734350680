//! A folder for what is unpacked: gone when it is dropped, and after a kill when the next process looks.
//!
//! Each holds a file that its process keeps locked. A lock ends with its process, however that ended: a folder whose
//! lock can be had is nobody's.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Once;

use rustix::process::getuid;
use tempfile::TempDir;

use crate::input;

const PREFIX: &str = "vmcoroner-";
const LOCK: &str = "lock";

/// A folder that is ours.
#[derive(Debug)]
pub(super) struct Scratch {
    folder: TempDir,
    _lock: File,
}

impl Scratch {
    /// Makes a folder where temporary files go. The first of a process clears away what killed ones left.
    pub(super) fn new() -> io::Result<Self> {
        static FIRST: Once = Once::new();
        FIRST.call_once(clear_away);
        Scratch::within(&input::spool_folder())
    }

    fn within(parent: &Path) -> io::Result<Self> {
        const TRIES: usize = 8;
        for _ in 0..TRIES {
            let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
            let at = folder.path().join(LOCK);
            let lock = File::create_new(&at)?;
            match lock.try_lock() {
                // Somebody took the folder for a dead process's before it was locked.
                Err(TryLockError::WouldBlock) => continue,
                Ok(()) if !at.exists() => continue,
                // A file system without locks: nobody will take it for anything.
                Ok(()) | Err(TryLockError::Error(_)) => {}
            }
            return Ok(Scratch { folder, _lock: lock });
        }
        Err(io::Error::other("no temporary folder stays where it is made"))
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Deletes the folders of processes that were killed.
pub fn clear_away() {
    clear(&input::spool_folder());
}

fn clear(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let is_ours = entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes())
            && entry
                .metadata()
                .is_ok_and(|data| data.is_dir() && data.uid() == getuid().as_raw());
        let lock = is_ours.then(|| File::open(entry.path().join(LOCK)));
        if let Some(Ok(lock)) = lock
            && lock.try_lock().is_ok()
        {
            // What cannot be deleted is tried again by the next process.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_left_is_cleared_away_and_nothing_else() {
        let parent = tempfile::tempdir().unwrap();
        let alive = Scratch::within(parent.path()).unwrap();
        fs::write(alive.path().join("member"), "x").unwrap();
        // A process that was killed drops nothing, but its locks are gone.
        let dead = Scratch::within(parent.path()).unwrap();
        let left = dead.folder.keep();
        drop(dead._lock);
        let foreign = parent.path().join("vmcoroner-notes");
        fs::create_dir(&foreign).unwrap();
        clear(parent.path());
        assert!(!left.exists() && alive.path().join("member").exists() && foreign.exists());
        let path = alive.path().to_owned();
        drop(alive);
        assert!(!path.exists());
    }
}
