//! A dump cut down to what its report was read from: kilobytes instead of gigabytes, fit for a mail or for git.
//!
//! The dump is read once under record ([`record`]); what was read is written as a dump again ([`write`]): the pages
//! with every other byte zero, symbols and types without the names that nobody asked for, the notes, VMCOREINFO. Then
//! the capsule is read back, and its report must be that of the dump, but for `source`.

mod record;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use record::Part;
use record::Recorder;

use crate::addr::VirtAddr;
use crate::crash::{CrashReport, Source, SourceKind};
use crate::dump::capsule::{CapsuleFacts, Original};
use crate::dump::{ByteOrder, Header, PhysicalMemory, Vmcore};
use crate::extract::{self, Depth, Dumped, ExtractError, Step};
use crate::input::{Content as InputContent, Input};
use crate::kernel::Kernel;
use crate::kernel::symbols::Kallsyms;
use crate::rules::{self, KnowledgeBase};

/// The tables of ORC and of the addresses in them, by the symbols around them.
const ORC_TABLES: [(&str, &str); 3] = [
    ("__start_orc_unwind_ip", "__stop_orc_unwind_ip"),
    ("__start_orc_unwind", "__stop_orc_unwind"),
    ("orc_lookup", "orc_lookup_end"),
];

/// What to leave out of a capsule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The kernel's log: then the report lacks all that only the log tells.
    pub drop_log: bool,
}

/// A capsule that was made.
#[derive(Debug)]
pub struct Capsule {
    /// The file's bytes.
    pub bytes: Vec<u8>,
    /// What it says of itself.
    pub facts: CapsuleFacts,
    /// The report that it gives.
    pub report: CrashReport,
}

