//! Tunables as they stood: the variables behind sysctls, and the state of transparent huge pages.

use super::{Fact, Machine, Unknown, unreadable};
use crate::addr::VirtAddr;

/// A tunable: its name and its value, or why that could not be had. A kernel that lacks the tunable lacks its symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The sysctl's name, or one of ours (`thp.enabled`).
    pub name: &'static str,
    /// Its value.
    pub value: Fact<Value>,
}

/// A tunable's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number.
    Number(i64),
    /// Several numbers.
    Numbers(Vec<i64>),
    /// A word.
    Word(&'static str),
}

/// How a variable holds its number.
#[derive(Clone, Copy)]
enum Form {
    /// `int`.
    Int,
    /// `unsigned int`.
    Unsigned,
    /// `unsigned long`.
    Long,
    /// `bool`.
    Bool,
}

use Form::{Bool, Int, Long, Unsigned};

/// Sysctls and the variables behind them, newest name first. The forms are those of every kernel that has the name.
#[rustfmt::skip]
const VARIABLES: &[(&str, &[(&str, Form)])] = &[
    ("kernel.hardlockup_all_cpu_backtrace", &[("sysctl_hardlockup_all_cpu_backtrace", Int)]),
    ("kernel.hardlockup_panic", &[("hardlockup_panic", Unsigned)]),
    ("kernel.hung_task_check_count", &[("sysctl_hung_task_check_count", Int)]),
    ("kernel.hung_task_panic", &[("sysctl_hung_task_panic", Unsigned)]),
    ("kernel.hung_task_timeout_secs", &[("sysctl_hung_task_timeout_secs", Long)]),
    ("kernel.hung_task_warnings", &[("sysctl_hung_task_warnings", Int)]),
    ("kernel.kexec_load_disabled", &[("kexec_load_disabled", Int)]),
    ("kernel.max_rcu_stall_to_panic", &[("sysctl_max_rcu_stall_to_panic", Int)]),
    // Until 6.4 the hard lockup detector's variable is named after NMIs.
    ("kernel.nmi_watchdog", &[("watchdog_hardlockup_user_enabled", Int), ("nmi_watchdog_user_enabled", Int)]),
    // A static key, whose first word counts its users, until 5.17; a plain flag in 3.13 to 4.2 and in el7.
    ("kernel.numa_balancing", &[
        ("sysctl_numa_balancing_mode", Int), ("sched_numa_balancing", Int), ("numabalancing_enabled", Bool),
    ]),
    ("kernel.oops_all_cpu_backtrace", &[("sysctl_oops_all_cpu_backtrace", Unsigned)]),
    ("kernel.oops_limit", &[("oops_limit", Unsigned)]),
    ("kernel.panic", &[("panic_timeout", Int)]),
    ("kernel.panic_on_io_nmi", &[("panic_on_io_nmi", Int)]),
    ("kernel.panic_on_oops", &[("panic_on_oops", Int)]),
    ("kernel.panic_on_rcu_stall", &[("sysctl_panic_on_rcu_stall", Int)]),
    ("kernel.panic_on_stackoverflow", &[("sysctl_panic_on_stackoverflow", Int)]),
    ("kernel.panic_on_unrecovered_nmi", &[("panic_on_unrecovered_nmi", Int)]),
    ("kernel.panic_on_warn", &[("panic_on_warn", Int)]),
    ("kernel.panic_print", &[("panic_print", Long)]),
    ("kernel.perf_event_max_sample_rate", &[("sysctl_perf_event_sample_rate", Int)]),
    ("kernel.pid_max", &[("pid_max", Int)]),
    ("kernel.randomize_va_space", &[("randomize_va_space", Int)]),
    ("kernel.sched_autogroup_enabled", &[("sysctl_sched_autogroup_enabled", Unsigned)]),
    ("kernel.sched_rt_runtime_us", &[("sysctl_sched_rt_runtime", Int)]),
    ("kernel.sched_time_avg_ms", &[("sysctl_sched_time_avg", Unsigned)]),
    ("kernel.soft_watchdog", &[("watchdog_softlockup_user_enabled", Int), ("soft_watchdog_user_enabled", Int)]),
    ("kernel.softlockup_all_cpu_backtrace", &[("sysctl_softlockup_all_cpu_backtrace", Int)]),
    ("kernel.softlockup_panic", &[("softlockup_panic", Unsigned)]),
    ("kernel.sysrq", &[("sysrq_enabled", Int)]),
    ("kernel.unknown_nmi_panic", &[("unknown_nmi_panic", Int)]),
    ("kernel.unprivileged_bpf_disabled", &[("sysctl_unprivileged_bpf_disabled", Int)]),
    ("kernel.warn_limit", &[("warn_limit", Unsigned)]),
    ("kernel.watchdog", &[("watchdog_user_enabled", Int)]),
    ("kernel.watchdog_thresh", &[("watchdog_thresh", Int)]),
    ("net.core.busy_poll", &[("sysctl_net_busy_poll", Unsigned)]),
    ("vm.admin_reserve_kbytes", &[("sysctl_admin_reserve_kbytes", Long)]),
    ("vm.dirty_background_bytes", &[("dirty_background_bytes", Long)]),
    ("vm.dirty_background_ratio", &[("dirty_background_ratio", Int)]),
    ("vm.dirty_bytes", &[("vm_dirty_bytes", Long)]),
    ("vm.dirty_ratio", &[("vm_dirty_ratio", Int)]),
    ("vm.extfrag_threshold", &[("sysctl_extfrag_threshold", Int)]),
    ("vm.max_map_count", &[("sysctl_max_map_count", Int)]),
    ("vm.min_free_kbytes", &[("min_free_kbytes", Int)]),
    ("vm.mmap_min_addr", &[("dac_mmap_min_addr", Long)]),
    ("vm.oom_kill_allocating_task", &[("sysctl_oom_kill_allocating_task", Int)]),
    ("vm.overcommit_kbytes", &[("sysctl_overcommit_kbytes", Long)]),
    ("vm.overcommit_memory", &[("sysctl_overcommit_memory", Int)]),
    ("vm.overcommit_ratio", &[("sysctl_overcommit_ratio", Int)]),
    ("vm.panic_on_oom", &[("sysctl_panic_on_oom", Int)]),
    ("vm.swappiness", &[("vm_swappiness", Int)]),
    ("vm.user_reserve_kbytes", &[("sysctl_user_reserve_kbytes", Long)]),
    ("vm.vfs_cache_pressure", &[("sysctl_vfs_cache_pressure", Int)]),
    ("vm.watermark_boost_factor", &[("watermark_boost_factor", Int)]),
    ("vm.watermark_scale_factor", &[("watermark_scale_factor", Int)]),
    ("vm.zone_reclaim_mode", &[("node_reclaim_mode", Int), ("zone_reclaim_mode", Int)]),
];

