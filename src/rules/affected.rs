//! Does this kernel have the bug? Version ranges, compared only inside the stream that they name.
//!
//! Knows releases and ranges; what the answer does to a verdict is `identify`'s work.

use std::cmp::Ordering;

use serde::Serialize;

use super::answer::Answer;
use super::release::{branch, comparable, normalise, scheme_of, upstream_part};
use super::schema::{Affected, Bound, OneOrMany, Release};
use super::version::{self, Scheme};
use crate::crash::stream::{UPSTREAM, derive};
use crate::crash::{StreamBasis, System};

/// What is known of this kernel and this bug.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// Whether this kernel has the bug.
    pub known: Answer,
    /// Why, in one sentence without a full stop.
    pub note: String,
    /// The stream that the versions below belong to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// The first releases with the fix, one a branch. Empty: none is known.
    pub fixed_in: Vec<String>,
    /// The most that a match may be called.
    #[serde(skip)]
    pub ceiling: Ceiling,
}

/// What the kernel's release allows a match to be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ceiling {
    /// The bug is in this very release: nothing stands against "exact".
    Exact,
    /// Nothing speaks against it, but the release is not one of those known to have the bug.
    Likely,
    /// The release has the fix, or the bug is known only elsewhere.
    Related,
}

/// Holds a rule's ranges against the kernel of a system.
pub fn standing(ranges: &[Affected], system: &System) -> Standing {
    standing_of(ranges, Kernel::new(system).as_ref())
}

/// Holds a rule's ranges against a kernel; `None`: its release is not known. `ranges` may be empty: a bug of which nobody
/// has said where it is.
pub fn standing_of(ranges: &[Affected], kernel: Option<&Kernel<'_>>) -> Standing {
    let answer = |known, ceiling, note: String, stream: Option<&str>, fixed_in| Standing {
        known,
        note: with_remarks(note, ranges, stream),
        stream: stream.map(str::to_owned),
        fixed_in,
        ceiling,
    };
    if ranges.is_empty() {
        let note = "the rule does not say which kernels have the bug".to_owned();
        return answer(Answer::Unknown, Ceiling::Likely, note, None, Vec::new());
    }
    let Some(kernel) = kernel else {
        let only = single_stream(ranges);
        let fixed_in = only.map_or_else(Vec::new, |stream| fixed_in(ranges, stream));
        let note = "the kernel's release is not known".to_owned();
        return answer(Answer::Unknown, Ceiling::Likely, note, only, fixed_in);
    };
    let own: Vec<&Affected> = ranges
        .iter()
        .filter(|range| range.stream.as_str() == kernel.stream)
        .collect();
    if !own.is_empty() {
        let (known, mut note) = kernel.inside(&own);
        let mut ceiling = match known {
            Answer::Yes => Ceiling::Exact,
            Answer::No => Ceiling::Related,
            Answer::Unknown => Ceiling::Likely,
        };
        if kernel.derived && ceiling == Ceiling::Exact {
            ceiling = Ceiling::Likely;
        }
        if kernel.derived {
            note = format!("{note} (a derived kernel: only its base build can be compared)");
        }
        return answer(
            known,
            ceiling,
            note,
            Some(kernel.stream),
            fixed_in(ranges, kernel.stream),
        );
    }
    let upstream: Vec<&Affected> = ranges
        .iter()
        .filter(|range| range.stream.as_str() == UPSTREAM)
        .collect();
    if upstream.is_empty() {
        let mut streams: Vec<&str> = ranges.iter().map(|range| range.stream.as_str()).collect();
        streams.sort_unstable();
        streams.dedup();
        let note = format!("known only in {}; this kernel is {}", streams.join(", "), kernel.stream);
        let fixed = single_stream(ranges).map_or_else(Vec::new, |stream| fixed_in(ranges, stream));
        return answer(Answer::Unknown, Ceiling::Related, note, single_stream(ranges), fixed);
    }
    let (ceiling, note) = kernel.base_inside(&upstream);
    answer(
        Answer::Unknown,
        ceiling,
        note,
        Some(UPSTREAM),
        fixed_in(ranges, UPSTREAM),
    )
}

/// The sentence, and what the rule's author remarked on the ranges that it rests on.
fn with_remarks(mut note: String, ranges: &[Affected], stream: Option<&str>) -> String {
    for range in ranges {
        if let Some(remark) = &range.note
            && stream == Some(range.stream.as_str())
        {
            note.push_str("; ");
            note.push_str(remark.trim());
        }
    }
    note
}

