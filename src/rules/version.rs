//! How versions are ordered: rpm's way, Debian's way, and upstream's numbers.
//!
//! Pure functions over text. It must not know what a range is or which kernel is asked about: that is `affected`.

use std::cmp::Ordering;

/// How the versions of a stream are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `rpmvercmp` over version and release (`3.10.0-862.14.4.el7`).
    Rpm,
    /// Debian policy 5.6.12 (`6.1.192-2`).
    Debian,
    /// Numbers only, each stable branch for itself (`6.1.55`).
    Upstream,
}

/// Compares two versions in a scheme. Total, and equal versions may be spelled differently (`1.0` and `1.00`).
pub fn compare(scheme: Scheme, left: &str, right: &str) -> Ordering {
    match scheme {
        Scheme::Rpm => compare_rpm(left, right),
        Scheme::Debian => compare_debian(left, right),
        Scheme::Upstream => numbers(left).cmp(&numbers(right)),
    }
}

/// The leading numbers of an upstream version, without trailing zeros: 6.1 and 6.1.0 are one release. At most 8.
pub fn numbers(version: &str) -> Vec<u64> {
    let end = version
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(version.len());
    let mut numbers: Vec<u64> = version
        .get(..end)
        .unwrap_or_default()
        .split('.')
        .take(8)
        .map_while(|number| number.parse().ok())
        .collect();
    while numbers.last() == Some(&0) {
        numbers.pop();
    }
    numbers
}

/// Orders `version-release` pairs as rpm does, with an optional `epoch:` in front; a missing release compares equal to
/// any, as in a rpm dependency.
fn compare_rpm(left: &str, right: &str) -> Ordering {
    let (left_epoch, left) = split_epoch(left);
    let (right_epoch, right) = split_epoch(right);
    let (left_version, left_release) = left.split_once('-').unwrap_or((left, ""));
    let (right_version, right_release) = right.split_once('-').unwrap_or((right, ""));
    left_epoch
        .cmp(&right_epoch)
        .then_with(|| rpmvercmp(left_version, right_version))
        .then_with(|| {
            if left_release.is_empty() || right_release.is_empty() {
                Ordering::Equal
            } else {
                rpmvercmp(left_release, right_release)
            }
        })
}

fn split_epoch(version: &str) -> (u64, &str) {
    match version.split_once(':') {
        Some((epoch, rest)) if !epoch.is_empty() && epoch.bytes().all(|b| b.is_ascii_digit()) => {
            (epoch.parse().unwrap_or(u64::MAX), rest)
        }
        _ => (0, version),
    }
}

/// rpm's comparison of one version or release: runs of digits and of letters against each other, a number beats a
/// word, `~` sorts before the end and `^` just behind it. Everything else only separates.
pub fn rpmvercmp(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (left.as_bytes(), right.as_bytes());
    let separator = |byte: &u8| !byte.is_ascii_alphanumeric() && *byte != b'~' && *byte != b'^';
    loop {
        left = skip(left, separator);
        right = skip(right, separator);
        match (left.first(), right.first()) {
            (Some(b'~'), Some(b'~')) | (Some(b'^'), Some(b'^')) => {
                left = rest(left, 1);
                right = rest(right, 1);
                continue;
            }
            (Some(b'~'), _) => return Ordering::Less,
            (_, Some(b'~')) => return Ordering::Greater,
            (Some(b'^'), None) => return Ordering::Greater,
            (None, Some(b'^')) => return Ordering::Less,
            (Some(b'^'), Some(_)) => return Ordering::Less,
            (Some(_), Some(b'^')) => return Ordering::Greater,
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(first), Some(_)) => {
                let number = first.is_ascii_digit();
                let run = |byte: &u8| {
                    if number {
                        byte.is_ascii_digit()
                    } else {
                        byte.is_ascii_alphabetic()
                    }
                };
                let (left_run, left_rest) = split(left, run);
                let (right_run, right_rest) = split(right, run);
                if right_run.is_empty() {
                    return if number { Ordering::Greater } else { Ordering::Less };
                }
                let order = if number {
                    compare_digits(left_run, right_run)
                } else {
                    left_run.cmp(right_run)
                };
                if order != Ordering::Equal {
                    return order;
                }
                left = left_rest;
                right = right_rest;
            }
        }
    }
}

