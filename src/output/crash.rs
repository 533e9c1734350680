//! The crash itself for people: what failed, where, on which machine. No verdicts.

use super::page::{Page, Tone};
use crate::crash::{CrashReport, FaultRole, Frame, SettingValue, SourceKind};

/// Writes what is known of the crash: message, place, stack, task, machine.
pub fn crash(page: &mut Page, report: &CrashReport) {
    let Some(panic) = &report.panic else {
        page.row("crash", Tone::Doubt, "none: this input shows no crash");
        machine(page, report);
        return;
    };
    match (&panic.message, &panic.fatal) {
        (Some(message), _) => page.row("crash", Tone::Bad, message),
        (None, Some(fatal)) => page.row("crash", Tone::Bad, &format!("Kernel panic - not syncing: {fatal}")),
        (None, None) => page.row("crash", Tone::Bad, &format!("{} (its headline is cut off)", panic.kind)),
    }
    if let Some(fault) = &report.fault {
        let place = place(
            fault.symbol.as_deref(),
            fault.offset,
            fault.size,
            fault.module.as_deref(),
        );
        let word = match fault.role {
            FaultRole::Faulted => "at",
            FaultRole::Interrupted => "stopped at",
        };
        let place = place.or_else(|| fault.address.map(|a| a.to_string()));
        if let Some(place) = place {
            let source = fault.source.as_deref().map(|s| format!(" ({s})")).unwrap_or_default();
            page.row("", Tone::Plain, &format!("{word} {place}{source}"));
        }
        if let Some(instruction) = &fault.instruction {
            page.row("", Tone::Plain, instruction);
        }
        if let Some(explanation) = &fault.explanation {
            page.row("", Tone::Plain, explanation);
        }
    }
    stack(page, report);
    machine(page, report);
}

/// The frames from the stopped place on, one row, the first few.
fn stack(page: &mut Page, report: &CrashReport) {
    const SHOWN: usize = 8;
    // What ran on top of the stopped place only reported it.
    let interrupted = report.frames.iter().position(|f| f.interrupted).unwrap_or(0);
    let telling: Vec<&Frame> = report
        .frames
        .iter()
        .skip(interrupted)
        .filter(|f| f.reliable && !f.machinery && !f.inlined && f.symbol.is_some())
        .collect();
    if telling.is_empty() {
        return;
    }
    let mut text = telling
        .iter()
        .take(SHOWN)
        .filter_map(|f| f.symbol.as_deref())
        .collect::<Vec<_>>()
        .join(" < ");
    if telling.len() > SHOWN {
        text.push_str(&format!(" < … {} more", telling.len() - SHOWN));
    }
    page.row("stack", Tone::Plain, &text);
}

