//! `vmcoroner merge`: the parts of a sharded scan, together.

use std::fs::File;
use std::io::{BufRead, BufReader};

use super::Outcome;
use super::args::archive::Merge;
use super::scan::now;
use super::sink::Sink;
use crate::catalog::Catalog;
use crate::scan::merge::{Broken, merge};

/// Merges row files, or catalogues.
pub fn run(arguments: &Merge, sink: &mut Sink) -> Outcome {
    let done = match &arguments.catalog {
        Some(_) => catalogues(arguments),
        None => rows(arguments, sink),
    };
    match done {
        Ok(outcome) => outcome,
        Err(error) => {
            sink.error(&error);
            Outcome::Failed
        }
    }
}

fn rows(arguments: &Merge, sink: &mut Sink) -> Result<Outcome, String> {
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
    let broken = merge(&mut files, &mut |line| {
        sink.write_json(line.as_bytes());
        !sink.is_closed()
    });
    let outcome = match broken.is_empty() {
        true => Outcome::Found,
        false => Outcome::Failed,
    };
    for Broken { file, line, why, lines } in broken {
        let part = arguments.parts.get(file).map(|part| part.display().to_string());
        let more = match lines {
            1 => String::new(),
            lines => format!(" (and {} more lines)", lines - 1),
        };
        let part = part.unwrap_or_default();
        sink.error(&format!(
            "{part}: line {line} is no row of a scan, and is left out{more}: {why}"
        ));
    }
    Ok(outcome)
}

fn catalogues(arguments: &Merge) -> Result<Outcome, String> {
    let Some(path) = &arguments.catalog else {
        return Ok(Outcome::Found);
    };
    let catalog = Catalog::open(path).map_err(|error| error.to_string())?;
    let run = catalog.begin("merge", "", now()).map_err(|error| error.to_string())?;
    for part in &arguments.parts {
        catalog.absorb(part).map_err(|error| error.to_string())?;
    }
    catalog.end(run, now()).map_err(|error| error.to_string())?;
    Ok(Outcome::Found)
}
