//! Kernel text of any age and source → facts: dmesg, serial console, journal, a pasted `crash` session.
//!
//! It must not know of dumps: a dump's log reaches it as text like any other.
//!
//! The way of a text: [`restore`] undoes what a page, a mail or a store did to it, [`wrap`] joins what a terminal or a mailer
//! broke, [`text`] cuts it into lines and boots, [`line`] takes the prefixes off, [`event`] puts the lines
//! about one failure together ([`headline`], [`trace`], [`registers`] and [`banner`] each read one line), [`choose`]
//! says which event is the crash, [`facts`] makes the record's facts of it.

mod banner;
mod choose;
mod event;
mod facts;
mod headline;
mod line;
mod registers;
mod restore;
mod scan;
mod session;
mod text;
mod trace;
mod words;
mod wrap;

use aho_corasick::Input;

use crate::crash::{CrashReport, EarlierEvent, Log, Source, SourceKind, signature, stream};

use event::Event;
use headline::Class;
use text::{Boot, Text, with_line};

/// How many lines of log before the crash are kept.
const TAIL_BEFORE: usize = 200;
/// How many lines of the crash itself are kept: no real report is longer.
const TAIL_EVENT: usize = 2000;
/// How many events before the crash are kept: the latest.
const EARLIER: usize = 200;

/// Reads a text: one report for each boot in it, in order. A boot without a crash gives a report without `panic`; an
/// empty text gives one too. Each report's source is `source` with the kind of text filled in.
///
/// Never fails: bytes that are no UTF-8 are read around, whatever makes no sense is left out.
pub fn read(text: &[u8], source: &Source) -> Vec<CrashReport> {
    let text = restore::restored(text::of_bytes(text));
    if session::recognise(&text) {
        return vec![session::read(&text, source)];
    }
    let text = wrap::joined(&text);
    let text = Text::new(&text);
    let source = Source {
        kind: SourceKind::Console,
        ..source.clone()
    };
    text.boots()
        .iter()
        .map(|boot| read_boot(&text, boot, source.clone()))
        .collect()
}

/// Whether a part of a text names a failure, for one who cannot keep the whole.
pub fn may_tell(part: &[u8]) -> bool {
    let text = text::of_bytes(part);
    let words = headline::PREFILTER.over(text.len());
    let mut at = 0;
    while let Some(hit) = words.find(Input::new(text.as_ref()).range(at..)) {
        let before = text.get(..hit.start()).unwrap_or_default();
        let start = before.rfind('\n').map_or(0, |feed| feed + 1);
        let rest = text.get(hit.end()..).unwrap_or_default();
        let end = hit.end() + rest.find('\n').unwrap_or(rest.len());
        let tells = |line: line::Prefix<'_>| {
            headline::classify(line.body).is_some_and(|headline| headline.class != Class::Context)
        };
        if with_line(text.get(start..end).unwrap_or_default(), tells) {
            return true;
        }
        at = end;
    }
    false
}

/// Reads the lines of one kernel's log, as [`crate::kernel`] gets it out of a dump: one boot, whatever its times say.
/// The source is kept as it is.
pub fn read_dump_log(log: &str, source: &Source) -> CrashReport {
    let text = Text::new(log);
    let mut boot = Boot {
        lines: 0..text.len(),
        first_seconds: None,
        last_seconds: None,
    };
    if let (Some(first), Some(last)) = (text.boots().first(), text.boots().last()) {
        boot.first_seconds = first.first_seconds;
        boot.last_seconds = last.last_seconds;
    }
    read_boot(&text, &boot, source.clone())
}

fn read_boot(text: &Text<'_>, boot: &Boot, source: Source) -> CrashReport {
    let mut report = CrashReport::new(source);
    let begins = read_system(&mut report, text, boot);
    let mut events = event::gather(text, boot);
    let chosen = choose::choose(&events, boot);
    // Lines behind the crash may be a capture kernel's.
    let end = chosen
        .and_then(|at| events.get(at))
        .filter(|event| event.is_deadly())
        .and_then(|event| event.last_seconds);
    report.system.uptime_seconds = end.or(boot.last_seconds);
    report.log = Some(log(text, boot, &events, chosen, begins));
    if let Some(event) = chosen.and_then(|at| events.get_mut(at)) {
        facts::fill(&mut report, event);
    } else if let Some(event) = choose::bare_stack(&events).and_then(|at| events.get_mut(at)) {
        facts::fill_stack(&mut report, event);
    }
    if report.system.release.is_none() {
        report.system.release = release_beside(text, boot);
    }
    complete(&mut report);
    report
}

