//! What the rows of a report come to: counts, bugs, groups of unknown crashes, inputs that failed. Memory grows with
//! how many different names there are, up to a limit, and not with the rows.

use std::collections::{BTreeMap, BTreeSet};

use super::markup::Markup;
use super::row::{Row, Verdict};
use crate::crash::{CrashReport, System};
use crate::rules::Tier;
use crate::scan::Status;

/// How many different names are told apart; what comes later is counted as one.
const NAMES: usize = 20_000;

/// How many inputs without a crash, or that failed, are listed.
const LISTED: usize = 500;

/// How much of a name is kept.
const NAME: usize = 300;

/// What stands for a name that a crash does not tell.
pub const UNNAMED: &str = "not known";

/// A month: years since 0 times twelve, and months.
pub type Month = u32;

/// Counts by name.
#[derive(Debug, Default)]
pub struct Counter {
    counts: BTreeMap<String, u64>,
    /// What came when there were too many names.
    pub others: u64,
}

impl Counter {
    /// Counts one.
    pub fn add(&mut self, name: &str) {
        let name = short(name);
        if let Some(count) = self.counts.get_mut(name) {
            *count += 1;
        } else if self.counts.len() < NAMES {
            self.counts.insert(name.to_owned(), 1);
        } else {
            self.others += 1;
        }
    }

    /// How many different names there are.
    pub fn distinct(&self) -> usize {
        self.counts.len()
    }

    /// Names by how often they came, those that came equally often by name.
    pub fn ranked(&self) -> Vec<(&str, u64)> {
        let mut all: Vec<(&str, u64)> = self
            .counts
            .iter()
            .map(|(name, count)| (name.as_str(), *count))
            .collect();
        all.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        all
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.counts.keys().map(String::as_str)
    }
}

/// Crashes that are one bug, or one signature.
#[derive(Debug, Default)]
pub struct Group {
    /// Of the rule, or of the signature.
    pub title: String,
    /// How many.
    pub count: u64,
    /// How many of them the rule names exactly.
    pub exact: u64,
    /// The hosts.
    pub hosts: Counter,
    /// The kernels.
    pub kernels: Counter,
    /// The first and the last time.
    pub times: Option<(String, String)>,
    /// Which sections show them: crashes by their number.
    pub sections: Vec<u64>,
    /// What is said of all of them, told from the first.
    pub about: Markup,
}

/// Everything that the overview is made of.
#[derive(Debug, Default)]
pub struct Tally {
    by_status: [u64; 4],
    /// Crashes by month: named, and not.
    pub months: BTreeMap<Month, (u64, u64)>,
    /// Crashes whose time is not known.
    pub undated: u64,
    /// Crashes by kernel.
    pub kernels: Counter,
    /// Crashes by host.
    pub hosts: Counter,
    /// Crashes by hardware.
    pub hardware: Counter,
    /// Crashes by class of failure.
    pub kinds: Counter,
    /// Known bugs by rule.
    pub bugs: BTreeMap<String, Group>,
    /// Unknown crashes by signature.
    pub groups: BTreeMap<String, Group>,
    /// Unknown crashes of further signatures.
    pub ungrouped: u64,
    /// Inputs that failed, and why: the first of them.
    pub failed: Vec<(String, String)>,
    /// Inputs that hold no crash: the first of them.
    pub empty: Vec<String>,
    /// Lines that are no row, and why: the first of them, and how many in all.
    pub broken: (Vec<String>, u64),
    /// The programs that made the reports, with their rules.
    pub tools: BTreeSet<String>,
}

impl Tally {
    /// How many rows have that status.
    pub fn of(&self, status: Status) -> u64 {
        self.by_status.get(status as usize).copied().unwrap_or(0)
    }

    /// How many rows there are.
    pub fn rows(&self) -> u64 {
        self.by_status.iter().sum()
    }

    /// How many of them are crashes.
    pub fn crashes(&self) -> u64 {
        self.of(Status::Known) + self.of(Status::Unknown)
    }

