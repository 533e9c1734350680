//! What an installed program brings along: man pages and completions, made from the command line's own description.

use std::fs;
use std::io;
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use super::Outcome;
use super::args::Args;
use super::args::fleet::{Completions, ManPages};
use super::sink::Sink;

/// What every page ends with.
const COMMON: &str = "\
.SH ENVIRONMENT
.TP
VMCORONER_RULES
Files and folders of rules and overlays, separated by colons, for every run.
.TP
RAYON_NUM_THREADS
How many threads work, where no option says so.
.TP
TMPDIR
Where packed dumps are unpacked to that cannot be read in place.
.SH FILES
.TP
vmcoroner.toml
Which rules are in force: the first of the one in the working folder or above it, ~/.config/vmcoroner/vmcoroner.toml and
/etc/vmcoroner.toml.
.SH SEE ALSO
";

/// Writes a man page for every command into a folder.
pub fn man(arguments: &ManPages, sink: &mut Sink) -> Outcome {
    let folder = &arguments.folder;
    let mut command = Args::command().disable_help_subcommand(true);
    command.build();
    match fs::create_dir_all(folder).and_then(|()| pages(&command, folder)) {
        Ok(()) => Outcome::Found,
        Err(error) => {
            sink.error(&format!("cannot write man pages to {}: {error}", folder.display()));
            Outcome::Failed
        }
    }
}

/// The pages of a command and of those below it.
fn pages(command: &Command, folder: &Path) -> io::Result<()> {
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        pages(below, folder)?;
    }
    let version = Args::command().get_version().unwrap_or_default().to_owned();
    let page = Man::new(command.clone())
        .source(format!("vmcoroner {version}"))
        .manual("vmcoroner");
    let mut text = Vec::new();
    page.render(&mut text)?;
    let text = String::from_utf8_lossy(&text).replace(".SH EXTRA", ".SH NOTES");
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    let others = match name {
        "vmcoroner" => "/usr/share/doc/vmcoroner",
        _ => "vmcoroner(1), /usr/share/doc/vmcoroner",
    };
    fs::write(folder.join(page.get_filename()), format!("{text}{COMMON}{others}\n"))
}

/// Prints a shell's completions.
pub fn completions(arguments: &Completions, sink: &mut Sink) -> Outcome {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut Args::command(), "vmcoroner", &mut text);
    sink.write_bytes(&text);
    Outcome::Found
}
