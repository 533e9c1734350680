//! A dump → its report: what the log says, corrected and completed by what the dump's memory and headers say.

use std::cell::Cell;
use std::sync::Arc;

use super::debug_files::DebugFilesError;
use super::memory::{self, Insight};
use super::{DebugFiles, Depth, Dumped, ExtractError, Extracted, Shared, Step};
use crate::console;
use crate::crash::{CrashReport, Source, SourceKind, time};
use crate::dump::{Header, PhysicalMemory, Vmcore};
use crate::input::{Content, Input};
use crate::kernel::Kernel;
use crate::kernel::log::{KernelLog, LogError};
use crate::threads;

/// Reads a dump from all of its parts.
pub fn read(parts: &[Input], depth: Depth, files: &DebugFiles, shared: &Shared) -> Result<Extracted, ExtractError> {
    let vmcore = open_sharing(parts, shared)?;
    // Every capsule has names of its own: those that nobody asked for are blanked.
    let names = match vmcore.header().capsule {
        Some(_) => &Shared::default(),
        None => shared,
    };
    let examined = examine(vmcore.clone(), vmcore.header(), files, names, depth, &|_| ());
    let (mut report, dumped) = examined.map_err(|source| ExtractError::DebugFiles {
        path: parts.first().map(|p| p.path.clone()).unwrap_or_default(),
        source,
    })?;
    let (debuginfo, vmlinux) = (report.source.debuginfo, report.source.vmlinux.take());
    report.source = Source {
        debuginfo,
        vmlinux,
        ..source(parts, &vmcore)
    };
    for why in parts.iter().filter_map(|part| part.cut_short.clone()) {
        report.note_missing("source", why);
    }
    Ok(Extracted {
        reports: vec![report],
        dumped,
    })
}

/// Opens a dump's kernel for questions to its memory, without looking for a crash.
pub fn open_kernel(parts: &[Input], files: &DebugFiles) -> Result<Dumped, ExtractError> {
    let path = parts.first().map(|p| p.path.clone()).unwrap_or_default();
    if parts.iter().any(|part| matches!(part.content, Content::Text(_))) {
        let why = "this is text, not a dump: it holds no memory to ask".to_owned();
        return Err(ExtractError::NoKernel { path, why });
    }
    let vmcore = open(parts)?;
    match Kernel::open(vmcore.clone(), vmcore.header()) {
        Ok(kernel) => {
            let insight = Insight::open_with(&kernel, files, &Shared::default())
                .map_err(|source| ExtractError::DebugFiles { path, source })?;
            Ok(Dumped { kernel, insight })
        }
        Err(error) => Err(ExtractError::NoKernel {
            path,
            why: error.to_string(),
        }),
    }
}

/// The report that a dump's memory and headers give, as yet without `source`. `watch` is told what is looked at next.
pub(super) fn examine(
    memory: Arc<dyn PhysicalMemory>,
    header: &Header,
    files: &DebugFiles,
    shared: &Shared,
    depth: Depth,
    watch: &dyn Fn(Step),
) -> Result<(CrashReport, Option<Dumped>), DebugFilesError> {
    let mut report = CrashReport::new(Source::new("", SourceKind::Vmcore));
    watch(Step::Kernel);
    let in_order = memory.is_recorded();
    let dumped = match Kernel::open(memory, header) {
        Ok(kernel) => {
            let names = || Insight::open_with(&kernel, files, shared);
            // A log that asks for more than VMCOREINFO names has to wait for the names.
            let log = || {
                let asked = Cell::new(false);
                let log = log_of(header, || {
                    kernel.log_with(&|_| {
                        asked.set(true);
                        None
                    })
                });
                (!asked.get()).then_some(log)
            };
            // Mostly neither needs the other. A record of what was read tells them apart by their order.
            let (insight, log) = if in_order {
                let names = names();
                watch(Step::Log);
                (names, log())
            } else {
                let _alone = threads::shared_or_alone();
                rayon::join(names, log)
            };
            let insight = insight?;
            let find = |name: &str| insight.as_ref().ok()?.symbols.by_name(name);
            match log.unwrap_or_else(|| log_of(header, || kernel.log_with(&find))) {
                Ok(said) => report = said,
                Err(why) => report.note_missing("log", why),
            }
            for problem in kernel.problems() {
                report.note_missing(problem.fact.to_string(), problem.why.clone());
            }
            Some(Dumped { kernel, insight })
        }
        Err(error) => {
            report.note_missing("kernel", error.to_string());
            None
        }
    };
    watch(Step::Machine);
    let kernel = dumped.as_ref().map(|dumped| &dumped.kernel);
    describe_system(&mut report, kernel, header);
    if let Some(Dumped { kernel, insight }) = &dumped {
        match insight {
            Ok(insight) => memory::complete(&mut report, kernel, insight, header, depth, watch),
            Err(why) => report.note_missing("symbols", why.clone()),
        }
    }
    Ok((report, dumped))
}

