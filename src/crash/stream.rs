//! Which line of kernel builds a release belongs to: `el7`, `debian`, `upstream`, …
//!
//! A stream is what version ranges are compared inside of. This module knows how distributions name their kernels, and
//! nothing of ranges or rules.

use super::StreamBasis;

/// A stream and what it was told from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    /// The stream's name, one of [`NAMES`].
    pub name: &'static str,
    /// What it was told from.
    pub basis: StreamBasis,
}

/// Every stream that [`derive`] can name.
pub const NAMES: &[&str] = &[
    "el5",
    "el6",
    "el7",
    "el7a",
    "el8",
    "el9",
    "el10",
    "uek",
    "ubuntu",
    "debian",
    "proxmox",
    "sles",
    "opensuse",
    "amzn",
    "fedora",
    "azurelinux",
    "photon",
    "openeuler",
    "anolis",
    "arch",
    "upstream",
];

/// The stream that mainline and stable kernels belong to, whoever compiled them.
pub const UPSTREAM: &str = "upstream";

/// Finds the stream of a kernel from `uname -r` and, where that does not tell, from `uname -v` (or the whole banner).
/// `None` when `release` does not begin with a version.
///
/// A release that carries no distribution's mark is `upstream`; when it carries somebody's own suffix
/// (`4.14.105-19-0012`, `6.1.0-syzkaller`) the basis is [`StreamBasis::Derived`]: built on it, with changes unknown.
pub fn derive(release: &str, banner: Option<&str>) -> Option<Stream> {
    let release = release.trim();
    let rest = after_version(release)?;
    let found = |name, basis| Some(Stream { name, basis });

    if let Some(name) = by_tag(rest).or_else(|| by_flavour(release, rest)) {
        return found(name, StreamBasis::Suffix);
    }
    if let Some(name) = banner.and_then(by_banner) {
        return found(name, StreamBasis::Banner);
    }
    if let Some(base) = el_base(release) {
        return found(base.stream, StreamBasis::Derived);
    }
    let basis = if is_plain(rest) {
        StreamBasis::Suffix
    } else {
        StreamBasis::Derived
    };
    found(UPSTREAM, basis)
}

/// What follows the leading `X.Y[.Z…]`.
fn after_version(release: &str) -> Option<&str> {
    let end = release
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(release.len());
    let version = release.get(..end)?.trim_end_matches('.');
    let numbers = version.split('.').filter(|part| !part.is_empty()).count();
    (numbers >= 2 && version.starts_with(|c: char| c.is_ascii_digit())).then(|| release.get(version.len()..))?
}

/// The mark that an rpm's release carries: `.el7`, `.fc40`, `.amzn2`, …
fn by_tag(rest: &str) -> Option<&'static str> {
    let mut found = None;
    for word in rest.split(['.', '-', '_', '+']) {
        // ELRepo's kernel-ml and kernel-lt are upstream kernels in an el package.
        if word == "elrepo" {
            return Some(UPSTREAM);
        }
        if word.contains("uek") {
            return Some("uek");
        }
        let (tag, number) = word.split_at(word.find(|c: char| c.is_ascii_digit()).unwrap_or(word.len()));
        if number.is_empty() {
            continue;
        }
        let named = match (tag, number) {
            ("el", "5") => "el5",
            ("el", "6") => "el6",
            ("el", "7") => "el7",
            ("el", "7a") => "el7a",
            ("el", "8") => "el8",
            ("el", "9") => "el9",
            ("el", "10") => "el10",
            ("amzn", _) => "amzn",
            ("fc", _) => "fedora",
            ("azl" | "cm", _) => "azurelinux",
            ("ph", _) => "photon",
            ("oe", _) => "openeuler",
            ("an", _) => "anolis",
            ("deb", _) => "debian",
            ("arch", _) => "arch",
            _ => continue,
        };
        found = found.or(Some(named));
    }
    found
}

