//! What a scan came to, in numbers.

use std::collections::BTreeMap;

use super::label::Labelled;
use super::row::Status;
use super::run::Answer;

/// Counts over the rows of a scan.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    /// Rows.
    pub rows: u64,
    /// Rows by status, in the order of [`Status::ALL`].
    by_status: [u64; 4],
    /// Crashes by the bug rule that names them.
    pub by_rule: BTreeMap<String, u64>,
    /// Crashes by kind.
    pub by_kind: BTreeMap<String, u64>,
    /// Entries that were answered.
    pub entries: u64,
    /// Entries that were read now, and not taken from the catalogue.
    pub read: u64,
    /// Files of those entries.
    pub files: u64,
    /// Bytes of those files on the disk.
    pub bytes_on_disk: u64,
    /// Bytes of them that were read.
    pub bytes_read: u64,
}

impl Tally {
    /// Counts an answer.
    pub fn add(&mut self, answer: &Answer) {
        let entry = &answer.entry;
        self.entries += 1;
        self.read += u64::from(answer.read);
        self.files += (entry.parts.len() + entry.companions.len()) as u64;
        let companions = entry.companions.iter().map(|companion| companion.file.size);
        self.bytes_on_disk += entry.size() + companions.sum::<u64>();
        answer.rows.iter().for_each(|row| self.add_row(row, answer.read));
    }

    /// Counts a row.
    pub fn add_row(&mut self, row: &Labelled, read: bool) {
        let status = row.row.status;
        self.count(status, 1);
        if let Some(rule) = &row.facts.rule {
            *self.by_rule.entry(rule.clone()).or_default() += 1;
        }
        if status.is_crash()
            && let Some(kind) = &row.facts.kind
        {
            *self.by_kind.entry(kind.clone()).or_default() += 1;
        }
        if read {
            self.bytes_read += row.bytes_read;
        }
    }

    /// Counts rows of that status.
    pub fn count(&mut self, status: Status, rows: u64) {
        self.rows += rows;
        if let Some(count) = self.by_status.get_mut(status as usize) {
            *count += rows;
        }
    }

    /// How many rows have that status.
    pub fn of(&self, status: Status) -> u64 {
        self.by_status.get(status as usize).copied().unwrap_or(0)
    }
}
