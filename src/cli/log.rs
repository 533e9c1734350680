//! `vmcoroner log`: the kernel log out of a dump.

use super::Outcome;
use super::args::Log;
use super::sink::Sink;
use crate::extract;

/// Prints the log of one dump; what could not be read of it goes to standard error.
pub fn run(arguments: &Log, sink: &mut Sink) -> Outcome {
    let job = extract::Job {
        paths: arguments.inputs.clone(),
    };
    match job.open().and_then(|parts| extract::kernel_log(&parts)) {
        Ok(log) => {
            sink.write(&log.render());
            for problem in &log.problems {
                sink.warning(&problem.to_string());
            }
            Outcome::Found
        }
        Err(error) => {
            sink.error(&error.to_string());
            Outcome::Failed
        }
    }
}