/// The kernel that crashed, as its stream compares it.
#[derive(Debug)]
pub struct Kernel<'a> {
    stream: &'a str,
    derived: bool,
    scheme: Scheme,
    /// As the report has it.
    release: &'a str,
    /// What is compared.
    version: String,
    /// `version` is only the beginning of what would have to be compared: at a bound that begins with it, nothing is
    /// known.
    partial: bool,
    /// The upstream release that it is built on, and whether the patch number is the true one.
    base: String,
    base_exact: bool,
}

impl<'a> Kernel<'a> {
    /// The kernel of a system, where its release is known.
    pub fn new(system: &'a System) -> Option<Self> {
        let release = system.release.as_deref()?;
        let (stream, basis) = match system.stream.as_deref() {
            Some(stream) => (stream, system.stream_basis),
            // A report that somebody wrote by hand may leave it out.
            None => match derive(release, system.version.as_deref()) {
                Some(found) => (found.name, Some(found.basis)),
                // Somebody's own name: known nowhere, comparable by nothing.
                None => ("of no known stream", Some(StreamBasis::Derived)),
            },
        };
        let derived = basis == Some(StreamBasis::Derived);
        let scheme = scheme_of(stream);
        let (version, partial) = comparable(stream, derived, release, system.version.as_deref());
        // Debian's package version names the stable release it is built on; an ABI name (6.1.0-56) does not.
        let debian_package = scheme == Scheme::Debian && stream != "ubuntu" && !partial;
        let base = upstream_part(if debian_package { &version } else { release }).to_owned();
        Some(Kernel {
            stream,
            derived,
            scheme,
            release,
            version,
            partial,
            base,
            base_exact: debian_package || scheme == Scheme::Upstream,
        })
    }

    /// How this kernel compares with a bound of its own stream; `None` where that cannot be told.
    fn compare(&self, bound: &str) -> Option<Ordering> {
        let bound = normalise(self.scheme, bound);
        if self.partial && self.begins(&bound) {
            return None;
        }
        Some(version::compare(self.scheme, &self.version, &bound))
    }

