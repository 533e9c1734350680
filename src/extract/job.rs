//! Which of the given paths are one input: the parts of a split dump belong together, all else stays by itself.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::ExtractError;
use crate::console;
use crate::dump;
use crate::input::{self, Input, Limits};

/// One input: the paths that were given for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// In the order given; several are parts of one split dump.
    pub paths: Vec<PathBuf>,
}

impl Job {
    /// The name that an answer is given under: the first path.
    pub fn name(&self) -> String {
        self.paths.first().map(|p| p.display().to_string()).unwrap_or_default()
    }

    /// Opens every part, and looks for those that were not named.
    pub fn open(&self) -> Result<Vec<Input>, ExtractError> {
        let limits = Limits {
            telling: console::may_tell,
            ..Limits::default()
        };
        let mut parts = self
            .paths
            .iter()
            .map(|path| input::open_with(path, &limits))
            .collect::<Result<Vec<_>, _>>()?;
        let siblings = dump::find_siblings(&parts);
        parts.extend(siblings);
        Ok(parts)
    }
}

/// Sorts `paths` into inputs, each at the place of its first path. Only plain dump files are looked into: to know what
/// is in a wrapped one it would have to be unpacked.
pub fn jobs(paths: &[PathBuf]) -> Vec<Job> {
    let alone = |path: &PathBuf| Job {
        paths: vec![path.clone()],
    };
    if paths.len() < 2 {
        return paths.iter().map(alone).collect();
    }
    let mut order: Vec<(usize, Job)> = Vec::new();
    let mut dumps: Vec<(usize, Input)> = Vec::new();
    for (index, path) in paths.iter().enumerate() {
        match is_plain_dump(path).then(|| input::open(path)) {
            Some(Ok(input)) => dumps.push((index, input)),
            _ => order.push((index, alone(path))),
        }
    }
    let indices: Vec<usize> = dumps.iter().map(|(index, _)| *index).collect();
    let inputs: Vec<Input> = dumps.into_iter().map(|(_, input)| input).collect();
    for group in dump::group_parts(inputs) {
        let paths_of: Vec<PathBuf> = group.into_iter().map(|input| input.path).collect();
        let first = indices
            .iter()
            .find(|&&index| paths.get(index) == paths_of.first())
            .copied()
            .unwrap_or(usize::MAX);
        order.push((first, Job { paths: paths_of }));
    }
    order.sort_by_key(|(index, _)| *index);
    order.into_iter().map(|(_, job)| job).collect()
}

fn is_plain_dump(path: &Path) -> bool {
    let mut first = [0; 16];
    // A FIFO would block: only regular files are opened here.
    std::fs::metadata(path).is_ok_and(|m| m.is_file())
        && File::open(path)
            .and_then(|mut file| file.read_exact(&mut first))
            .is_ok()
        && (first.starts_with(b"KDUMP   ") || first.starts_with(b"makedumpfile"))
}