fn machine(page: &mut Page, report: &CrashReport) {
    let system = &report.system;
    if let Some(task) = &report.task {
        let mut parts = Vec::new();
        match (&task.comm, task.pid) {
            (Some(comm), Some(pid)) => parts.push(format!("{comm} (pid {pid})")),
            (Some(comm), None) => parts.push(comm.clone()),
            (None, Some(pid)) => parts.push(format!("pid {pid}")),
            (None, None) => {}
        }
        if let Some(cpu) = task.cpu {
            let of = system.cpus.map(|n| format!(" of {n}")).unwrap_or_default();
            parts.push(format!("CPU {cpu}{of}"));
        }
        if !parts.is_empty() {
            page.row("task", Tone::Plain, &parts.join(", "));
        }
    }
    let mut parts: Vec<String> = Vec::new();
    parts.extend(system.nodename.clone());
    match (&system.release, &system.stream) {
        (Some(release), Some(stream)) => parts.push(format!("kernel {release} ({stream})")),
        (Some(release), None) => parts.push(format!("kernel {release}")),
        _ => {}
    }
    if let Some(taint) = report.taint.as_ref().filter(|t| !t.is_empty()) {
        parts.push(format!("taint {}", taint.join("")));
    }
    if let Some(at) = &system.crashed_at {
        parts.push(format!("crashed {at}"));
    }
    if let Some(seconds) = system.uptime_seconds {
        parts.push(format!("up {}", duration(seconds)));
    }
    if !parts.is_empty() {
        page.row("machine", Tone::Plain, &parts.join(", "));
    }
    if let Some(memory) = &report.memory
        && let (Some(free), Some(total)) = (memory.free_pages, memory.total_pages)
        && total > 0
    {
        let size = memory.page_size.unwrap_or(4096);
        page.row(
            "memory",
            Tone::Plain,
            &format!(
                "{} of {} free ({}%)",
                bytes(free.saturating_mul(size)),
                bytes(total.saturating_mul(size)),
                free.saturating_mul(100) / total
            ),
        );
    }
    if let Some(vmlinux) = &report.source.vmlinux {
        page.row(
            "vmlinux",
            Tone::Faint,
            &format!("{} matches by {}", vmlinux.path, vmlinux.matched_by),
        );
    }
    if report.source.truncated {
        page.row(
            "note",
            Tone::Doubt,
            "the file ends early: these are the facts its bytes still hold",
        );
    }
    if report.source.kind == SourceKind::Report {
        page.row(
            "note",
            Tone::Faint,
            "read back from a report, not from the crash itself",
        );
    }
    if report.also > 0 {
        let text = format!(
            "{} further crash(es) in this input: --all prints every one",
            report.also
        );
        page.row("note", Tone::Doubt, &text);
    }
}

/// Writes what could not be had, and why.
pub fn missing(page: &mut Page, report: &CrashReport) {
    for (index, missing) in report.missing.iter().enumerate() {
        let label = if index == 0 { "not known" } else { "" };
        page.row(label, Tone::Faint, &format!("{}: {}", missing.fact, missing.why));
    }
}

/// `symbol+0x9/0x50 [module]`, as far as it is known.
pub fn place(symbol: Option<&str>, offset: Option<u64>, size: Option<u64>, module: Option<&str>) -> Option<String> {
    let mut text = symbol?.to_owned();
    if let Some(offset) = offset {
        text.push_str(&format!("+{offset:#x}"));
        if let Some(size) = size {
            text.push_str(&format!("/{size:#x}"));
        }
    }
    if let Some(module) = module {
        text.push_str(&format!(" [{module}]"));
    }
    Some(text)
}

/// Seconds as the largest two units that matter: `232 days 5 h`, `15 s`.
pub fn duration(seconds: f64) -> String {
    let whole = if seconds.is_finite() && seconds > 0.0 {
        seconds as u64
    } else {
        0
    };
    let (days, hours, minutes) = (whole / 86_400, whole / 3600 % 24, whole / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{whole} s"),
        (0, 0, m) => format!("{m} min {} s", whole % 60),
        (0, h, m) => format!("{h} h {m} min"),
        (1, h, _) => format!("1 day {h} h"),
        (d, h, _) => format!("{d} days {h} h"),
    }
}

/// A size in the largest binary unit that keeps it above one.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{count} bytes")
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

/// A tunable's value as sysctl prints it.
pub fn setting(value: &SettingValue) -> String {
    match value {
        SettingValue::Number(number) => number.to_string(),
        SettingValue::Numbers(numbers) => numbers.iter().map(i64::to_string).collect::<Vec<_>>().join(" "),
        SettingValue::Text(text) => text.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_read_well() {
        assert_eq!(duration(15.9), "15 s");
        assert_eq!(duration(61.0), "1 min 1 s");
        assert_eq!(duration(20_064_235.0), "232 days 5 h");
        assert_eq!(duration(f64::NAN), "0 s");
        assert_eq!(bytes(4096), "4.0 KiB");
        assert_eq!(bytes(380_837_888), "363.2 MiB");
    }

    #[test]
    fn a_place_says_what_is_known() {
        assert_eq!(
            place(Some("f"), Some(9), Some(0x50), Some("m")).as_deref(),
            Some("f+0x9/0x50 [m]")
        );
        assert_eq!(place(Some("f"), None, None, None).as_deref(), Some("f"));
        assert_eq!(place(None, Some(1), None, None), None);
    }
}
