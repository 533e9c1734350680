//! kallsyms with every name blanked that was not told, for a copy of the dump that is to be small and say little.
//!
//! Nothing moves: a group of names keeps its length, so that markers and addresses stay right, and a blanked name is
//! all underscores, in as many codes as its share of the group's room. Addresses that nobody looked at become the
//! nearest lower one that somebody did, so that the table still ascends and any search of it ends at the same symbol.

use super::names::{GROUP, entry};
use super::table::{Encoding, Kallsyms};
use crate::kernel::Condensed;

/// A length byte without a second one: what every kernel's names allow.
const MAX_SHORT: usize = 127;

impl Kallsyms {
    /// Its names and addresses, as far as they were asked for. What the dump lacks is not in them.
    pub fn condensed(&self) -> Vec<Condensed> {
        let mut tables = Vec::new();
        let mut run: Option<Condensed> = None;
        for group in 0..self.count().div_ceil(GROUP) {
            let stream = self.group(group);
            let range = self.group_at(group);
            let length = range.end.saturating_sub(range.start);
            let at = self.names.start().checked_add(range.start);
            let (Some(at), false) = (at, stream.is_empty()) else {
                tables.extend(run.take());
                continue;
            };
            let is_whole = stream.len() as u64 == length;
            let bytes = self.blank(group, &stream).unwrap_or_else(|| stream.to_vec());
            match &mut run {
                Some(run) => run.bytes.extend(bytes),
                None => {
                    run = Some(Condensed {
                        what: "kallsyms",
                        at,
                        bytes,
                    });
                }
            }
            if !is_whole {
                tables.extend(run.take());
            }
        }
        tables.extend(run);
        tables.extend(self.addresses_asked_for());
        tables
    }

    /// A group's names with those blanked that were not told; `None` where they cannot be.
    fn blank(&self, group: u32, stream: &[u8]) -> Option<Vec<u8>> {
        let first = group * GROUP;
        let count = GROUP.min(self.count().checked_sub(first)?);
        let mut kept: Vec<Option<&[u8]>> = Vec::with_capacity(count as usize);
        let mut position = 0;
        let mut free = 0;
        for number in first..first + count {
            let (_, next) = entry(stream, position)?;
            let raw = stream.get(position..next)?;
            let told = self.was_told(number);
            free += if told { 0 } else { raw.len() };
            kept.push(told.then_some(raw));
            position = next;
        }
        let blanked = kept.iter().filter(|name| name.is_none()).count();
        if blanked == 0 {
            return None;
        }
        let (share, mut more) = (free / blanked, free % blanked);
        if !(3..MAX_SHORT).contains(&share) {
            return None;
        }
        let kind = self.tokens.code(b"t").unwrap_or(0);
        let letter = self.tokens.code(b"_").unwrap_or(0);
        let mut bytes = Vec::with_capacity(stream.len());
        for name in kept {
            match name {
                Some(raw) => bytes.extend_from_slice(raw),
                None => {
                    let room = share + usize::from(more > 0);
                    more = more.saturating_sub(1);
                    bytes.extend([(room - 1) as u8, kind]);
                    bytes.resize(bytes.len() + room - 2, letter);
                }
            }
        }
        // Behind the last name there may be padding.
        bytes.extend_from_slice(stream.get(position..)?);
        (bytes.len() == stream.len()).then_some(bytes)
    }

    /// The address table, equal steps where nobody looked.
    fn addresses_asked_for(&self) -> Option<Condensed> {
        // These would have to be made anew for every place: they are kept as far as they were read.
        if self.encoding() == Encoding::PlaceRelative {
            return None;
        }
        let size = self.encoding.entry_size(self.abi);
        let mut bytes = Vec::new();
        let mut last: Option<Vec<u8>> = None;
        for number in 0..self.count() {
            let mut raw = vec![0; size as usize];
            let found = self.addresses.peek(size * u64::from(number), &mut raw).is_some();
            if found && (self.was_looked_at(number) || last.is_none()) {
                last = Some(raw.clone());
            }
            bytes.extend(last.as_ref().unwrap_or(&raw));
        }
        Some(Condensed {
            what: "kallsyms",
            at: self.addresses.start(),
            bytes,
        })
    }
}
