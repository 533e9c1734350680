//! Memory use as `kmem -i` defines it, in pages.

use super::statistics::Statistics;
use super::{Fact, Machine, Unknown, count, unreadable};
use crate::addr::VirtAddr;

/// Memory use, in pages.
#[derive(Clone, Debug)]
pub struct MemoryUse {
    /// Managed pages.
    pub total: Fact<u64>,
    /// Free ones.
    pub free: Fact<u64>,
    /// The page cache of files: without the swap cache and the block devices' own (buffers).
    pub cached: Fact<u64>,
    /// The block devices' own page cache.
    pub buffers: Fact<u64>,
    /// Slab, reclaimable and not.
    pub slab: Fact<u64>,
    /// Swap in all.
    pub swap_total: Fact<u64>,
    /// Swap not in use.
    pub swap_free: Fact<u64>,
    /// What processes were promised: the true sum over the CPUs online.
    pub committed: Fact<u64>,
    /// The same without what the CPUs have not yet added to it: what `crash` prints.
    pub committed_roughly: Fact<u64>,
    /// What may be promised at most.
    pub commit_limit: Fact<u64>,
    /// In huge pages of all sizes, counted in small ones.
    pub huge: Fact<u64>,
}

impl Machine<'_> {
    /// Reads the memory's use.
    pub fn memory_use(&self) -> MemoryUse {
        let statistics = Statistics::find(*self);
        let statistic = |name: &str| match &statistics {
            Ok(statistics) => statistics.get(name),
            Err(unknown) => Err(unknown.clone()),
        };
        let total = self.total_pages();
        let swap_total = self.long("total_swap_pages").map(count);
        let swap_free = self.long("nr_swap_pages").map(count);
        let swap_used = swap_total
            .clone()
            .and_then(|total| Ok(total.saturating_sub(swap_free.clone()?)));
        let huge = self.pages_in_huge_pages();
        let buffers = self.buffers();
        let cached = statistic("nr_file_pages").and_then(|files| {
            let swap = self.swap_cache(statistic("nr_swapcached"), swap_used)?;
            Ok(files.saturating_sub(swap.saturating_add(buffers.clone()?)))
        });
        let slab = statistic("nr_slab_reclaimable")
            .and_then(|reclaimable| Ok(reclaimable.saturating_add(statistic("nr_slab_unreclaimable")?)));
        MemoryUse {
            free: statistic("nr_free_pages"),
            cached,
            slab,
            committed: self.committed(true),
            committed_roughly: self.committed(false),
            commit_limit: self.commit_limit(&total, &huge, &swap_total),
            total,
            buffers,
            swap_total,
            swap_free,
            huge,
        }
    }

    /// A plain `long` before 5.0, an atomic one since.
    fn total_pages(&self) -> Fact<u64> {
        let at = self.symbol(&["_totalram_pages", "totalram_pages"])?;
        self.long_at(at, "totalram_pages").map(count)
    }

    /// `vm_committed_as`, a per-CPU counter: its sum, and with `truly` what the CPUs keep beside it.
    fn committed(&self, truly: bool) -> Fact<u64> {
        let counter = self.symbol(&["vm_committed_as"])?;
        let (sum, own) = self.counter_layout(counter)?;
        let sum = self
            .memory
            .u64(VirtAddr(counter.0.wrapping_add(sum)))
            .map_err(|source| unreadable("vm_committed_as", source))? as i64;
        if !truly {
            return Ok(count(sum));
        }
        let own = self.pointer_at(VirtAddr(counter.0.wrapping_add(own)), "vm_committed_as")?;
        let sum = self.cpus.iter().try_fold(sum, |sum, cpu| {
            let offset = self
                .symbols
                .per_cpu_offset(*cpu)
                .ok_or_else(|| Unknown::NoSymbol("__per_cpu_offset".to_owned()))?;
            let part = self
                .memory
                .i32(VirtAddr(own.0.wrapping_add(offset)))
                .map_err(|source| unreadable("vm_committed_as", source))?;
            Ok(sum.saturating_add(i64::from(part)))
        })?;
        Ok(count(sum))
    }

    /// Where `struct percpu_counter` keeps its sum and the pointer to the CPUs' parts. Without types they are where
    /// all kernels with SMP and without lock debugging have them, if the list between the two proves to be one.
    fn counter_layout(&self, counter: VirtAddr) -> Fact<(u64, u64)> {
        const COUNT: u64 = 8;
        const LIST: u64 = 16;
        const COUNTERS: u64 = 32;
        let told = (
            self.offset("percpu_counter", "count"),
            self.offset("percpu_counter", "counters"),
        );
        match told {
            (Ok(count), Ok(counters)) => Ok((count, counters)),
            (Err(unknown), _) | (_, Err(unknown)) => {
                let list = VirtAddr(counter.0.wrapping_add(LIST));
                let next = self.pointer_at(list, "percpu_counter.list")?;
                let back = self.memory.pointer(VirtAddr(next.0.wrapping_add(8)));
                if back == Ok(list) {
                    Ok((COUNT, COUNTERS))
                } else {
                    Err(unknown)
                }
            }
        }
    }

    /// `vm_commit_limit()` of mm/util.c.
    fn commit_limit(&self, total: &Fact<u64>, huge: &Fact<u64>, swap: &Fact<u64>) -> Fact<u64> {
        let swap = swap.clone()?;
        let kilobytes = self.long("sysctl_overcommit_kbytes").map_or(0, count);
        if kilobytes > 0 {
            return Ok((kilobytes.saturating_mul(1024) / self.page_size.max(1)).saturating_add(swap));
        }
        let ratio = count(i64::from(self.int("sysctl_overcommit_ratio")?));
        let small = total.clone()?.saturating_sub(huge.clone()?);
        Ok((u128::from(small) * u128::from(ratio) / 100)
            .try_into()
            .unwrap_or(u64::MAX)
            .saturating_add(swap))
    }
}
