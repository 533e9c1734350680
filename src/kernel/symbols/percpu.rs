//! Per-CPU variables: a symbol names an offset (x86_64 up to 6.14) or the initial copy; CPU n's own lies
//! `__per_cpu_offset[n]` further on.

use super::Symbols;
use crate::addr::VirtAddr;

impl Symbols {
    /// Where CPU `cpu`'s copy of the per-CPU variable `name` lies. `None`: no such symbol, no such CPU, or the dump
    /// lacks the page with the offsets.
    ///
    /// A CPU that never came up may still get an answer, the initial copy's: ask for online CPUs only.
    pub fn per_cpu(&self, name: &str, cpu: u32) -> Option<VirtAddr> {
        let variable = self.by_name(name)?;
        Some(VirtAddr(variable.0.wrapping_add(self.per_cpu_offset(cpu)?)))
    }

    /// What is added to a per-CPU symbol for CPU `cpu`; 0 on a kernel without SMP.
    pub fn per_cpu_offset(&self, cpu: u32) -> Option<u64> {
        let Some(table) = self.by_name("__per_cpu_offset") else {
            return (cpu == 0).then_some(0);
        };
        let word = self.memory.abi().word_size();
        let at = table.checked_add(word.checked_mul(u64::from(cpu))?)?;
        let end = self.table.covering(table)?.next;
        if at >= end {
            return None;
        }
        self.memory.word(at).ok()
    }

    /// The `task_struct` that CPU `cpu` was running.
    ///
    /// `pcpu_hot` begins with it from 6.2 to 6.14; before and after it is the variable `current_task`
    /// (`per_cpu__current_task` before 2.6.34).
    pub fn current_task(&self, cpu: u32) -> Option<VirtAddr> {
        ["pcpu_hot", "current_task", "per_cpu__current_task"]
            .into_iter()
            .filter_map(|name| self.memory.pointer(self.per_cpu(name, cpu)?).ok())
            .find(|task| task.0 != 0)
    }
}