    /// Which of `sections` are shown, at most `most`: the first of each bug and each group, the large ones before the
    /// small; what room is left goes to the others in their order. Groups forget the rest.
    pub fn choose(&mut self, sections: &BTreeSet<u64>, most: u64) -> BTreeSet<u64> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let first = |(_, group): (&str, &Group)| group.sections.first().copied();
        let (bugs, groups) = (ranked(&self.bugs), ranked(&self.groups));
        let (mut bugs, mut groups) = (bugs.into_iter().map(first), groups.into_iter().map(first));
        let mut shown = BTreeSet::new();
        loop {
            let (bug, group) = (bugs.next(), groups.next());
            if shown.len() >= most || (bug.is_none() && group.is_none()) {
                break;
            }
            let firsts = [bug, group].into_iter().flatten().flatten();
            shown.extend(firsts.take(most - shown.len()));
        }
        let others: Vec<u64> = sections.difference(&shown).copied().take(most - shown.len()).collect();
        shown.extend(others);
        for group in self.bugs.values_mut().chain(self.groups.values_mut()) {
            group.sections.retain(|id| shown.contains(id));
        }
        shown
    }

    /// Counts a row. For a crash: its group.
    pub fn add(&mut self, row: &Row) -> Option<&mut Group> {
        let status = row.status();
        if let Some(count) = self.by_status.get_mut(status as usize) {
            *count += 1;
        }
        if let Some(report) = &row.report {
            self.tool(report);
        }
        match status {
            Status::Failed => {
                if self.failed.len() < LISTED {
                    let why = row.error.as_deref().unwrap_or("no reason is given");
                    self.failed.push((short(&row.input).to_owned(), clipped(why)));
                }
                None
            }
            Status::NoCrash => {
                if self.empty.len() < LISTED {
                    self.empty.push(short(&row.input).to_owned());
                }
                None
            }
            Status::Known | Status::Unknown => self.crash(row, status),
        }
    }

    fn crash(&mut self, row: &Row, status: Status) -> Option<&mut Group> {
        let report = row.report.as_ref();
        let system = report.map(|report| &report.system);
        let fact = |of: fn(&System) -> Option<&str>| system.and_then(of).unwrap_or(UNNAMED);
        let (host, kernel) = (fact(System::host), fact(|s| s.release.as_deref()));
        self.hosts.add(host);
        self.kernels.add(kernel);
        self.hardware.add(fact(|s| s.hardware.as_deref()));
        let kind = report
            .and_then(|report| report.panic.as_ref())
            .map(|panic| panic.kind.word());
        self.kinds.add(kind.unwrap_or(UNNAMED));
        let at = system.and_then(|system| system.crashed_at.as_deref());
        match at.and_then(month) {
            Some(month) => {
                let (known, unknown) = self.months.entry(month).or_default();
                *(if status == Status::Known { known } else { unknown }) += 1;
            }
            None => self.undated += 1,
        }
        let group = self.group(row, status)?;
        group.count += 1;
        group.hosts.add(host);
        group.kernels.add(kernel);
        if let Some(at) = at.filter(|at| month(at).is_some()) {
            let day = at.get(..10).unwrap_or(at);
            let (first, last) = group.times.get_or_insert_with(|| (day.to_owned(), day.to_owned()));
            if day < first.as_str() {
                *first = day.to_owned();
            }
            if day > last.as_str() {
                *last = day.to_owned();
            }
        }
        Some(group)
    }

    /// Where crashes of this kind are counted; none when there are too many kinds.
    fn group(&mut self, row: &Row, status: Status) -> Option<&mut Group> {
        let label = row.label().filter(|_| status == Status::Known);
        let (groups, id, title) = match label {
            Some(Verdict { rule, title, .. }) => (&mut self.bugs, short(rule), short(title)),
            None => {
                let signature = row.report.as_ref().and_then(|report| report.signature.as_ref());
                let id = signature.map_or("without a signature", |signature| short(&signature.id));
                let title = signature.map_or("Crashes without a signature", |signature| short(&signature.title));
                (&mut self.groups, id, title)
            }
        };
        if !groups.contains_key(id) {
            if groups.len() >= NAMES {
                self.ungrouped += 1;
                return None;
            }
            let title = title.to_owned();
            let group = Group {
                title,
                ..Group::default()
            };
            groups.insert(id.to_owned(), group);
        }
        let group = groups.get_mut(id)?;
        group.exact += u64::from(label.is_some_and(|label| label.tier == Tier::Exact));
        Some(group)
    }

    /// Notes a line that is no row.
    pub fn broken(&mut self, line: u64, why: &str) {
        let (listed, count) = &mut self.broken;
        *count += 1;
        if listed.len() < LISTED {
            listed.push(format!("line {line}: {}", clipped(why)));
        }
    }

    fn tool(&mut self, report: &CrashReport) {
        const TOOLS: usize = 16;
        let tool = &report.tool;
        if !tool.version.is_empty() && self.tools.len() < TOOLS {
            let rules = tool
                .rules_digest
                .as_deref()
                .map(|digest| format!(", rules {}", short(digest)));
            let text = format!("vmcoroner {}{}", short(&tool.version), rules.unwrap_or_default());
            self.tools.insert(text);
        }
    }
}

/// Groups by size, those of one size by id.
pub fn ranked(groups: &BTreeMap<String, Group>) -> Vec<(&str, &Group)> {
    let mut all: Vec<(&str, &Group)> = groups.iter().map(|(id, group)| (id.as_str(), group)).collect();
    all.sort_by(|a, b| b.1.count.cmp(&a.1.count).then(a.0.cmp(b.0)));
    all
}

/// The month of a time in RFC 3339; none for what no clock shows.
pub fn month(at: &str) -> Option<Month> {
    let (year, rest) = (at.get(..4)?, at.get(4..7)?);
    let month: Month = rest.strip_prefix('-')?.parse().ok()?;
    let year: Month = year.parse().ok()?;
    ((1970..2200).contains(&year) && (1..=12).contains(&month)).then(|| year * 12 + month - 1)
}

/// A month's name: `2026-11`.
pub fn month_name(month: Month) -> String {
    format!("{:04}-{:02}", month / 12, month % 12 + 1)
}

fn short(name: &str) -> &str {
    name.get(..name.floor_char_boundary(NAME)).unwrap_or(name)
}

fn clipped(text: &str) -> String {
    text.get(..text.floor_char_boundary(2_000)).unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_told_and_named() {
        assert_eq!(
            month("2026-11-23T10:00:00Z").map(month_name).as_deref(),
            Some("2026-11")
        );
        assert_eq!(month("2026-01-01").map(month_name).as_deref(), Some("2026-01"));
        for wrong in [
            "",
            "2026",
            "2026-13-01",
            "2026-00-01",
            "9999-01-01",
            "äöü-01",
            "2026/01",
        ] {
            assert_eq!(month(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn names_beyond_the_limit_are_counted_as_one() {
        let mut counter = Counter::default();
        (0..NAMES + 7).for_each(|n| counter.add(&n.to_string()));
        counter.add("0");
        assert_eq!((counter.distinct(), counter.others), (NAMES, 7));
        assert_eq!(counter.ranked().first(), Some(&("0", 2)));
    }
}
