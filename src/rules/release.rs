//! Releases as kernels report them → versions that their stream can compare.
//!
//! Knows how each distribution spells releases and packages, and nothing of ranges.

use super::version::{self, Scheme};
use crate::crash::stream::{UPSTREAM, el_base};

/// The order that a stream's versions have.
pub fn scheme_of(stream: &str) -> Scheme {
    match stream {
        "debian" | "ubuntu" | "proxmox" => Scheme::Debian,
        UPSTREAM | "arch" => Scheme::Upstream,
        _ => Scheme::Rpm,
    }
}

/// The branch that a version belongs to: a fix in one branch says nothing of a lower release in another.
///
/// Enterprise kernels stay on one version and branch by base build (3.10.0-862), the others by what upstream calls a
/// series (6.1; 2.6.32 before 3.0).
pub fn branch(stream: &str, version: &str) -> String {
    let numbers = version::numbers(version);
    let series = match numbers.as_slice() {
        [2, minor, patch, ..] => format!("2.{minor}.{patch}"),
        [major, minor, ..] => format!("{major}.{minor}"),
        [major] => format!("{major}.0"),
        [] => String::new(),
    };
    let enterprise = matches!(stream, "uek" | "sles" | "ubuntu" | "openeuler" | "anolis") || stream.starts_with("el");
    if !enterprise {
        return series;
    }
    let (version, release) = version.split_once('-').unwrap_or((version, ""));
    if stream == "ubuntu" {
        return version.to_owned();
    }
    let end = release.find(|c: char| !c.is_ascii_digit()).unwrap_or(release.len());
    format!("{version}-{}", release.get(..end).unwrap_or_default())
}

/// The leading `X.Y.Z` of a release.
pub fn upstream_part(release: &str) -> &str {
    let end = release
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(release.len());
    release.get(..end).unwrap_or_default().trim_end_matches('.')
}

/// What is compared for a kernel of a stream, and whether that is only the beginning of its version.
pub fn comparable(stream: &str, derived: bool, release: &str, banner: Option<&str>) -> (String, bool) {
    let plain = normalise(scheme_of(stream), release);
    match scheme_of(stream) {
        Scheme::Upstream => {
            let version = upstream_part(release);
            // -rc and -next come before the release they are named after, `+` and own suffixes behind it with unknown
            // changes: at a bound, neither tells.
            (version.to_owned(), derived || version.len() < release.len())
        }
        Scheme::Rpm if derived => match el_base(release) {
            Some(base) => (format!("{}-{}", base.version, base.build), true),
            None => (plain, true),
        },
        Scheme::Rpm => (plain, false),
        Scheme::Debian => match banner.and_then(|banner| package_version(stream, &plain, banner)) {
            Some(version) => (version, derived),
            None => (plain, true),
        },
    }
}

/// The package's version out of the banner: `Debian 6.1.192-2`, `PVE 5.15.108-1`, and Ubuntu's upload number `#101-Ubuntu`.
fn package_version(stream: &str, release: &str, banner: &str) -> Option<String> {
    let mark = match stream {
        "debian" => "Debian ",
        "proxmox" => "PVE ",
        _ => {
            let upload = banner.split('#').nth(1)?.split("-Ubuntu").next()?;
            let fine = upload.starts_with(|c: char| c.is_ascii_digit()) && !upload.contains(char::is_whitespace);
            return fine.then(|| format!("{release}.{upload}"));
        }
    };
    let version = banner.split(mark).nth(1)?.split_whitespace().next()?;
    version
        .starts_with(|c: char| c.is_ascii_digit())
        .then(|| version.to_owned())
}

/// A release without what is no part of its version: the architecture, the flavour, a debug mark.
pub fn normalise(scheme: Scheme, release: &str) -> String {
    const ARCHITECTURES: &[&str] = &[
        ".x86_64", ".aarch64", ".ppc64le", ".ppc64", ".s390x", ".i686", ".i586", ".i386", ".armv7hl", ".riscv64",
        ".noarch",
    ];
    let mut text = release;
    match scheme {
        Scheme::Upstream => {}
        Scheme::Rpm => {
            text = text.split('+').next().unwrap_or(text);
            text = text.strip_suffix(".debug").unwrap_or(text);
            for architecture in ARCHITECTURES {
                text = text.strip_suffix(architecture).unwrap_or(text);
            }
            text = without_flavour(text);
        }
        Scheme::Debian => {
            text = without_flavour(text);
        }
    }
    text.to_owned()
}

/// Cuts `-default`, `-generic`, `-cloud-amd64`: words behind the build number.
fn without_flavour(release: &str) -> &str {
    let mut end = release.len();
    while let Some((rest, word)) = release.get(..end).and_then(|text| text.rsplit_once('-')) {
        if !rest.contains('-') || word.starts_with(|c: char| c.is_ascii_digit()) && !matches!(word, "686" | "64k") {
            break;
        }
        end = rest.len();
    }
    release.get(..end).unwrap_or(release)
}