/// Debian's order of `[epoch:]upstream[-revision]`.
fn compare_debian(left: &str, right: &str) -> Ordering {
    let (left_epoch, left) = split_epoch(left);
    let (right_epoch, right) = split_epoch(right);
    let (left_upstream, left_revision) = left.rsplit_once('-').unwrap_or((left, "0"));
    let (right_upstream, right_revision) = right.rsplit_once('-').unwrap_or((right, "0"));
    left_epoch
        .cmp(&right_epoch)
        .then_with(|| debvercmp(left_upstream, right_upstream))
        .then_with(|| debvercmp(left_revision, right_revision))
}

/// Debian's comparison of one part: non-digits first (`~` before the end, letters before the rest), then digits, in
/// turns.
fn debvercmp(left: &str, right: &str) -> Ordering {
    fn weight(byte: Option<&u8>) -> i32 {
        match byte {
            None => 0,
            Some(byte) if byte.is_ascii_digit() => 0,
            Some(b'~') => -1,
            Some(byte) if byte.is_ascii_alphabetic() => i32::from(*byte),
            Some(byte) => i32::from(*byte) + 256,
        }
    }
    let (mut left, mut right) = (left.as_bytes(), right.as_bytes());
    while !left.is_empty() || !right.is_empty() {
        while left.first().is_some_and(|b| !b.is_ascii_digit()) || right.first().is_some_and(|b| !b.is_ascii_digit()) {
            let order = weight(left.first()).cmp(&weight(right.first()));
            if order != Ordering::Equal {
                return order;
            }
            left = rest(left, 1);
            right = rest(right, 1);
        }
        let (left_run, left_rest) = split(left, u8::is_ascii_digit);
        let (right_run, right_rest) = split(right, u8::is_ascii_digit);
        let order = compare_digits(left_run, right_run);
        if order != Ordering::Equal {
            return order;
        }
        left = left_rest;
        right = right_rest;
    }
    Ordering::Equal
}

