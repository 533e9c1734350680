//! One entry of an archive → its rows: facts from the dump, else from the log beside it, and the rules' answer.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::asked::{Asked, Recorder};
use super::row::{Facts, Json, Row, Status};
use crate::archive::{self, Entry, Kind, Members, Role};
use crate::crash::{CrashReport, Probe, SourceKind, time};
use crate::extract::{self, DebugFiles, Depth, Dumped, ExtractError, Job, Shared};
use crate::input::InputError;
use crate::rules::{self, Identification, KnowledgeBase};

/// A row, and what a catalogue keeps with it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Labelled {
    /// The row.
    pub row: Row,
    /// Its columns.
    #[serde(default)]
    pub facts: Facts,
    /// What rules asked the dump's memory.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asked: Vec<Asked>,
    /// Whether it may come out otherwise the next time, though nothing changed: no access, no space, no time.
    #[serde(default, skip_serializing_if = "is_false")]
    pub passing: bool,
    /// Bytes read of the input.
    #[serde(default)]
    pub bytes_read: u64,
}

fn is_false(flag: &bool) -> bool {
    !*flag
}

impl Labelled {
    /// An input that could not be read.
    pub fn failed(name: &str, error: impl Into<String>, passing: bool) -> Self {
        Labelled {
            row: Row::failed(name, error),
            facts: Facts::default(),
            asked: Vec::new(),
            passing,
            bytes_read: 0,
        }
    }
}

/// Labels an entry, with what `shared` keeps of entries before: hands each of its rows to `then`, and before each tells `begin` what is to be read for it. The first
/// `skip` things to read are left out: they were read before, or cannot be.
pub fn label(
    entry: &Entry,
    base: &KnowledgeBase,
    shared: &Shared,
    skip: usize,
    begin: &mut dyn FnMut(&str),
    then: &mut dyn FnMut(Labelled),
) {
    let mut labelling = Labelling {
        base,
        shared,
        skip,
        number: 0,
        begin,
        then,
    };
    match &entry.kind {
        Kind::Crash => labelling.one(&entry.name, || Some(crash(entry, base, shared))),
        Kind::Unreadable(why) => labelling.failed(&entry.name, why, true),
        Kind::Tarball => labelling.tarball(entry, 0),
    }
}

/// [`label`] at work.
struct Labelling<'a> {
    base: &'a KnowledgeBase,
    shared: &'a Shared,
    skip: usize,
    number: usize,
    begin: &'a mut dyn FnMut(&str),
    then: &'a mut dyn FnMut(Labelled),
}

impl Labelling<'_> {
    /// Reads one thing, unless it is to be skipped; it need not give a row.
    fn one(&mut self, name: &str, read: impl FnOnce() -> Option<Labelled>) {
        let due = self.number >= self.skip;
        self.number += 1;
        if due {
            (self.begin)(name);
            if let Some(labelled) = read() {
                (self.then)(labelled);
            }
        }
    }

    fn failed(&mut self, name: &str, why: &str, passing: bool) {
        self.one(name, || Some(Labelled::failed(name, why, passing)));
    }

    /// Labels the members of a tar archive, and the archive itself where none of them gave a row, or where it ends early.
    fn tarball(&mut self, entry: &Entry, depth: usize) {
        let name = entry.name.as_str();
        let unpacked = match entry.parts.first() {
            Some(part) if depth < archive::NESTING => archive::unpack(&part.path, name),
            _ => Err(io::Error::other(
                "archives within archives within archives: unpack it first",
            )),
        };
        let unpacked = match unpacked {
            Ok(unpacked) => unpacked,
            Err(error) => return self.failed(name, &format!("{name}: cannot unpack it: {error}"), true),
        };
        // What was skipped gave rows: at least one that says why it is skipped now.
        let (mut rows, mut logs) = (self.skip, 0);
        for member in &unpacked.entries {
            if member.kind == Kind::Tarball {
                self.tarball(member, depth + 1);
                rows += 1;
                continue;
            }
            let (base, shared) = (self.base, self.shared);
            self.one(&member.name, || {
                let labelled = crash(member, base, shared);
                logs += usize::from(labelled.row.status != Status::Failed);
                let wanted = unpacked.members == Members::All || labelled.row.status.is_crash();
                rows += usize::from(wanted);
                wanted.then_some(labelled)
            });
        }
        if let Some(why) = &unpacked.cut_short {
            self.failed(name, why, false);
        } else if rows == 0 {
            let mut none = Labelled::failed(name, format!("{name}: no crash in its {} files", unpacked.files), false);
            if logs > 0 {
                none.row.status = Status::NoCrash;
                none.row.error = None;
            }
            self.one(name, || Some(none));
        }
    }
}

