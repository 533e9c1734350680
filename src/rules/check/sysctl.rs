//! Names of sysctls that kernels have, so that a misspelt one does not advise anybody.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use crate::rules::schema::glob;
use crate::rules::suggest::nearest;

/// The names, one a line, sorted; `*` stands for an interface, a device or a whole group. From kernels 2.6.32 to 6.18
/// (`sysctl -aN`, and the kernel's Documentation/admin-guide/sysctl), those of RHEL and SUSE too, and the names of our
/// own that a report gives other settings (`thp.enabled`).
const NAMES: &str = include_str!("sysctls.txt");

static PLAIN: LazyLock<BTreeSet<&str>> = LazyLock::new(|| NAMES.lines().filter(|name| !name.contains('*')).collect());

/// Whether there is such a sysctl.
pub fn exists(name: &str) -> bool {
    PLAIN.contains(name) || NAMES.lines().any(|known| known.contains('*') && glob(known, name))
}

/// The name that may be meant.
pub fn suggestion(name: &str) -> Option<&'static str> {
    nearest(name, PLAIN.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_names_exist_and_misspelt_ones_have_a_suggestion() {
        for name in [
            "vm.min_free_kbytes",
            "kernel.sched_min_granularity_ns",
            "net.ipv4.conf.eth0.rp_filter",
            "net.ipv4.tcp_tw_recycle",
            "fs.aio-max-nr",
            "thp.enabled",
        ] {
            assert!(exists(name), "{name}");
        }
        for (name, meant) in [
            ("vm.min_free_kbyte", "vm.min_free_kbytes"),
            ("kernel.panic_on_opps", "kernel.panic_on_oops"),
        ] {
            assert!(!exists(name));
            assert_eq!(suggestion(name), Some(meant));
        }
    }
}
