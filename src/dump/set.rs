//! Split dumps (`makedumpfile --split`): which files are parts of one dump, by their headers and not by their names.

use std::collections::BTreeSet;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::input::{self, Content, Input, ReadAt};

use super::flat::{self, Flattened};
use super::io::read_vec;
use super::{Utsname, kdump};

/// Files looked at as possible parts of a set: makedumpfile is given at most a few dozen names.
const MAX_CANDIDATES: usize = 64;

/// What a part's header says of the set and of its place in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SplitPart {
    /// The same in all parts of a set.
    pub(super) dump: DumpIdentity,
    /// The page frames whose pages are in this part.
    pub(super) pages: Range<u64>,
}

/// What the headers of all parts of one dump repeat.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct DumpIdentity {
    pub(super) utsname: Utsname,
    pub(super) timestamp: u64,
    pub(super) block_size: u32,
    /// The number of page frames of the machine.
    pub(super) pages: u64,
}

impl SplitPart {
    /// Reads a file's header; `None` for anything but a part of a split dump.
    fn of(file: &Arc<dyn ReadAt>) -> Option<Self> {
        let first_bytes = read_vec(&**file, 0, 16).ok()?;
        if flat::is_flattened(&first_bytes) {
            kdump::split_part(&Flattened::peek(file.clone()).ok()?)
        } else {
            kdump::split_part(&**file)
        }
    }

    fn of_input(input: &Input) -> Option<Self> {
        match &input.content {
            Content::Dump(file) => Self::of(file),
            Content::Text(_) => None,
        }
    }
}

/// What the first bytes of a dump's file say of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peeked {
    /// The kernel's release.
    pub release: Option<String>,
    /// Its place in a split set, if it is a part of one.
    pub split: Option<Split>,
}

/// A part's place in its set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// A number that all parts of one dump share.
    pub dump: u64,
    /// The page frames whose pages are in this part.
    pub pages: Range<u64>,
}

/// Reads what `head`, the first bytes of a dump's file (72 KiB are enough for any page size), says of the whole.
pub fn peek(head: Vec<u8>) -> Peeked {
    let named = text_behind(&head, b"OSRELEASE=");
    let file: Arc<dyn ReadAt> = Arc::new(head);
    let split = SplitPart::of(&file).map(|part| {
        let mut hash = DefaultHasher::new();
        part.dump.hash(&mut hash);
        Split {
            dump: hash.finish(),
            pages: part.pages,
        }
    });
    let first_bytes = read_vec(&*file, 0, 16).unwrap_or_default();
    let release = if flat::is_flattened(&first_bytes) {
        Flattened::peek(file).ok().and_then(|flat| kdump::release(&flat))
    } else {
        kdump::release(&*file)
    };
    Peeked {
        release: release.or(named),
        split,
    }
}

/// The word behind `key`.
fn text_behind(bytes: &[u8], key: &[u8]) -> Option<String> {
    let at = bytes.windows(key.len()).position(|window| window == key)?;
    let rest = bytes.get(at + key.len()..)?;
    let end = rest.iter().position(|byte| !byte.is_ascii_graphic())?;
    let word = std::str::from_utf8(rest.get(..end)?).ok()?;
    (!word.is_empty() && word.len() < 65).then(|| word.to_owned())
}

/// Puts the parts of one split dump together, at the place of the first of them; every other input stays by itself.
pub fn group_parts(inputs: Vec<Input>) -> Vec<Vec<Input>> {
    let mut groups: Vec<(Vec<SplitPart>, Vec<Input>)> = Vec::new();
    // A single input is no set: its header need not be read.
    let worthwhile = inputs.len() > 1;
    for input in inputs {
        let part = if worthwhile { SplitPart::of_input(&input) } else { None };
        let fits = |parts: &[SplitPart], part: &SplitPart| {
            parts.first().is_some_and(|first| first.dump == part.dump)
                && parts.iter().all(|other| other.pages != part.pages)
        };
        match part {
            None => groups.push((Vec::new(), vec![input])),
            Some(part) => match groups.iter_mut().find(|(parts, _)| fits(parts, &part)) {
                Some((parts, inputs)) => {
                    parts.push(part);
                    inputs.push(input);
                }
                None => groups.push((vec![part], vec![input])),
            },
        }
    }
    groups.into_iter().map(|(_, inputs)| inputs).collect()
}

