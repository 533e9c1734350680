//! What a scan writes beside its rows, in files of their own: a page about the whole, a table.

use std::fs::File;
#[cfg(feature = "parquet")]
use std::io::{self, Seek};
use std::path::{Path, PathBuf};

use super::args::archive::Scan;
use super::report;
#[cfg(feature = "parquet")]
use super::whole_file;
use crate::output::html::{Options, Report};
#[cfg(feature = "parquet")]
use crate::output::parquet::Table;
use crate::scan::Labelled;

/// The files that were asked for. Each is there whole or not at all.
pub struct Beside {
    html: Option<(PathBuf, Report<File>)>,
    #[cfg(feature = "parquet")]
    parquet: Option<(PathBuf, Table<File>)>,
    failed: Option<String>,
}

impl Beside {
    /// Begins them; nothing is at their places yet.
    pub fn begin(arguments: &Scan) -> Result<Self, String> {
        let html = arguments.html.as_ref();
        let html = html.map(|path| Ok::<_, String>((path.clone(), report::begin(Options::default())?)));
        Ok(Beside {
            html: html.transpose()?,
            #[cfg(feature = "parquet")]
            parquet: match &arguments.parquet {
                Some(path) => Some((path.clone(), table().map_err(|error| cannot(path, error))?)),
                None => None,
            },
            failed: None,
        })
    }

    /// Where they will be.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let html = self.html.iter().map(|(path, _)| path.as_path());
        #[cfg(feature = "parquet")]
        let html = html.chain(self.parquet.iter().map(|(path, _)| path.as_path()));
        html
    }

    /// Whether a row's facts are written, and not only the row.
    pub fn wants_facts(&self) -> bool {
        #[cfg(feature = "parquet")]
        return self.parquet.is_some();
        #[cfg(not(feature = "parquet"))]
        return false;
    }

    /// Adds a row.
    pub fn row(&mut self, row: &Labelled) {
        if self.failed.is_some() {
            return;
        }
        if let Some((path, html)) = &mut self.html
            && let Err(error) = html.read(row.row.line().as_bytes())
        {
            self.failed = Some(cannot(path, error));
        }
        #[cfg(feature = "parquet")]
        if let Some((path, table)) = &mut self.parquet
            && let Err(error) = table.row(row)
        {
            self.failed = Some(cannot(path, error));
        }
    }

    /// Writes them.
    pub fn end(self) -> Result<(), String> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if let Some((path, html)) = self.html {
            report::end(html, &path)?;
        }
        #[cfg(feature = "parquet")]
        if let Some((path, table)) = self.parquet {
            let mut spool = table.finish().map_err(|error| cannot(&path, error))?;
            whole_file::write(&path, whole_file::SHARED, |file| {
                spool.rewind()?;
                io::copy(&mut spool, file).map(drop)
            })?;
        }
        Ok(())
    }
}

fn cannot(path: &Path, error: impl std::fmt::Display) -> String {
    format!("cannot write {}: {error}", path.display())
}

/// A table without rows, which waits in a temporary file.
#[cfg(feature = "parquet")]
fn table() -> Result<Table<File>, Box<dyn std::error::Error>> {
    Ok(Table::new(tempfile::tempfile()?)?)
}
