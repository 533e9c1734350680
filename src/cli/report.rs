//! `vmcoroner report`: rows of many crashes → one HTML file.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

use super::args::fleet::Report as Arguments;
use super::sink::Sink;
use super::{Outcome, whole_file};
use crate::output::html::{Options, Report};

/// Writes the page.
pub fn run(arguments: &Arguments, sink: &mut Sink) -> Outcome {
    match make(arguments) {
        Ok(0) => Outcome::Found,
        Ok(broken) => {
            sink.warning(&format!("lines that are no rows: {broken}; the page names them"));
            Outcome::Failed
        }
        Err(error) => {
            sink.error(&error);
            Outcome::Failed
        }
    }
}

/// How many lines were no row.
fn make(arguments: &Arguments) -> Result<u64, String> {
    let usual = Options::default();
    let options = Options {
        title: arguments.title.clone().unwrap_or(usual.title),
        crashes: arguments.crashes.unwrap_or(usual.crashes),
        ..usual
    };
    let mut report = begin(options)?;
    for path in &arguments.rows {
        read(&mut report, path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    }
    let broken = report.broken();
    end(report, &arguments.output)?;
    Ok(broken)
}

/// A page without rows, whose sections wait in a temporary file.
pub fn begin(options: Options) -> Result<Report<File>, String> {
    let spool = tempfile::tempfile().map_err(|error| format!("cannot make a temporary file: {error}"))?;
    Ok(Report::new(options, spool))
}

/// Writes the page.
pub fn end(report: Report<File>, path: &Path) -> Result<(), String> {
    whole_file::write(path, whole_file::SHARED, |file| report.finish(file))
}

fn read(report: &mut Report<File>, path: &Path) -> io::Result<()> {
    if path == Path::new("-") {
        report.read(io::stdin().lock())
    } else {
        report.read(BufReader::new(File::open(path)?))
    }
}
