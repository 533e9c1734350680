//! What can be typed.

pub mod archive;
pub mod fleet;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::extract::DebugFiles;

/// Which known bug killed this machine, and what to do about it: from a vmcore or the text it left.
#[derive(Debug, Parser)]
#[command(name = "vmcoroner", version, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 found, 1 no known bug (or no crash, or findings), 2 something could not be read."
)]
pub struct Args {
    /// Colour the output: when it goes to a terminal and NO_COLOR is not set, always, or never
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub color: Color,
    #[command(subcommand)]
    pub command: Command,
}

/// When to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    Auto,
    Always,
    Never,
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For a terminal
    Human,
    /// One object for one input, an array for several
    Json,
    /// One object a line, one line an input
    Jsonl,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Name the known bug behind each input, with the evidence, the references and what to do
    Identify(Identify),
    /// Print the facts of a crash, without judging them
    Extract(Extract),
    /// Say how alike two crashes are, and where they part
    Compare(Compare),
    /// Put crashes into groups that are probably one bug each
    Group(Group),
    /// Label an archive of crashes: folders, lists, tar archives
    Scan(archive::Scan),
    /// Say what a catalogue comes to: by bug, kernel, host, month, hardware; what is new; what to write a rule for next
    Stats(archive::Stats),
    /// Ask the rules in force about every report of a catalogue, without opening a dump
    Relabel(archive::Relabel),
    /// Put the parts of a sharded scan together: row files to standard output, or catalogues into one
    Merge(archive::Merge),
    /// Answer requests, one a line, on standard input: for `scan --isolate` and other engines
    Worker(archive::Worker),
    /// Print the kernel log out of a dump, as dmesg would
    Log(Log),
    /// Name the symbols at addresses of a dump, or the addresses of symbols
    Sym(Sym),
    /// Read members of kernel objects out of a dump
    Read(Read),
    /// Cut a dump down to what its report was read from: a small dump that gives the same report
    Capsule(Capsule),
    /// Turn rows of many crashes into one HTML file that can be mailed
    Report(fleet::Report),
    /// Label dumps as they land in folders
    Watch(fleet::Watch),
    /// Write the man pages into a folder
    #[command(hide = true)]
    Man(fleet::ManPages),
    /// Print a shell's completions
    #[command(hide = true)]
    Completions(fleet::Completions),
    /// Look after the knowledge base
    Rules(Rules),
    /// Print a JSON Schema
    Schema(Schema),
}

/// Which rules are in force, beside those that `vmcoroner.toml` and the variable VMCORONER_RULES name.
#[derive(Debug, clap::Args)]
pub struct RuleSet {
    /// Load rules and overlays from this file or folder too (repeatable; VMCORONER_RULES names some for every run)
    #[arg(long = "rules", value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Leave the rules out that the program brings along
    #[arg(long)]
    pub no_builtin: bool,
    /// Go on without the rules that are not in order; they still make the exit code 2
    #[arg(long)]
    pub keep_going: bool,
}

/// Where debuginfo may be taken from.
#[derive(Debug, clap::Args)]
pub struct DebugArgs {
    /// Take types, source lines and inlined functions from this vmlinux with debuginfo (dumps only); one of another
    /// kernel is refused
    #[arg(long, value_name = "FILE")]
    pub vmlinux: Option<PathBuf>,
    /// Look for the vmlinux in this folder: by build-id, or where debuginfo packages put it (repeatable)
    #[arg(long, value_name = "DIR")]
    pub debuginfo: Vec<PathBuf>,
}

impl DebugArgs {
    /// The same for the library.
    pub fn files(&self) -> DebugFiles {
        DebugFiles {
            vmlinux: self.vmlinux.clone(),
            folders: self.debuginfo.clone(),
        }
    }
}

#[derive(Debug, clap::Args)]
pub struct Identify {
    /// Dumps, kernel logs, pasted `crash` sessions or reports; `-` reads standard input
    #[arg(required = true, value_name = "INPUT")]
    pub inputs: Vec<PathBuf>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub format: Format,
    /// Report every crash that an input holds, not only that of the first boot that crashed
    #[arg(long)]
    pub all: bool,
    /// Say on standard error which rules were asked, which held and how long each took
    #[arg(long)]
    pub stats: bool,
    #[command(flatten)]
    pub rules: RuleSet,
    #[command(flatten)]
    pub debug: DebugArgs,
}

#[derive(Debug, clap::Args)]
pub struct Extract {
    /// Dumps, kernel logs, pasted `crash` sessions or reports; `-` reads standard input
    #[arg(required = true, value_name = "INPUT")]
    pub inputs: Vec<PathBuf>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub format: Format,
    /// Report every crash that an input holds, not only that of the first boot that crashed
    #[arg(long)]
    pub all: bool,
    /// Give the stack of every CPU (dumps only)
    #[arg(long)]
    pub all_cpus: bool,
    /// Give the stacks of the blocked tasks (dumps only)
    #[arg(long)]
    pub tasks: bool,
    #[command(flatten)]
    pub debug: DebugArgs,
}

