//! The dump's memory as rules and people ask for it.

use crate::addr::VirtAddr;
use crate::crash::{CrashReport, NoAnswer, Probe};
use crate::kernel::read::{ProbeError, Reader};

/// Answers from the dumped kernel's memory.
#[derive(Clone, Copy)]
pub struct MemoryProbe<'a>(pub Reader<'a>);

impl Probe for MemoryProbe<'_> {
    fn member(&self, at: VirtAddr, type_name: &str, field: &str) -> Result<u64, NoAnswer> {
        self.0.number(at, type_name, field).map_err(no_answer)
    }

    fn points_to(&self, at: VirtAddr, name: &str) -> Result<bool, NoAnswer> {
        self.0.points_to(at, name).map_err(no_answer)
    }
}

/// What names stand for in an expression ([`crate::kernel::read::Expression`]): the registers of the fault, and
/// `current` for the task that ran.
pub fn names(report: &CrashReport) -> impl Fn(&str) -> Option<VirtAddr> {
    let fault = report.fault.as_ref();
    let registers = fault.map(|fault| fault.registers.clone()).unwrap_or_default();
    let rip = fault.and_then(|fault| fault.address);
    let current = report.task.as_ref().and_then(|task| task.address);
    move |name| match name {
        "current" => current,
        "rip" => registers.get("rip").copied().or(rip),
        register => registers.get(register).copied(),
    }
}

fn no_answer(error: ProbeError) -> NoAnswer {
    NoAnswer { why: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crash::{Source, SourceKind, Task};

    #[test]
    fn names_are_registers_and_the_current_task() {
        let mut report = CrashReport::new(Source::new("-", SourceKind::Vmcore));
        report.task = Some(Task {
            address: Some(VirtAddr(0x1000)),
            ..Task::default()
        });
        let names = names(&report);
        assert_eq!(names("current"), Some(VirtAddr(0x1000)));
        assert_eq!(names("r13"), None);
    }
}
