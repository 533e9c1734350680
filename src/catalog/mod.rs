//! The catalogue: every crash ever labelled, in one SQLite file that anybody's `sqlite3` opens.
//!
//! - `store`: inputs and their rows, in and out.
//! - `faces`: what files showed of themselves.
//! - [`figures`]: what the whole comes to.
//! - `groups`: signatures, gathered into groups.
//!
//! The tables are documented in `docs/catalogue.md`. It must not know how crashes are read or what rules are.

mod absorb;
mod faces;
pub mod figures;
mod groups;
mod store;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use faces::Ahead;
pub use store::{Extent, Kept};

/// The file's application id (`PRAGMA application_id`): "VMCR".
const APPLICATION: i32 = 0x564d_4352;
/// The version of the tables (`PRAGMA user_version`).
const VERSION: i32 = 1;
/// How long another process's writing is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// How much of the file a connection keeps in memory, in KiB.
const CACHE: u32 = 4000;
/// The size of a page of the file, in bytes: most reports fit into one or two.
const PAGE: u32 = 16384;
/// So many questions are asked in one transaction: what others wrote meanwhile is seen afterwards.
const QUESTIONS: u32 = 256;

/// Why a catalogue cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// SQLite refused.
    #[error("{}: {source}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// It is no catalogue, or one of another version.
    #[error("{}: {why}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is.
        why: String,
    },
}

/// An open catalogue.
#[derive(Debug)]
pub struct Catalog {
    path: PathBuf,
    connection: Mutex<Connection>,
    /// Inputs in the open transaction.
    held: AtomicU32,
    reading: Mutex<Reading>,
    faces: Mutex<Ahead>,
}

/// What a scan asks by, while what it found is written.
#[derive(Debug)]
struct Reading {
    connection: Connection,
    /// Questions in the open transaction.
    asked: u32,
}

impl Catalog {
    /// Opens a catalogue, or makes a new one.
    pub fn open(path: &Path) -> Result<Self, CatalogError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Catalog::open_with(path, flags)
    }

    /// Opens a catalogue that is there.
    pub fn open_existing(path: &Path) -> Result<Self, CatalogError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Catalog::open_with(path, flags)
    }

    fn open_with(path: &Path, flags: OpenFlags) -> Result<Self, CatalogError> {
        let failed = |source| CatalogError::Sqlite {
            path: path.to_owned(),
            source,
        };
        let foreign = |why: String| CatalogError::Foreign {
            path: path.to_owned(),
            why,
        };
        let mut connection = connect(path, flags).map_err(failed)?;
        let number = |name: &str| connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i32>(0));
        let (application, version) = (
            number("application_id").map_err(failed)?,
            number("user_version").map_err(failed)?,
        );
        match (application, version) {
            (APPLICATION, VERSION) => {}
            (APPLICATION, other) => {
                return Err(foreign(format!(
                    "this catalogue is of version {other}, expected {VERSION}: use the program that made it, or scan anew into another file"
                )));
            }
            (0, 0) => {
                connection
                    .execute_batch(&format!("PRAGMA page_size = {PAGE};"))
                    .map_err(failed)?;
                make(&mut connection).map_err(failed)?.map_err(foreign)?;
            }
            _ => return Err(foreign("an SQLite file, but no catalogue of vmcoroner".to_owned())),
        }
        // A killed process loses nothing that was committed; only a machine that lost power may lose the last rows.
        connection
            .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;")
            .map_err(failed)?;
        let reading = connect(path, flags).map_err(failed)?;
        Ok(Catalog {
            path: path.to_owned(),
            connection: Mutex::new(connection),
            held: AtomicU32::new(0),
            reading: Mutex::new(Reading {
                connection: reading,
                asked: 0,
            }),
            faces: Mutex::default(),
        })
    }

    /// The file, and those that SQLite keeps beside it.
    pub fn files(&self) -> Vec<PathBuf> {
        ["", "-wal", "-shm", "-journal"]
            .into_iter()
            .map(|ending| {
                let mut path = self.path.clone().into_os_string();
                path.push(ending);
                PathBuf::from(path)
            })
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self) -> impl Fn(rusqlite::Error) -> CatalogError + '_ {
        |source| CatalogError::Sqlite {
            path: self.path.clone(),
            source,
        }
    }

    /// Does `work`; its failure is told of with the file's name.
    fn with<T>(&self, work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>) -> Result<T, CatalogError> {
        work(&mut self.lock()).map_err(self.failed())
    }

    /// Asks what was written by the last time that [`Catalog::flush`] was called, or some questions ago.
    fn ask<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, CatalogError> {
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        reading.renew(QUESTIONS).map_err(self.failed())?;
        // One transaction for many: the file is not to be locked for every one.
        if reading.connection.is_autocommit() {
            reading.connection.execute_batch("BEGIN").map_err(self.failed())?;
        }
        reading.asked += 1;
        work(&reading.connection).map_err(self.failed())
    }
}

impl Reading {
    /// Ends the transaction when so many questions were asked in it.
    fn renew(&mut self, questions: u32) -> rusqlite::Result<()> {
        if self.asked >= questions && !self.connection.is_autocommit() {
            self.asked = 0;
            self.connection.execute_batch("COMMIT")?;
        }
        Ok(())
    }
}

/// A connection as all of a catalogue's are.
fn connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(PATIENCE)?;
    // A statement is not to be planned anew for every value that is bound to it, which costs more than to answer it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.execute_batch(&format!("PRAGMA cache_size = -{CACHE};"))?;
    Ok(connection)
}

/// Makes the tables in an empty file. Another process may have done so meanwhile.
fn make(connection: &mut Connection) -> rusqlite::Result<Result<(), String>> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let application: i32 = transaction.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    if application == APPLICATION {
        return Ok(Ok(()));
    }
    let table: Option<String> = transaction
        .query_row("SELECT name FROM sqlite_master LIMIT 1", [], |row| row.get(0))
        .optional()?;
    if let Some(table) = table {
        return Ok(Err(format!(
            "an SQLite file with a table `{table}`, but no catalogue of vmcoroner"
        )));
    }
    transaction.execute_batch(include_str!("schema.sql"))?;
    transaction.execute_batch(&format!(
        "PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION};"
    ))?;
    transaction.commit()?;
    Ok(Ok(()))
}
