//! A pasted session of the `crash` utility → facts.
//!
//! What `crash` printed is recognised by its shape, not by the prompt before it: people paste parts, put comments and
//! other commands between, and lose prompts. It must not know how `crash` got its answers.

mod backtrace;
mod code;
mod tables;

use crate::addr::VirtAddr;
use crate::crash::{CrashReport, Fault, FaultRole, Memory, Module, Source, SourceKind, Stack, StackSource, Task, time};

use super::facts;
use super::headline;
use super::line;
use super::scan;
use backtrace::Backtrace;
use code::Disassembly;

/// Whether a text is a pasted `crash` session rather than a kernel log.
pub fn recognise(text: &str) -> bool {
    // Enough to meet a prompt, a banner or a backtrace of any session.
    const LINES: usize = 4000;
    // A bit for each key: a log has many lines of one of them (`CPU: 1 PID: …`), a banner one of many.
    let mut keys: u32 = 0;
    let mut frames = 0;
    for raw in scan::lines(text).take(LINES) {
        let text = raw.trim();
        // What is looked for tells itself by its first byte from nearly every line of a log.
        let sure = match text.as_bytes().first() {
            Some(b'c') => prompt(raw).is_some(),
            Some(b'[') => text.starts_with("[exception RIP: "),
            Some(b'P') => backtrace::header(text).is_some(),
            _ => false,
        };
        if sure {
            return true;
        }
        match text.as_bytes().first() {
            Some(b'A'..=b'Z') => {
                let key = tables::KEYS.iter().position(|key| tables::value(text, key).is_some());
                keys |= key.map_or(0, |key| 1 << key);
            }
            Some(b'#') => frames += usize::from(backtrace::frame(text).is_some()),
            _ => {}
        }
        if keys.count_ones() >= 4 || frames >= 2 {
            return true;
        }
    }
    false
}

/// The command behind `crash> ` at the start of a line.
fn prompt(raw: &str) -> Option<&str> {
    let text = raw.trim_start();
    let rest = text
        .strip_prefix("crash>")
        .or_else(|| text.strip_prefix("crash64>"))
        .or_else(|| text.strip_prefix("crash32>"))?;
    Some(rest.trim())
}

/// What was collected of a session.
#[derive(Default)]
struct Session<'a> {
    sys: tables::Sys<'a>,
    log: Vec<&'a str>,
    backtraces: Vec<Backtrace>,
    memory: tables::MemoryTable,
    modules: tables::ModuleTable,
    code: Vec<Disassembly<'a>>,
    source_release: Option<&'a str>,
}

/// Reads a session.
pub fn read(text: &str, source: &Source) -> CrashReport {
    let session = collect(text);
    let source = Source {
        kind: SourceKind::CrashSession,
        ..source.clone()
    };
    let mut report = if session.log.is_empty() {
        CrashReport::new(source)
    } else {
        // The session shows one dump, so its log is one boot's.
        super::read_dump_log(&session.log.join("\n"), &source)
    };
    if session.log.is_empty() {
        report.note_missing("log", "the session does not show the kernel's log: run `log` in crash");
    }
    session.system(&mut report);
    session.panic(&mut report);
    session.task(&mut report);
    session.stack(&mut report);
    session.disassembled(&mut report);
    session.memory(&mut report);
    if !session.modules.modules.is_empty() {
        merge_modules(&mut report, &session.modules.modules);
    }
    super::complete(&mut report);
    report
}

fn collect(text: &str) -> Session<'_> {
    let mut session = Session::default();
    let mut in_log = false;
    for raw in scan::lines(text) {
        if let Some(command) = prompt(raw) {
            in_log = matches!(command.split([' ', '|']).next(), Some("log" | "dmesg"));
            session.memory.end();
            session.modules.end();
            session.backtraces.iter_mut().for_each(Backtrace::end);
            session.code.extend(code::begin(command));
            continue;
        }
        let text = raw.trim();
        if text.is_empty() && !in_log {
            session.backtraces.iter_mut().for_each(Backtrace::end);
            continue;
        }
        // A line of the kernel's log says so itself, whatever command it stands under.
        if in_log || line::split(raw).seconds.is_some() {
            session.log.push(raw);
            continue;
        }
        if let Some(release) = code::release_of_source(text) {
            session.source_release.get_or_insert(release);
        }
        let taken = backtrace::take(&mut session.backtraces, text)
            || session.sys.take(text)
            || session.memory.take(text)
            || session.modules.take(text);
        if !taken && let Some(code) = session.code.last_mut() {
            code.take(text);
        }
    }
    // A paste may end inside an exception frame.
    session.backtraces.iter_mut().for_each(Backtrace::end);
    session
}