/// The flavour that ends a Debian, Ubuntu, SUSE or Proxmox release: `-amd64`, `-generic`, `-default`, `-pve`.
fn by_flavour(release: &str, rest: &str) -> Option<&'static str> {
    // Debian names a flavour after its architecture: 6.1.0-18-cloud-amd64, 5.10.0-32-rt-amd64, 5.10.0-8-686-pae.
    const DEBIAN: &[&str] = &[
        "amd64",
        "arm64",
        "686",
        "pae",
        "armmp",
        "lpae",
        "rpi",
        "marvell",
        "s390x",
        "powerpc64le",
        "riscv64",
        "malta",
        "loongson",
        "octeon",
    ];
    const UBUNTU: &[&str] = &[
        "generic",
        "lowlatency",
        "aws",
        "azure",
        "gcp",
        "gke",
        "gkeop",
        "oracle",
        "ibm",
        "kvm",
        "virtual",
        "server",
        "raspi",
        "raspi2",
        "nvidia",
        "oem",
        "snapdragon",
        "iotg",
        "bluefield",
        "realtime",
        "fips",
        "fde",
        "hwe",
        "lpae",
        "64k",
        "tegra",
    ];
    const SUSE: &[&str] = &[
        "default", "preempt", "azure", "xen", "pae", "ec2", "trace", "rt", "64kb", "vanilla", "bigmem",
    ];

    let mut words = rest.split('-').skip(1);
    let build = words.next()?;
    let flavour = rest.rsplit('-').next().filter(|flavour| *flavour != build)?;
    let numbered =
        build.starts_with(|c: char| c.is_ascii_digit()) && build.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if flavour == "pve" {
        return Some("proxmox");
    }
    if !numbered {
        return None;
    }
    let dotted = build.contains('.');
    // SLE builds have two or more numbers since SLE 12 (4.12.14-122.37-default), which tells their azure and rt from
    // Ubuntu's (5.15.0-1053-azure).
    if flavour == "default" || (dotted && SUSE.contains(&flavour)) {
        return Some(if is_sle_version(release) { "sles" } else { "opensuse" });
    }
    if dotted {
        return None;
    }
    // Debian 10 and 11 and Ubuntu share `lpae`; Debian's has `armmp` before it.
    if DEBIAN.contains(&flavour) && (flavour != "lpae" || rest.contains("armmp")) {
        return Some("debian");
    }
    UBUNTU.contains(&flavour).then_some("ubuntu")
}

/// The kernel versions that SUSE Linux Enterprise 11 to 16 and their service packs are built on; any other `-default`
/// kernel is openSUSE's.
fn is_sle_version(release: &str) -> bool {
    [
        "2.6.27.", "2.6.32.", "3.0.", "3.12.", "4.4.", "4.12.14-", "5.3.18-", "5.14.21-", "6.4.0-", "6.12.0-",
    ]
    .iter()
    .any(|version| release.starts_with(version))
}

/// What `uname -v` gives away: `#1 SMP Debian 6.1.192-2 (2026-…)`, `#101-Ubuntu SMP …`, `#1 SMP PVE 5.15.108-1`.
fn by_banner(banner: &str) -> Option<&'static str> {
    for (mark, name) in [
        ("PVE", "proxmox"),
        ("Debian", "debian"),
        ("-Ubuntu", "ubuntu"),
        ("uek", "uek"),
    ] {
        if banner.contains(mark) {
            return Some(name);
        }
    }
    None
}

/// Whether nothing but what upstream itself appends follows the version: `-rc3`, `-next-20231101`, `+`, `-gabcdef12`,
/// `-00012-gabcdef12`, `-dirty`.
fn is_plain(rest: &str) -> bool {
    rest.trim_start_matches('-')
        .split(['-', '+'])
        .filter(|word| !word.is_empty())
        .all(|word| {
            word.bytes().all(|b| b.is_ascii_digit())
                || word == "next"
                || word == "dirty"
                || is_numbered(word, "rc")
                || (word.len() > 7
                    && word
                        .strip_prefix('g')
                        .is_some_and(|hash| hash.bytes().all(|b| b.is_ascii_hexdigit())))
        })
        && !starts_with_build_number(rest)
}

