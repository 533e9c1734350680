//! Everything a report holds, for people who would have typed `bt -a`, `sys`, `kmem -i` and `mod`. No verdicts.

use super::crash::{bytes, crash, missing, place, setting};
use super::page::{Page, Tone};
use crate::crash::{CrashReport, Frame, Stack, StackSource, Task};

/// Registers in the order that an oops prints them; any others follow.
const REGISTERS: [&str; 18] = [
    "rip", "rsp", "rflags", "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "r8", "r9", "r10", "r11", "r12", "r13",
    "r14", "r15",
];

/// Writes all facts of a crash: the summary first, then what it was taken from.
pub fn facts(page: &mut Page, report: &CrashReport) {
    crash(page, report);
    if let Some(signature) = &report.signature {
        let text = format!("{} ({})", signature.title, signature.id);
        page.row("signature", Tone::Plain, &text);
    }
    registers(page, report);
    if !report.frames.is_empty() {
        page.gap();
        page.row("frames", Tone::Faint, &provenance(report.stack.as_ref()));
        frames(page, &report.frames);
    }
    for cpu in &report.cpus {
        page.gap();
        let title = format!("CPU {}: {}", cpu.cpu, cpu.task.as_ref().map_or_else(unknown, task));
        page.row("cpu", Tone::Plain, &title);
        page.row("", Tone::Faint, &provenance(cpu.stack.as_ref()));
        frames(page, &cpu.frames);
    }
    for blocked in &report.blocked {
        page.gap();
        page.row("blocked", Tone::Plain, &task(&blocked.task));
        page.row("", Tone::Faint, &provenance(blocked.stack.as_ref()));
        frames(page, &blocked.frames);
    }
    machine(page, report);
    modules(page, report);
    if !report.missing.is_empty() {
        page.gap();
        missing(page, report);
    }
}

fn unknown() -> String {
    "task not known".to_owned()
}

fn task(task: &Task) -> String {
    let mut text = task.comm.clone().unwrap_or_else(unknown);
    if let Some(pid) = task.pid {
        text.push_str(&format!(" (pid {pid})"));
    }
    if let Some(state) = &task.state {
        text.push_str(&format!(", {state}"));
    }
    if let Some(address) = task.address {
        text.push_str(&format!(", task_struct {address}"));
    }
    text
}

/// Where frames come from, in words.
fn provenance(stack: Option<&Stack>) -> String {
    let Some(stack) = stack else {
        return "no stack known".to_owned();
    };
    let source = match stack.source {
        StackSource::Unwound => "unwound from memory",
        StackSource::Log => "from the log",
        StackSource::Scan => "found by a scan of the stack, not sure",
    };
    let end = if stack.complete {
        ""
    } else {
        ", not followed to its end"
    };
    format!("{source}{end}")
}

/// A line a frame: `?` marks what is not known to be a caller, `!` where an exception or interrupt stopped.
fn frames(page: &mut Page, frames: &[Frame]) {
    for frame in frames {
        let mark = match (frame.interrupted, frame.reliable) {
            (true, _) => "! ",
            (false, false) => "? ",
            (false, true) => "  ",
        };
        let name = place(
            frame.symbol.as_deref(),
            frame.offset,
            frame.size,
            frame.module.as_deref(),
        );
        let name = name
            .or_else(|| frame.address.map(|address| address.to_string()))
            .unwrap_or_else(|| "?".to_owned());
        let inlined = if frame.inlined { " (inlined)" } else { "" };
        let source = frame.source.as_deref().map(|s| format!(" ({s})")).unwrap_or_default();
        let tone = if frame.machinery { Tone::Faint } else { Tone::Plain };
        page.listing("", tone, &format!("{mark}{name}{inlined}{source}"));
    }
}

fn registers(page: &mut Page, report: &CrashReport) {
    let Some(fault) = report.fault.as_ref().filter(|fault| !fault.registers.is_empty()) else {
        return;
    };
    page.gap();
    let known = REGISTERS.iter().filter(|name| fault.registers.contains_key(**name));
    let others = fault.registers.keys().map(String::as_str);
    let names: Vec<&str> = known
        .copied()
        .chain(others.filter(|name| !REGISTERS.contains(name)))
        .collect();
    for (row, names) in names.chunks(2).enumerate() {
        let cells: Vec<String> = names
            .iter()
            .filter_map(|name| Some(format!("{name:>8} {:<18}", fault.registers.get(*name)?.to_string())))
            .collect();
        let label = if row == 0 { "registers" } else { "" };
        page.listing(label, Tone::Plain, cells.join(" ").trim_end());
    }
}

fn machine(page: &mut Page, report: &CrashReport) {
    let system = &report.system;
    page.gap();
    let mut row = |label: &str, text: Option<String>| {
        if let Some(text) = text {
            page.row(label, Tone::Plain, &text);
        }
    };
    row("version", system.version.clone());
    row("hardware", system.hardware.clone());
    row("cmdline", system.cmdline.clone());
    let load = system.load_average.map(|load| {
        let [one, five, fifteen] = load;
        format!("{one:.2}, {five:.2}, {fifteen:.2}")
    });
    row("load", load);
    row("tasks", system.tasks.map(|tasks| tasks.to_string()));
    if let Some(memory) = &report.memory {
        let size = memory.page_size.unwrap_or(4096);
        let figures = [
            ("total", memory.total_pages),
            ("free", memory.free_pages),
            ("cached", memory.cached_pages),
            ("slab", memory.slab_pages),
            ("swap", memory.swap_total_pages),
            ("swap free", memory.swap_free_pages),
            ("committed", memory.committed_pages),
            ("commit limit", memory.commit_limit_pages),
        ];
        let told: Vec<String> = figures
            .into_iter()
            .filter_map(|(name, pages)| Some(format!("{name} {}", bytes(pages?.saturating_mul(size)))))
            .collect();
        row("pages", Some(told.join(", ")).filter(|text| !text.is_empty()));
    }
    if !report.settings.is_empty() {
        let told: Vec<String> = report
            .settings
            .iter()
            .map(|(name, value)| format!("{name}={}", setting(value)))
            .collect();
        row("settings", Some(told.join("; ")));
    }
}

fn modules(page: &mut Page, report: &CrashReport) {
    if report.modules.is_empty() {
        return;
    }
    let told: Vec<String> = report
        .modules
        .iter()
        .map(|module| match module.taints.as_deref() {
            Some(taints) if !taints.is_empty() => format!("{}({taints})", module.name),
            _ => module.name.clone(),
        })
        .collect();
    page.row("modules", Tone::Plain, &told.join(" "));
}
