//! The command line: arguments in, exit code out. Holds no logic that a library user would miss.

mod args;
mod behind;
mod beside;
mod capsule;
mod compare;
mod extract;
mod group;
mod identify;
mod install;
mod jobs;
mod knowledge;
mod limits;
mod log;
mod merge;
mod progress;
mod read;
mod relabel;
mod report;
mod rules;
mod scan;
mod sink;
mod stats;
mod sym;
mod watch;
mod whole_file;
mod worker;
mod workers;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use args::{Args, Color, Command, RuleSet};
use sink::Sink;

/// How a command ended; the process's exit code, which never depends on the output format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// Every input got what was asked for.
    Found = 0,
    /// Some input has no known bug (`identify`), no crash (`extract`), or there are findings (`rules check`).
    NotFound = 1,
    /// Some input, or the rules, could not be read.
    Failed = 2,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        ExitCode::from(outcome as u8)
    }
}

/// Says which program this is, and which rules it would use: a label is worth as much as the rules behind it.
fn version() -> ExitCode {
    let mut sink = Sink::new(Color::Auto);
    let nothing = RuleSet {
        paths: Vec::new(),
        no_builtin: false,
        keep_going: true,
    };
    let mut text = format!("vmcoroner {}", env!("CARGO_PKG_VERSION"));
    if let Some(base) = knowledge::load(&nothing, &mut sink) {
        text.push_str(&format!(" (rules {}, {} of them)", base.digest(), base.rules().len()));
    }
    sink.write(&format!("{text}\n"));
    sink.finish(Outcome::Found).into()
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) if error.kind() == ErrorKind::DisplayVersion => return version(),
        Err(error) => {
            // --help arrives here too, and counts as success.
            let code = if error.use_stderr() { 2 } else { 0 };
            // A closed standard output is no reason to fail.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let mut sink = Sink::new(args.color);
    let outcome = match &args.command {
        Command::Identify(arguments) => identify::run(arguments, &mut sink),
        Command::Extract(arguments) => extract::run(arguments, &mut sink),
        Command::Compare(arguments) => compare::run(arguments, &mut sink),
        Command::Group(arguments) => group::run(arguments, &mut sink),
        Command::Scan(arguments) => scan::run(arguments, &mut sink),
        Command::Relabel(arguments) => relabel::run(arguments, &mut sink),
        Command::Merge(arguments) => merge::run(arguments, &mut sink),
        Command::Stats(arguments) => stats::run(arguments, &mut sink),
        Command::Worker(arguments) => worker::run(arguments, &mut sink),
        Command::Log(arguments) => log::run(arguments, &mut sink),
        Command::Sym(arguments) => sym::run(arguments, &mut sink),
        Command::Read(arguments) => read::run(arguments, &mut sink),
        Command::Capsule(arguments) => capsule::run(arguments, &mut sink),
        Command::Report(arguments) => report::run(arguments, &mut sink),
        Command::Watch(arguments) => watch::run(arguments, &mut sink),
        Command::Man(arguments) => install::man(arguments, &mut sink),
        Command::Completions(arguments) => install::completions(arguments, &mut sink),
        Command::Rules(arguments) => rules::run(arguments, &mut sink),
        Command::Schema(arguments) => rules::schema(arguments, &mut sink),
    };
    sink.finish(outcome).into()
}