/// `MAX_NR_ZONES` is at most this.
const MAX_ZONES: u64 = 8;
/// What zones are called (mm/page_alloc.c).
const ZONE_NAMES: [&str; 6] = ["DMA", "DMA32", "Normal", "HighMem", "Movable", "Device"];

/// Bits of `transparent_hugepage_flags`, by the enumerators that name them (include/linux/huge_mm.h).
mod thp {
    pub(super) const ALWAYS: &str = "TRANSPARENT_HUGEPAGE_FLAG";
    pub(super) const MADVISE: &str = "TRANSPARENT_HUGEPAGE_REQ_MADV_FLAG";
    /// Until 4.5, when direct reclaim was the only way.
    pub(super) const DEFRAG: &str = "TRANSPARENT_HUGEPAGE_DEFRAG_FLAG";
    pub(super) const DEFRAG_DIRECT: &str = "TRANSPARENT_HUGEPAGE_DEFRAG_DIRECT_FLAG";
    pub(super) const DEFRAG_KSWAPD: &str = "TRANSPARENT_HUGEPAGE_DEFRAG_KSWAPD_FLAG";
    pub(super) const DEFRAG_KSWAPD_OR_MADVISE: &str = "TRANSPARENT_HUGEPAGE_DEFRAG_KSWAPD_OR_MADV_FLAG";
    pub(super) const DEFRAG_MADVISE: &str = "TRANSPARENT_HUGEPAGE_DEFRAG_REQ_MADV_FLAG";

    /// As numbered in kernels before 4.6, el7 among them.
    pub(super) const BEFORE_4_6: &[(&str, i64)] = &[(ALWAYS, 0), (MADVISE, 1), (DEFRAG, 2), (DEFRAG_MADVISE, 3)];
    /// What did not change between 4.6 and 5.0; in between the others moved.
    pub(super) const BEFORE_5_0: &[(&str, i64)] = &[(ALWAYS, 0), (MADVISE, 1)];
    /// Since 5.8 the first bit is something else, so that the last (USE_ZERO_PAGE, nearly always set) is bit 8, which
    /// no kernel before had: where it is the highest that is set, these are the numbers.
    pub(super) const SINCE_5_8: &[(&str, i64)] = &[
        (ALWAYS, 1),
        (MADVISE, 2),
        (DEFRAG_DIRECT, 3),
        (DEFRAG_KSWAPD, 4),
        (DEFRAG_KSWAPD_OR_MADVISE, 5),
        (DEFRAG_MADVISE, 6),
    ];
    pub(super) const LAST_SINCE_5_8: u32 = 8;
}

