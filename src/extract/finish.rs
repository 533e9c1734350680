//! What follows from a report's own facts, whatever they came from: the stream, the signature, who made it.

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
    report.signature = signature::of(report);
    report.tool = Tool {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        rules_digest: None,
    };
}