/// The report that the log alone gives, or why it cannot be read.
fn log_of(header: &Header, read: impl FnOnce() -> Result<KernelLog, LogError>) -> Result<CrashReport, String> {
    if header.capsule.as_deref().is_some_and(|capsule| !capsule.log_kept) {
        return Err("it was left out of this capsule (--drop-log)".to_owned());
    }
    let log = read().map_err(|error| error.to_string())?;
    let mut report = console::read_dump_log(&log.render(), &Source::new("", SourceKind::Vmcore));
    if let Some(facts) = &mut report.log {
        facts.complete = log.complete;
    }
    for problem in &log.problems {
        report.note_missing("log", problem.to_string());
    }
    Ok(report)
}

/// The kernel log of a dump.
pub fn kernel_log(parts: &[Input]) -> Result<KernelLog, ExtractError> {
    let path = parts.first().map(|p| p.path.clone()).unwrap_or_default();
    if parts.iter().any(|part| matches!(part.content, Content::Text(_))) {
        let why = "this is text, not a dump: its log is the file itself".to_owned();
        return Err(ExtractError::NoKernel { path, why });
    }
    let vmcore = open(parts)?;
    let no_log = |why: String| ExtractError::NoKernel {
        path: path.clone(),
        why,
    };
    let kernel = Kernel::open(vmcore.clone(), vmcore.header()).map_err(|e| no_log(e.to_string()))?;
    // Symbols cost more than the log itself: only where VMCOREINFO is not enough.
    let log = kernel.log().or_else(|error| match Insight::open(&kernel) {
        Ok(insight) => kernel.log_with(&|name| insight.symbols.by_name(name)),
        Err(_) => Err(error),
    });
    log.map_err(|e| no_log(e.to_string()))
}

/// Opens the dump that `parts` make up.
pub(super) fn open(parts: &[Input]) -> Result<Arc<Vmcore>, ExtractError> {
    open_sharing(parts, &Shared::default())
}

fn open_sharing(parts: &[Input], shared: &Shared) -> Result<Arc<Vmcore>, ExtractError> {
    let path = parts.first().map(|p| p.path.clone()).unwrap_or_default();
    let bytes = parts.iter().filter_map(|part| match &part.content {
        Content::Dump(bytes) => Some(bytes.clone()),
        Content::Text(_) => None,
    });
    match Vmcore::open_sharing(bytes.collect(), shared.pages.clone()) {
        Ok(vmcore) => Ok(Arc::new(vmcore)),
        Err(source) => Err(ExtractError::Dump { path, source }),
    }
}

/// Memory and headers know the machine better than the log: its names are not cut, its time is exact.
fn describe_system(report: &mut CrashReport, kernel: Option<&Kernel>, header: &Header) {
    let system = &mut report.system;
    let utsname = kernel.and_then(Kernel::utsname).or(header.utsname.as_ref());
    if let Some(utsname) = utsname {
        set(&mut system.release, &utsname.release);
        set(&mut system.version, &utsname.version);
        set(&mut system.machine, &utsname.machine);
        set(&mut system.nodename, &utsname.nodename);
    }
    if let Some(machine) = &header.machine {
        system.machine.get_or_insert_with(|| machine.clone());
    }
    let crashed_at = kernel
        .and_then(Kernel::crashed_at)
        .or(header.timestamp)
        .and_then(time::rfc3339);
    if crashed_at.is_some() {
        system.crashed_at = crashed_at;
    }
    if system.uptime_seconds.is_none() {
        system.uptime_seconds = report.log.as_ref().and_then(|l| l.last_seconds);
    }
}

fn set(field: &mut Option<String>, value: &str) {
    if !value.is_empty() {
        *field = Some(value.to_owned());
    }
}

/// The `source` of a dump, its parts together.
fn source(parts: &[Input], vmcore: &Vmcore) -> Source {
    let header = vmcore.header();
    let path = parts.first().map(|p| p.path.display().to_string()).unwrap_or_default();
    let mut source = Source::new(path, SourceKind::Vmcore);
    source.format = Some(header.format.to_owned());
    source.compression = vmcore.compressions_seen().into_iter().map(str::to_owned).collect();
    for part in parts {
        for wrapping in &part.wrappings {
            if !source.compression.iter().any(|c| c == wrapping) {
                source.compression.push((*wrapping).to_owned());
            }
        }
    }
    source.partial = header.partial;
    source.truncated = header.truncated || parts.iter().any(|p| p.cut_short.is_some());
    source.size = Some(parts.iter().map(|p| p.size).sum());
    source.bytes_read = Some(parts.iter().map(|p| p.counter.bytes()).sum());
    source
}