impl Session<'_> {
    fn system(&self, report: &mut CrashReport) {
        let sys = &self.sys;
        let system = &mut report.system;
        // Whoever writes about a session puts his remarks behind its lines.
        let said = sys.get("RELEASE").and_then(|said| said.split_ascii_whitespace().next());
        if let Some(release) = said.or(self.source_release) {
            system.release = Some(release.to_owned());
        }
        if let Some(version) = sys.get("VERSION") {
            system.version = Some(version.to_owned());
        }
        if let Some(name) = sys.get("NODENAME") {
            system.nodename = Some(name.to_owned());
        }
        if let Some(machine) = sys.get("MACHINE").and_then(|text| text.split(' ').next()) {
            system.machine = Some(machine.to_owned());
        }
        system.cpus = sys.get("CPUS").and_then(tables::online_cpus).or(system.cpus);
        system.tasks = sys.get("TASKS").and_then(tables::leading_number);
        system.memory_bytes = sys.get("MEMORY").and_then(tables::bytes);
        system.uptime_seconds = sys.get("UPTIME").and_then(tables::uptime).or(system.uptime_seconds);
        system.load_average = sys.get("LOAD AVERAGE").and_then(tables::load_average);
        let mut zone_unknown = false;
        if let Some((seconds, zone)) = sys.get("DATE").and_then(tables::date) {
            system.crashed_at = time::rfc3339(seconds);
            zone_unknown = zone != Some("UTC") && zone != Some("GMT");
        }
        if zone_unknown {
            report.note_missing(
                "system.crashed_at.zone",
                "crash prints the time of the zone it ran in, here without a known one: taken as UTC",
            );
        }
        if let Some(file) = sys.get("DUMPFILE") {
            report.source.partial = Some(file.contains("[PARTIAL DUMP]"));
        }
        if let Some(taint) = sys.get("TAINTED_MASK") {
            let letters = taint.split_ascii_whitespace().nth(1).unwrap_or_default();
            report.taint = Some(super::banner::taint_letters(letters));
            report.taint_text.get_or_insert_with(|| letters.to_owned());
        }
    }

    /// The PANIC line of the banner, where the log does not say better: on 5.x and later it is often a mere `Oops: …`.
    fn panic(&self, report: &mut CrashReport) {
        let Some(text) = self.sys.get("PANIC") else { return };
        let text = text
            .split("\" (check log")
            .next()
            .unwrap_or(text)
            .trim()
            .trim_matches('"')
            .trim();
        let named = report.panic.as_ref().is_some_and(|panic| panic.message.is_some());
        if named || text.is_empty() {
            return;
        }
        if let Some(headline) = headline::classify(text) {
            let panic = facts::panic_of_headline(&headline, text);
            match &mut report.panic {
                Some(known) => known.message = panic.message,
                none => *none = Some(panic),
            }
        }
    }

    fn task(&self, report: &mut CrashReport) {
        let own = self.panic_backtrace();
        let number = |key| self.sys.get(key).and_then(tables::leading_number);
        let address = self
            .sys
            .get("TASK")
            .and_then(scan::leading_hex)
            .map(|(address, _)| VirtAddr(address));
        let known = report.task.take().unwrap_or_default();
        let task = Task {
            pid: number("PID").or(own.and_then(|own| own.pid)).or(known.pid),
            comm: self
                .sys
                .get("COMMAND")
                .map(str::to_owned)
                .or(own.and_then(|own| own.comm.clone()))
                .or(known.comm),
            cpu: number("CPU").or(own.and_then(|own| own.cpu)).or(known.cpu),
            address: address.or(own.and_then(|own| own.task)).or(known.address),
            state: self.sys.get("STATE").map(str::to_owned),
        };
        report.task = (task != Task::default()).then_some(task);
    }

    /// The panic task's backtrace: the one of the banner's task, else the first that goes through the panic code.
    fn panic_backtrace(&self) -> Option<&Backtrace> {
        let pid = self.sys.get("PID").and_then(tables::leading_number);
        let task = self
            .sys
            .get("TASK")
            .and_then(scan::leading_hex)
            .map(|(address, _)| VirtAddr(address));
        let full = || self.backtraces.iter().filter(|backtrace| !backtrace.frames.is_empty());
        full()
            .find(|backtrace| backtrace.task.is_some() && backtrace.task == task)
            .or_else(|| full().find(|backtrace| backtrace.pid.is_some() && backtrace.pid == pid && task.is_none()))
            .or_else(|| full().find(|backtrace| backtrace.died()))
            .or_else(|| full().next())
    }

    fn stack(&self, report: &mut CrashReport) {
        let Some(own) = self.panic_backtrace() else { return };
        let mut frames = own.frames.clone();
        // `bt -s` of the same stack has the offsets that plain `bt` leaves out.
        let same = |other: &&Backtrace| other.task == own.task && other.frames.len() == own.frames.len();
        for other in self.backtraces.iter().filter(same) {
            for (frame, other) in frames.iter_mut().zip(&other.frames) {
                if frame.address == other.address && frame.symbol == other.symbol {
                    frame.offset = frame.offset.or(other.offset);
                    frame.source = frame.source.take().or_else(|| other.source.clone());
                }
            }
        }
        let logged = report.fault.take();
        report.fault = own.fault.clone().map(|mut fault| {
            if let Some(logged) = logged
                .as_ref()
                .filter(|logged| logged.symbol == fault.symbol && logged.offset == fault.offset)
            {
                fault.size = logged.size;
                fault.code = logged.code.clone();
                fault.module = fault.module.take().or_else(|| logged.module.clone());
                if let Some(cr2) = logged.registers.get("cr2") {
                    fault.registers.entry("cr2".to_owned()).or_insert(*cr2);
                }
            }
            fault
        });
        if let Some(fault) = &report.fault
            && let Some(frame) = frames
                .iter_mut()
                .find(|frame| frame.interrupted && frame.address == fault.address)
        {
            frame.size = fault.size;
            frame.module = frame.module.take().or_else(|| fault.module.clone());
        }
        if report.fault.is_none() && own.frames.iter().all(|frame| !frame.interrupted) && own.died() {
            // A panic() by choice interrupts nobody; what the log says of registers is then a user's or another CPU's.
            report.fault = logged.filter(|fault| fault.role == FaultRole::Faulted);
        }
        let complete = facts::reaches_the_end(&frames);
        report.frames = frames;
        report.stack = Some(Stack {
            source: StackSource::Log,
            complete,
        });
        facts::kind_from_stack(report);
    }

    /// `dis -r ADDRESS` of the faulting or a calling place gives its source line, and the fault its instruction.
    fn disassembled(&self, report: &mut CrashReport) {
        for code in &self.code {
            let last = code.last_instruction();
            // A listing that is cut off in the paste still begins with the function's line.
            let address = last.map(|(address, _)| address).or_else(|| code.address());
            let at = |other: Option<VirtAddr>| other.is_some() && other == address;
            for frame in report.frames.iter_mut().filter(|frame| at(frame.address)) {
                frame.source = frame.source.take().or_else(|| code.source());
            }
            if let Some(fault) = report.fault.as_mut().filter(|fault| at(fault.address)) {
                fault.instruction = last.map(|(_, instruction)| instruction.to_owned());
                fault.source = code.source();
            }
        }
        if report.fault.is_some() || !report.frames.is_empty() {
            return;
        }
        // A session that shows no stack: `dis -r SYMBOL+OFFSET` goes up to the place that a backtrace named, and people
        // ask for the exception's before any other.
        let asked = self
            .code
            .iter()
            .find(|code| code.asks_for_a_place() && code.last_instruction().is_some());
        if let Some((code, (address, instruction))) = asked.and_then(|code| Some((code, code.last_instruction()?))) {
            report.fault = Some(Fault {
                role: FaultRole::Faulted,
                symbol: code.symbol().map(str::to_owned),
                offset: code.offset(),
                size: None,
                module: None,
                address: Some(address),
                registers: Default::default(),
                code: None,
                instruction: Some(instruction.to_owned()),
                source: code.source(),
                explanation: None,
            });
            report.note_missing("frames", "the session shows no backtrace: run `bt` in crash");
        }
    }

    fn memory(&self, report: &mut CrashReport) {
        let memory = self.memory.memory();
        if memory != Memory::default() {
            report.memory = Some(memory);
        }
    }
}

/// The table of `mod` has sizes and places; the log's list has taints.
fn merge_modules(report: &mut CrashReport, table: &[Module]) {
    let mut modules = table.to_vec();
    for module in &mut modules {
        if let Some(logged) = report.modules.iter().find(|logged| logged.name == module.name) {
            module.taints = logged.taints.clone();
            module.version = module.version.take().or_else(|| logged.version.clone());
        }
    }
    report.modules = modules;
    report.modules_complete = true;
}

#[cfg(test)]
mod tests;
