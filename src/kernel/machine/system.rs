//! What `sys` prints of the machine as a whole.

use super::{Clock, Fact, Machine, Taint, Unknown, count, unreadable};
use crate::addr::VirtAddr;
use crate::kernel::cpus;

/// Load averages have this many fraction bits (`FSHIFT`, include/linux/sched/loadavg.h).
const LOAD_FRACTION_BITS: u32 = 11;
/// `COMMAND_LINE_SIZE` of x86; other architectures have up to 4096.
const MAX_COMMAND_LINE: usize = 4096;
/// More than any machine has (`NODES_SHIFT` is at most 10).
const MAX_NODES: u64 = 1024;
/// `pid_max` is at most this.
const MAX_TASKS: i64 = 1 << 22;

/// The machine as a whole.
#[derive(Clone, Debug)]
pub struct System {
    /// How many tasks there were, as `crash` counts them: with the idle tasks of all CPUs, online or not.
    pub tasks: Fact<u64>,
    /// The load averages over 1, 5 and 15 minutes, with two decimals as the kernel rounds them.
    pub load_average: Fact<[f64; 3]>,
    /// The time at the last tick.
    pub clock: Fact<Clock>,
    /// Memory of all nodes in bytes, what is reserved included.
    pub memory_bytes: Fact<u64>,
    /// The kernel's command line.
    pub command_line: Fact<String>,
    /// What had tainted the kernel.
    pub taint: Fact<Taint>,
}

impl Machine<'_> {
    /// Reads everything about the machine as a whole.
    pub fn system(&self) -> System {
        System {
            tasks: self.tasks(),
            load_average: self.load_average(),
            clock: self.clock(),
            memory_bytes: self.memory_bytes(),
            command_line: self.command_line(),
            taint: self.taint(),
        }
    }

    fn tasks(&self) -> Fact<u64> {
        let threads = i64::from(self.int("nr_threads")?);
        if !(0..=MAX_TASKS).contains(&threads) {
            return Err(Unknown::Implausible("nr_threads".to_owned()));
        }
        let idle = cpus::present(self.memory, self.symbols).len() as u64;
        Ok(count(threads) + idle)
    }

    fn load_average(&self) -> Fact<[f64; 3]> {
        let at = self.symbol(&["avenrun"])?;
        let word = self.memory.abi().word_size();
        let mut loads = [0.0; 3];
        for (number, load) in (0..).zip(&mut loads) {
            let raw = self.long_at(VirtAddr(at.0.wrapping_add(number * word)), "avenrun")? as u64;
            // What /proc/loadavg adds to round to two decimals: FIXED_1 / 200.
            let rounded = raw.saturating_add((1 << LOAD_FRACTION_BITS) / 200);
            *load = (rounded.saturating_mul(100) >> LOAD_FRACTION_BITS) as f64 / 100.0;
        }
        Ok(loads)
    }

    fn command_line(&self) -> Fact<String> {
        let name = "saved_command_line";
        let at = self.pointer_at(self.symbol(&[name])?, name)?;
        let line = self
            .memory
            .c_string(at, MAX_COMMAND_LINE)
            .map_err(|source| unreadable(name, source))?;
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    /// The pages that the nodes have, holes left out, which is what `crash` calls MEMORY.
    fn memory_bytes(&self) -> Fact<u64> {
        let nodes = match self.symbol(&["contig_page_data"]) {
            Ok(only) => vec![only],
            Err(_) => self.nodes()?,
        };
        let pages = nodes.into_iter().try_fold(0_u64, |sum, node| {
            let pages = self.member(node, "pglist_data", "node_present_pages")?;
            Ok(sum.saturating_add(pages))
        })?;
        Ok(pages.saturating_mul(self.page_size))
    }

    /// The nodes' `pglist_data`, from the array of pointers `node_data`.
    fn nodes(&self) -> Fact<Vec<VirtAddr>> {
        let table = self.symbol(&["node_data"])?;
        let word = self.memory.abi().word_size();
        let len = self.room(table, word).clamp(1, MAX_NODES) * word;
        let bytes = self
            .memory
            .bytes(table, len as usize)
            .map_err(|source| unreadable("node_data", source))?;
        let nodes: Vec<VirtAddr> = bytes
            .chunks_exact(word as usize)
            .map(|pointer| VirtAddr(self.memory.abi().uint(pointer)))
            .filter(|node| node.0 != 0)
            .collect();
        match nodes.is_empty() {
            true => Err(Unknown::Implausible("node_data".to_owned())),
            false => Ok(nodes),
        }
    }
}
