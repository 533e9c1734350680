//! What is known of one bug before its crash is read: what fixed it, where it came from, and the text that shows it.

/// One fixed bug.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bug {
    /// The id of its rule: `cve-2023-52994-acpi-get-wakeup-address`, `c0a2ed70a549e-power-saving-thread`. Empty until
    /// the crash was read, where the source gives none.
    pub id: String,
    /// The mainline commit that fixes it, at least 12 hex digits.
    pub commit: Option<String>,
    /// The commit that brought it, at least 12 hex digits.
    pub introduced_by: Option<String>,
    /// The release that brought it.
    pub introduced_in: Option<String>,
    /// The last release known to have it, where no fixed one is known.
    pub last_affected: Option<String>,
    /// The first releases without it, one a branch, oldest first.
    pub fixed_in: Vec<String>,
    /// Its CVEs.
    pub cves: Vec<String>,
    /// The part of the kernel: `net`, `fs`, `drm`.
    pub area: Option<String>,
    /// What its fix is about, in words of ours.
    pub about: Vec<About>,
    /// Where its text was found.
    pub source: String,
    /// The text that shows the crash.
    pub text: Vec<u8>,
}

/// What a fix says that it is about. Never more than a hint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum About {
    /// Memory that is used after it was given back.
    UseAfterFree,
    /// Memory that is given back twice.
    DoubleFree,
    /// Two paths that get into each other's way.
    Race,
    /// An index or a length that nobody checks.
    Bounds,
    /// A pointer that may be NULL.
    Null,
    /// A count of users that goes wrong.
    Count,
    /// Locks in the wrong order, or taken twice.
    Deadlock,
    /// A division by zero.
    Zero,
    /// A loop without an end.
    Endless,
    /// Sleeping where that is not allowed.
    Sleep,
    /// A value that was never set.
    Uninitialised,
    /// A way out of an error that leaves things undone.
    ErrorPath,
}

/// The words that give a subject away, in the order in which they are asked.
const WORDS: &[(About, &[&str])] = &[
    (
        About::UseAfterFree,
        &["use-after-free", "use after free", "uaf", "after free", "dangling"],
    ),
    (
        About::DoubleFree,
        &["double free", "double-free", "freed twice", "doublefree"],
    ),
    (About::Race, &["race", "racing", "races", "concurrent", "toctou"]),
    (
        About::Bounds,
        &[
            "out-of-bound",
            "out of bound",
            "oob",
            "overflow",
            "overrun",
            "overread",
            "underflow",
        ],
    ),
    (
        About::Null,
        &[
            "null pointer",
            "null-pointer",
            "null-ptr",
            "null ptr",
            "null deref",
            "npd",
            "for null",
        ],
    ),
    (
        About::Count,
        &["refcount", "reference count", "refcnt", "ref count", "reference leak"],
    ),
    (About::Deadlock, &["deadlock", "dead lock", "lock order"]),
    (
        About::Zero,
        &[
            "divide by zero",
            "division by zero",
            "divide-by-zero",
            "division by 0",
            "divide error",
        ],
    ),
    (
        About::Endless,
        &["infinite loop", "endless loop", "soft lockup", "softlockup", "livelock"],
    ),
    (
        About::Sleep,
        &[
            "sleeping in atomic",
            "sleep in atomic",
            "atomic context",
            "sleeping while atomic",
        ],
    ),
    (About::Uninitialised, &["uninit", "not initialized", "uninitialised"]),
    (
        About::ErrorPath,
        &["error path", "error handling", "error unwind", "failure path"],
    ),
];

impl About {
    /// What a fix's subject says that it is about.
    pub fn of(subject: &str) -> Vec<About> {
        let subject = subject.to_lowercase();
        let has = |word: &str| {
            subject.match_indices(word).any(|(at, _)| {
                let before = subject.get(..at).and_then(|head| head.chars().next_back());
                before.is_none_or(|c| !c.is_ascii_alphanumeric())
            })
        };
        WORDS
            .iter()
            .filter(|(_, words)| words.iter().any(|word| has(word)))
            .map(|(about, _)| *about)
            .collect()
    }
}

impl Bug {
    /// What the same bug of another source shares with it.
    pub fn keys(&self) -> Vec<String> {
        let commit = self.commit.iter().map(|commit| short(commit).to_owned());
        commit.chain(self.cves.iter().cloned()).collect()
    }

    /// Whether both may be one bug: a CVE may have several fixes, each of another crash.
    pub fn may_be(&self, other: &Bug) -> bool {
        match (&self.commit, &other.commit) {
            (Some(one), Some(other)) => short(one) == short(other),
            _ => true,
        }
    }

    /// Takes over what another source knows of the same bug and this one does not.
    pub fn absorb(&mut self, other: Bug) {
        self.commit = self.commit.take().or(other.commit);
        self.introduced_by = self.introduced_by.take().or(other.introduced_by);
        self.introduced_in = self.introduced_in.take().or(other.introduced_in);
        self.last_affected = self.last_affected.take().or(other.last_affected);
        self.area = self.area.take().or(other.area);
        if self.fixed_in.len() < other.fixed_in.len() {
            self.fixed_in = other.fixed_in;
        }
        for cve in other.cves {
            if !self.cves.contains(&cve) {
                self.cves.push(cve);
            }
        }
        if self.text.is_empty() {
            self.text = other.text;
        }
    }

