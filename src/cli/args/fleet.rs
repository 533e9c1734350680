//! What can be typed of commands for many machines: pages about them, folders under watch, what an installed program
//! brings along.

use std::path::PathBuf;

use super::archive::Isolation;
use super::{Format, RuleSet};

#[derive(Debug, clap::Args)]
pub struct Report {
    /// Rows, one JSON object a line: what `scan` and `identify --format jsonl` print; `-` reads standard input
    #[arg(value_name = "ROWS", default_value = "-")]
    pub rows: Vec<PathBuf>,
    /// Where to write the page
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// The page's title
    #[arg(long, value_name = "TEXT")]
    pub title: Option<String>,
    /// How many crashes have a section of their own (300 when not given)
    #[arg(long, value_name = "N")]
    pub crashes: Option<u64>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A dump counts when its name is final (not vmcore-incomplete, *.tmp, *.part, hidden) and it has stopped growing; one that \
has an answer beside it which is no older is not new. Exit codes with --once: 0 every new dump is a known bug, or there \
is none, 1 some is not, 2 something could not be read, written or handed to the hook.")]
pub struct Watch {
    /// Folders that dumps land in, or in folders below them
    #[arg(required = true, value_name = "DIR")]
    pub folders: Vec<PathBuf>,
    /// Write vmcoroner.json beside each dump: its row
    #[arg(long)]
    pub write: bool,
    /// Run this with /bin/sh for each dump, its row on standard input
    #[arg(long, value_name = "COMMAND")]
    pub hook: Option<String>,
    /// End a hook that takes longer
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub hook_timeout: u64,
    /// End when everything that is there is labelled
    #[arg(long)]
    pub once: bool,
    /// How long a dump must have kept its size and time
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub settle: u64,
    /// How often to look
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    pub interval: u64,
    #[command(flatten)]
    pub isolation: Isolation,
    /// How to print: `json` is `jsonl` here
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub format: Format,
    #[command(flatten)]
    pub rules: RuleSet,
}

#[derive(Debug, clap::Args)]
pub struct ManPages {
    /// The folder
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

#[derive(Debug, clap::Args)]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}
