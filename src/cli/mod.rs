//! The command line. Holds no logic that a library user would miss.

use std::process::ExitCode;

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    ExitCode::from(2)
}
