//! The texts, what we read in them, and the cases where another answer than the expected one is right.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use vmcoroner::console;
use vmcoroner::crash::{CrashReport, Source, SourceKind};

/// A text of a corpus, its expected answers, and ours.
pub struct Text {
    /// Corpus and name: `report/12`.
    pub name: String,
    /// What its authors or collectors found.
    pub json: Value,
    /// What we found: the first boot that crashed, else the first.
    pub report: CrashReport,
}

/// Reads every `NAME.log` that has a `NAME.json`, in the order of names.
pub fn read_all(folder: &Path) -> Vec<Text> {
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| Text {
            name: format!(
                "{}/{}",
                folder.file_name().unwrap().to_string_lossy(),
                path.file_stem().unwrap().to_string_lossy()
            ),
            json: serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap(),
            report: read(&path.with_extension("log")),
        })
        .collect()
}

/// What one text says: the first boot that crashed, else the first.
pub fn read(path: &Path) -> CrashReport {
    let text = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let reports = console::read(&text, &Source::new(path.to_string_lossy(), SourceKind::Console));
    let at = reports.iter().position(|report| report.panic.is_some()).unwrap_or(0);
    reports.into_iter().nth(at).unwrap()
}

/// A case where we answer otherwise than expected, and are right.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Difference {
    /// The figure's word.
    pub figure: String,
    /// The text's name.
    pub text: String,
    /// What we answer.
    pub ours: String,
    /// Why that is right.
    pub why: String,
}

/// The listed differences.
pub fn differences() -> Vec<Difference> {
    serde_yaml::from_str(include_str!("differences.yaml")).unwrap()
}
