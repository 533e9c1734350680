//! What can be typed of commands over archives and catalogues.

use std::path::PathBuf;
use std::str::FromStr;

use clap::ValueEnum;

use super::RuleSet;

/// How rows are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RowFormat {
    /// One object a line, one line a crash: the native stream
    Jsonl,
    /// An array of the same objects
    Json,
    /// A table with the columns of a crash
    Csv,
    /// Counts at the end, for node_exporter's textfile collector
    Prometheus,
    /// For a terminal
    Human,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Every regular file of the places is an input and gives one row, unless it belongs to another: parts of a split dump, a
dump's log and metadata. Exit codes: 0 every row is a known bug, 1 some is not, 2 some could not be read.")]
pub struct Scan {
    /// Folders, dumps, texts, tar archives; `-` reads a list of paths from standard input
    #[arg(required = true, value_name = "PLACE")]
    pub places: Vec<PathBuf>,
    /// How to print
    #[arg(long, value_enum, default_value_t = RowFormat::Jsonl)]
    pub format: RowFormat,
    /// Keep rows, reports and verdicts in this SQLite file: what did not change is not read again, and a scan that was
    /// killed goes on where it stopped
    #[arg(long, value_name = "FILE")]
    pub catalog: Option<PathBuf>,
    /// How many crashes are worked on at a time (the number of processors when not given)
    #[arg(short, long, value_name = "N")]
    pub jobs: Option<usize>,
    /// How many may be open at a time, those that wait for storage included: more than --jobs for network storage
    #[arg(long, value_name = "N")]
    pub io_jobs: Option<usize>,
    /// Do the K-th of N shares of the archive (1/N to N/N, or 0/N to N-1/N)
    #[arg(long, value_name = "K/N")]
    pub shard: Option<Shard>,
    /// Show no progress
    #[arg(short, long)]
    pub quiet: bool,
    #[command(flatten)]
    pub rules: RuleSet,
}

/// A share of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Which, from 0 or from 1.
    pub number: u64,
    /// Of how many.
    pub count: u64,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no share: write K/N, with K from 1 to N (or from 0 to N-1)");
        let (number, count) = text.split_once('/').ok_or_else(wrong)?;
        let number = number.trim().parse().map_err(|_| wrong())?;
        let count = count.trim().parse().map_err(|_| wrong())?;
        if count == 0 || number > count {
            return Err(wrong());
        }
        Ok(Shard { number, count })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_numbered_from_0_or_from_1() {
        assert_eq!("3/8".parse(), Ok(Shard { number: 3, count: 8 }));
        assert!("0/8".parse::<Shard>().is_ok() && "8/8".parse::<Shard>().is_ok());
        for wrong in ["", "3", "9/8", "1/0", "a/b", "-1/2"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }
}
