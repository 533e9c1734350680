//! Which functions are on a stack for reasons of their own, and how names are compared.
//!
//! The lists are data with reasons (`plumbing.yaml`). This module knows names only: no frames, no offsets, no order;
//! [`super::signature`] knows what to make of a whole stack.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::LazyLock;

use serde::Deserialize;

pub use super::symbol_name::{normalise_symbol, unify_syscall};

/// A set of roles that a function can play on a stack. See `plumbing.yaml` for what each means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles(u8);

impl Roles {
    const MACHINERY: u8 = 1;
    const PLUMBING: u8 = 2;
    const WAITING: u8 = 4;
    const ANCHOR: u8 = 8;
    const BUCKET: u8 = 16;
    const ALLOCATING: u8 = 32;
    const ALL: u8 = 63;

    /// Panic or entry code.
    pub fn machinery(self) -> bool {
        self.0 & Self::MACHINERY != 0
    }

    /// A helper that works on what its caller gave it.
    pub fn plumbing(self) -> bool {
        self.0 & Self::PLUMBING != 0
    }

    /// Part of going to sleep.
    pub fn waiting(self) -> bool {
        self.0 & Self::WAITING != 0
    }

    /// Where the kernel is entered to do one job.
    pub fn anchor(self) -> bool {
        self.0 & Self::ANCHOR != 0
    }

    /// What many wait for, whatever they do: it alone names the crash.
    pub fn bucket(self) -> bool {
        self.0 & Self::BUCKET != 0
    }

    /// Gets memory for its caller.
    pub fn allocating(self) -> bool {
        self.0 & Self::ALLOCATING != 0
    }
}

/// The roles of a function; compiler suffixes do not matter.
pub fn roles(symbol: &str) -> Roles {
    LISTS.roles(normalise_symbol(symbol), Roles::ALL)
}

/// As [`roles`], but without telling what gets memory: few failures are about that, and many names fit its patterns.
pub fn roles_but_allocating(symbol: &str) -> Roles {
    LISTS.roles(normalise_symbol(symbol), Roles::ALL & !Roles::ALLOCATING)
}

/// The name by which a function's whole family is known (`smp_call_function` for `smp_call_function_many_cond`), or the
/// name itself. Expects a normalised name.
pub fn family(name: &str) -> &str {
    LISTS
        .families
        .iter()
        .find(|(glob, _)| glob.fits(name))
        .map_or(name, |(_, family)| family)
}

/// Whether a function is panic or entry code (`machine_kexec` … `page_fault`); compiler suffixes do not matter.
pub fn is_machinery(symbol: &str) -> bool {
    LISTS.roles(normalise_symbol(symbol), Roles::MACHINERY).machinery()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    role: RoleWord,
    #[allow(dead_code, reason = "every group must give its reason, for the reader of the data")]
    #[serde(borrow)]
    why: Cow<'static, str>,
    /// The one name that all of them are known by.
    #[serde(rename = "as", default)]
    family: Option<&'static str>,
    names: Vec<&'static str>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RoleWord {
    Machinery,
    Plumbing,
    Waiting,
    Anchor,
    Bucket,
    Allocating,
}

impl RoleWord {
    fn bit(self) -> u8 {
        match self {
            RoleWord::Machinery => Roles::MACHINERY,
            RoleWord::Plumbing => Roles::PLUMBING,
            RoleWord::Waiting => Roles::WAITING,
            RoleWord::Anchor => Roles::ANCHOR,
            RoleWord::Bucket => Roles::BUCKET,
            RoleWord::Allocating => Roles::ALLOCATING,
        }
    }
}