/// `-19-0012`: a vendor's build number, where upstream's own numbers follow a word or stand before a hash.
fn starts_with_build_number(rest: &str) -> bool {
    let mut words = rest.trim_start_matches('-').split('-');
    let first = words.next().unwrap_or_default().trim_end_matches('+');
    let hashed = words.next().is_some_and(|word| word.starts_with('g'));
    !first.is_empty() && first.bytes().all(|b| b.is_ascii_digit()) && !hashed
}

fn is_numbered(word: &str, prefix: &str) -> bool {
    word.strip_prefix(prefix)
        .is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

/// The build of a distribution that a vendor's kernel was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ElBase {
    /// The distribution's stream.
    pub stream: &'static str,
    /// The upstream version that the stream stays on.
    pub version: &'static str,
    /// The base build: the first number of the release, which each minor release of the distribution raises.
    pub build: u32,
}

/// Finds the Enterprise Linux base build of a release by its number: 327 in `3.10.0-327.36.58.4.x86_64` is RHEL 7.2.
/// The numbers are those of the distribution's minor releases (7.0 has 123, … 7.9 has 1160).
pub fn el_base(release: &str) -> Option<ElBase> {
    const BASES: &[(&str, &str, &[u32])] = &[
        ("el6", "2.6.32", &[71, 131, 220, 279, 358, 431, 504, 573, 642, 696, 754]),
        ("el7", "3.10.0", &[123, 229, 327, 514, 693, 862, 957, 1062, 1127, 1160]),
        ("el8", "4.18.0", &[80, 147, 193, 240, 305, 348, 372, 425, 477, 513, 553]),
        ("el9", "5.14.0", &[70, 162, 284, 362, 427, 503, 570, 611]),
    ];
    for &(stream, version, builds) in BASES {
        let Some(rest) = release.strip_prefix(version).and_then(|rest| rest.strip_prefix('-')) else {
            continue;
        };
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let build = number.parse().ok()?;
        let ends = after.is_empty() || after.starts_with('.');
        return (ends && builds.contains(&build)).then_some(ElBase { stream, version, build });
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(release: &str) -> (&'static str, StreamBasis) {
        let stream = derive(release, None).unwrap();
        assert!(NAMES.contains(&stream.name), "{}", stream.name);
        (stream.name, stream.basis)
    }

    #[test]
    fn a_distribution_is_told_from_its_own_suffix() {
        for (release, stream) in [
            ("2.6.32-754.35.1.el6.x86_64", "el6"),
            ("3.10.0-862.14.4.el7.x86_64", "el7"),
            ("3.10.0-957.el7.centos.plus.x86_64", "el7"),
            ("3.10.0-862.14.4.rt56.821.el7.x86_64", "el7"),
            ("4.14.0-115.el7a.aarch64", "el7a"),
            ("4.18.0-348.7.1.el8_5.x86_64", "el8"),
            ("5.14.0-284.30.1.el9_2.x86_64+debug", "el9"),
            ("6.12.0-55.9.1.el10_0.x86_64", "el10"),
            ("4.14.35-1902.300.11.el7uek.x86_64", "uek"),
            ("5.4.17-2136.300.7.el8uek.x86_64", "uek"),
            ("5.4.1-1.el7.elrepo.x86_64", "upstream"),
            ("4.14.355-275.603.amzn2.x86_64", "amzn"),
            ("6.1.102-111.182.amzn2023.x86_64", "amzn"),
            ("6.8.5-301.fc40.x86_64", "fedora"),
            ("6.6.57.1-7.azl3", "azurelinux"),
            ("5.15.138.1-4.cm2", "azurelinux"),
            ("5.10.0-60.18.0.50.oe2203.x86_64", "openeuler"),
            ("4.19.91-26.an8.x86_64", "anolis"),
            ("5.10.0-32-amd64", "debian"),
            ("6.1.0-18-cloud-amd64", "debian"),
            ("6.12.117+deb12-amd64", "debian"),
            ("6.1.0-0.deb11.5-amd64", "debian"),
            ("5.10.0-8-686-pae", "debian"),
            ("4.19.0-21-rt-amd64", "debian"),
            ("5.15.0-91-generic", "ubuntu"),
            ("5.4.0-1103-aws", "ubuntu"),
            ("5.15.0-1053-azure", "ubuntu"),
            ("6.8.0-40-lowlatency-64k", "ubuntu"),
            ("3.0.101-63-default", "sles"),
            ("4.12.14-122.37-default", "sles"),
            ("5.3.18-150300.38.56-azure", "sles"),
            ("6.9.1-1-default", "opensuse"),
            ("5.15.108-1-pve", "proxmox"),
            ("6.9.3-arch1-1", "arch"),
        ] {
            assert_eq!(name(release), (stream, StreamBasis::Suffix), "{release}");
        }
    }

    #[test]
    fn upstream_is_what_carries_no_mark() {
        for release in [
            "6.1.55",
            "6.7-rc2",
            "4.3.0-rc5",
            "6.7.0-rc2-next-20231101",
            "6.1.55+",
            "6.1.0-00012-gdeadbeef1234",
            "6.5.0-rc7-gabcdef123456-dirty",
        ] {
            assert_eq!(name(release), ("upstream", StreamBasis::Suffix), "{release}");
        }
        for release in [
            "4.3.0-rc5-mm1-no-madv-free+",
            "4.14.105-19-0012",
            "6.1.0-syzkaller",
            "5.10.43-android12-9",
            "3.7.1-default",
        ] {
            assert_eq!(name(release), ("upstream", StreamBasis::Derived), "{release}");
        }
    }

    #[test]
    fn a_vendor_kernel_is_known_by_its_base_build() {
        assert_eq!(name("3.10.0-327.36.58.4.x86_64"), ("el7", StreamBasis::Derived));
        assert_eq!(name("3.10.0-862"), ("el7", StreamBasis::Derived));
        assert_eq!(name("3.10.0-328.36.58.4.x86_64"), ("upstream", StreamBasis::Derived));
        assert_eq!(name("3.10.0"), ("upstream", StreamBasis::Suffix));
        assert_eq!(
            el_base("3.10.0-327.36.58.4.x86_64"),
            Some(ElBase {
                stream: "el7",
                version: "3.10.0",
                build: 327
            })
        );
    }

    #[test]
    fn the_banner_tells_where_the_release_does_not() {
        for (banner, stream) in [
            ("#1 SMP Debian 6.1.192-2 (2026-01-02)", "debian"),
            ("#101-Ubuntu SMP Tue Nov 14 13:30:08 UTC 2023", "ubuntu"),
            ("#1 SMP PVE 5.15.108-1 (2023-06-17T09:41Z)", "proxmox"),
        ] {
            let found = derive("6.1.77-own", Some(banner)).unwrap();
            assert_eq!((found.name, found.basis), (stream, StreamBasis::Banner));
        }
        assert_eq!(
            derive("6.1.77", Some("#1 SMP Wed Sep 26 15:12:11 UTC 2018"))
                .unwrap()
                .name,
            "upstream"
        );
    }

    #[test]
    fn no_version_no_stream() {
        for text in ["", "x86_64", "6", "-1-amd64", "...", "6.", "é6.1"] {
            assert_eq!(derive(text, None), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_release_is_survived(release in ".{0,40}", banner in ".{0,40}") {
            let _ = derive(&release, Some(&banner));
            let _ = el_base(&release);
        }

        #[test]
        fn versions_with_any_tail_have_a_stream(tail in "[-a-z0-9.+_é]{0,30}") {
            let release = format!("5.4.1{tail}");
            proptest::prop_assert!(derive(&release, None).is_some());
        }
    }
}