/// Why no capsule could be made.
#[derive(Debug, thiserror::Error)]
pub enum CapsuleError {
    /// The dump cannot be read.
    #[error(transparent)]
    Extract(#[from] ExtractError),
    /// It is of a machine that capsules are not made of.
    #[error("{path}: capsules are made of 64-bit little-endian dumps only")]
    Machine {
        /// Which input.
        path: String,
    },
    /// It is text, or a report.
    #[error("{path}: a capsule is made from a dump: text needs none, it is small as it is")]
    NotADump {
        /// Which input.
        path: String,
    },
    /// The capsule gives another report than the dump: a mistake of this program's.
    #[error("the capsule of {path} gives another report than the dump ({differences}): please report this")]
    Differs {
        /// Which input.
        path: String,
        /// The facts that differ.
        differences: String,
    },
    /// The capsule cannot be read back: a mistake of this program's.
    #[error("the capsule of {path} cannot be read back ({why}): please report this")]
    Unreadable {
        /// Which input.
        path: String,
        /// Why.
        why: String,
    },
}

/// Variables without which `crash --minimal` refuses a dump, and their sizes in bytes: they place the kernel's memory.
const FOR_OTHERS: [(&str, usize); 6] = [
    ("page_offset_base", 8),
    ("vmalloc_base", 8),
    ("vmemmap_base", 8),
    ("linux_banner", 512),
    ("init_uts_ns", 512),
    ("phys_base", 8),
];

/// Everything is looked for, so that `extract --all-cpus --tasks` finds it in the capsule too.
const DEPTH: Depth = Depth {
    all_cpus: true,
    blocked_tasks: true,
};

/// Makes the capsule of the dump in `parts`, with what the rules of `base` ask of its memory.
pub fn make(parts: &[Input], base: &KnowledgeBase, options: Options) -> Result<Capsule, CapsuleError> {
    let path = parts
        .first()
        .map(|part| part.path.display().to_string())
        .unwrap_or_default();
    if parts.iter().any(|part| matches!(part.content, InputContent::Text(_))) {
        return Err(CapsuleError::NotADump { path });
    }
    let vmcore = extract::open_dump(parts)?;
    let first = vmcore.header();
    if first.byte_order != ByteOrder::Little || !first.is_64bit {
        return Err(CapsuleError::Machine { path });
    }
    // Once as it is: for the report to compare with, and to learn what had to be searched for.
    let (wanted, dumped) = extract::examine(vmcore.clone(), first, DEPTH, &|_| ());
    let symbols = labels(dumped.as_ref());
    let kernel = dumped.as_ref().map(|dumped| &dumped.kernel);
    let header = header(first, kernel, &symbols);
    drop(dumped);
    let recorder = Arc::new(Recorder::new(vmcore.clone(), first.page_size));
    record(&recorder, &header, base, options);
    let content = collect(&recorder, &vmcore, parts, symbols, options);
    let bytes = write::file(&write::Content {
        header: &header,
        page_frames: vmcore.page_frames(),
        facts: &content.facts,
        pages: content.pages,
        excluded: &content.excluded,
    });
    let report = read_back(&bytes, &path)?;
    if !options.drop_log {
        let differences = differences(&wanted, &report);
        if !differences.is_empty() {
            return Err(CapsuleError::Differs {
                path,
                differences: differences.join(", "),
            });
        }
    }
    Ok(Capsule {
        bytes,
        facts: content.facts,
        report,
    })
}

/// The places of the kernel's tables: told, they need not be searched for.
fn labels(dumped: Option<&Dumped>) -> BTreeMap<String, VirtAddr> {
    let insight = dumped.and_then(|dumped| dumped.insight.as_ref().ok());
    let labels = insight
        .into_iter()
        .filter_map(|insight| insight.symbols.kallsyms())
        .flat_map(Kallsyms::labels);
    labels.map(|(name, at)| ((*name).to_owned(), *at)).collect()
}

/// The header that the capsule will have.
fn header(first: &Header, kernel: Option<&Kernel>, symbols: &BTreeMap<String, VirtAddr>) -> Header {
    let mut header = first.clone();
    header.segments.clear();
    let found = kernel.map(Kernel::vmcoreinfo).filter(|info| info.is_plausible());
    header.vmcoreinfo = first.vmcoreinfo.clone().or_else(|| Some(found?.render().into_bytes()));
    header.phys_base = kernel
        .and_then(|kernel| kernel.space().maps().phys_base)
        .or(first.phys_base)
        .filter(|base| *base != 0);
    let named = first.utsname.clone().or_else(|| kernel?.utsname().cloned());
    header.utsname = Some(named.unwrap_or_default());
    if let (Some(utsname), Some(machine)) = (&mut header.utsname, &first.machine)
        && utsname.machine.is_empty()
    {
        utsname.machine.clone_from(machine);
    }
    header.timestamp = first.timestamp.or_else(|| kernel?.crashed_at());
    header.capsule = Some(Arc::new(CapsuleFacts {
        log_kept: true,
        symbols: symbols.clone(),
        ..CapsuleFacts::default()
    }));
    header
}

/// Reads all facts through `recorder`.
fn record(recorder: &Arc<Recorder>, header: &Header, base: &KnowledgeBase, options: Options) {
    let watch = |step| {
        recorder.begin(match step {
            Step::Log => Part::Log,
            Step::Stacks => Part::Stacks,
            Step::Kernel | Step::Machine => Part::Other,
        });
    };
    let memory: Arc<dyn PhysicalMemory> = recorder.clone();
    let (report, dumped) = extract::examine(memory, header, DEPTH, &watch);
    let Some(dumped) = dumped else { return };
    let Ok(insight) = &dumped.insight else { return };
    recorder.begin(Part::Other);
    let probe = dumped.probe();
    rules::identify(base, &report, probe.as_ref().map(|probe| probe as _));
    if options.drop_log {
        // Without the log other facts are asked for.
        let mut header = header.clone();
        header.capsule = header.capsule.as_deref().cloned().map(|mut capsule| {
            capsule.log_kept = false;
            Arc::new(capsule)
        });
        let memory: Arc<dyn PhysicalMemory> = recorder.clone();
        extract::examine(memory, &header, DEPTH, &watch);
    }
    for (name, len) in FOR_OTHERS {
        if let Some(at) = insight.symbols.by_name(name) {
            // What a kernel lacks, or a dump, others have to do without as well.
            let _ = dumped.kernel.memory().bytes(at, len);
        }
    }
    let space = dumped.kernel.space();
    for (start, end) in ORC_TABLES {
        if let (Some(start), Some(end)) = (insight.symbols.by_name(start), insight.symbols.by_name(end))
            && let Ok(physical) = space.translate(start)
        {
            let length = end.0.saturating_sub(start.0);
            recorder.name(physical.0..physical.0.saturating_add(length), Part::Orc);
        }
    }
    let condensed = insight.symbols.kallsyms().map(Kallsyms::condensed).unwrap_or_default();
    for table in condensed.into_iter().chain(insight.types.condensed()) {
        let part = if table.what == "BTF" { Part::Btf } else { Part::Kallsyms };
        // The kernel's image may lie in pieces.
        for (at, piece) in (table.at.0..).step_by(4096).zip(table.bytes.chunks(4096)) {
            if let Ok(physical) = space.translate(VirtAddr(at)) {
                let whole = 4096 - (at % 4096) as usize;
                let (head, tail) = piece.split_at_checked(whole).unwrap_or((piece, &[]));
                recorder.replace(physical, head, part);
                if let Some(next) = VirtAddr(at).checked_add(whole as u64)
                    && let Ok(physical) = space.translate(next)
                {
                    recorder.replace(physical, tail, part);
                }
            }
        }
    }
}

/// A capsule's pages and what it says of itself.
struct Collected {
    facts: CapsuleFacts,
    pages: BTreeMap<u64, Vec<u8>>,
    excluded: BTreeSet<u64>,
}

fn collect(
    recorder: &Recorder,
    vmcore: &Vmcore,
    parts: &[Input],
    symbols: BTreeMap<String, VirtAddr>,
    options: Options,
) -> Collected {
    let header = vmcore.header();
    let mut record = recorder.finish();
    if options.drop_log {
        record.pages.retain(|_, page| page.drop_log());
    }
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let mut bytes_kept = 0;
    let mut pages = BTreeMap::new();
    for (frame, kept) in record.pages {
        let (page, count) = kept.bytes(frame, vmcore, header.page_size);
        *counts.entry(kept.part.name().to_owned()).or_default() += 1;
        bytes_kept += count;
        pages.insert(frame, page);
    }
    let facts = CapsuleFacts {
        capsule: 1,
        made_by: env!("CARGO_PKG_VERSION").to_owned(),
        of: Original {
            format: header.format.to_owned(),
            size: parts.iter().map(|part| part.size).sum(),
            partial: header.partial,
            truncated: header.truncated || parts.iter().any(|part| part.cut_short.is_some()),
            errors_name_bytes: header.format == "elf",
        },
        log_kept: !options.drop_log,
        pages: counts,
        bytes_kept,
        symbols,
        lost: record.lost,
    };
    Collected {
        facts,
        pages,
        excluded: record.excluded,
    }
}

/// The report that the capsule gives.
fn read_back(bytes: &[u8], path: &str) -> Result<CrashReport, CapsuleError> {
    let file: Arc<dyn crate::input::ReadAt> = Arc::new(bytes.to_vec());
    let capsule = Vmcore::open(vec![file]).map_err(|error| CapsuleError::Unreadable {
        path: path.to_owned(),
        why: error.to_string(),
    })?;
    let capsule = Arc::new(capsule);
    let (report, _) = extract::examine(capsule.clone(), capsule.header(), DEPTH, &|_| ());
    Ok(report)
}

/// The facts in which two reports differ, `source` aside.
pub fn differences(a: &CrashReport, b: &CrashReport) -> Vec<String> {
    let plain = |report: &CrashReport| {
        let mut report = report.clone();
        report.source = Source::new("", SourceKind::Vmcore);
        serde_json::to_value(report).unwrap_or_default()
    };
    let (a, b) = (plain(a), plain(b));
    let empty = serde_json::Map::new();
    let (a, b) = (a.as_object().unwrap_or(&empty), b.as_object().unwrap_or(&empty));
    let mut names: Vec<&String> = a.keys().chain(b.keys()).collect();
    names.sort_unstable();
    names.dedup();
    names
        .into_iter()
        .filter(|name| a.get(*name) != b.get(*name))
        .cloned()
        .collect()
}

/// What a dump says of itself as a capsule; `None` when it is an ordinary one.
pub fn facts(header: &Header) -> Option<&CapsuleFacts> {
    header.capsule.as_deref()
}

#[cfg(test)]
mod tests {
    /// An ELF core of x86_64 with these pieces of physical memory.
    pub(super) fn elf(pieces: &[(u64, &[u8])]) -> Vec<u8> {
        let mut file = b"\x7fELF\x02\x01\x01".to_vec();
        file.resize(16, 0);
        let half = |file: &mut Vec<u8>, value: u16| file.extend(value.to_le_bytes());
        let word = |file: &mut Vec<u8>, value: u32| file.extend(value.to_le_bytes());
        let long = |file: &mut Vec<u8>, value: u64| file.extend(value.to_le_bytes());
        half(&mut file, 4);
        half(&mut file, 62);
        word(&mut file, 1);
        for value in [0, 64, 0] {
            long(&mut file, value);
        }
        word(&mut file, 0);
        for value in [64, 56, pieces.len() as u16, 0, 0, 0] {
            half(&mut file, value);
        }
        let mut at = 64 + 56 * pieces.len() as u64;
        for (address, bytes) in pieces {
            word(&mut file, 1);
            word(&mut file, 7);
            let size = bytes.len() as u64;
            for value in [at, 0, *address, size, size, 0] {
                long(&mut file, value);
            }
            at += size;
        }
        for (_, bytes) in pieces {
            file.extend_from_slice(bytes);
        }
        file
    }
}