#[derive(Default)]
struct Lists {
    exact: HashMap<&'static str, u8, Fast>,
    /// Patterns with a `*`, in the order of what stands before it: those that a name may fit are found byte by byte.
    globs: Vec<(Glob, u8)>,
    /// Patterns and the name that stands for whatever fits them.
    families: Vec<(Glob, &'static str)>,
}

/// FNV-1a: the keys are constant and short, so that no text can make them collide.
#[derive(Clone, Copy)]
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

type Fast = BuildHasherDefault<Fnv>;

static LISTS: LazyLock<Lists> = LazyLock::new(|| {
    // The data is part of the program and a test reads it; were it broken after all, nothing would be plumbing.
    Lists::parse(PLUMBING).unwrap_or_default()
});

/// `plumbing.yaml` as JSON, which the build script makes of it: it is read at every start.
const PLUMBING: &str = include_str!(concat!(env!("OUT_DIR"), "/plumbing.json"));

impl Lists {
    fn parse(text: &'static str) -> Result<Lists, serde_json::Error> {
        let groups: Vec<Group> = serde_json::from_str(text)?;
        let mut lists = Lists::default();
        for group in &groups {
            let named = group
                .names
                .iter()
                .filter_map(|name| Some((Glob::new(name), group.family?)));
            lists.families.extend(named);
        }
        for (bit, name) in groups
            .iter()
            .flat_map(|group| group.names.iter().map(|name| (group.role.bit(), *name)))
        {
            let glob = Glob::new(name);
            match glob.behind {
                None => *lists.exact.entry(name).or_default() |= bit,
                Some(_) => lists.globs.push((glob, bit)),
            }
        }
        lists.globs.sort_by_key(|(glob, _)| glob.first);
        Ok(lists)
    }

    /// The roles of a normalised name among those that are `wanted`.
    fn roles(&self, name: &str, wanted: u8) -> Roles {
        let mut bits = self.exact.get(name).copied().unwrap_or_default();
        // Those that begin as the name does up to `at`: first of them the ones that have no more before their `*`.
        let mut alike = self.globs.as_slice();
        for at in 0..=name.len() {
            let whole = alike.iter().take_while(|(glob, _)| glob.first.len() == at).count();
            let (here, longer) = alike.split_at(whole);
            for (glob, bit) in here {
                if wanted & bit & !bits != 0 && glob.fits_behind(name.get(at..).unwrap_or_default()) {
                    bits |= bit;
                }
            }
            let (Some(byte), false) = (name.as_bytes().get(at), longer.is_empty()) else {
                break;
            };
            let below = |other: &u8| longer.partition_point(|(glob, _)| glob.first.as_bytes().get(at) < Some(other));
            let next = byte.checked_add(1).map_or(longer.len(), |next| below(&next));
            alike = longer.get(below(byte)..next).unwrap_or_default();
        }
        Roles(bits & wanted)
    }
}

/// A pattern in which `*` stands for any text; no other character is special.
#[derive(Clone, Copy)]
struct Glob {
    /// What stands before the first `*`: all there is, where there is none.
    first: &'static str,
    /// What stands behind it.
    behind: Option<&'static str>,
}

impl Glob {
    fn new(pattern: &'static str) -> Self {
        match pattern.split_once('*') {
            Some((first, behind)) => Glob {
                first,
                behind: Some(behind),
            },
            None => Glob {
                first: pattern,
                behind: None,
            },
        }
    }

    fn fits(self, name: &str) -> bool {
        name.strip_prefix(self.first).is_some_and(|rest| self.fits_behind(rest))
    }

