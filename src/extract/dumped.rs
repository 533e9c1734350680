//! A dump → its report: what the log says, corrected and completed by what the dump's memory and headers say.

use std::sync::Arc;

use super::debug_files::DebugFilesError;
use super::memory::{self, Insight};
use super::{DebugFiles, Depth, Dumped, ExtractError, Extracted, Step};
use crate::console;
use crate::crash::{CrashReport, Source, SourceKind, time};
use crate::dump::{Header, PhysicalMemory, Vmcore};
use crate::input::{Content, Input};
use crate::kernel::Kernel;
use crate::kernel::log::{KernelLog, LogError};

/// Reads a dump from all of its parts.
pub fn read(parts: &[Input], depth: Depth, files: &DebugFiles) -> Result<Extracted, ExtractError> {
    let vmcore = open(parts)?;
    let examined = examine(vmcore.clone(), vmcore.header(), files, depth, &|_| ());
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
            let insight =
                Insight::open_with(&kernel, files).map_err(|source| ExtractError::DebugFiles { path, source })?;
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
    depth: Depth,
    watch: &dyn Fn(Step),
) -> Result<(CrashReport, Option<Dumped>), DebugFilesError> {
    let mut report = CrashReport::new(Source::new("", SourceKind::Vmcore));
    watch(Step::Kernel);
    let dumped = match Kernel::open(memory, header) {
        Ok(kernel) => {
            let insight = Insight::open_with(&kernel, files)?;
            Some(Dumped { kernel, insight })
        }
        Err(error) => {
            report.note_missing("kernel", error.to_string());
            None
        }
    };
    if let Some(dumped) = &dumped {
        watch(Step::Log);
        match header.capsule.as_deref() {
            Some(capsule) if !capsule.log_kept => {
                report.note_missing("log", "it was left out of this capsule (--drop-log)");
            }
            _ => read_log(&mut report, dumped),
        }
        for problem in dumped.kernel.problems() {
            report.note_missing(problem.fact.to_string(), problem.why.clone());
        }
    }
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

/// The facts that the log holds; where it cannot be read, why.
fn read_log(report: &mut CrashReport, dumped: &Dumped) {
    match log(&dumped.kernel, dumped.insight.as_ref().ok()) {
        Ok(log) => {
            *report = console::read_dump_log(&log.render(), &report.source);
            if let Some(facts) = &mut report.log {
                facts.complete = log.complete;
            }
            for problem in &log.problems {
                report.note_missing("log", problem.to_string());
            }
        }
        Err(error) => report.note_missing("log", error.to_string()),
    }
}

/// The log by VMCOREINFO, else by the symbols.
fn log(kernel: &Kernel, insight: Option<&Insight>) -> Result<KernelLog, LogError> {
    match insight {
        Some(insight) => kernel.log_with(&|name| insight.symbols.by_name(name)),
        None => kernel.log(),
    }
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
    let log = kernel
        .log()
        .or_else(|_| self::log(&kernel, Insight::open(&kernel).ok().as_ref()));
    log.map_err(|e| no_log(e.to_string()))
}

/// Opens the dump that `parts` make up.
pub(super) fn open(parts: &[Input]) -> Result<Arc<Vmcore>, ExtractError> {
    let path = parts.first().map(|p| p.path.clone()).unwrap_or_default();
    let bytes = parts.iter().filter_map(|part| match &part.content {
        Content::Dump(bytes) => Some(bytes.clone()),
        Content::Text(_) => None,
    });
    match Vmcore::open(bytes.collect()) {
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
