//! The row files of a sharded scan → one stream in the order of a scan that was not parted.
//!
//! Each file is in that order itself, so that one row of each is in memory at a time.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::io::{self, BufRead};
use std::path::Path;

use serde::Deserialize;

use crate::archive::by_name;

/// What must be known of a row.
#[derive(Deserialize)]
struct Head {
    input: String,
}

/// The next row of a file.
struct Next {
    /// Where it stands: the greatest name of its file so far. An archive's own row comes behind those of its members.
    place: String,
    /// How many rows stand there before it.
    behind: usize,
    input: String,
    line: String,
    file: usize,
}

impl Ord for Next {
    fn cmp(&self, other: &Self) -> Ordering {
        by_name(Path::new(&self.place), Path::new(&other.place))
            .then_with(|| (self.behind, self.file).cmp(&(other.behind, other.file)))
    }
}

impl PartialOrd for Next {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Next {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Next {}

/// Lines of a file that are no rows.
#[derive(Debug)]
pub struct Broken {
    /// The number of the file among those that are merged.
    pub file: usize,
    /// The number of the first such line, from 1.
    pub line: u64,
    /// Why it is none.
    pub why: io::Error,
    /// How many there are.
    pub lines: u64,
}

/// Hands the rows of all files to `then`, each input once: one that is in several files comes from the first of them.
/// What is no row is left out, and told in the end.
pub fn merge(files: &mut [Box<dyn BufRead>], then: &mut dyn FnMut(&str) -> bool) -> Vec<Broken> {
    let mut parts: Vec<Part> = files.iter_mut().enumerate().map(Part::new).collect();
    let mut heap: BinaryHeap<Reverse<Next>> = parts.iter_mut().filter_map(Part::next).map(Reverse).collect();
    let mut last: Option<(String, usize)> = None;
    while let Some(Reverse(row)) = heap.pop() {
        heap.extend(parts.get_mut(row.file).and_then(Part::next).map(Reverse));
        let twice = matches!(&last, Some((input, file)) if *input == row.input && *file != row.file);
        if !twice {
            if !then(&row.line) {
                break;
            }
            last = Some((row.input, row.file));
        }
    }
    parts.into_iter().filter_map(|part| part.broken).collect()
}

/// A file that is being read.
struct Part<'a> {
    file: usize,
    reader: &'a mut dyn BufRead,
    line: u64,
    place: String,
    behind: usize,
    broken: Option<Broken>,
}

impl<'a> Part<'a> {
    fn new((file, reader): (usize, &'a mut Box<dyn BufRead>)) -> Self {
        Part {
            file,
            reader,
            line: 0,
            place: String::new(),
            behind: 0,
            broken: None,
        }
    }

    fn next(&mut self) -> Option<Next> {
        loop {
            self.line += 1;
            let mut bytes = Vec::new();
            match self.reader.read_until(b'\n', &mut bytes) {
                Ok(0) => return None,
                Ok(_) if bytes.trim_ascii().is_empty() => continue,
                Ok(_) => {}
                Err(error) => {
                    self.broken(error);
                    return None;
                }
            }
            match row(bytes) {
                Ok((input, line)) => return Some(self.placed(input, line)),
                Err(error) => self.broken(error),
            }
        }
    }

    fn placed(&mut self, input: String, line: String) -> Next {
        if by_name(Path::new(&input), Path::new(&self.place)).is_gt() {
            self.place.clone_from(&input);
            self.behind = 0;
        } else {
            self.behind += 1;
        }
        Next {
            place: self.place.clone(),
            behind: self.behind,
            input,
            line,
            file: self.file,
        }
    }

    fn broken(&mut self, why: io::Error) {
        let (file, line) = (self.file, self.line);
        let broken = self.broken.get_or_insert(Broken {
            file,
            line,
            why,
            lines: 0,
        });
        broken.lines += 1;
    }
}

/// The input of a row, and the row with its line feed.
fn row(bytes: Vec<u8>) -> io::Result<(String, String)> {
    let mut line = String::from_utf8(bytes).map_err(io::Error::other)?;
    if !line.ends_with('\n') {
        line.push('\n');
    }
    let head: Head = serde_json::from_str(&line)?;
    Ok((head.input, line))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows, and the lines that are none: number of the file, of the first of them, and how many.
    fn merged(files: &[&'static str]) -> (Vec<String>, Vec<(usize, u64, u64)>) {
        let mut files: Vec<Box<dyn BufRead>> = files.iter().map(|text| Box::new(text.as_bytes()) as _).collect();
        let mut rows = Vec::new();
        let broken = merge(&mut files, &mut |line| {
            rows.push(line.trim().to_owned());
            true
        });
        let broken = broken
            .iter()
            .map(|broken| (broken.file, broken.line, broken.lines))
            .collect();
        (rows, broken)
    }

    #[test]
    fn rows_come_in_the_order_of_folders_and_once() {
        let one = "{\"input\":\"/a/b/x\"}\n{\"input\":\"/a/c\",\"status\":\"known\"}\n";
        let other = "{\"input\":\"/a/b.txt\"}\n\n{\"input\":\"/a/c\",\"status\":\"failed\"}";
        let whole = [
            "{\"input\":\"/a/b/x\"}",
            "{\"input\":\"/a/b.txt\"}",
            "{\"input\":\"/a/c\",\"status\":\"known\"}",
        ];
        assert_eq!(merged(&[one, other]), (whole.map(str::to_owned).to_vec(), vec![]));
        // A share that was killed: what it said before counts, and so do the others.
        let killed = "{\"input\":\"/a/b.txt\"}\n{\"input\":\"/a/c\",\"sta";
        let (rows, broken) = merged(&[killed, one]);
        assert_eq!((rows.len(), broken), (3, vec![(0, 2, 1)]));
        assert_eq!(merged(&["nonsense\n\u{0}\n[]"]), (vec![], vec![(0, 1, 3)]));
    }

    #[test]
    fn archives_stay_whole() {
        let archive =
            "{\"input\":\"x.tar!b\"}\n{\"input\":\"x.tar!b\"}\n{\"input\":\"x.tar!c/d\"}\n{\"input\":\"x.tar\"}\n";
        let copy = "{\"input\":\"x.tar (copy)!b\"}\n{\"input\":\"x.tarball\"}\n";
        let whole: Vec<String> = archive.lines().chain(copy.lines()).map(str::to_owned).collect();
        assert_eq!(merged(&[archive, copy]).0, whole);
        assert_eq!(merged(&[copy, archive]).0, whole);
        assert_eq!(merged(&[archive, copy, archive, copy]).0, whole);
    }
}
