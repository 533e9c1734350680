//! How many bytes of a file were read, each counted once.
//!
//! Threads that read one dump push each other's blocks out of its caches: which are read again depends on chance, what is
//! read at all does not.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// So many separate parts of a file are told apart, 2 MiB of them; what is read beyond that is counted whenever it is read.
const MAX_PARTS: usize = 1 << 16;

/// How many bytes of an input were read so far; clones share the count.
#[derive(Clone, Debug, Default)]
pub struct ReadCounter(Arc<Mutex<Count>>);

#[derive(Debug, Default)]
struct Count {
    bytes: u64,
    /// What was read at a place: ends by starts. No two overlap or touch.
    parts: BTreeMap<u64, u64>,
}

impl ReadCounter {
    /// The bytes read so far.
    pub fn bytes(&self) -> u64 {
        self.with(|count| count.bytes)
    }

    /// Counts bytes of a pipe, which gives each once.
    pub(super) fn add(&self, bytes: usize) {
        self.with(|count| count.bytes = count.bytes.saturating_add(bytes as u64));
    }

    /// Counts bytes at `offset`, as far as they were not read before.
    pub(super) fn add_at(&self, offset: u64, bytes: usize) {
        self.with(|count| count.add_at(offset, bytes as u64));
    }

    fn with<T>(&self, work: impl FnOnce(&mut Count) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Count {
    fn add_at(&mut self, offset: u64, bytes: u64) {
        let (mut start, mut end) = (offset, offset.saturating_add(bytes));
        let mut known = 0;
        // From the last part that begins before the end backwards, as long as they reach the start.
        while let Some((&first, &last)) = self.parts.range(..=end).next_back().filter(|(_, last)| **last >= start) {
            if first <= start && last >= end {
                return;
            }
            known += last - first;
            (start, end) = (start.min(first), end.max(last));
            self.parts.remove(&first);
        }
        self.bytes = self.bytes.saturating_add((end - start).saturating_sub(known));
        if start < end && self.parts.len() < MAX_PARTS {
            self.parts.insert(start, end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn each_byte_counts_once_in_whatever_order(reads in proptest::collection::vec((0u64..500, 0usize..60), 0..60)) {
            let (there, back) = (ReadCounter::default(), ReadCounter::default());
            let mut bytes = std::collections::BTreeSet::new();
            for (offset, size) in &reads {
                there.add_at(*offset, *size);
                bytes.extend(*offset..*offset + *size as u64);
                prop_assert_eq!(there.bytes(), bytes.len() as u64);
            }
            reads.iter().rev().for_each(|(offset, size)| back.add_at(*offset, *size));
            prop_assert_eq!(there.bytes(), back.bytes());
        }
    }

    #[test]
    fn memory_is_bounded() {
        let counter = ReadCounter::default();
        for part in 0..2 * MAX_PARTS as u64 {
            counter.add_at(part * 10, 5);
        }
        assert_eq!(counter.bytes(), 10 * MAX_PARTS as u64);
        counter.with(|count| assert_eq!(count.parts.len(), MAX_PARTS));
        counter.add_at(u64::MAX - 1, 5);
        counter.add_at(0, usize::MAX);
    }
}