#[derive(Debug, clap::Args)]
pub struct Compare {
    /// A dump, kernel log, pasted `crash` session or report
    #[arg(value_name = "A")]
    pub first: PathBuf,
    /// Another
    #[arg(value_name = "B")]
    pub second: PathBuf,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub format: Format,
}

#[derive(Debug, clap::Args)]
pub struct Group {
    /// Dumps, kernel logs, pasted `crash` sessions or reports
    #[arg(required = true, value_name = "INPUT")]
    pub inputs: Vec<PathBuf>,
    /// From which similarity on a crash of another signature joins a group, 0 to 1 (0.75 when not given)
    #[arg(long, value_name = "SIMILARITY")]
    pub alike: Option<f64>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub format: Format,
}

#[derive(Debug, clap::Args)]
pub struct Log {
    /// A dump, or the parts of a split one
    #[arg(required = true, value_name = "VMCORE")]
    pub inputs: Vec<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub struct Sym {
    /// A dump
    #[arg(value_name = "VMCORE")]
    pub vmcore: PathBuf,
    /// Addresses (0x…, or 16 hex digits), symbols (panic, ext4:ext4_find_entry, panic+0x10), one CPU's copy of a per-CPU
    /// variable (runqueues:3)
    #[arg(required = true, value_name = "ADDR|NAME")]
    pub queries: Vec<String>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub format: Format,
    #[command(flatten)]
    pub debug: DebugArgs,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
An expression is TYPE@START.MEMBER: TYPE a structure, START a register of the fault, `current` (the task that panicked), \
a symbol, one CPU's copy of a per-CPU variable (runqueues:3) or a number; pointers on the way are followed.
Examples: page@r13.mapping  task_struct@current.mm.owner.comm  (page@r13.mapping-1)  module.list*@modules.name")]
pub struct Read {
    /// A dump
    #[arg(value_name = "VMCORE")]
    pub vmcore: PathBuf,
    /// What to read
    #[arg(required = true, value_name = "EXPRESSION")]
    pub expressions: Vec<String>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub format: Format,
    #[command(flatten)]
    pub debug: DebugArgs,
}

#[derive(Debug, clap::Args)]
pub struct Capsule {
    /// A dump, or the parts of a split one; with --list: a capsule
    #[arg(required = true, value_name = "DUMP")]
    pub inputs: Vec<PathBuf>,
    /// Where to write the capsule
    #[arg(short, long, value_name = "FILE", required_unless_present = "list")]
    pub output: Option<PathBuf>,
    /// Keep the kernel's log (this is what is done anyway)
    #[arg(long, conflicts_with = "drop_log")]
    pub keep_log: bool,
    /// Leave the kernel's log out: then the report lacks all that only the log tells
    #[arg(long)]
    pub drop_log: bool,
    /// Say what is inside a capsule: whether to mail it can then be decided
    #[arg(long, conflicts_with_all = ["output", "keep_log", "drop_log"])]
    pub list: bool,
    #[command(flatten)]
    pub rules: RuleSet,
}

#[derive(Debug, clap::Args)]
pub struct Rules {
    #[command(subcommand)]
    pub command: RulesCommand,
}

#[derive(Debug, Subcommand)]
pub enum RulesCommand {
    /// Check rule files: all problems of all files at once
    Check(RulesCheck),
    /// Hold every rule against the corpus: its own cases, and everybody else's as negatives
    Test(RulesTest),
    /// List the rules that speak of something; all of them without a filter
    List(RulesList),
    /// Show a rule
    Show {
        /// The rule's id, or one that it had before
        #[arg(value_name = "RULE")]
        rule: String,
        /// How to print
        #[arg(long, value_enum, default_value_t = Format::Human)]
        format: Format,
        #[command(flatten)]
        rules: RuleSet,
    },
    /// Say why a rule matches a crash, or why not
    Explain(RulesExplain),
    /// Say what a draft would change over a catalogue: what it claims, what it takes from others, what it misses by little
    Backtest(archive::Backtest),
    /// Draft a rule from a crash, to standard output
    New {
        /// The crash: a dump, a kernel log, a pasted `crash` session or a report; `-` reads standard input
        #[arg(long, value_name = "INPUT")]
        from: PathBuf,
    },
    /// Put a crash into the corpus, as a case of a rule
    AddCase(AddCase),
    /// Make rules of fixes that show the crash they fix
    Import(Import),
    /// Say what the rules cover, and where they are thin
    Coverage(RulesTest),
}

#[derive(Debug, clap::Args)]
pub struct Import {
    /// Git repositories, folders or files of patches, `git log` output, CVE records of the kernel's CNA, fact files
    #[arg(required = true, value_name = "SOURCE")]
    pub sources: Vec<PathBuf>,
    /// The folder of the imported rules; what was changed there by hand is kept
    #[arg(short, long, value_name = "DIR", default_value = "rules/upstream")]
    pub output: PathBuf,
    /// The corpus that the rules are held against, and that their cases go into
    #[arg(long, value_name = "PATH", default_value = "corpus")]
    pub corpus: PathBuf,
    /// Only say what would be done
    #[arg(long)]
    pub dry_run: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub format: Format,
    #[command(flatten)]
    pub rules: RuleSet,
}

#[derive(Debug, clap::Args)]
pub struct RulesCheck {
    /// Files or folders of rules; the rules in force when none is given
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Say what a finding's code means, with an example
    #[arg(long, value_name = "CODE", conflicts_with = "paths")]
    pub explain: Option<String>,
    /// Hold what rules say of each other against this corpus, too (./corpus, if there is one)
    #[arg(long, value_name = "PATH")]
    pub corpus: Option<PathBuf>,
    /// The rules may not refer to those that the program brings along
    #[arg(long)]
    pub no_builtin: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t = CheckFormat::Human)]
    pub format: CheckFormat,
}