/// Compares decimal numbers of any length.
fn compare_digits(left: &[u8], right: &[u8]) -> Ordering {
    let left = skip(left, |byte| *byte == b'0');
    let right = skip(right, |byte| *byte == b'0');
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

fn split(text: &[u8], run: impl Fn(&u8) -> bool) -> (&[u8], &[u8]) {
    text.split_at(text.iter().position(|byte| !run(byte)).unwrap_or(text.len()))
}

fn skip(text: &[u8], over: impl Fn(&u8) -> bool) -> &[u8] {
    split(text, over).1
}

fn rest(text: &[u8], count: usize) -> &[u8] {
    text.get(count..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Ordering::{Equal, Greater, Less};

    /// The pairs that rpm's own test suite (tests/rpmvercmp.at) compares, with its answers.
    #[test]
    fn rpm_orders_as_its_own_tests_say() {
        for (left, right, order) in [
            ("1.0", "1.0", Equal),
            ("1.0", "2.0", Less),
            ("2.0.1", "2.0", Greater),
            ("2.0.1a", "2.0.1", Greater),
            ("5.5p1", "5.5p2", Less),
            ("5.5p10", "5.5p1", Greater),
            ("10xyz", "10.1xyz", Less),
            ("xyz10", "xyz10.1", Less),
            ("xyz.4", "8", Less),
            ("xyz.4", "2", Less),
            ("5.5p2", "5.6p1", Less),
            ("5.6p1", "6.5p1", Less),
            ("6.0.rc1", "6.0", Greater),
            ("10b2", "10a1", Greater),
            ("1.0a", "1.0aa", Less),
            ("10.0001", "10.1", Equal),
            ("10.0001", "10.0039", Less),
            ("4.999.9", "5.0", Less),
            ("20101121", "20101122", Less),
            ("2_0", "2.0", Equal),
            ("a+", "a_", Equal),
            ("+a", "_a", Equal),
            ("_+", "+_", Equal),
            ("+", "_", Equal),
            ("1.0~rc1", "1.0", Less),
            ("1.0~rc1", "1.0~rc2", Less),
            ("1.0~rc1~git123", "1.0~rc1", Less),
            ("1.0^", "1.0", Greater),
            ("1.0^git1", "1.0^git2", Less),
            ("1.0^git1", "1.01", Less),
            ("1.0~rc1^git1", "1.0~rc1", Greater),
            ("1.0^git1~pre", "1.0^git1", Less),
        ] {
            assert_eq!(rpmvercmp(left, right), order, "{left} {right}");
            assert_eq!(rpmvercmp(right, left), order.reverse(), "{right} {left}");
        }
    }

    #[test]
    fn kernels_order_as_they_were_released() {
        for (scheme, left, right) in [
            (Scheme::Rpm, "3.10.0-862.el7", "3.10.0-862.14.4.el7"),
            (Scheme::Rpm, "3.10.0-862.14.4.el7", "3.10.0-957.el7"),
            (Scheme::Rpm, "4.18.0-348.el8", "4.18.0-348.7.1.el8_5"),
            (Scheme::Rpm, "2.6.32-71.el6", "2.6.32-754.35.1.el6"),
            (Scheme::Rpm, "5.14.0-70.13.1.el9_0", "5.14.0-162.6.1.el9_1"),
            (Scheme::Rpm, "4.12.14-122.37", "4.12.14-122.110"),
            (Scheme::Debian, "5.10.9-1", "5.10.223-1"),
            (Scheme::Debian, "6.1.192-1~deb11u1", "6.1.192-1"),
            (Scheme::Debian, "5.15.0-91.101~20.04.1", "5.15.0-91.101"),
            (Scheme::Debian, "5.15.0-91.101", "5.15.0-100.110"),
            (Scheme::Upstream, "5.9.16", "5.10"),
            (Scheme::Upstream, "6.1.9", "6.1.10"),
            (Scheme::Upstream, "0", "2.6.12"),
        ] {
            assert_eq!(compare(scheme, left, right), Less, "{left} {right}");
            assert_eq!(compare(scheme, right, left), Greater, "{right} {left}");
        }
        assert_eq!(compare(Scheme::Upstream, "6.1", "6.1.0"), Equal);
        assert_eq!(compare(Scheme::Rpm, "3.10.0", "3.10.0-862.el7"), Equal);
    }

    /// Pairs whose answers `dpkg --compare-versions` gives.
    #[test]
    fn debian_orders_as_dpkg_does() {
        for (left, right, order) in [
            ("1.0-1", "2.0-2", Less),
            ("2.2~rc-4", "2.2-1", Less),
            ("1.0000-1", "1.0-1", Equal),
            ("1", "0:1", Equal),
            ("0", "0:0-0", Equal),
            ("2:2.5", "1:7.5", Greater),
            ("1:0foo", "0foo", Greater),
            ("0:0foo", "0foo", Equal),
            ("0foo", "0fo", Greater),
            ("0foo-0", "0foo+", Less),
            ("0foo~1", "0foo", Less),
            ("0foo~foo+Bar", "0foo~foo+bar", Less),
            ("0foo~~", "0foo~", Less),
            ("1~", "1", Less),
            (
                "12345+that-really-is-some-ver-0",
                "12345+that-really-is-some-ver-10",
                Less,
            ),
            ("foo-0", "foo-01", Less),
            ("foo.bar", "foobar", Greater),
            ("foo.bar", "foo1bar", Greater),
            ("foo.bar", "foo0bar", Greater),
            ("1foo-1", "foo-1", Less),
            ("3.0~rc1-1", "3.0-1", Less),
            ("1.2.3-1~deb7u1", "1.2.3-1", Less),
            ("2.7.4+reloaded2-13ubuntu1", "2.7.4+reloaded2-13", Greater),
        ] {
            assert_eq!(compare_debian(left, right), order, "{left} {right}");
            assert_eq!(compare_debian(right, left), order.reverse(), "{right} {left}");
        }
    }

    proptest::proptest! {
        #[test]
        fn orders_are_orders(a in "[-0-9a-z.~^+:é]{0,12}", b in "[-0-9a-z.~^+:é]{0,12}") {
            for scheme in [Scheme::Rpm, Scheme::Debian, Scheme::Upstream] {
                proptest::prop_assert_eq!(compare(scheme, &a, &b), compare(scheme, &b, &a).reverse());
                proptest::prop_assert_eq!(compare(scheme, &a, &a), Equal);
            }
        }
    }
}
