//! The kernel's page counters, by the names that `/proc/vmstat` gives them.
//!
//! `vmstat_text` names them in the order of the arrays that hold them, so the dump itself says which is which.

use super::{Fact, Machine, Unknown, count, unreadable};
use crate::addr::VirtAddr;

/// More names than any kernel has (6.12 has some 200).
const MAX_NAMES: u64 = 512;
const MAX_NAME: usize = 64;

/// The counters' names and where their arrays lie.
pub(super) struct Statistics<'a> {
    machine: Machine<'a>,
    names: Vec<String>,
    /// From which name on which array counts.
    arrays: Vec<(usize, VirtAddr)>,
}

impl<'a> Statistics<'a> {
    /// Finds the arrays: `vm_zone_stat` and `vm_node_stat` since 4.8, `vm_stat` before.
    ///
    /// Between zones' and nodes' counters stand the NUMA ones (since 4.14), which are of no use here. The nodes' begin
    /// with `nr_inactive_anon`.
    pub(super) fn find(machine: Machine<'a>) -> Fact<Statistics<'a>> {
        let names = machine.vmstat_names()?;
        let arrays = match machine.symbol(&["vm_zone_stat"]) {
            Err(_) => vec![(0, machine.symbol(&["vm_stat"])?)],
            Ok(zones) => {
                let first = names.iter().position(|name| name == "nr_inactive_anon");
                let first = first.ok_or_else(|| Unknown::Implausible("vmstat_text".to_owned()))?;
                vec![(first, machine.symbol(&["vm_node_stat"])?), (0, zones)]
            }
        };
        Ok(Statistics { machine, names, arrays })
    }

    /// The counter `name`, in pages for those that count memory: the kernel's own sum, which lags what the CPUs have
    /// not yet added to it.
    pub(super) fn get(&self, name: &str) -> Fact<u64> {
        let place = self.names.iter().position(|found| found == name);
        let place = place.ok_or_else(|| Unknown::NoSymbol(format!("vmstat_text: {name}")))?;
        let (first, array) = self
            .arrays
            .iter()
            .find(|(first, _)| *first <= place)
            .ok_or_else(|| Unknown::Implausible("vmstat_text".to_owned()))?;
        let word = self.machine.memory.abi().word_size();
        let at = VirtAddr(array.0.wrapping_add((place - first) as u64 * word));
        self.machine.long_at(at, name).map(count)
    }
}

impl Machine<'_> {
    fn vmstat_names(&self) -> Fact<Vec<String>> {
        let at = self.symbol(&["vmstat_text"])?;
        let word = self.memory.abi().word_size();
        let len = self.room(at, word).min(MAX_NAMES) * word;
        let pointers = self
            .memory
            .bytes(at, len as usize)
            .map_err(|source| unreadable("vmstat_text", source))?;
        pointers
            .chunks_exact(word as usize)
            .map(|pointer| VirtAddr(self.memory.abi().uint(pointer)))
            .take_while(|pointer| pointer.0 != 0)
            .map(|pointer| {
                let name = self
                    .memory
                    .c_string(pointer, MAX_NAME)
                    .map_err(|source| unreadable("vmstat_text", source))?;
                Ok(String::from_utf8_lossy(&name).into_owned())
            })
            .collect()
    }
}
