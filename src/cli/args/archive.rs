//! What can be typed of commands over archives and catalogues.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;

use super::{Format, RuleSet};

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
Every regular file of the places is an input and gives one row, unless it belongs to another: parts of a split dump, a \
dump's log and metadata. Exit codes: 0 every row is a known bug, 1 some is not, 2 some could not be read.")]
pub struct Scan {
    /// Folders, dumps, texts, tar archives; `-` reads a list of paths from standard input
    #[arg(required = true, value_name = "PLACE")]
    pub places: Vec<PathBuf>,
    /// How to print
    #[arg(long, value_enum, default_value_t = RowFormat::Jsonl)]
    pub format: RowFormat,
    /// Write a page about the whole to this file as well: what `report` makes of the rows
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Write the columns of the table (--format csv) to this Parquet file as well
    #[cfg(feature = "parquet")]
    #[arg(long, value_name = "FILE")]
    pub parquet: Option<PathBuf>,
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
    #[command(flatten)]
    pub isolation: Isolation,
    /// Do the K-th of N shares of the archive (1/N to N/N, or 0/N to N-1/N)
    #[arg(long, value_name = "K/N")]
    pub shard: Option<Shard>,
    /// Show no progress
    #[arg(short, long)]
    pub quiet: bool,
    #[command(flatten)]
    pub rules: RuleSet,
}

/// What one crash may cost the others.
#[derive(Debug, clap::Args)]
pub struct Isolation {
    /// Read crashes in worker processes: one that breaks its worker costs nothing but its own row
    #[arg(long)]
    pub isolate: bool,
    /// Give a crash up after this time: 90s, 5m (implies --isolate)
    #[arg(long, value_name = "TIME")]
    pub timeout: Option<Span>,
    /// Give a crash up that wants more memory than this: 512M, 2G (implies --isolate)
    #[arg(long, value_name = "SIZE")]
    pub max_memory: Option<Size>,
}

impl Isolation {
    /// Whether crashes are to be read in processes of their own.
    pub fn is_asked(&self) -> bool {
        self.isolate || self.timeout.is_some() || self.max_memory.is_some()
    }
}

/// What crashes can be counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CountBy {
    Bug,
    Kernel,
    Host,
    Month,
    Hardware,
    Kind,
    Signature,
}

/// How figures are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StatsFormat {
    /// For a terminal
    Human,
    /// One object
    Json,
    /// The counts as a table
    Csv,
    /// For node_exporter's textfile collector
    Prometheus,
}

#[derive(Debug, clap::Args)]
pub struct Stats {
    /// The catalogue
    #[arg(value_name = "CATALOGUE")]
    pub catalog: PathBuf,
    /// Count by this (repeatable; bug, kernel, host, month and hardware when not given)
    #[arg(long, value_enum)]
    pub by: Vec<CountBy>,
    /// How many of each are told
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub top: usize,
    /// Compare the last so many days with as many before, for what is new, rising and gone
    #[arg(long, value_name = "DAYS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub days: u32,
    /// How to print
    #[arg(long, value_enum, default_value_t = StatsFormat::Human)]
    pub format: StatsFormat,
}

#[derive(Debug, clap::Args)]
pub struct Relabel {
    /// The catalogue
    #[arg(value_name = "CATALOGUE")]
    pub catalog: PathBuf,
    /// How to print the verdicts that changed
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub format: Format,
    #[command(flatten)]
    pub rules: RuleSet,
}

#[derive(Debug, clap::Args)]
pub struct Merge {
    /// Row files (JSON Lines) in any order; with --catalog: catalogues
    #[arg(required = true, value_name = "PART")]
    pub parts: Vec<PathBuf>,
    /// Put catalogues into this one
    #[arg(long, value_name = "FILE")]
    pub catalog: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub struct Backtest {
    /// Drafts of rules
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The catalogue
    #[arg(long, value_name = "FILE")]
    pub catalog: PathBuf,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub format: Format,
    #[command(flatten)]
    pub rules: RuleSet,
}

#[derive(Debug, clap::Args)]
pub struct Worker {
    /// Take no more memory than this; end when it is not enough
    #[arg(long, value_name = "SIZE")]
    pub max_memory: Option<Size>,
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

/// A time as people write it: `90`, `90s`, `5m`, `1h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no time: write 90s, 5m or 1h");
        let (digits, unit) = text.split_at(
            text.find(|c: char| !c.is_ascii_digit() && c != '.')
                .unwrap_or(text.len()),
        );
        let number: f64 = digits.parse().map_err(|_| wrong())?;
        let unit = match unit {
            "" | "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return Err(wrong()),
        };
        let span = Duration::try_from_secs_f64(number * unit).map_err(|_| wrong())?;
        if span.is_zero() { Err(wrong()) } else { Ok(Span(span)) }
    }
}

/// A size as people write it: bytes, or with K, M, G.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no size: write bytes, 512M or 2G");
        let upper = text.trim().to_ascii_uppercase();
        let plain = upper.trim_end_matches("IB").trim_end_matches('B');
        let (digits, shift) = match plain.char_indices().last() {
            Some((at, 'K')) => (plain.get(..at), 10),
            Some((at, 'M')) => (plain.get(..at), 20),
            Some((at, 'G')) => (plain.get(..at), 30),
            Some((at, 'T')) => (plain.get(..at), 40),
            _ => (Some(plain), 0),
        };
        let number: u64 = digits.unwrap_or_default().trim().parse().map_err(|_| wrong())?;
        number
            .checked_mul(1 << shift)
            .filter(|size| *size > 0)
            .map(Size)
            .ok_or_else(wrong)
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

    #[test]
    fn times_and_sizes() {
        assert_eq!("1.5m".parse(), Ok(Span(Duration::from_secs(90))));
        assert_eq!("90".parse(), Ok(Span(Duration::from_secs(90))));
        for wrong in ["", "0", "5 weeks", "-1s"] {
            assert!(wrong.parse::<Span>().is_err(), "{wrong}");
        }
        assert_eq!("2G".parse(), Ok(Size(2 << 30)));
        assert_eq!("512MiB".parse(), Ok(Size(512 << 20)));
        assert_eq!("4096".parse(), Ok(Size(4096)));
        for wrong in ["", "G", "0", "1e3", "99999999999T"] {
            assert!(wrong.parse::<Size>().is_err(), "{wrong}");
        }
    }
}