/// The release that a line outside of the crash names: of a warning before it, of an oops that was cut in two.
fn release_beside(text: &Text<'_>, boot: &Boot) -> Option<String> {
    let mut at = boot.lines.start;
    while let Some(number) = text.next_marked(at, boot.lines.end) {
        let release = with_line(text.raw(number), |line| banner::task_line(line.body)?.release);
        if release.is_some() {
            return release;
        }
        at = number + 1;
    }
    None
}

/// What follows from the facts that a report has: the machine, the stream, the signature.
fn complete(report: &mut CrashReport) {
    let system = &mut report.system;
    if let Some(release) = &system.release {
        // `uname -m` in the release is surer than what the form of a register dump suggests.
        if let Some(machine) = machine_of_release(release) {
            system.machine = Some(machine.to_owned());
        }
        if let Some(stream) = stream::derive(release, system.version.as_deref()) {
            system.stream = Some(stream.name.to_owned());
            system.stream_basis = Some(stream.basis);
        }
    }
    report.signature = signature::of(report);
}

/// What the boot's own messages say of the machine. Returns whether the log reaches back to the kernel's first words.
fn read_system(report: &mut CrashReport, text: &Text<'_>, boot: &Boot) -> bool {
    let mut begins = false;
    let mut at = boot.lines.start;
    while let Some(number) = text.next_marked(at, boot.lines.end) {
        at = number + 1;
        with_line(text.raw(number), |line| {
            let system = &mut report.system;
            if system.nodename.is_none() {
                system.nodename = line.host.map(str::to_owned);
            }
            let body = line.body.trim();
            if let Some((release, version)) = banner::linux_version(body) {
                begins = begins || number.saturating_sub(boot.lines.start) < 40;
                system.release = Some(release.to_owned());
                system.version = version.map(str::to_owned);
            } else if let Some(cmdline) = body
                .strip_prefix("Command line: ")
                .or_else(|| body.strip_prefix("Kernel command line: "))
            {
                system.cmdline.get_or_insert_with(|| cmdline.to_owned());
            } else if let Some(rest) = scan::after(body, "Brought up ") {
                // `Brought up 1 node, 2 CPUs`, `Brought up 2 CPUs`
                let words: Vec<&str> = rest.split_ascii_whitespace().collect();
                let cpus = words
                    .iter()
                    .position(|word| word.starts_with("CPU"))
                    .and_then(|at| words.get(at.checked_sub(1)?));
                system.cpus = cpus.and_then(|number| number.parse().ok());
            }
        });
    }
    begins
}

/// The machine that a release's suffix names.
fn machine_of_release(release: &str) -> Option<&'static str> {
    const SUFFIXES: [(&str, &str); 14] = [
        (".x86_64", "x86_64"),
        (".aarch64", "aarch64"),
        (".ppc64le", "ppc64le"),
        (".ppc64", "ppc64"),
        (".s390x", "s390x"),
        (".i686", "i686"),
        (".i386", "i386"),
        (".riscv64", "riscv64"),
        ("-amd64", "x86_64"),
        ("-arm64", "aarch64"),
        ("-686-pae", "i686"),
        ("-powerpc64le", "ppc64le"),
        ("-s390x", "s390x"),
        ("-riscv64", "riscv64"),
    ];
    SUFFIXES
        .iter()
        .find(|(suffix, _)| release.contains(suffix))
        .map(|(_, machine)| *machine)
}

fn log(text: &Text<'_>, boot: &Boot, events: &[Event], chosen: Option<usize>, begins: bool) -> Log {
    let lines = boot.lines.len() as u64;
    let chosen_event = chosen.and_then(|at| events.get(at));
    let (first, last) = match chosen_event {
        Some(event) => {
            let first = event.first.saturating_sub(TAIL_BEFORE).max(boot.lines.start);
            (first, event.last.min(event.first + TAIL_EVENT))
        }
        None => (
            boot.lines.end.saturating_sub(TAIL_BEFORE).max(boot.lines.start),
            boot.lines.end.saturating_sub(1),
        ),
    };
    let tail = (first..(last + 1).min(boot.lines.end))
        .map(|number| with_line(text.raw(number), |line| line.body.to_owned()))
        .collect();
    let before = match chosen {
        Some(chosen) => events.get(..chosen).unwrap_or_default(),
        None => events,
    };
    let mut earlier: Vec<EarlierEvent> = before
        .iter()
        .filter(|event| !event.message.is_empty() && event.headline.class != Class::Note)
        .rev()
        .take(EARLIER)
        .map(|event| EarlierEvent {
            kind: event.headline.kind,
            title: event.message.clone(),
            seconds: event.seconds,
        })
        .collect();
    earlier.reverse();
    Log {
        lines,
        complete: begins,
        first_seconds: boot.first_seconds,
        last_seconds: boot.last_seconds,
        tail,
        earlier,
    }
}

#[cfg(test)]
mod tests;
