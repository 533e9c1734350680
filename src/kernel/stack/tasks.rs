//! Tasks: who a `task_struct` is, where its stack lies, and the list of all of them.
//!
//! It asks types for every offset. It does not walk stacks.

use std::collections::HashSet;
use std::ops::Range;

use super::unwind::USUAL_STACK_SIZE;
use crate::addr::VirtAddr;
use crate::kernel::access::KernelMemory;
use crate::kernel::symbols::Symbols;
use crate::kernel::types::Types;

/// `TASK_UNINTERRUPTIBLE` (include/linux/sched.h; the same in every kernel).
const UNINTERRUPTIBLE: u64 = 0x2;
/// `TASK_NOLOAD` (4.2+): an idle worker that waits uninterruptibly and is not stuck.
const NO_LOAD: u64 = 0x400;

/// A task of the dumped kernel. What could not be read is absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its `task_struct`.
    pub address: VirtAddr,
    /// Its thread id (what user space calls TID).
    pub pid: Option<i32>,
    /// Its process's id.
    pub tgid: Option<i32>,
    /// Its name, at most 15 bytes; bytes that are no UTF-8 replaced.
    pub comm: Option<String>,
    /// `__state` (5.14+) or `state`.
    pub state: Option<u64>,
    /// Its kernel stack.
    pub stack: Option<Range<u64>>,
    /// The stack pointer saved when it was last switched away from; stale while it runs.
    pub saved_sp: Option<u64>,
}

/// Whether a task in this state waits for something and cannot be woken by a signal: `D`, not an idle worker's `I`.
pub fn is_blocked(state: u64) -> bool {
    state & UNINTERRUPTIBLE != 0 && state & NO_LOAD == 0
}

/// Reads tasks of one dump.
#[derive(Clone, Copy)]
pub struct Tasks<'a> {
    /// The dumped kernel's memory.
    pub memory: &'a KernelMemory,
    /// Its symbols.
    pub symbols: &'a Symbols,
    /// What is known of its types.
    pub types: &'a dyn Types,
}

/// The tasks that a walk of the list met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskList {
    /// Every thread of every process but the idle tasks, in the list's order.
    pub tasks: Vec<VirtAddr>,
    /// Where the list is broken, if it is: there may be more tasks then.
    pub broken: Option<String>,
}

impl<'a> Tasks<'a> {
    fn offset(&self, structure: &str, member: &str) -> Option<u64> {
        self.types.offset_of(structure, member)
    }

    fn task_offset(&self, member: &str) -> Option<u64> {
        self.offset("task_struct", member)
    }

    /// Who the task at `address` is.
    pub fn read(&self, address: VirtAddr) -> Task {
        let at = |member: &str| address.checked_add(self.task_offset(member)?);
        let int = |member: &str| self.memory.i32(at(member)?).ok();
        let comm = at("comm").and_then(|at| self.memory.c_string(at, 15).ok());
        let stack = at("stack").and_then(|at| self.memory.pointer(at).ok());
        Task {
            address,
            pid: int("pid"),
            tgid: int("tgid"),
            comm: comm.map(|comm| String::from_utf8_lossy(&comm).into_owned()),
            state: self.read_state(address),
            stack: stack
                .filter(|stack| stack.0 != 0)
                .and_then(|stack| Some(stack.0..stack.0.checked_add(self.stack_size())?)),
            saved_sp: at("thread.sp").and_then(|at| self.memory.u64(at).ok()),
        }
    }

    /// The state of the task at `address`.
    pub fn read_state(&self, address: VirtAddr) -> Option<u64> {
        // `unsigned int __state` since 5.14, `volatile long state` before.
        ["__state", "state"].into_iter().find_map(|name| {
            let member = self.types.member("task_struct", name)?;
            let at = address.checked_add(member.offset)?;
            match member.size {
                4 => self.memory.u32(at).ok().map(u64::from),
                _ => self.memory.u64(at).ok(),
            }
        })
    }

    /// `THREAD_SIZE`.
    pub fn stack_size(&self) -> u64 {
        // The linker script gives the first task's stack exactly that room.
        let by_symbol = [
            ("__start_init_stack", "__end_init_stack"),
            ("__start_init_task", "__end_init_task"),
        ]
        .into_iter()
        .find_map(|(start, end)| {
            let start = self.symbols.by_name(start)?;
            self.symbols.by_name(end)?.0.checked_sub(start.0)
        });
        let is_size = |size: &u64| size.is_power_of_two() && (4096..=256 * 1024).contains(size);
        // Not all kernels' types have the union, and to learn that costs a walk over all of them.
        by_symbol
            .filter(is_size)
            .or_else(|| self.types.size_of("thread_union").filter(is_size))
            .unwrap_or(USUAL_STACK_SIZE)
    }

    /// What CPU `cpu` was running: by `current_task`, and by its run queue where types tell.
    pub fn running_on(&self, cpu: u32) -> [Option<VirtAddr>; 2] {
        let by_queue = || {
            let queue = self.symbols.per_cpu("runqueues", cpu)?;
            let at = queue.checked_add(self.offset("rq", "curr")?)?;
            self.memory.pointer(at).ok().filter(|task| task.0 != 0)
        };
        [self.symbols.current_task(cpu), by_queue()]
    }

