//! The row files of a sharded scan → one stream in the order of a scan that was not parted.
//!
//! Each file is in that order itself, so that one row of each is in memory at a time.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::io::{self, BufRead};
use std::path::Path;

use serde::Deserialize;

/// What must be known of a row.
#[derive(Deserialize)]
struct Head {
    input: String,
}

/// The next row of a file.
struct Next {
    input: String,
    line: String,
    file: usize,
}

impl Next {
    fn key(&self) -> (&Path, usize) {
        (Path::new(&self.input), self.file)
    }
}

impl Ord for Next {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for Next {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Next {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Next {}

/// Hands the rows of all files to `then`, each input once: one that is in several files comes from the first of them.
/// An error names the file by its number.
pub fn merge(files: &mut [Box<dyn BufRead>], then: &mut dyn FnMut(&str) -> bool) -> Result<(), (usize, io::Error)> {
    let mut heap = BinaryHeap::new();
    for file in 0..files.len() {
        heap.extend(next(files, file)?.map(Reverse));
    }
    let mut last: Option<(String, usize)> = None;
    while let Some(Reverse(row)) = heap.pop() {
        heap.extend(next(files, row.file)?.map(Reverse));
        let twice = matches!(&last, Some((input, file)) if *input == row.input && *file != row.file);
        if !twice {
            if !then(&row.line) {
                return Ok(());
            }
            last = Some((row.input, row.file));
        }
    }
    Ok(())
}

fn next(files: &mut [Box<dyn BufRead>], file: usize) -> Result<Option<Next>, (usize, io::Error)> {
    let Some(reader) = files.get_mut(file) else {
        return Ok(None);
    };
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).map_err(|error| (file, error))? == 0 {
            return Ok(None);
        }
        if line.trim().is_empty() {
            continue;
        }
        if !line.ends_with('\n') {
            line.push('\n');
        }
        let head: Head = serde_json::from_str(&line)
            .map_err(|error| (file, io::Error::other(format!("not a row of a scan: {error}"))))?;
        return Ok(Some(Next {
            input: head.input,
            line,
            file,
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(files: &[&'static str]) -> Result<Vec<String>, usize> {
        let mut files: Vec<Box<dyn BufRead>> = files.iter().map(|text| Box::new(text.as_bytes()) as _).collect();
        let mut rows = Vec::new();
        merge(&mut files, &mut |line| {
            rows.push(line.trim().to_owned());
            true
        })
        .map_err(|(file, _)| file)?;
        Ok(rows)
    }

    #[test]
    fn rows_come_in_the_order_of_folders_and_once() {
        let one = "{\"input\":\"/a/b/x\"}\n{\"input\":\"/a/c\",\"status\":\"known\"}\n";
        let other = "{\"input\":\"/a/b.txt\"}\n\n{\"input\":\"/a/c\",\"status\":\"failed\"}";
        assert_eq!(
            merged(&[one, other]).unwrap(),
            [
                "{\"input\":\"/a/b/x\"}",
                "{\"input\":\"/a/b.txt\"}",
                "{\"input\":\"/a/c\",\"status\":\"known\"}"
            ]
        );
        assert_eq!(merged(&[one, "nonsense"]), Err(1));
    }
}