/// Labels one crash.
fn crash(entry: &Entry, base: &KnowledgeBase, shared: &Shared) -> Labelled {
    let files = entry
        .parts
        .iter()
        .skip(1)
        .chain(entry.companions.iter().map(|companion| &companion.file));
    let with: Vec<String> = files.map(|file| file.name().into_owned()).collect();
    let mut labelled = match read(entry, shared) {
        Ok(read) => named(entry, read, base),
        Err((error, passing)) => Labelled::failed(&entry.name, error, passing),
    };
    labelled.row.with = with;
    labelled
}

/// What was read of an entry.
struct Read {
    report: CrashReport,
    dumped: Option<Dumped>,
}

/// Reads an entry; where its dump tells of no crash, the log that lies beside it.
fn read(entry: &Entry, shared: &Shared) -> Result<Read, (String, bool)> {
    let paths: Vec<_> = entry.parts.iter().map(|part| part.path.clone()).collect();
    let read = read_files(Job { paths }, shared);
    if matches!(&read, Ok(read) if read.report.panic.is_some()) {
        return complete(entry, read);
    }
    let mut logs = entry.companions.iter().filter(|companion| companion.role == Role::Log);
    let beside = logs.find_map(|log| {
        let paths = vec![log.file.path.clone()];
        let read = read_files(Job { paths }, shared)
            .ok()
            .filter(|read| read.report.panic.is_some())?;
        Some((log.file.name().into_owned(), read))
    });
    let Some((log, mut beside)) = beside else {
        return complete(entry, read);
    };
    let why = match &read {
        Ok(_) => "the dump shows no crash".to_owned(),
        Err(error) => error.to_string(),
    };
    beside.report.note_missing("source", format!("read from {log}: {why}"));
    if let Ok(Read { report: dump, .. }) = read {
        let system = &mut beside.report.system;
        system.nodename = system.nodename.take().or(dump.system.nodename);
        system.crashed_at = system.crashed_at.take().or(dump.system.crashed_at);
    }
    complete(entry, Ok(beside))
}

fn read_files(job: Job, shared: &Shared) -> Result<Read, ExtractError> {
    let files = DebugFiles::default();
    let mut extracted = extract::extract_with(&job.open()?, Depth::default(), &files, shared)?;
    let report = extracted
        .take_first_crash()
        .ok_or_else(|| ExtractError::NotKernelText {
            path: job.paths.first().cloned().unwrap_or_default(),
        })?;
    Ok(Read {
        report,
        dumped: extracted.dumped,
    })
}

/// Adds what the metadata beside a crash tells, and the name that a member of an archive goes by.
fn complete(entry: &Entry, read: Result<Read, ExtractError>) -> Result<Read, (String, bool)> {
    let on_disk = entry
        .parts
        .first()
        .map(|part| part.path.display().to_string())
        .unwrap_or_default();
    // A member of an archive lies in a temporary file, whose name nobody knows and which is another each time.
    let rename = |text: &str| match on_disk != entry.name {
        true => text.replace(&on_disk, &entry.name),
        false => text.to_owned(),
    };
    let mut read = read.map_err(|error| (rename(&error.to_string()), passing(&error)))?;
    let report = &mut read.report;
    report.source.path = rename(&report.source.path);
    let element = |name: &str| {
        let found = entry
            .companions
            .iter()
            .find(|c| c.role == Role::Element && c.file.name() == name)?;
        element(&found.file.path)
    };
    let system = &mut report.system;
    if system.nodename.is_none() {
        system.nodename = element("hostname");
    }
    if system.crashed_at.is_none() {
        system.crashed_at = element("time")
            .and_then(|time| time.parse().ok())
            .and_then(time::rfc3339);
    }
    if system.release.is_none() {
        system.release = element("kernel");
    }
    Ok(read)
}