    /// Every thread but the idle ones, at most `limit`. A list that is broken in one direction is followed in the
    /// other too.
    pub fn list(&self, limit: usize) -> TaskList {
        let mut list = TaskList::default();
        let Some(init) = self.symbols.by_name("init_task") else {
            list.broken = Some("init_task is not among the symbols".to_owned());
            return list;
        };
        let Some(tasks) = self.task_offset("tasks") else {
            list.broken = Some("the layout of task_struct is not known".to_owned());
            return list;
        };
        let head = VirtAddr(init.0.wrapping_add(tasks));
        let (leaders, broken) = ring(self.memory, head, tasks, limit);
        list.broken = broken;
        let mut seen = HashSet::new();
        for leader in leaders {
            for thread in self.threads(leader, limit) {
                if seen.insert(thread) && list.tasks.len() < limit {
                    list.tasks.push(thread);
                }
            }
        }
        list
    }

    /// The threads of the process that `leader` leads, itself first.
    fn threads(&self, leader: VirtAddr, limit: usize) -> Vec<VirtAddr> {
        let mut threads = vec![leader];
        // signal_struct.thread_head since 3.14 (and el7), thread_group up to 6.6.
        let by_signal = || {
            let node = self.task_offset("thread_node")?;
            let signal = self
                .memory
                .pointer(leader.checked_add(self.task_offset("signal")?)?)
                .ok()?;
            Some((signal.checked_add(self.offset("signal_struct", "thread_head")?)?, node))
        };
        let by_group = || {
            let group = self.task_offset("thread_group")?;
            Some((leader.checked_add(group)?, group))
        };
        if let Some((head, node)) = by_signal().or_else(by_group) {
            let (others, _) = ring(self.memory, head, node, limit);
            threads.extend(others.into_iter().filter(|thread| *thread != leader));
        }
        threads
    }
}

/// The structures whose `struct list_head` at `member` hang on `head`, and why there may be more: forwards, and from
/// the other end if that breaks off.
fn ring(memory: &KernelMemory, head: VirtAddr, member: u64, limit: usize) -> (Vec<VirtAddr>, Option<String>) {
    const NEXT: u64 = 0;
    const PREV: u64 = 8;
    let mut seen = HashSet::from([head]);
    let mut follow = |link: u64| {
        let mut found = Vec::new();
        let mut at = head;
        loop {
            let next = match memory.pointer(VirtAddr(at.0.wrapping_add(link))) {
                Ok(next) => next,
                // What cannot be read is a wild pointer's target, no structure.
                Err(error) => {
                    found.pop();
                    return (found, Some(error.to_string()));
                }
            };
            if next == head {
                return (found, None);
            }
            if !seen.insert(next) {
                return (found, Some(format!("the list turns back to {next}")));
            }
            if found.len() >= limit {
                return (found, Some(format!("more than {limit} entries")));
            }
            found.push(VirtAddr(next.0.wrapping_sub(member)));
            at = next;
        }
    };
    let (mut found, broken) = follow(NEXT);
    if broken.is_some() {
        let (back, _) = follow(PREV);
        found.extend(back.into_iter().rev());
    }
    (found, broken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::access::test_memory::TestMemory;

    const HEAD: u64 = 0x1000;

    /// A list of `count` links at 0x2000, 0x3000, …, each 16 bytes into its structure.
    fn list(count: u64) -> Vec<(u64, [u64; 2])> {
        let at = |index: u64| {
            if index == 0 || index == count + 1 {
                HEAD
            } else {
                HEAD + index * 0x1000
            }
        };
        (0..=count)
            .map(|index| {
                (
                    at(index),
                    [at(index + 1), at(if index == 0 { count } else { index - 1 })],
                )
            })
            .collect()
    }

    fn walk(links: &[(u64, [u64; 2])], limit: usize) -> (Vec<u64>, Option<String>) {
        let parts = links
            .iter()
            .map(|(at, link)| (*at, link.iter().flat_map(|word| word.to_le_bytes()).collect()))
            .collect();
        let memory = TestMemory { parts }.reader();
        let (found, broken) = ring(&memory, VirtAddr(HEAD), 16, limit);
        (found.into_iter().map(|at| at.0 + 16).collect(), broken)
    }

    #[test]
    fn a_whole_list_is_walked_to_its_end() {
        assert_eq!(walk(&list(3), 10), (vec![0x2000, 0x3000, 0x4000], None));
        assert_eq!(walk(&list(0), 10), (vec![], None));
    }

    #[test]
    fn behind_a_break_the_other_end_serves() {
        let mut links = list(4);
        links[2].1[0] = 0xdead_0000;
        let (found, broken) = walk(&links, 10);
        assert_eq!(found, [0x2000, 0x3000, 0x4000, 0x5000]);
        assert!(broken.unwrap().contains("0xdead0000"));
    }

    #[test]
    fn a_loop_and_a_long_list_end() {
        let mut links = list(4);
        links[3].1[0] = 0x2000;
        let (found, broken) = walk(&links, 10);
        assert_eq!(found, [0x2000, 0x3000, 0x4000, 0x5000]);
        assert!(broken.unwrap().contains("turns back"));
        let (found, broken) = walk(&list(9), 2);
        assert_eq!(found.len(), 4);
        assert!(broken.is_some());
    }

    #[test]
    fn idle_workers_are_not_blocked() {
        assert!(is_blocked(0x2) && is_blocked(0x82));
        assert!(!is_blocked(0x402) && !is_blocked(0) && !is_blocked(0x1));
    }
}