/// Looks for the parts that `parts` lacks, in the folder of the first: files whose name differs in one number only
/// (`vmcore.0`, `vmcore.1`; `dump_1.gz`, `dump_2.gz`) and whose header is of the same dump. Nothing is found for a dump
/// that is whole, that is no part of a set, or that came from standard input.
pub fn find_siblings(parts: &[Input]) -> Vec<Input> {
    let known: Option<Vec<SplitPart>> = parts.iter().map(SplitPart::of_input).collect();
    let (Some(mut known), Some(first)) = (known, parts.first()) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for path in candidates(&first.path) {
        let Some(dump) = known.first().map(|part| part.dump.clone()) else {
            break;
        };
        if missing_pages(&known).is_empty() {
            break;
        }
        // A packed neighbour would have to be unpacked to look at it: only if this one was packed too.
        let Ok(input) = open_like(&path, first) else { continue };
        if let Some(part) = SplitPart::of_input(&input)
            && part.dump == dump
            && known.iter().all(|other| other.pages != part.pages)
        {
            known.push(part);
            found.push(input);
        }
    }
    found
}

/// The page frames that no part has, in ascending order.
pub(super) fn missing_pages(parts: &[SplitPart]) -> Vec<Range<u64>> {
    let mut ranges: Vec<_> = parts.iter().map(|part| part.pages.clone()).collect();
    ranges.sort_by_key(|range| range.start);
    let mut missing = Vec::new();
    let mut position = 0;
    for range in ranges {
        if range.start > position {
            missing.push(position..range.start);
        }
        position = position.max(range.end);
    }
    let end = parts.first().map_or(0, |part| part.dump.pages);
    if position < end {
        missing.push(position..end);
    }
    missing
}

fn open_like(path: &Path, model: &Input) -> Result<Input, input::InputError> {
    let limits = input::Limits::default();
    let nesting = if model.wrappings.is_empty() { 0 } else { limits.nesting };
    input::open_with(path, &input::Limits { nesting, ..limits })
}

/// Files beside `path` whose names differ from its name in one number only; those that differ in the last number first.
fn candidates(path: &Path) -> Vec<PathBuf> {
    let (Some(name), Some(folder)) = (path.file_name().and_then(|name| name.to_str()), path.parent()) else {
        return Vec::new();
    };
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let wanted = split_at_numbers(name);
    let mut found = BTreeSet::new();
    for entry in entries.flatten() {
        let other = entry.file_name();
        let Some(other) = other.to_str() else { continue };
        let pieces = split_at_numbers(other);
        if pieces.len() != wanted.len() {
            continue;
        }
        let mut differences = (0..wanted.len()).filter(|index| pieces.get(*index) != wanted.get(*index));
        if let (Some(index), None) = (differences.next(), differences.next())
            && [&pieces, &wanted]
                .iter()
                .all(|pieces| pieces.get(index).is_some_and(|piece| is_number(piece)))
        {
            found.insert((wanted.len() - index, other.len(), other.to_owned()));
        }
    }
    found
        .into_iter()
        .take(MAX_CANDIDATES)
        .map(|(_, _, name)| folder.join(name))
        .collect()
}

/// `vmcore-12.gz` → `vmcore-`, `12`, `.gz`.
fn split_at_numbers(name: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        let is_digit = first.is_ascii_digit();
        let end = rest
            .find(|char: char| char.is_ascii_digit() != is_digit)
            .unwrap_or(rest.len());
        let (piece, tail) = rest.split_at(end);
        pieces.push(piece);
        rest = tail;
    }
    pieces
}

fn is_number(piece: &str) -> bool {
    piece.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(pages: Range<u64>) -> SplitPart {
        let dump = DumpIdentity {
            utsname: Utsname::default(),
            timestamp: 1,
            block_size: 4096,
            pages: 100,
        };
        SplitPart { dump, pages }
    }

    #[test]
    fn gaps_between_parts_are_found() {
        assert_eq!(missing_pages(&[part(50..100), part(0..50)]), []);
        assert_eq!(missing_pages(&[part(20..50)]), [0..20, 50..100]);
        assert_eq!(
            missing_pages(&[part(0..30), part(60..90), part(10..40)]),
            [40..60, 90..100]
        );
        assert_eq!(missing_pages(&[part(0..u64::MAX)]), []);
    }

    #[test]
    fn names_are_split_at_numbers() {
        assert_eq!(
            split_at_numbers("vmcore-6.1.part12.gz"),
            ["vmcore-", "6", ".", "1", ".part", "12", ".gz"]
        );
        assert!(split_at_numbers("").is_empty());
    }

    #[test]
    fn candidates_differ_in_one_number() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "v6.1-p2.core",
            "v6.1-p1.core",
            "v6.1-p10.core",
            "v6.2-p1.core",
            "v6.2-p2.core",
            "v6.1-px.core",
        ] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let found = candidates(&folder.path().join("v6.1-p1.core"));
        let names: Vec<_> = found
            .iter()
            .map(|path| path.file_name().unwrap().to_str().unwrap())
            .collect();
        assert_eq!(names, ["v6.1-p2.core", "v6.1-p10.core", "v6.2-p1.core"]);
    }
}