/// An element of an ABRT folder: one short line.
fn element(path: &Path) -> Option<String> {
    const LONGEST: usize = 256;
    let mut text = String::new();
    let file = File::open(path).ok()?;
    file.take(4 * LONGEST as u64).read_to_string(&mut text).ok()?;
    let line = text.trim();
    (!line.is_empty() && line.len() <= LONGEST && !line.contains('\n')).then(|| line.to_owned())
}

/// Whether an error may be gone the next time.
fn passing(error: &ExtractError) -> bool {
    use crate::dump::DumpError;
    matches!(
        error,
        ExtractError::Input(InputError::Io { .. } | InputError::Spool { .. })
            | ExtractError::Dump {
                source: DumpError::Io { .. },
                ..
            }
    )
}

/// Asks the rules.
fn named(entry: &Entry, read: Read, base: &KnowledgeBase) -> Labelled {
    let Read { mut report, dumped } = read;
    let probe = dumped.as_ref().and_then(Dumped::probe);
    let recorder = Recorder::new(probe.as_ref().map(|probe| probe as &dyn Probe));
    report.tool.rules_digest = Some(base.digest().to_owned());
    let bytes_read = report.source.bytes_read.unwrap_or(0);
    let found = rules::identify(base, &report, probe.as_ref().map(|_| &recorder as &dyn Probe));
    answer(&entry.name, &report, &found, recorder.into_asked(), bytes_read)
}

/// The row of a report.
fn answer(name: &str, report: &CrashReport, found: &Identification, asked: Vec<Asked>, bytes_read: u64) -> Labelled {
    let (status, error) = match &report.panic {
        // A report that somebody wrote down may name no failure, and yet say enough for a rule.
        _ if found.label().is_some() => (Status::Known, None),
        Some(_) => (Status::Unknown, None),
        None => match unread(report) {
            Some(why) => (Status::Failed, Some(format!("{name}: {why}"))),
            None => (Status::NoCrash, None),
        },
    };
    Labelled {
        facts: Facts::of(report, found),
        row: Row {
            input: name.to_owned(),
            status,
            with: Vec::new(),
            report: Json::of(report),
            matches: Json::of(&found.matches),
            near: Json::of(&found.near),
            error,
        },
        asked,
        passing: false,
        bytes_read,
    }
}

/// Why a dump that shows no crash cannot be said to hold none: neither its log nor a stack could be read.
fn unread(report: &CrashReport) -> Option<String> {
    if report.source.kind != SourceKind::Vmcore || report.log.is_some() || !report.frames.is_empty() {
        return None;
    }
    let why: Vec<String> = report
        .missing
        .iter()
        .map(|missing| format!("{}: {}", missing.fact, missing.why))
        .collect();
    Some(format!("neither log nor stack can be read ({})", why.join("; ")))
}

/// Asks other rules about a crash that was read before. A row without a report stays as it is.
pub fn relabel(labelled: Labelled, base: &KnowledgeBase) -> Result<Labelled, String> {
    let Some(report) = &labelled.row.report else {
        return Ok(labelled);
    };
    let mut report: CrashReport = serde_json::from_str(report.get()).map_err(|error| {
        format!(
            "{}: the report that was kept cannot be read: {error}",
            labelled.row.input
        )
    })?;
    report.tool.rules_digest = Some(base.digest().to_owned());
    let is_dump = report.source.kind == SourceKind::Vmcore;
    let recorder = Recorder::replay(labelled.asked);
    let found = rules::identify(base, &report, is_dump.then_some(&recorder as &dyn Probe));
    let mut again = answer(&labelled.row.input, &report, &found, recorder.into_asked(), 0);
    again.row.with = labelled.row.with;
    Ok(again)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_is_one_short_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hostname");
        for (text, expected) in [("db01\n", Some("db01")), ("", None), ("a\nb\n", None)] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(element(&path).as_deref(), expected);
        }
        // Longer than memory.
        std::fs::write(&path, "db01\n").unwrap();
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(1 << 40)
            .unwrap();
        assert_eq!(element(&path), None);
    }
}
