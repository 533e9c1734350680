//! What is inside a capsule, for somebody who has to decide whether to pass it on.

use std::collections::BTreeSet;

use super::page::{Page, Tone};
use crate::capsule::Part;
use crate::crash::CrashReport;
use crate::dump::capsule::CapsuleFacts;

/// The contents of the capsule `name` of `size` bytes.
pub fn page(name: &str, size: u64, facts: &CapsuleFacts, report: &CrashReport) -> String {
    let mut page = Page::new();
    let of = &facts.of;
    page.row(
        "capsule",
        Tone::Strong,
        &format!("{name}: {size} bytes, of a dump of {} bytes ({})", of.size, of.format),
    );
    let counts = Part::ALL.into_iter().filter_map(|part| {
        let count = facts.pages.get(part.name()).filter(|count| **count > 0)?;
        Some(format!("{} {count}", part.name()))
    });
    let total: u64 = facts.pages.values().sum();
    page.row(
        "pages",
        Tone::Plain,
        &format!("{total}: {}", counts.collect::<Vec<_>>().join(", ")),
    );
    page.row(
        "bytes",
        Tone::Plain,
        &format!("{} kept, every other byte of these pages is zero", facts.bytes_kept),
    );
    page.row("log", Tone::Plain, &log(facts, report));
    let names = |label: &str, page: &mut Page, names: Vec<String>| {
        if !names.is_empty() {
            page.row(label, Tone::Plain, &names.join(", "));
        }
    };
    let system = &report.system;
    names("host", &mut page, system.nodename.iter().cloned().collect());
    names("kernel", &mut page, system.release.iter().cloned().collect());
    names("hardware", &mut page, system.hardware.iter().cloned().collect());
    names("started", &mut page, system.cmdline.iter().cloned().collect());
    names("tasks", &mut page, tasks(report));
    let modules = report.modules.iter().map(|module| module.name.clone());
    names("modules", &mut page, modules.collect());
    page.gap();
    page.finish()
}

fn log(facts: &CapsuleFacts, report: &CrashReport) -> String {
    match (&report.log, facts.log_kept) {
        (_, false) => "left out".to_owned(),
        (Some(log), true) => format!(
            "{} lines, as the kernel printed them: names of hosts, disks, file systems and programs can be in them \
             (--drop-log leaves them out)",
            log.lines
        ),
        (None, true) => "none was found in the dump".to_owned(),
    }
}

/// The tasks that are named in it.
fn tasks(report: &CrashReport) -> Vec<String> {
    let of_cpus = report.cpus.iter().filter_map(|cpu| cpu.task.as_ref());
    let blocked = report.blocked.iter().map(|blocked| &blocked.task);
    let all = report.task.iter().chain(of_cpus).chain(blocked);
    let names: BTreeSet<&str> = all.filter_map(|task| task.comm.as_deref()).collect();
    names.into_iter().map(str::to_owned).collect()
}
