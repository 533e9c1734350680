//! Which functions stand in many bugs' crashes, and so tell no bug from another.
//!
//! Counted over the crashes at hand and those of the corpus; a few that a count would miss are listed with the reason.

use std::collections::{BTreeMap, BTreeSet};

use crate::crash::{CrashReport, normalise_symbol};

/// How many bugs of several areas make a function common.
const BUGS: usize = 4;
/// How many bugs of one area do.
const BUGS_OF_ONE_AREA: usize = 7;

/// Functions whose callers are to blame, beyond what every signature takes for plumbing. A `*` ends a prefix.
const LISTED: &[&str] = &[
    // Poll tables and wait queues: whoever freed the queue is to blame.
    "remove_wait_queue",
    "add_wait_queue*",
    "ep_*",
    "__ep_*",
    "eventpoll_*",
    "do_epoll_*",
    "poll_freewait",
    // The wheel of timers: whoever freed the timer is.
    "tmigr_*",
    "__walk_groups*",
    "timer_expire_*",
    "run_timer_*",
    "__run_timer*",
    "irq_thread*",
    "irq_forced_*",
    // Mapping memory for devices, and the checks on it.
    "check_unmap*",
    "check_sync*",
    "debug_dma_*",
    "dma_direct_*",
    "dma_map_*",
    "dma_unmap_*",
    "dma_free_*",
    "sg_*",
    "iommu_dma_*",
    "__iommu_dma_*",
    // What the compiler puts into everybody.
    "instrument_*",
    "kasan_*",
    "__kasan_*",
    "check_memory_region*",
    "__asan_*",
    "__rht_*",
    "rht_*",
    // The end of a mount: the file system's own function is further out.
    "generic_shutdown_super",
    "kill_anon_super",
    "kill_block_super",
    "kill_litter_super",
    "deactivate_*",
    "cleanup_mnt",
    "evict",
    "evict_inodes",
    "dispose_list",
    "__dentry_kill",
    "dentry_unlink_inode",
    "shrink_dcache_*",
    "dput*",
    // Data on its way to user space.
    "skb_copy_datagram*",
    "__skb_datagram*",
    "skb_release_*",
    "skb_clone*",
    "pskb_*",
    "__pskb_*",
    "consume_skb",
    "skb_panic",
    "skb_push",
    "skb_put",
    "skb_pull",
    "skb_over_panic",
    "skb_under_panic",
    // What everybody who asks for memory goes through.
    "__alloc_pages*",
    "alloc_pages*",
    "get_page_from_freelist",
    "__rmqueue*",
    "rmqueue*",
    "free_pcppages_bulk",
    "shrink_slab*",
    "do_shrink_slab*",
    "shrink_node*",
    "kswapd",
    "balance_pgdat",
    // Configuration by netlink and by ioctl.
    "netlink_*",
    "genl_*",
    "rtnl_*",
    "dev_ioctl",
    "dev_ethtool*",
    "__dev_ethtool*",
    "ethnl_*",
    "dev_ifsioc*",
    "nlmsg_*",
    "dev_change_*",
    "__dev_change_*",
    "dev_open",
    "__dev_open",
    "dev_close*",
    "__dev_close*",
    "unregister_netdev*",
    "cleanup_net",
    "ops_exit_*",
    "ops_undo_*",
    "register_netdev*",
    "dev_queue_xmit*",
    "__dev_queue_xmit*",
    "dev_hard_start_xmit",
    "sch_direct_xmit",
    "__qdisc_run",
    "nf_hook_slow*",
    "nf_hook",
    "netdev_run_todo",
    // Modules, buses and power.
    "do_init_module",
    "load_module",
    "bus_*",
    "pci_device_*",
    "pci_pm_*",
    "dpm_*",
    "device_*",
    "driver_*",
    "platform_*",
    "usb_unbind_*",
    "usb_disable_*",
    "usb_disconnect",
    "hub_*",
    "pm_runtime_*",
    "__pm_runtime_*",
    "rpm_*",
    "__rpm_*",
];

/// Whether a function is one of those that a count would miss.
pub fn is_listed(name: &str) -> bool {
    LISTED.iter().any(|listed| match listed.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == *listed,
    })
}

/// How many bugs' crashes each function stands in.
#[derive(Debug, Default)]
pub struct Common {
    functions: BTreeMap<String, Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    bugs: BTreeSet<u32>,
    areas: BTreeSet<String>,
}

impl Common {
    /// Counts one bug's crash.
    pub fn add(&mut self, bug: u32, area: &str, report: &CrashReport) {
        let frames = report.frames.iter().filter(|frame| frame.reliable && !frame.machinery);
        let fault = report.fault.iter().filter_map(|fault| fault.symbol.as_deref());
        for name in frames.filter_map(|frame| frame.symbol.as_deref()).chain(fault) {
            let seen = self.functions.entry(normalise_symbol(name).to_owned()).or_default();
            seen.bugs.insert(bug);
            if seen.areas.len() < BUGS && !seen.areas.contains(area) {
                seen.areas.insert(area.to_owned());
            }
        }
    }

    /// Whether a function stands in so many bugs' crashes that it tells none of them.
    pub fn is_common(&self, name: &str) -> bool {
        self.functions.get(name).is_some_and(|seen| {
            let many = seen.bugs.len() >= BUGS && seen.areas.len() > 1;
            many || seen.bugs.len() >= BUGS_OF_ONE_AREA
        })
    }

    /// Whether a function stands in one bug's crash only.
    pub fn is_own(&self, name: &str) -> bool {
        self.functions.get(name).is_none_or(|seen| seen.bugs.len() < 2)
    }
}
