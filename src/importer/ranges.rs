//! `affected` of a rule, from the releases that brought and fixed a bug, and from the kernel that crashed.

use crate::crash::CrashReport;
use crate::rules::affected::{Ceiling, standing};
use crate::rules::schema::Affected;
use crate::rules::version::{self, Scheme};

use super::bug::Bug;

/// One range, as it is written and as it is judged.
#[derive(Clone, Debug, Default)]
struct Range {
    introduced: Option<String>,
    fixed: Vec<String>,
    unknown_fix: bool,
    last_affected: Option<String>,
}

/// The `affected` block of a rule, as YAML.
pub fn affected(bug: &Bug, report: &CrashReport) -> String {
    let mut list = String::new();
    for range in ranges(bug) {
        list.push_str(&format!("  - {{stream: upstream{}}}\n", range.words()));
    }
    if let Some((stream, release)) = seen(&list, report) {
        list.push_str(&format!("  - {{stream: {stream}, seen: [{}]}}\n", quoted(&release)));
    }
    format!("affected:\n{list}")
}

/// The kernel that crashed, where the ranges would deny it: a vendor carries the bug in a release of its own, or the
/// bug came to a stable branch.
fn seen(list: &str, report: &CrashReport) -> Option<(String, String)> {
    let judged: Vec<Affected> = serde_yaml::from_str(list).ok()?;
    let release = report.system.release.clone()?;
    let stream = report.system.stream.clone()?;
    let plain = release.starts_with(|c: char| c.is_ascii_digit()) && release.bytes().all(|b| b.is_ascii_graphic());
    let denied = standing(&judged, &report.system).ceiling == Ceiling::Related;
    (denied && plain && !release.contains('*')).then_some((stream, release))
}

fn ranges(bug: &Bug) -> Vec<Range> {
    let mut fixed: Vec<String> = bug
        .fixed_in
        .iter()
        .filter(|release| is_version(release))
        .cloned()
        .collect();
    fixed.sort_by(|a, b| version::compare(Scheme::Upstream, a, b));
    fixed.dedup();
    let introduced = bug.introduced_in.clone().filter(|release| is_version(release));
    if fixed.is_empty() {
        let last_affected = bug.last_affected.clone().filter(|release| is_version(release));
        return vec![Range {
            introduced,
            unknown_fix: last_affected.is_none(),
            fixed,
            last_affected,
        }];
    }
    let Some(introduced) = introduced else {
        return vec![Range {
            fixed,
            ..Range::default()
        }];
    };
    // A branch below the release that brought the bug got it with a backport: since when is not told.
    let is_later = |fix: &String| version::compare(Scheme::Upstream, fix, &introduced).is_gt();
    let (later, earlier): (Vec<String>, Vec<String>) = fixed.into_iter().partition(is_later);
    let mut ranges = Vec::new();
    if !later.is_empty() {
        ranges.push(Range {
            introduced: Some(introduced),
            fixed: later,
            ..Range::default()
        });
    }
    if !earlier.is_empty() {
        ranges.push(Range {
            introduced: None,
            fixed: earlier,
            ..Range::default()
        });
    }
    ranges
}

impl Range {
    fn words(&self) -> String {
        let mut words = String::new();
        if let Some(introduced) = &self.introduced {
            words.push_str(&format!(", introduced: {}", quoted(introduced)));
        }
        if let Some(last) = &self.last_affected {
            words.push_str(&format!(", last_affected: {}", quoted(last)));
        }
        match self.fixed.as_slice() {
            [] if self.unknown_fix => words.push_str(", fixed: unknown"),
            [] => {}
            fixes => {
                let fixes: Vec<String> = fixes.iter().map(|fix| quoted(fix)).collect();
                words.push_str(&format!(", fixed: [{}]", fixes.join(", ")));
            }
        }
        words
    }
}

fn is_version(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit()) && text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

/// The mitigation that every fix is: newer kernels, one a branch.
pub fn upgrades(bug: &Bug) -> Option<String> {
    let mut fixed: Vec<&String> = bug.fixed_in.iter().filter(|release| is_version(release)).collect();
    fixed.sort_by(|a, b| version::compare(Scheme::Upstream, a, b));
    fixed.dedup();
    if fixed.is_empty() {
        return None;
    }
    let targets: Vec<String> = fixed
        .iter()
        .map(|fix| format!("{{stream: upstream, to: {}}}", quoted(fix)))
        .collect();
    Some(format!("[{}]", targets.join(", ")))
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
