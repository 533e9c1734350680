//! `vmcoroner merge`: the parts of a sharded scan, together.

use std::fs::File;
use std::io::{BufRead, BufReader};

use super::Outcome;
use super::args::archive::Merge;
use super::scan::now;
use super::sink::Sink;
use crate::catalog::Catalog;
use crate::scan::merge::merge;

/// Merges row files, or catalogues.
pub fn run(arguments: &Merge, sink: &mut Sink) -> Outcome {
    let done = match &arguments.catalog {
        Some(_) => catalogues(arguments),
        None => rows(arguments, sink),
    };
    match done {
        Ok(()) => Outcome::Found,
        Err(error) => {
            sink.error(&error);
            Outcome::Failed
        }
    }
}

fn rows(arguments: &Merge, sink: &mut Sink) -> Result<(), String> {
    let mut files: Vec<Box<dyn BufRead>> = Vec::new();
    for part in &arguments.parts {
        let mut file = BufReader::new(File::open(part).map_err(|error| format!("{}: {error}", part.display()))?);
        if file.fill_buf().is_ok_and(|head| head.starts_with(b"SQLite format 3\0")) {
            return Err(format!(
                "{} is a catalogue: say where to with --catalog FILE",
                part.display()
            ));
        }
        files.push(Box::new(file));
    }
    merge(&mut files, &mut |line| {
        sink.write(line);
        !sink.is_closed()
    })
    .map_err(|(file, error)| {
        let name = arguments
            .parts
            .get(file)
            .map(|part| part.display().to_string())
            .unwrap_or_default();
        format!("{name}: {error}")
    })
}

fn catalogues(arguments: &Merge) -> Result<(), String> {
    let Some(path) = &arguments.catalog else { return Ok(()) };
    let catalog = Catalog::open(path).map_err(|error| error.to_string())?;
    let run = catalog.begin("merge", "", now()).map_err(|error| error.to_string())?;
    for part in &arguments.parts {
        catalog.absorb(part, run).map_err(|error| error.to_string())?;
    }
    catalog.end(run, now()).map_err(|error| error.to_string())
}
