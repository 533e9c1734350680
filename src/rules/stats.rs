//! What asking the rules costs: how often each was a candidate, how often it held, and how long it took.

use std::cmp::Reverse;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::KnowledgeBase;

/// Counts over any number of reports, from any number of threads.
#[derive(Debug)]
pub struct Stats {
    reports: AtomicU64,
    index: AtomicU64,
    rules: Vec<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    asked: AtomicU64,
    held: AtomicU64,
    nanoseconds: AtomicU64,
}

/// What one rule cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleCost<'b> {
    /// The rule's id.
    pub rule: &'b str,
    /// Of how many reports it was asked, as the index named it.
    pub asked: u64,
    /// Of how many its signature held.
    pub held: u64,
    /// For all of them. The first time includes reading the rule, when it is a shipped one.
    pub time: Duration,
}

impl Stats {
    /// For the rules of `base`, all zero.
    pub fn new(base: &KnowledgeBase) -> Stats {
        Stats {
            reports: AtomicU64::new(0),
            index: AtomicU64::new(0),
            rules: base.rules().iter().map(|_| Counts::default()).collect(),
        }
    }

    pub(super) fn searched(&self, time: Duration) {
        self.reports.fetch_add(1, Relaxed);
        self.index.fetch_add(nanoseconds(time), Relaxed);
    }

    pub(super) fn asked(&self, rule: usize, held: bool, time: Duration) {
        if let Some(counts) = self.rules.get(rule) {
            counts.asked.fetch_add(1, Relaxed);
            counts.held.fetch_add(u64::from(held), Relaxed);
            counts.nanoseconds.fetch_add(nanoseconds(time), Relaxed);
        }
    }

    /// How many reports were judged.
    pub fn reports(&self) -> u64 {
        self.reports.load(Relaxed)
    }

    /// How long the index was searched.
    pub fn index_time(&self) -> Duration {
        Duration::from_nanos(self.index.load(Relaxed))
    }

    /// The rules that were asked, the costliest first.
    pub fn rules<'b>(&self, base: &'b KnowledgeBase) -> Vec<RuleCost<'b>> {
        let counted = base.rules().iter().zip(&self.rules);
        let mut rules: Vec<RuleCost<'b>> = counted
            .map(|(loaded, counts)| RuleCost {
                rule: loaded.id(),
                asked: counts.asked.load(Relaxed),
                held: counts.held.load(Relaxed),
                time: Duration::from_nanos(counts.nanoseconds.load(Relaxed)),
            })
            .filter(|cost| cost.asked > 0)
            .collect();
        rules.sort_by_key(|cost| (Reverse(cost.time), cost.rule));
        rules
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