impl Machine<'_> {
    /// The tunables, by name. Each is read for itself.
    pub fn settings(&self) -> Vec<Setting> {
        let variables = VARIABLES
            .iter()
            .map(|(name, variables)| (*name, self.variable(variables)));
        let mut settings: Vec<Setting> = variables
            .chain([
                ("thp.defrag", self.thp_defrag()),
                ("thp.enabled", self.thp_enabled()),
                ("vm.lowmem_reserve_ratio", self.lowmem_reserve_ratio()),
                (
                    "vm.nr_hugepages",
                    self.default_huge_pages()
                        .map(|size| Value::Number(i64::try_from(size.number).unwrap_or(i64::MAX))),
                ),
            ])
            .map(|(name, value)| Setting { name, value })
            .collect();
        settings.sort_by_key(|setting| setting.name);
        settings
    }

    fn variable(&self, variables: &[(&str, Form)]) -> Fact<Value> {
        let mut missing = None;
        for (name, form) in variables {
            match self.symbol(&[name]) {
                Ok(at) => return self.number(at, name, *form).map(Value::Number),
                Err(unknown) => missing = missing.or(Some(unknown)),
            }
        }
        Err(missing.unwrap_or_else(|| Unknown::NoSymbol(String::new())))
    }

    fn number(&self, at: VirtAddr, name: &str, form: Form) -> Fact<i64> {
        let number = match form {
            Int => self.memory.i32(at).map(i64::from),
            Unsigned => self.memory.u32(at).map(i64::from),
            // Values past 2^63 stand for "no limit": the largest number says the same.
            Long => self
                .memory
                .word(at)
                .map(|value| i64::try_from(value).unwrap_or(i64::MAX)),
            Bool => self.memory.u8(at).map(|value| i64::from(value != 0)),
        };
        number.map_err(|source| unreadable(name, source))
    }

    fn lowmem_reserve_ratio(&self) -> Fact<Value> {
        let name = "sysctl_lowmem_reserve_ratio";
        let at = self.symbol(&[name])?;
        // One for each zone but the last, and since 4.16 for the last too. Padding behind the array is no value.
        let zones = self.zones()?;
        let for_all_zones = self.symbol(&["vm_node_stat"]).is_ok() && self.room(at, 4) >= zones;
        let len = if for_all_zones { zones } else { zones.saturating_sub(1) };
        (0..len)
            .map(|place| self.number(VirtAddr(at.0.wrapping_add(place * 4)), name, Int))
            .collect::<Fact<Vec<i64>>>()
            .map(Value::Numbers)
    }

    /// How many zones a node has: as many as are named in `zone_names`.
    fn zones(&self) -> Fact<u64> {
        let names = self.symbol(&["zone_names"])?;
        let word = self.memory.abi().word_size();
        let is_zone = |place: &u64| {
            let name = self.memory.pointer(VirtAddr(names.0.wrapping_add(place * word)));
            let name = name.and_then(|name| self.memory.c_string(name, 16));
            name.is_ok_and(|name| ZONE_NAMES.iter().any(|zone| zone.as_bytes() == name))
        };
        match (0..MAX_ZONES).take_while(is_zone).count() as u64 {
            0 => Err(Unknown::Implausible("zone_names".to_owned())),
            zones => Ok(zones),
        }
    }

    fn thp_enabled(&self) -> Fact<Value> {
        let flags = self.thp_flags()?;
        Ok(Value::Word(if self.thp_bit(flags, thp::ALWAYS)? {
            "always"
        } else if self.thp_bit(flags, thp::MADVISE)? {
            "madvise"
        } else {
            "never"
        }))
    }

    /// As `defrag_show()` of mm/huge_memory.c words it.
    fn thp_defrag(&self) -> Fact<Value> {
        let flags = self.thp_flags()?;
        let direct = self
            .thp_bit(flags, thp::DEFRAG_DIRECT)
            .or_else(|_| self.thp_bit(flags, thp::DEFRAG))?;
        let set = |name| self.thp_bit(flags, name).unwrap_or(false);
        Ok(Value::Word(if direct {
            "always"
        } else if set(thp::DEFRAG_KSWAPD) {
            "defer"
        } else if set(thp::DEFRAG_KSWAPD_OR_MADVISE) {
            "defer+madvise"
        } else if self.thp_bit(flags, thp::DEFRAG_MADVISE)? {
            "madvise"
        } else {
            "never"
        }))
    }

    fn thp_flags(&self) -> Fact<u64> {
        self.long("transparent_hugepage_flags").map(|flags| flags as u64)
    }

    fn thp_bit(&self, flags: u64, name: &str) -> Fact<bool> {
        let bit = self
            .thp_bits(flags)
            .map(|table| table.iter().find(|(found, _)| *found == name).map(|(_, bit)| *bit))
            .unwrap_or_else(|| self.types.enum_value(name));
        match bit {
            Some(bit @ 0..64) => Ok(flags >> bit & 1 == 1),
            Some(_) => Err(Unknown::Implausible(name.to_owned())),
            None => Err(Unknown::NoLayout("enum transparent_hugepage_flag".to_owned())),
        }
    }

    /// The bits' numbers, where the flags or the kernel's age prove them. To ask the types is always right but costs a
    /// walk over most of them.
    fn thp_bits(&self, flags: u64) -> Option<&'static [(&'static str, i64)]> {
        // Without any flag nothing is on, whatever their numbers are.
        if flags >> thp::LAST_SINCE_5_8 == 1 || flags == 0 {
            Some(thp::SINCE_5_8)
        } else if self.symbol(&["_totalram_pages"]).is_ok() {
            None
        } else if self.symbol(&["vm_node_stat"]).is_ok() {
            Some(thp::BEFORE_5_0)
        } else {
            Some(thp::BEFORE_4_6)
        }
    }
}
