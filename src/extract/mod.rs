//! One input → its crash reports: asks whoever can read it, and merges what memory and log say.
//!
//! The only place that knows both `kernel` and `console`. It must not know of rules.

pub mod debug_files;
mod dumped;
pub mod fault;
mod finish;
mod job;
mod memory;
pub mod probe;
mod shared;
mod source_lines;
mod stack;
mod text;

pub use debug_files::DebugFiles;
pub use dumped::{kernel_log, open_kernel};
pub use job::{Job, jobs};
pub use memory::Insight;
pub use shared::Shared;

use std::path::PathBuf;
use std::sync::Arc;

use crate::crash::{CrashReport, Source, SourceKind};
use crate::dump::{DumpError, Header, PhysicalMemory, Vmcore};
use crate::input::{Content, Input, InputError};
use crate::kernel::Kernel;
use crate::kernel::read::Reader;
use debug_files::DebugFilesError;
use probe::MemoryProbe;

/// What one input gave.
#[derive(Debug)]
pub struct Extracted {
    /// One report for every boot that the input tells of, oldest first; never empty.
    pub reports: Vec<CrashReport>,
    /// The dumped kernel, for further questions to its memory. Only for dumps.
    pub dumped: Option<Dumped>,
}

/// A dumped kernel, opened.
#[derive(Debug)]
pub struct Dumped {
    /// Its memory, log and names.
    pub kernel: Kernel,
    /// Its symbols and types, or why there are none.
    pub insight: Result<Insight, String>,
}

impl Dumped {
    /// What answers questions about its memory; none without symbols and types.
    pub fn probe(&self) -> Option<MemoryProbe<'_>> {
        let insight = self.insight.as_ref().ok()?;
        let reader = Reader::new(self.kernel.memory(), &insight.symbols, &insight.types);
        Some(MemoryProbe(reader))
    }
}

/// What of a dump is looked at, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Where the kernel is, its symbols and types.
    Kernel,
    /// The log.
    Log,
    /// The machine's figures, settings and modules.
    Machine,
    /// Stacks, tasks and the code on them.
    Stacks,
}

/// How much to look for in a dump, beyond what every report holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Every CPU's stack.
    pub all_cpus: bool,
    /// The stacks of the tasks that wait uninterruptibly.
    pub blocked_tasks: bool,
}

impl Extracted {
    /// The report of the first boot that crashed, or of the first boot when none did; `also` counts the other crashes.
    pub fn into_first_crash(mut self) -> Option<CrashReport> {
        self.take_first_crash()
    }

    /// As [`Extracted::into_first_crash`], and leaves the dumped kernel to be asked. The other reports are given up.
    pub fn take_first_crash(&mut self) -> Option<CrashReport> {
        let crashes = self.reports.iter().filter(|r| r.panic.is_some()).count();
        let index = self.reports.iter().position(|r| r.panic.is_some()).unwrap_or(0);
        let mut report = std::mem::take(&mut self.reports).into_iter().nth(index)?;
        report.also = crashes.saturating_sub(1) as u64;
        Some(report)
    }

    /// The dumped memory for rules to ask; `None` for a text, and for a dump without symbols.
    pub fn probe(&self) -> Option<MemoryProbe<'_>> {
        self.dumped.as_ref()?.probe()
    }
}

/// Why an input gave no report at all.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    /// It could not be opened.
    #[error(transparent)]
    Input(#[from] InputError),
    /// It has a dump's magic but cannot be read as one.
    #[error("{}: {source}", path.display())]
    Dump {
        /// Which input.
        path: PathBuf,
        /// What is wrong with it.
        source: DumpError,
    },
    /// The debuginfo file that was named cannot be used.
    #[error("{}: {source}", path.display())]
    DebugFiles {
        /// Which input.
        path: PathBuf,
        /// What is wrong with the file.
        source: DebugFilesError,
    },
    /// It holds no kernel that could be found, or none of what was asked for.
    #[error("{}: {why}", path.display())]
    NoKernel {
        /// Which input.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// It is JSON, but no report.
    #[error("{}: not a crash report: {why}", path.display())]
    Report {
        /// Which input.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// It is text without a line that a kernel could have printed.
    #[error(
        "{}: text without a line of a kernel's: give a vmcore, a kernel log, a pasted `crash` session or a report",
        path.display()
    )]
    NotKernelText {
        /// Which input.
        path: PathBuf,
    },
}

/// The report of a dump whose memory is at hand, without what only its file can tell (`source`). `watch` is told what is
/// looked at next.
pub fn examine(
    memory: Arc<dyn PhysicalMemory>,
    header: &Header,
    depth: Depth,
    watch: &dyn Fn(Step),
) -> (CrashReport, Option<Dumped>) {
    let examined = dumped::examine(memory, header, &DebugFiles::default(), &Shared::default(), depth, watch);
    // Only a file that was named can be unusable, and none was.
    let (mut report, dumped) = examined.unwrap_or_else(|error| {
        let mut report = CrashReport::new(Source::new("", SourceKind::Vmcore));
        report.note_missing("debuginfo", error.to_string());
        (report, None)
    });
    finish::complete(&mut report);
    (report, dumped)
}

/// The dump that `parts` make up, none of which is text.
pub fn open_dump(parts: &[Input]) -> Result<Arc<Vmcore>, ExtractError> {
    dumped::open(parts)
}

/// The reports of a kernel's text that is at hand, oldest boot first; `name` is what it is called.
pub fn of_text(name: &str, text: &[u8]) -> Vec<CrashReport> {
    let mut reports = crate::console::read(text, &Source::new(name, SourceKind::Console));
    for report in &mut reports {
        finish::complete(report);
    }
    reports
}

/// Everything that `parts` tell of a crash. Several parts are one split dump, in any order.
pub fn extract(parts: &[Input], depth: Depth) -> Result<Extracted, ExtractError> {
    extract_with(parts, depth, &DebugFiles::default(), &Shared::default())
}

/// [`extract`] with the help of debuginfo, for dumps, and of what dumps before had in common with these.
pub fn extract_with(
    parts: &[Input],
    depth: Depth,
    files: &DebugFiles,
    shared: &Shared,
) -> Result<Extracted, ExtractError> {
    let text = parts.iter().find_map(|part| match &part.content {
        Content::Text(text) => Some((part, text)),
        Content::Dump(_) => None,
    });
    let mut extracted = match text {
        Some((part, text)) => text::read(part, text)?,
        None => dumped::read(parts, depth, files, shared)?,
    };
    for report in &mut extracted.reports {
        finish::complete(report);
    }
    Ok(extracted)
}
