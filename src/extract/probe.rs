//! The dump's memory as rules ask for it.

use crate::addr::VirtAddr;
use crate::crash::{NoAnswer, Probe};
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

fn no_answer(error: ProbeError) -> NoAnswer {
    NoAnswer { why: error.to_string() }
}
