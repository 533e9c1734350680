//! Gathers the records of a log within bounds: a hostile dump may claim any number of them.

use std::collections::VecDeque;

use super::{Form, KernelLog, Record, State};

/// More records than any kernel keeps: a 64 MiB buffer (`log_buf_len=64M`) of the shortest usual lines.
pub(super) const MAX_RECORDS: usize = 1 << 20;

/// The largest log that is kept, in bytes of text. The newest text wins.
pub(super) const MAX_TEXT: usize = 64 << 20;

/// A log in the making.
pub(super) struct Collector {
    records: VecDeque<Record>,
    text: usize,
    dropped: u64,
    problems: Vec<String>,
}

impl Collector {
    pub(super) fn new() -> Collector {
        Collector {
            records: VecDeque::new(),
            text: 0,
            dropped: 0,
            problems: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, record: Record) {
        self.text = self.text.saturating_add(record.text.len());
        self.records.push_back(record);
        while self.text > MAX_TEXT || self.records.len() > MAX_RECORDS {
            let Some(oldest) = self.records.pop_front() else { break };
            self.text = self.text.saturating_sub(oldest.text.len());
            self.dropped += 1;
        }
    }

    pub(super) fn problem(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }

    pub(super) fn first(&self) -> Option<&Record> {
        self.records.front()
    }

    pub(super) fn last(&self) -> Option<&Record> {
        self.records.back()
    }

    /// Puts records that were found late where they belong.
    pub(super) fn sort(&mut self) {
        self.records.make_contiguous().sort_by_key(|record| record.seq);
    }

    pub(super) fn records_mut(&mut self) -> impl Iterator<Item = &mut Record> {
        self.records.iter_mut()
    }

    /// The log; `from_start`: its first record is the kernel's first.
    pub(super) fn finish(mut self, form: Form, from_start: bool) -> KernelLog {
        if self.dropped > 0 {
            self.problems.push(format!(
                "the log is longer than {MAX_TEXT} bytes or {MAX_RECORDS} records: the oldest {} were left out",
                self.dropped
            ));
        }
        self.count(State::HalfWritten, "half-written when the kernel stopped");
        self.count(
            State::TextLost,
            "whose text the kernel has overwritten or had no room for",
        );
        self.count(State::Missing, "whose text is missing from the dump");
        self.count(
            State::Suspect,
            "in doubt: their parts contradict each other or are missing",
        );
        let whole = self
            .records
            .iter()
            .all(|record| matches!(record.state, State::Whole | State::HalfWritten));
        let unfinished = self.records.iter().any(|record| record.state == State::HalfWritten);
        // A half-written record is a remark, not a loss.
        let losses = self.problems.len() > usize::from(unfinished);
        KernelLog {
            form,
            complete: from_start && whole && !losses && !self.records.is_empty(),
            records: self.records.into(),
            problems: self.problems,
        }
    }

    fn count(&mut self, state: State, what: &str) {
        let count = self.records.iter().filter(|record| record.state == state).count();
        if count > 0 {
            self.problems.push(format!("records {what}: {count}"));
        }
    }
}