    /// What it is called in a list: by its id, or else by what fixes it, or where it was found.
    pub fn called(&self) -> String {
        match (self.id.as_str(), self.keys().first()) {
            ("", Some(key)) => key.clone(),
            ("", None) => self.source.clone(),
            (id, _) => id.to_owned(),
        }
    }

    /// The id of its rule: the CVE or the commit, and the function that the crash is known by.
    pub fn name(&mut self, function: &str) {
        let stem = match (self.cves.first(), &self.commit) {
            (Some(cve), _) => cve.to_lowercase(),
            (None, Some(commit)) => format!("c{}", short(commit)),
            (None, None) => String::new(),
        };
        self.id = slug(&format!("{stem}-{function}"));
    }
}

/// A commit's first 12 digits, by which it is compared.
pub fn short(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}

/// Whether a word is a commit's name of at least 12 digits.
pub fn is_commit(word: &str) -> bool {
    (12..=40).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Lower-case words joined by `-`, 3 to 64 characters, as a rule's id must be.
pub fn slug(text: &str) -> String {
    const LONGEST: usize = 64;
    let mut slug = String::new();
    for word in text
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
    {
        if slug.len() + word.len() + usize::from(!slug.is_empty()) > LONGEST {
            break;
        }
        if !slug.is_empty() {
            slug.push('-');
        }
        slug.push_str(&word.to_ascii_lowercase());
    }
    slug
}

/// The area of a path in the kernel's tree, or of a subsystem's name: a folder of rules.
pub fn area_of(path: &str) -> &'static str {
    const AREAS: &[(&str, &str)] = &[
        ("drivers/net/wireless", "net"),
        ("drivers/net", "net-drivers"),
        ("net-drivers", "net-drivers"),
        ("wireless", "net"),
        ("bluetooth", "net"),
        ("drivers/bluetooth", "net"),
        ("net", "net"),
        ("drivers/gpu", "drm"),
        ("drm", "drm"),
        ("fs", "fs"),
        ("io_uring", "io-uring"),
        ("drivers/md", "block"),
        ("md-dm", "block"),
        ("drivers/nvme", "block"),
        ("nvme", "block"),
        ("drivers/block", "block"),
        ("block", "block"),
        ("drivers/scsi", "scsi"),
        ("drivers/target", "scsi"),
        ("drivers/ata", "scsi"),
        ("scsi", "scsi"),
        ("mm", "mm"),
        ("drivers/usb", "usb"),
        ("usb", "usb"),
        ("drivers/infiniband", "rdma"),
        ("rdma", "rdma"),
        ("virt/kvm", "kvm"),
        ("arch/x86/kvm", "kvm"),
        ("kvm", "kvm"),
        ("kernel/bpf", "bpf"),
        ("bpf", "bpf"),
        ("kernel/trace", "tracing"),
        ("tracing", "tracing"),
        ("kernel/rcu", "rcu"),
        ("rcu", "rcu"),
        ("kernel/sched", "sched"),
        ("sched", "sched"),
        ("kernel/cgroup", "sched"),
        ("cgroup", "sched"),
        ("kernel/locking", "locking"),
        ("locking", "locking"),
        ("kernel", "core"),
        ("core", "core"),
        ("lib", "core"),
        ("perf", "core"),
        ("ipc", "core"),
        ("init", "core"),
        ("security", "security"),
        ("crypto", "security"),
        ("drivers/crypto", "security"),
        ("sound", "sound"),
        ("arch", "arch"),
        ("arm64", "arch"),
        ("powerpc", "arch"),
        ("riscv", "arch"),
        ("s390", "arch"),
        ("x86", "arch"),
    ];
    let begins = |prefix: &str| {
        path.strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let best = AREAS
        .iter()
        .filter(|(prefix, _)| begins(prefix))
        .max_by_key(|(prefix, _)| prefix.len());
    best.map_or("drivers", |(_, area)| area)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_is_an_id_and_no_longer_than_one_may_be() {
        assert_eq!(slug("CVE-2023-1 __foo_bar.isra.0"), "cve-2023-1-foo-bar-isra-0");
        assert!(slug(&"word_".repeat(40)).len() <= 64);
    }

    #[test]
    fn an_area_is_a_folder_of_the_tree() {
        for (path, area) in [
            ("net/ipv4/tcp.c", "net"),
            ("drivers/net/ethernet/intel/ice/ice_main.c", "net-drivers"),
            ("drivers/net/wireless/ath/x.c", "net"),
            ("fs/btrfs", "fs"),
            ("network", "drivers"),
            ("arch/x86/kvm/mmu.c", "kvm"),
            ("drivers/hid/hid-core.c", "drivers"),
        ] {
            assert_eq!(area_of(path), area, "{path}");
        }
    }

    #[test]
    fn a_subject_is_read_for_what_it_is_about() {
        assert_eq!(
            About::of("net: fix a UAF race in foo()"),
            [About::UseAfterFree, About::Race]
        );
        assert_eq!(About::of("trace: embrace the brace"), []);
    }
}
