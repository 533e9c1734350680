//! A catalogue's figures for people, and as a table.

use serde::Serialize;

use super::page::{Page, Tone};
use crate::catalog::figures::{Count, Mover, Trend, UnknownGroup};

/// Crashes by what they have in common.
pub fn counts(page: &mut Page, by: &str, counts: &[Count]) {
    page.gap();
    let mut label = format!("by {by}");
    for count in counts {
        let what = match (&count.value, &count.title) {
            (None, _) if by == "bug" => "of no known bug".to_owned(),
            (None, _) => "not told".to_owned(),
            (Some(value), Some(title)) => format!("{value} — {title}"),
            (Some(value), None) => value.clone(),
        };
        let hosts = match count.hosts {
            0 => String::new(),
            1 => ", 1 host".to_owned(),
            hosts => format!(", {hosts} hosts"),
        };
        page.row(&label, Tone::Plain, &format!("{:>6}  {what}{hosts}", count.crashes));
        label.clear();
    }
}

/// What is new, rising and gone.
pub fn trend(page: &mut Page, trend: &Trend) {
    let Some(until) = &trend.until else { return };
    page.gap();
    let day = until.split('T').next().unwrap_or(until);
    page.line(
        Tone::Strong,
        &format!("The {} days up to {day}, against those before", trend.days),
    );
    for (word, tone, movers) in [
        ("new", Tone::Bad, &trend.new),
        ("rising", Tone::Doubt, &trend.rising),
        ("gone", Tone::Good, &trend.gone),
    ] {
        let mut label = word;
        for mover in movers {
            page.row(label, tone, &moved(mover));
            label = "";
        }
    }
    if trend.undated > 0 {
        page.row(
            "",
            Tone::Faint,
            &format!(
                "{} crashes tell no time, or one to come, and are left out",
                trend.undated
            ),
        );
    }
}

fn moved(mover: &Mover) -> String {
    let rule = mover.rule.as_ref().map(|rule| format!(" ({rule})")).unwrap_or_default();
    format!(
        "{} after {}, {} in all: {}{rule}",
        mover.recent, mover.before, mover.crashes, mover.title
    )
}

/// What to write a rule for next.
pub fn unknown_groups(page: &mut Page, groups: &[UnknownGroup]) {
    if groups.is_empty() {
        return;
    }
    page.gap();
    page.line(
        Tone::Strong,
        "What to write a rule for next: crashes that no bug rule names",
    );
    for group in groups {
        let counts = format!("{:>6}  {}", group.crashes, group.title);
        page.row("", Tone::Plain, &counts);
        let spread = format!(
            "{} hosts, {} kernels; for example {}",
            group.hosts, group.kernels, group.example
        );
        page.row("", Tone::Faint, &spread);
    }
}

/// A line of the table.
#[derive(Serialize)]
struct Line<'a> {
    by: &'a str,
    value: Option<&'a str>,
    title: Option<&'a str>,
    crashes: u64,
    known: u64,
    hosts: u64,
    first: Option<&'a str>,
    last: Option<&'a str>,
}

/// All counts as one table.
pub fn csv(tables: &[(&'static str, Vec<Count>)]) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for (by, counts) in tables {
        for count in counts {
            // Written to memory, and of one shape.
            let _ = writer.serialize(Line {
                by,
                value: count.value.as_deref(),
                title: count.title.as_deref(),
                crashes: count.crashes,
                known: count.known,
                hosts: count.hosts,
                first: count.first.as_deref(),
                last: count.last.as_deref(),
            });
        }
    }
    writer
        .into_inner()
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}
