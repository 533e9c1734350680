//! What files showed of themselves when they were last looked at.
//!
//! A scan asks folder by folder, nearly in the order of their names: so folders are read ahead of it, many at a time.

use std::collections::HashMap;
use std::io;
use std::sync::PoisonError;

use rusqlite::{Connection, params};

use super::Catalog;
use crate::archive::{Face, FaceCache, FileStamp, Known, KnownFace, Listing};

/// No file's name: what lies in the folder.
const ITSELF: &str = "";

/// How many files are read ahead: at first, and at most.
const FEW: usize = 16;
const MANY: usize = 1024;

/// Folders that were read ahead.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    folders: HashMap<String, Known>,
    /// The first and the last folder that is known; none behind: all that follow are. Nothing is known of others.
    known: Option<(String, Option<String>)>,
    files: usize,
}

impl Ahead {
    fn covers(&self, folder: &str) -> bool {
        let known = self.known.as_ref();
        known.is_some_and(|(first, last)| first.as_str() <= folder && last.as_deref().is_none_or(|last| folder <= last))
    }

    /// Reads on from `folder`.
    fn fill(&mut self, connection: &Connection, folder: &str) -> rusqlite::Result<()> {
        // The further the folders that were read ahead have been of use, the more.
        let goes_on = self
            .known
            .as_ref()
            .is_some_and(|(_, last)| last.as_deref().is_some_and(|last| last < folder));
        self.files = if goes_on { (self.files * 2).min(MANY) } else { FEW };
        self.folders.clear();
        self.known = None;
        let count = read(connection, "folder >= ?1", folder, self.files, &mut self.folders)?;
        let is_end = count < self.files;
        let last = self.folders.keys().max().cloned();
        let mut end = None;
        if let (Some(last), false) = (last, is_end) {
            // More files of the last folder may follow.
            if last == folder {
                read(connection, "folder = ?1", folder, usize::MAX, &mut self.folders)?;
            } else {
                self.folders.remove(&last);
            }
            end = self.folders.keys().max().cloned().or_else(|| Some(folder.to_owned()));
        }
        self.known = Some((folder.to_owned(), end));
        Ok(())
    }
}

/// How many files were read.
fn read(
    connection: &Connection,
    which: &str,
    folder: &str,
    most: usize,
    folders: &mut HashMap<String, Known>,
) -> rusqlite::Result<usize> {
    let mut select = connection.prepare_cached(&format!(
        "SELECT folder, name, size, modified, face FROM face WHERE {which} ORDER BY folder, name LIMIT ?2"
    ))?;
    let mut rows = select.query(params![folder, i64::try_from(most).unwrap_or(i64::MAX)])?;
    let mut count = 0;
    let (mut at, mut known) = (folder.to_owned(), Known::default());
    while let Some(row) = rows.next()? {
        count += 1;
        let folder = row.get_ref(0)?.as_str()?;
        if folder != at {
            folders.insert(
                std::mem::replace(&mut at, folder.to_owned()),
                std::mem::take(&mut known),
            );
        }
        let (name, modified, text) = (row.get_ref(1)?.as_str()?, row.get(3)?, row.get_ref(4)?.as_str()?);
        // What another version of the program kept is not known.
        if name == ITSELF {
            known.listing = serde_json::from_str(text).ok().map(|listing| Listing {
                stamp: modified,
                ..listing
            });
        } else if let Ok(face) = serde_json::from_str::<Face>(text) {
            known.add(KnownFace {
                name: name.to_owned(),
                size: row.get::<_, i64>(2)?.unsigned_abs(),
                modified,
                face,
            });
        }
    }
    folders.insert(at, known);
    Ok(count)
}

impl FaceCache for Catalog {
    fn known(&self, folder: &str) -> io::Result<Known> {
        let mut ahead = self.faces.lock().unwrap_or_else(PoisonError::into_inner);
        if !ahead.covers(folder) {
            self.ask(|connection| ahead.fill(connection, folder))
                .map_err(io::Error::other)?;
        }
        Ok(ahead.folders.remove(folder).unwrap_or_default())
    }

    fn keep(&self, folder: &str, seen: &[(FileStamp, Face)]) -> io::Result<()> {
        let kept = self.with(|connection| {
            self.begin_batch(connection)?;
            let mut insert = connection.prepare_cached("INSERT OR REPLACE INTO face VALUES (?1, ?2, ?3, ?4, ?5)")?;
            for (file, face) in seen {
                let face = serde_json::to_string(face).unwrap_or_default();
                let size = i64::try_from(file.size).unwrap_or(i64::MAX);
                insert.execute(params![folder, file.name(), size, file.modified, face])?;
            }
            Ok(())
        });
        kept.map_err(io::Error::other)
    }

    fn keep_listing(&self, folder: &str, listing: &Listing) -> io::Result<()> {
        // A name that is no text cannot be kept, nor can a listing with it.
        let Ok(text) = serde_json::to_string(listing) else {
            return Ok(());
        };
        let kept = self.with(|connection| {
            self.begin_batch(connection)?;
            connection
                .prepare_cached("INSERT OR REPLACE INTO face VALUES (?1, ?2, 0, ?3, ?4)")?
                .execute(params![folder, ITSELF, listing.stamp, text])?;
            Ok(())
        });
        kept.map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn file(name: String) -> (FileStamp, Face) {
        let stamp = FileStamp {
            path: PathBuf::from(name),
            size: 1,
            modified: 2,
        };
        (stamp, Face::Other)
    }

    #[test]
    fn folders_that_are_read_ahead_are_whole_wherever_one_begins() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(&folder.path().join("c")).unwrap();
        let count = |number: usize| match number {
            7 => 3 * MANY,
            number => number % 5,
        };
        let names: Vec<String> = (0..200).map(|number| format!("/{number:03}")).collect();
        for (number, name) in names.iter().enumerate() {
            let files: Vec<_> = (0..count(number))
                .map(|file_number| file(format!("{file_number}")))
                .collect();
            FaceCache::keep(&catalog, name, &files).unwrap();
        }
        catalog.flush().unwrap();
        for start in [0, 6, 7, 100] {
            *catalog.faces.lock().unwrap() = Ahead::default();
            for (number, name) in names.iter().enumerate().skip(start) {
                assert_eq!(
                    catalog.known(name).unwrap().faces(),
                    count(number),
                    "{name} from {start}"
                );
            }
            assert!(catalog.known("/999").unwrap().faces() == 0);
            assert_eq!(catalog.known(&names[start]).unwrap().faces(), count(start));
        }
    }
}
