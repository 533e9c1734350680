//! The catalogue: every crash ever labelled, in one SQLite file that anybody's `sqlite3` opens.
//!
//! - `access`: what may be done with the file, and how SQLite is told so.
//! - `store`: inputs and their rows, in and out.
//! - `faces`: what files showed of themselves.
//! - [`figures`]: what the whole comes to.
//! - `groups`: signatures, gathered into groups.
//!
//! The tables are documented in `docs/catalogue.md`. It must not know how crashes are read or what rules are.

mod absorb;
mod access;
mod faces;
pub mod figures;
mod groups;
mod store;

use std::fs::File;
use std::io;
use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OptionalExtension};

use access::Access;
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
    /// It may only be read.
    #[error("{}: this catalogue may not be written to: name another one, or a copy of it", path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// The system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
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
    access: Access,
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
        Catalog::open_with(path, Access::Make)
    }

    /// Opens a catalogue that is there.
    pub fn open_existing(path: &Path) -> Result<Self, CatalogError> {
        Catalog::open_with(path, Access::Write)
    }

    /// Opens a catalogue that is there to be asked: it may be somebody else's, on a medium that nothing can be written to.
    pub fn open_to_ask(path: &Path) -> Result<Self, CatalogError> {
        let still = |other| match access::is_still(path) {
            true => Access::ReadStill,
            false => other,
        };
        // Asked before SQLite is: it would put files beside somebody else's that they could not write to.
        match File::options().write(true).open(path) {
            Err(error) if matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem) => {
                Catalog::open_with(path, still(Access::Read))
            }
            _ => match Catalog::open_existing(path) {
                // Nothing can be put beside it.
                Err(CatalogError::ReadOnly { .. }) => Catalog::open_with(path, still(Access::Write)),
                opened => opened,
            },
        }
    }

    fn open_with(path: &Path, access: Access) -> Result<Self, CatalogError> {
        let failed = |source| failure(path, source);
        let foreign = |why: String| CatalogError::Foreign {
            path: path.to_owned(),
            why,
        };
        let mut connection = connect(path, access).map_err(|source| match access.try_open(path) {
            // It says more than SQLite does.
            Err(source) => CatalogError::Io {
                path: path.to_owned(),
                source,
            },
            Ok(_) => failed(source),
        })?;
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
        if access.writes() {
            // A killed process loses nothing that was committed; only a machine that lost power may lose the last rows.
            connection
                .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;")
                .map_err(failed)?;
        }
        let reading = connect(path, access).map_err(failed)?;
        Ok(Catalog {
            path: path.to_owned(),
            access,
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
        |source| failure(&self.path, source)
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

fn failure(path: &Path, source: rusqlite::Error) -> CatalogError {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        // The file may be written to, but those not that SQLite wants beside it.
        Some(ErrorCode::CannotOpen) if path.is_file() => CatalogError::ReadOnly { path },
        Some(ErrorCode::ReadOnly) => CatalogError::ReadOnly { path },
        _ => CatalogError::Sqlite { path, source },
    }
}

/// A connection as all of a catalogue's are.
fn connect(path: &Path, access: Access) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(access.uri(path), access.flags())?;
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