    fn begins(&self, bound: &str) -> bool {
        match self.scheme {
            Scheme::Upstream => version::numbers(&self.version) == version::numbers(bound),
            Scheme::Rpm | Scheme::Debian => bound
                .strip_prefix(self.version.as_str())
                .is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit())),
        }
    }

    fn is(&self, release: &Release) -> bool {
        if let Some(glob) = Affected::glob_of(release) {
            return glob.matches(self.release) || glob.matches(&self.version);
        }
        release.0 == self.release
            || normalise(self.scheme, &release.0) == normalise(self.scheme, self.release)
            || (!self.partial && self.compare(&release.0) == Some(Ordering::Equal))
    }

    /// Ranges of the kernel's own stream: whether it has the bug, and the sentence that says why.
    fn inside(&self, ranges: &[&Affected]) -> (Answer, String) {
        for range in ranges {
            if range.seen.iter().flatten().any(|release| self.is(release)) {
                return (Answer::Yes, format!("seen on {}", self.release));
            }
        }
        for range in ranges {
            if range.not_affected.iter().flatten().any(|release| self.is(release)) {
                return (Answer::No, format!("{} is known not to have the bug", self.release));
            }
        }
        for range in ranges {
            if let Some(note) = self.within(range) {
                return (Answer::Yes, note);
            }
        }
        if let Some(fix) = self.past_fix(ranges) {
            return (Answer::No, format!("{} carries the fix of {fix}", self.release));
        }
        (Answer::Unknown, self.why_unknown(ranges))
    }

    /// Between two known bounds of one range.
    fn within(&self, range: &Affected) -> Option<String> {
        let introduced = versions(&range.introduced);
        let start = self.event(&introduced)?;
        if self.compare(start)? == Ordering::Less {
            return None;
        }
        let fixed = versions(&range.fixed);
        if let Some(end) = self.event(&fixed) {
            return (self.compare(end)? == Ordering::Less).then(|| self.between(start, &format!("fixed in {end}")));
        }
        let last = versions(&range.last_affected);
        let end = self.event(&last)?;
        (self.compare(end)? != Ordering::Greater).then(|| self.between(start, &format!("last known in {end}")))
    }

    fn between(&self, start: &str, end: &str) -> String {
        if start == "0" {
            format!("{} has the bug: {end}", self.release)
        } else {
            format!("{} has the bug: introduced in {start}, {end}", self.release)
        }
    }

    /// The event that decides for this kernel: its own branch's, or else mainline's, which is the highest.
    fn event<'v>(&self, versions: &[&'v str]) -> Option<&'v str> {
        let own = branch(self.stream, &self.version);
        versions
            .iter()
            .copied()
            .find(|version| branch(self.stream, &normalise(self.scheme, version)) == own)
            .or_else(|| {
                versions
                    .iter()
                    .copied()
                    .max_by(|a, b| version::compare(self.scheme, a, b))
            })
    }

    /// The fix that this kernel carries, by all ranges together.
    fn past_fix<'v>(&self, ranges: &[&'v Affected]) -> Option<&'v str> {
        let own = branch(self.stream, &self.version);
        let mut behind: Vec<&'v str> = Vec::new();
        let mut all_ahead_start_later = true;
        for range in ranges {
            let introduced = versions(&range.introduced);
            for fix in versions(&range.fixed) {
                let passed = matches!(self.compare(fix), Some(Ordering::Equal | Ordering::Greater));
                if branch(self.stream, &normalise(self.scheme, fix)) == own {
                    return passed.then_some(fix);
                }
                if passed {
                    behind.push(fix);
                } else {
                    // A later fix does not matter to this kernel when it ends a range that begins later, too.
                    let starts_later = !introduced.is_empty()
                        && introduced
                            .iter()
                            .all(|start| self.compare(start) == Some(Ordering::Less));
                    all_ahead_start_later &= starts_later;
                }
            }
        }
        let newest = behind.into_iter().max_by(|a, b| version::compare(self.scheme, a, b))?;
        all_ahead_start_later.then_some(newest)
    }

    fn why_unknown(&self, ranges: &[&Affected]) -> String {
        let fixes: Vec<&str> = ranges.iter().flat_map(|range| versions(&range.fixed)).collect();
        let seen: Vec<&str> = ranges
            .iter()
            .flat_map(|range| range.seen.iter().flatten())
            .map(|release| release.0.as_str())
            .collect();
        let bounds = ranges.iter().flat_map(|range| {
            [&range.introduced, &range.fixed, &range.last_affected]
                .into_iter()
                .flat_map(versions)
        });
        if let Some(bound) = bounds.into_iter().find(|bound| self.compare(bound).is_none()) {
            return format!(
                "{} stands at the bound {bound}: which side it is on cannot be told",
                self.release
            );
        }
        for range in ranges {
            if let Some(start) = self.event(&versions(&range.introduced))
                && self.compare(start) == Some(Ordering::Less)
            {
                return format!(
                    "{} is older than {start}, which is said to have brought the bug",
                    self.release
                );
            }
            if let Some(last) = self.event(&versions(&range.last_affected))
                && self.compare(last) == Some(Ordering::Greater)
            {
                return format!(
                    "{} is newer than {last}, the last release known to have the bug",
                    self.release
                );
            }
        }
        let mut note = format!("nothing is known about {}", self.release);
        if !seen.is_empty() {
            note = format!("{note}; seen on {}", seen.join(", "));
        }
        if fixes.is_empty() {
            format!("{note}; no fixed release is known")
        } else {
            format!("{note}; fixed in {}", fixes.join(", "))
        }
    }

    /// Upstream ranges against a distribution's kernel: only its base can be compared, and the vendor may have
    /// backported bug and fix alike.
    fn base_inside(&self, ranges: &[&Affected]) -> (Ceiling, String) {
        let base = Kernel {
            stream: UPSTREAM,
            derived: false,
            scheme: Scheme::Upstream,
            release: self.release,
            version: self.base.clone(),
            partial: !self.base_exact,
            base: self.base.clone(),
            base_exact: self.base_exact,
        };
        let what = format!("{} is a {} kernel on {}", self.release, self.stream, self.base);
        if let Some(fix) = base.past_fix(ranges) {
            return (Ceiling::Related, format!("{what}: upstream fixed this in {fix}"));
        }
        if ranges
            .iter()
            .any(|range| range.not_affected.iter().flatten().any(|release| base.is(release)))
        {
            return (
                Ceiling::Related,
                format!("{what}, which upstream knows not to have the bug"),
            );
        }
        let outside = ranges.iter().all(|range| {
            let before = base
                .event(&versions(&range.introduced))
                .is_some_and(|start| base.compare(start) == Some(Ordering::Less));
            let after = base
                .event(&versions(&range.last_affected))
                .is_some_and(|last| base.compare(last) == Some(Ordering::Greater));
            let fixed = base
                .event(&versions(&range.fixed))
                .is_some_and(|fix| matches!(base.compare(fix), Some(Ordering::Equal | Ordering::Greater)));
            before || after || fixed
        });
        if outside {
            return (
                Ceiling::Related,
                format!("{what}: upstream has the bug in other releases only"),
            );
        }
        (
            Ceiling::Likely,
            format!("{what}, which upstream knows to have the bug; the vendor may have backported the fix"),
        )
    }
}

