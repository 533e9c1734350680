//! Version ranges that say nothing, run backwards, or contradict themselves.

use std::cmp::Ordering;

use super::{Checker, join};
use crate::rules::release::{branch, scheme_of};
use crate::rules::schema::{Affected, Bound, OneOrMany, Release};
use crate::rules::version;

impl Checker<'_> {
    pub(super) fn affected(&mut self, affected: &Affected, path: &str) {
        let said = [&affected.introduced, &affected.fixed, &affected.last_affected]
            .iter()
            .any(|bound| bound.is_some())
            || affected.seen.is_some()
            || affected.not_affected.is_some();
        if !said {
            let help = "add seen, introduced, fixed, last_affected or not_affected; a version may be `unknown`";
            self.error("empty-range", path, "nothing is said about this stream", help);
        }
        let releases = |list: &Option<OneOrMany<Release>>| -> Vec<String> {
            list.iter().flatten().map(|release| release.0.clone()).collect()
        };
        let introduced = known(&affected.introduced);
        let fixed = known(&affected.fixed);
        let last = known(&affected.last_affected);
        for (key, versions) in [
            ("introduced", &introduced),
            ("fixed", &fixed),
            ("last_affected", &last),
            ("seen", &releases(&affected.seen)),
            ("not_affected", &releases(&affected.not_affected)),
        ] {
            for version in versions {
                let fine = version.starts_with(|c: char| c.is_ascii_digit())
                    && version.bytes().all(|b| b.is_ascii_graphic())
                    && (!version.contains('*') || matches!(key, "seen" | "not_affected"));
                if !fine {
                    let message = format!("{version:?} is not a version");
                    self.error(
                        "bad-version",
                        &join(path, key),
                        message,
                        "write it as the stream does, or `unknown`",
                    );
                }
            }
        }
        if !fixed.is_empty() && !last.is_empty() {
            let help = "keep `fixed`: it says more";
            self.error(
                "conflicting-keys",
                &join(path, "last_affected"),
                "`fixed` and `last_affected` exclude each other",
                help,
            );
        }
        let scheme = scheme_of(affected.stream.as_str());
        let backwards = |start: &str, end: &str, allowed: Ordering| {
            let order = version::compare(scheme, start, end);
            order != Ordering::Less && order != allowed
        };
        // One fix a branch may lie before the introduction on another branch.
        let same_branch = |start: &str, end: &str| {
            (introduced.len() == 1 && fixed.len().max(last.len()) == 1)
                || branch(affected.stream.as_str(), start) == branch(affected.stream.as_str(), end)
        };
        for start in &introduced {
            for (key, ends, allowed) in [
                ("fixed", &fixed, Ordering::Less),
                ("last_affected", &last, Ordering::Equal),
            ] {
                for end in ends {
                    if same_branch(start, end) && backwards(start, end, allowed) {
                        let message = format!(
                            "introduced in {start}, {} {end}: no release lies between",
                            key.replace('_', " ")
                        );
                        self.error(
                            "backwards-range",
                            &join(path, key),
                            message,
                            "swap them, or correct one",
                        );
                    }
                }
            }
        }
        for seen in releases(&affected.seen) {
            if let [end] = fixed.as_slice()
                && !seen.contains('*')
                && version::compare(scheme, &seen, end) != Ordering::Less
            {
                let message = format!("seen on {seen}, which is not before the fix in {end}");
                self.warning(
                    "seen-after-fix",
                    &join(path, "seen"),
                    message,
                    "one of the two is wrong",
                );
            }
        }
    }
}

/// The known versions of a bound.
fn known(bounds: &Option<OneOrMany<Bound>>) -> Vec<String> {
    bounds
        .iter()
        .flatten()
        .filter_map(|bound| match bound {
            Bound::At(release) => Some(release.0.clone()),
            Bound::Unknown => None,
        })
        .collect()
}
