//! What a scan writes beside its rows, in files of their own: a page about the whole.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::args::archive::Scan;
use super::report;
use crate::output::html::{Options, Report};
use crate::scan::Labelled;

/// The files that were asked for. Each is there whole or not at all.
pub struct Beside {
    html: Option<(PathBuf, Report<File>)>,
    failed: Option<String>,
}

impl Beside {
    /// Begins them; nothing is at their places yet.
    pub fn begin(arguments: &Scan) -> Result<Self, String> {
        let html = arguments.html.as_ref();
        let html = html.map(|path| Ok::<_, String>((path.clone(), report::begin(Options::default())?)));
        Ok(Beside {
            html: html.transpose()?,
            failed: None,
        })
    }

    /// Where they will be.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.html.iter().map(|(path, _)| path.as_path())
    }

    /// Adds a row.
    pub fn row(&mut self, row: &Labelled) {
        if let (Some((path, html)), None) = (&mut self.html, &self.failed)
            && let Err(error) = html.read(row.row.line().as_bytes())
        {
            self.failed = Some(format!("cannot write {}: {error}", path.display()));
        }
    }

    /// Writes them.
    pub fn end(self) -> Result<(), String> {
        match (self.html, self.failed) {
            (_, Some(error)) => Err(error),
            (Some((path, html)), None) => report::end(html, &path),
            (None, None) => Ok(()),
        }
    }
}
