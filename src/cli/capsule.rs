//! `vmcoroner capsule`: a dump cut down to what its report was read from, and what is inside one.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::Outcome;
use super::args::Capsule;
use super::knowledge::load;
use super::{sink::Sink, whole_file};
use crate::capsule::{self, Options};
use crate::extract::{self, Depth, Job};
use crate::output::contents;

/// Makes a capsule, or says what is in one.
pub fn run(arguments: &Capsule, sink: &mut Sink) -> Outcome {
    let result = match &arguments.output {
        Some(output) => make(arguments, output, sink),
        None => list(arguments, sink),
    };
    match result {
        Ok(()) => Outcome::Found,
        Err(error) => {
            sink.error(&error);
            Outcome::Failed
        }
    }
}

fn make(arguments: &Capsule, output: &Path, sink: &mut Sink) -> Result<(), String> {
    let same = |input: &PathBuf| {
        fs::canonicalize(input)
            .ok()
            .is_some_and(|input| fs::canonicalize(output).ok() == Some(input))
    };
    if arguments.inputs.iter().any(same) {
        return Err(format!("{}: the capsule would overwrite the dump", output.display()));
    }
    let job = Job {
        paths: arguments.inputs.clone(),
    };
    let parts = job.open().map_err(|error| error.to_string())?;
    let options = Options {
        drop_log: arguments.drop_log,
    };
    // What a team's own rules ask of memory must be in it, too.
    let base = load(&arguments.rules, sink).ok_or_else(|| "no capsule without the rules that it is for".to_owned())?;
    let made = capsule::make(&parts, &base, options).map_err(|error| error.to_string())?;
    whole_file::write(output, whole_file::PRIVATE, |file| file.write_all(&made.bytes))?;
    sink.write(&contents::page(
        &output.display().to_string(),
        made.bytes.len() as u64,
        &made.facts,
        &made.report,
    ));
    Ok(())
}

fn list(arguments: &Capsule, sink: &mut Sink) -> Result<(), String> {
    for path in &arguments.inputs {
        let job = Job {
            paths: vec![path.clone()],
        };
        let parts = job.open().map_err(|error| error.to_string())?;
        let name = path.display().to_string();
        let no_capsule = || format!("{name}: not a capsule; `vmcoroner capsule {name} -o FILE` makes one of a dump");
        let vmcore = extract::open_dump(&parts).map_err(|_| no_capsule())?;
        let facts = vmcore.header().capsule.clone().ok_or_else(no_capsule)?;
        let depth = Depth {
            all_cpus: true,
            blocked_tasks: true,
        };
        let (report, _) = extract::examine(vmcore.clone(), vmcore.header(), depth, &|_| ());
        let size = parts.iter().map(|part| part.size).sum();
        sink.write(&contents::page(&name, size, &facts, &report));
    }
    Ok(())
}
