//! What an installed program brings along: man pages and completions, made from the command line's own description.

use std::fs;

use clap::CommandFactory;

use super::Outcome;
use super::args::Args;
use super::args::fleet::{Completions, ManPages};
use super::sink::Sink;

/// Writes a man page for every command into a folder.
pub fn man(arguments: &ManPages, sink: &mut Sink) -> Outcome {
    let folder = &arguments.folder;
    let pages = || clap_mangen::generate_to(Args::command(), folder);
    match fs::create_dir_all(folder).and_then(|()| pages()) {
        Ok(()) => Outcome::Found,
        Err(error) => {
            sink.error(&format!("cannot write man pages to {}: {error}", folder.display()));
            Outcome::Failed
        }
    }
}

/// Prints a shell's completions.
pub fn completions(arguments: &Completions, sink: &mut Sink) -> Outcome {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut Args::command(), "vmcoroner", &mut text);
    sink.write_bytes(&text);
    Outcome::Found
}
