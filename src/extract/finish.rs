//! What follows from a report's own facts, whatever they came from: the stream, the signature, who made it.

use super::fault;
use crate::crash::{CrashReport, Tool, signature, stream};

/// Fills in the derived facts.
pub fn complete(report: &mut CrashReport) {
    if report.system.stream.is_none()
        && let Some(release) = &report.system.release
        && let Some(derived) = stream::derive(release, report.system.version.as_deref())
    {
        report.system.stream = Some(derived.name.to_owned());
        report.system.stream_basis = Some(derived.basis);
    }
    // A dump's fault is explained from its memory; of a text there are the bytes of its Code: line.
    if report.fault.as_ref().is_some_and(|fault| fault.explanation.is_none()) {
        fault::explain_report(report, None, None);
    }
    forget_found(report);
    report.signature = signature::of(report);
    report.tool = Tool {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        rules_digest: None,
    };
}

/// What one source lacked and another had is not missing.
fn forget_found(report: &mut CrashReport) {
    let system = &report.system;
    let found = [
        ("system.cmdline", system.cmdline.is_some()),
        ("system.cpus", system.cpus.is_some()),
        ("system.memory_bytes", system.memory_bytes.is_some()),
        ("system.uptime_seconds", system.uptime_seconds.is_some()),
        ("taint", report.taint.is_some()),
    ];
    report
        .missing
        .retain(|missing| !found.iter().any(|(fact, is_found)| *is_found && missing.fact == *fact));
}