/// How to print findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CheckFormat {
    /// As a compiler does, for a terminal
    Human,
    /// An array
    Json,
    /// One finding a line
    Jsonl,
    /// SARIF 2.1.0, for code hosts
    Sarif,
}

#[derive(Debug, clap::Args)]
pub struct RulesTest {
    /// The corpus: a folder a rule, in it match-* and nomatch-*
    #[arg(long, value_name = "PATH", default_value = "corpus")]
    pub corpus: PathBuf,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub format: Format,
    #[command(flatten)]
    pub rules: RuleSet,
}

#[derive(Debug, clap::Args)]
pub struct RulesList {
    /// Words of the id or the title
    #[arg(value_name = "WORD")]
    pub words: Vec<String>,
    /// Rules that name this function
    #[arg(long, value_name = "SYMBOL")]
    pub symbol: Option<String>,
    /// Rules that name this module
    #[arg(long, value_name = "MODULE")]
    pub module: Option<String>,
    /// Rules that say which kernels of this stream have the bug
    #[arg(long, value_name = "STREAM")]
    pub stream: Option<String>,
    /// Rules that refer to this: an id (2779851, CVE-2016-5195), a kind (commit) or part of an address
    #[arg(long, value_name = "REFERENCE")]
    pub reference: Option<String>,
    /// Rules that advise this: a setting's name, or a word
    #[arg(long, value_name = "WORD")]
    pub mitigation: Option<String>,
    /// Rules for this kind of crash
    #[arg(long, value_name = "KIND")]
    pub kind: Option<String>,
    /// Rules that have come this far
    #[arg(long, value_enum, value_name = "STATUS")]
    pub status: Option<StatusWord>,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub format: Format,
    #[command(flatten)]
    pub rules: RuleSet,
}

/// How far a rule has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StatusWord {
    Draft,
    Test,
    Stable,
    Deprecated,
}

#[derive(Debug, clap::Args)]
pub struct RulesExplain {
    /// The crash: a dump, a kernel log, a pasted `crash` session or a report; `-` reads standard input
    #[arg(value_name = "INPUT")]
    pub input: PathBuf,
    /// The rule; those that match when none is given
    #[arg(value_name = "RULE", conflicts_with = "near")]
    pub rule: Option<String>,
    /// The rules that miss by one predicate
    #[arg(long)]
    pub near: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub format: Format,
    #[command(flatten)]
    pub rules: RuleSet,
}

#[derive(Debug, clap::Args)]
pub struct AddCase {
    /// The rule's id
    #[arg(value_name = "RULE")]
    pub rule: String,
    /// The crash: a dump, a kernel log, a pasted `crash` session or a report; `-` reads standard input
    #[arg(value_name = "INPUT")]
    pub input: PathBuf,
    /// A crash that the rule must not match
    #[arg(long)]
    pub nomatch: bool,
    /// What the case is called, behind `match-` or `nomatch-` and without an ending
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The corpus
    #[arg(long, value_name = "PATH", default_value = "corpus")]
    pub corpus: PathBuf,
    #[command(flatten)]
    pub rules: RuleSet,
}

#[derive(Debug, clap::Args)]
pub struct Schema {
    /// Of what
    #[arg(value_enum)]
    pub of: SchemaOf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SchemaOf {
    /// The record that `extract --format json` prints
    Report,
    /// A rule file
    Rule,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }
}