    /// Whether what stands behind the first part of a name fits.
    fn fits_behind(self, mut rest: &str) -> bool {
        let mut behind = match self.behind {
            None => return rest.is_empty(),
            // Nearly every pattern: whatever begins so.
            Some("") => return true,
            Some(behind) => behind,
        };
        while let Some((part, after)) = behind.split_once('*') {
            let Some(at) = rest.find(part) else { return false };
            rest = rest.get(at + part.len()..).unwrap_or_default();
            behind = after;
        }
        rest.ends_with(behind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_well_formed() {
        let lists = Lists::parse(PLUMBING).unwrap();
        assert!(lists.exact.len() > 100);
        let groups: Vec<Group> = serde_json::from_str(PLUMBING).unwrap();
        assert!(
            groups
                .iter()
                .all(|group| group.why.ends_with('.') && !group.names.is_empty())
        );
    }

    #[test]
    fn the_panic_path_is_machinery_and_its_victim_is_not() {
        for name in [
            "machine_kexec",
            "oops_end",
            "page_fault",
            "asm_exc_page_fault",
            "no_context.constprop.0",
        ] {
            assert!(is_machinery(name), "{name}");
        }
        for name in ["down_read_trylock", "kswapd", "vfs_write", "crashlab_bug"] {
            assert!(!is_machinery(name), "{name}");
        }
    }

    #[test]
    fn locks_and_containers_are_plumbing() {
        for name in [
            "down_read_trylock",
            "__list_add_valid.cold",
            "_raw_spin_lock_irqsave",
            "memcpy_erms",
            "kfree",
        ] {
            assert!(roles(name).plumbing(), "{name}");
        }
        for name in ["page_lock_anon_vma_read", "ext4_writepages", "tcp_sendmsg", "do_exit"] {
            assert!(!roles(name).plumbing(), "{name}");
        }
    }

    #[test]
    fn compiler_suffixes_go_and_nothing_else() {
        assert_eq!(normalise_symbol("__list_add_valid.cold"), "__list_add_valid");
        assert_eq!(normalise_symbol("foo.isra.12.part.3.cold.7"), "foo");
        assert_eq!(normalise_symbol("foo.llvm.1234"), "foo");
        assert_eq!(normalise_symbol(".do_fork"), "do_fork");
        assert_eq!(normalise_symbol("a..b"), "a..b");
        assert_eq!(normalise_symbol(".cold"), "cold");
        assert_eq!(normalise_symbol(""), "");
    }

    #[test]
    fn system_calls_have_one_spelling() {
        for name in [
            "SyS_read",
            "sys_read",
            "__x64_sys_read",
            "__se_sys_read",
            "__do_sys_read",
            "ksys_read",
        ] {
            assert_eq!(unify_syscall(name), "sys_read", "{name}");
        }
        assert_eq!(unify_syscall("___sys_sendmsg"), "sys_sendmsg");
        assert_eq!(unify_syscall("__ia32_compat_sys_ioctl"), "sys_ioctl");
        assert_eq!(unify_syscall("vfs_read"), "vfs_read");
        assert_eq!(unify_syscall("sysfs_write_file"), "sysfs_write_file");
    }

    /// Every name is told its roles as if each pattern were tried by itself.
    #[test]
    fn patterns_found_byte_by_byte_are_those_that_fit() {
        let lists = Lists::parse(PLUMBING).unwrap();
        let names = lists.globs.iter().flat_map(|(glob, _)| {
            let first = glob.first;
            let behind = glob.behind.unwrap_or_default().replace('*', "x");
            let shorter = first.get(..first.len().saturating_sub(1)).unwrap_or_default();
            [
                format!("{first}y{behind}"),
                first.to_owned(),
                format!("{shorter}{behind}"),
                format!("a{first}"),
            ]
        });
        for name in names.chain(["".to_owned(), "é".to_owned(), "\u{ff}".to_owned()]) {
            let fitting = lists.globs.iter().filter(|(glob, _)| glob.fits(&name));
            let bits = fitting.fold(
                lists.exact.get(name.as_str()).copied().unwrap_or_default(),
                |bits, (_, bit)| bits | bit,
            );
            assert_eq!(lists.roles(&name, Roles::ALL), Roles(bits), "{name}");
        }
    }

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, name, fits) in [
            ("a*c", "abc", true),
            ("a*", "a", true),
            ("*b", "ab", true),
            ("class_*_constructor", "class_rcu_constructor", true),
            ("*_alloc_*", "x_alloc_y", true),
            ("a*c", "ab", false),
            ("a*b*c", "axc", false),
            ("ab", "abc", false),
        ] {
            assert_eq!(Glob::new(pattern).fits(name), fits, "{pattern} {name}");
        }
    }
}
