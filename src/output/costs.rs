//! What asking the rules cost, for people.

use std::time::Duration;

use super::page::{Page, Tone};
use crate::rules::KnowledgeBase;
use crate::rules::stats::Stats;

/// The rules that were asked, the costliest first, and their sum.
pub fn of(stats: &Stats, base: &KnowledgeBase) -> String {
    let rules = stats.rules(base);
    let mut page = Page::new();
    page.cells(&[
        (Tone::Faint, 44, "rule"),
        (Tone::Faint, 8, "asked"),
        (Tone::Faint, 8, "held"),
        (Tone::Faint, 0, "microseconds"),
    ]);
    for cost in &rules {
        page.cells(&[
            (Tone::Plain, 44, cost.rule),
            (Tone::Plain, 8, &cost.asked.to_string()),
            (Tone::Plain, 8, &cost.held.to_string()),
            (Tone::Plain, 0, &microseconds(cost.time)),
        ]);
    }
    let asked: u64 = rules.iter().map(|cost| cost.asked).sum();
    let held: u64 = rules.iter().map(|cost| cost.held).sum();
    let time: Duration = rules.iter().map(|cost| cost.time).sum();
    page.gap();
    page.prose(
        "sum",
        &format!(
            "{} reports, {} rules: {asked} candidates, {held} held; {} microseconds for the index, {} for the rules",
            stats.reports(),
            base.rules().len(),
            microseconds(stats.index_time()),
            microseconds(time),
        ),
    );
    page.finish()
}

fn microseconds(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1e6)
}