fn versions(bounds: &Option<OneOrMany<Bound>>) -> Vec<&str> {
    bounds
        .iter()
        .flatten()
        .filter_map(|bound| match bound {
            Bound::At(release) => Some(release.0.as_str()),
            Bound::Unknown => None,
        })
        .collect()
}

fn fixed_in(ranges: &[Affected], stream: &str) -> Vec<String> {
    ranges
        .iter()
        .filter(|range| range.stream.as_str() == stream)
        .flat_map(|range| versions(&range.fixed))
        .map(str::to_owned)
        .collect()
}

fn single_stream(ranges: &[Affected]) -> Option<&str> {
    let first = ranges.first()?.stream.as_str();
    ranges
        .iter()
        .all(|range| range.stream.as_str() == first)
        .then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Answer::{No, Unknown, Yes};

    fn system(release: &str, banner: Option<&str>) -> System {
        let stream = derive(release, banner).unwrap();
        System {
            release: Some(release.to_owned()),
            version: banner.map(str::to_owned),
            stream: Some(stream.name.to_owned()),
            stream_basis: Some(stream.basis),
            ..System::default()
        }
    }

    fn ask(ranges: &str, release: &str, banner: Option<&str>) -> (Answer, Ceiling) {
        let ranges: Vec<Affected> = serde_yaml::from_str(ranges).unwrap();
        let found = standing(&ranges, &system(release, banner));
        assert!(!found.note.is_empty());
        (found.known, found.ceiling)
    }

    const EXACT: Ceiling = Ceiling::Exact;
    const LIKELY: Ceiling = Ceiling::Likely;
    const RELATED: Ceiling = Ceiling::Related;

    #[test]
    fn a_release_that_was_seen_has_the_bug_and_says_nothing_of_others() {
        let ranges = "[{stream: el7, seen: [3.10.0-862.14.4.el7], fixed: unknown}]";
        assert_eq!(ask(ranges, "3.10.0-862.14.4.el7.x86_64", None), (Yes, EXACT));
        assert_eq!(ask(ranges, "3.10.0-862.14.4.el7.x86_64.debug", None), (Yes, EXACT));
        assert_eq!(ask(ranges, "3.10.0-862.11.6.el7.x86_64", None), (Unknown, LIKELY));
        assert_eq!(ask(ranges, "3.10.0-957.el7.x86_64", None), (Unknown, LIKELY));
        let globbed = "[{stream: el7, seen: ['3.10.0-862.*']}]";
        assert_eq!(ask(globbed, "3.10.0-862.11.6.el7.x86_64", None), (Yes, EXACT));
    }

    #[test]
    fn ranges_are_introduced_inclusive_and_fixed_exclusive() {
        let ranges = "[{stream: el7, introduced: 3.10.0-514.el7, fixed: 3.10.0-957.el7}]";
        for (release, known) in [
            ("3.10.0-327.el7.x86_64", Unknown),
            ("3.10.0-514.el7.x86_64", Yes),
            ("3.10.0-862.14.4.el7.x86_64", Yes),
            ("3.10.0-957.el7.x86_64", No),
            ("3.10.0-1160.el7.x86_64", No),
        ] {
            assert_eq!(ask(ranges, release, None).0, known, "{release}");
        }
        let last = "[{stream: el7, introduced: '0', last_affected: 3.10.0-957.el7}]";
        assert_eq!(ask(last, "3.10.0-957.el7.x86_64", None), (Yes, EXACT));
        assert_eq!(ask(last, "3.10.0-1062.el7.x86_64", None), (Unknown, LIKELY));
        let open = "[{stream: el7, fixed: 3.10.0-957.el7}]";
        assert_eq!(ask(open, "3.10.0-862.el7.x86_64", None), (Unknown, LIKELY));
        assert_eq!(ask(open, "3.10.0-957.1.3.el7.x86_64", None), (No, RELATED));
        let not = "[{stream: el7, introduced: '0', fixed: unknown, not_affected: [3.10.0-693.el7]}]";
        assert_eq!(ask(not, "3.10.0-693.el7.x86_64", None), (No, RELATED));
    }

    #[test]
    fn a_fix_counts_in_its_own_branch() {
        let ranges =
            "[{stream: el7, introduced: '0', fixed: [3.10.0-862.20.2.el7, 3.10.0-957.5.1.el7, 3.10.0-1062.el7]}]";
        for (release, known) in [
            ("3.10.0-693.el7.x86_64", Yes),
            ("3.10.0-862.14.4.el7.x86_64", Yes),
            ("3.10.0-862.20.2.el7.x86_64", No),
            ("3.10.0-957.1.3.el7.x86_64", Yes),
            ("3.10.0-957.5.1.el7.x86_64", No),
            ("3.10.0-1127.el7.x86_64", No),
        ] {
            assert_eq!(ask(ranges, release, None).0, known, "{release}");
        }
        for ranges in [
            "[{stream: upstream, introduced: '4.19', fixed: [5.10.209, 5.15.148, 6.1.75, '6.7']}]",
            "[{stream: upstream, introduced: '4.19', fixed: 5.10.209}, {stream: upstream, introduced: '5.11', fixed: 5.15.148},
              {stream: upstream, introduced: '5.16', fixed: 6.1.75}, {stream: upstream, introduced: '6.2', fixed: '6.7'}]",
        ] {
            for (release, known) in [
                ("4.14.3", Unknown),
                ("4.19.1", Yes),
                ("5.10.208", Yes),
                ("5.10.209", No),
                ("5.12.3", Yes),
                ("5.15.147", Yes),
                ("5.15.148", No),
                ("6.1.74", Yes),
                ("6.1.75", No),
                ("6.6.9", Yes),
                ("6.7", No),
                ("6.8.1", No),
            ] {
                assert_eq!(ask(ranges, release, None).0, known, "{release} in {ranges}");
            }
        }
        // Without an introduction nothing is known before a fix; the own branch's fix decides.
        let fixes = "[{stream: upstream, fixed: 5.10.50}, {stream: upstream, fixed: 5.15.11}]";
        assert_eq!(ask(fixes, "5.15.3", None).0, Unknown);
        assert_eq!(ask(fixes, "5.10.60", None).0, No);
        assert_eq!(ask(fixes, "5.16", None).0, No);
    }

    #[test]
    fn candidates_and_plus_kernels_tell_nothing_at_a_bound() {
        let ranges = "[{stream: upstream, introduced: '5.10', fixed: '6.7'}]";
        assert_eq!(ask(ranges, "6.7-rc3", None), (Unknown, LIKELY));
        assert_eq!(ask(ranges, "6.7.0-rc3-next-20231101", None), (Unknown, LIKELY));
        assert_eq!(ask(ranges, "6.7.0+", None), (Unknown, LIKELY));
        assert_eq!(ask(ranges, "5.10.0-rc1", None), (Unknown, LIKELY));
        assert_eq!(ask(ranges, "6.6.0-rc3", None), (Yes, EXACT));
        assert_eq!(ask(ranges, "6.8-rc1", None), (No, RELATED));
    }

    #[test]
    fn a_derived_kernel_compares_by_its_base_build() {
        let vendor = "3.10.0-327.36.58.4.x86_64";
        assert_eq!(
            ask("[{stream: el7, introduced: '0', fixed: 3.10.0-514.el7}]", vendor, None),
            (Yes, LIKELY)
        );
        assert_eq!(
            ask("[{stream: el7, introduced: '0', fixed: 3.10.0-229.el7}]", vendor, None),
            (No, RELATED)
        );
        assert_eq!(
            ask(
                "[{stream: el7, introduced: '0', fixed: 3.10.0-327.36.1.el7}]",
                vendor,
                None
            ),
            (Unknown, LIKELY)
        );
        assert_eq!(
            ask(
                "[{stream: el7, seen: [3.10.0-862.14.4.el7], fixed: unknown}]",
                vendor,
                None
            ),
            (Unknown, LIKELY)
        );
    }

    #[test]
    fn a_distributions_bug_is_related_elsewhere() {
        let ranges = "[{stream: el7, seen: [3.10.0-862.14.4.el7]}]";
        let banner = Some("#1 SMP Debian 5.10.223-1 (2024-08-10)");
        assert_eq!(ask(ranges, "5.10.0-32-amd64", banner), (Unknown, RELATED));
        assert_eq!(ask(ranges, "4.3.0-rc5-mm1-no-madv-free+", None), (Unknown, RELATED));
        let ranges: Vec<Affected> = serde_yaml::from_str(ranges).unwrap();
        assert_eq!(standing(&ranges, &System::default()).ceiling, LIKELY);
        let nameless = System {
            release: Some("weird".to_owned()),
            ..System::default()
        };
        assert_eq!(standing(&ranges, &nameless).ceiling, RELATED);
        let by_hand = System {
            release: Some("3.10.0-862.14.4.el7.x86_64".to_owned()),
            ..System::default()
        };
        assert_eq!(standing(&ranges, &by_hand).ceiling, EXACT);
        assert_eq!(standing(&[], &System::default()).ceiling, LIKELY);
        let remark = "[{stream: el7, seen: [3.10.0-862.el7], note: only with zram}]";
        let ranges: Vec<Affected> = serde_yaml::from_str(remark).unwrap();
        let note = standing(&ranges, &system("3.10.0-862.el7.x86_64", None)).note;
        assert_eq!(note, "seen on 3.10.0-862.el7.x86_64; only with zram");
    }

    #[test]
    fn an_upstream_bug_is_likely_where_the_base_lies_in_the_range() {
        let ranges = "[{stream: upstream, introduced: '5.11', fixed: [5.15.148, 6.1.75, '6.7']}]";
        let debian = |version: &str| format!("#1 SMP PREEMPT_DYNAMIC Debian {version} (2026-01-02)");
        assert_eq!(
            ask(ranges, "6.1.0-17-amd64", Some(&debian("6.1.69-1"))),
            (Unknown, LIKELY)
        );
        assert_eq!(
            ask(ranges, "6.1.0-56-amd64", Some(&debian("6.1.192-2"))),
            (Unknown, RELATED)
        );
        assert_eq!(ask(ranges, "6.1.0-56-amd64", None), (Unknown, LIKELY));
        assert_eq!(
            ask(ranges, "5.10.0-32-amd64", Some(&debian("5.10.223-1"))),
            (Unknown, RELATED)
        );
        assert_eq!(ask(ranges, "5.14.0-284.el9.x86_64", None), (Unknown, LIKELY));
        assert_eq!(ask(ranges, "3.10.0-862.el7.x86_64", None), (Unknown, RELATED));
        assert_eq!(ask(ranges, "6.8.0-40-generic", None), (Unknown, RELATED));
    }

    #[test]
    fn debian_and_ubuntu_compare_packages() {
        let debian = "[{stream: debian, introduced: 6.1.100-1, fixed: 6.1.192-2}]";
        let banner = |version: &str| format!("#1 SMP Debian {version} (2026-01-02)");
        assert_eq!(ask(debian, "6.1.0-50-amd64", Some(&banner("6.1.192-1"))), (Yes, EXACT));
        assert_eq!(ask(debian, "6.1.0-56-amd64", Some(&banner("6.1.192-2"))), (No, RELATED));
        let ubuntu = "[{stream: ubuntu, introduced: 5.15.0-80.89, fixed: 5.15.0-91.101}]";
        assert_eq!(ask(ubuntu, "5.15.0-90-generic", None), (Yes, EXACT));
        assert_eq!(ask(ubuntu, "5.15.0-91-generic", None), (Unknown, LIKELY));
        assert_eq!(
            ask(ubuntu, "5.15.0-91-generic", Some("#101-Ubuntu SMP Tue Nov 14")),
            (No, RELATED)
        );
        assert_eq!(ask(ubuntu, "5.15.0-92-generic", None), (No, RELATED));
        let sles = "[{stream: sles, introduced: '0', fixed: 4.12.14-122.110.1}]";
        assert_eq!(ask(sles, "4.12.14-122.37-default", None), (Yes, EXACT));
    }

    proptest::proptest! {
        #[test]
        fn any_release_has_a_standing(release in "[0-9.a-z+~_-]{0,24}", stream in "el7|debian|ubuntu|upstream|sles|x") {
            let ranges: Vec<Affected> = serde_yaml::from_str(
                "[{stream: el7, introduced: '0', fixed: 3.10.0-957.el7}, {stream: upstream, introduced: '5.10', fixed: '6.7'}]",
            ).unwrap();
            let system = System { release: Some(release), stream: Some(stream), ..System::default() };
            let _ = standing(&ranges, &system);
        }
    }
}
