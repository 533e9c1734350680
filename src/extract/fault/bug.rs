//! A `ud2` that the kernel's own table of `BUG()` and `WARN()` names: its source line, and which of the two it is.

use crate::addr::VirtAddr;
use crate::crash::{CrashReport, FaultRole, KindSource, Panic, PanicKind};
use crate::kernel::bug_table::BugEntry;

const UD2: [u8; 2] = [0x0f, 0x0b];

/// Completes the record's fault from the table, where its instruction is one that can be in it. `code`: what the dump
/// holds from RIP on; `find` asks the table, which is worth it only then.
///
/// To be called before [`super::explain_report`], whose sentence follows from the kind.
pub fn name_bug(report: &mut CrashReport, code: &[u8], find: impl FnOnce(VirtAddr) -> Option<BugEntry>) {
    let Some(fault) = &mut report.fault else { return };
    if fault.role != FaultRole::Faulted || !code.starts_with(&UD2) {
        return;
    }
    let Some(entry) = fault.address.and_then(find) else {
        return;
    };
    fault
        .source
        .get_or_insert_with(|| format!("{}:{}", entry.file, entry.line));
    let kind = if entry.is_warning {
        PanicKind::Warning
    } else {
        PanicKind::Bug
    };
    match &mut report.panic {
        Some(panic) if panic.kind != PanicKind::Unknown => {}
        Some(panic) => {
            panic.kind = kind;
            panic.kind_source = Some(KindSource::Memory);
        }
        nothing => {
            *nothing = Some(Panic {
                kind_source: Some(KindSource::Memory),
                ..Panic::of_kind(kind)
            });
        }
    }
}
