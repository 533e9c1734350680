//! The corpus: crashes in `<rule-id>/match-*` and `<rule-id>/nomatch-*`, which prove the rules, and the run over them.
//!
//! The only place that knows both `extract` (a case is any input) and `rules`. It must not know of terminals.

mod add;
mod coverage;
mod trial;
mod unproven;

pub use add::{AddError, Added, add_case};
pub use coverage::{Coverage, coverage};
pub use trial::{Count, Problem, RuleTrial, Trial, Verdict, trial};
pub use unproven::unproven;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::crash::CrashReport;
use crate::extract::{self, Depth, ExtractError, Job};
use crate::rules::{Identification, KnowledgeBase, identify};

/// What a case asks of the rule whose folder it lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// The rule must match: it says so exactly or likely, and no other comes before it that does not explain it better.
    Match,
    /// The rule must not match.
    NoMatch,
}

impl Expectation {
    /// What the names of such cases begin with.
    pub fn prefix(self) -> &'static str {
        match self {
            Expectation::Match => "match-",
            Expectation::NoMatch => "nomatch-",
        }
    }
}

/// One crash of the corpus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The rule's id: the folder's name.
    pub rule: String,
    /// What it asks.
    pub expected: Expectation,
    /// The input: a text, a report, a capsule, a dump.
    pub path: PathBuf,
}

impl Case {
    /// `<rule>/<file>`, which names it within its corpus.
    pub fn name(&self) -> String {
        let file = self.path.file_name().map(|name| name.to_string_lossy());
        format!("{}/{}", self.rule, file.unwrap_or_default())
    }
}

/// The cases of a folder, by rule and name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Corpus {
    /// The cases.
    pub cases: Vec<Case>,
    /// What lies in a rule's folder and is named as no case is.
    pub strays: Vec<PathBuf>,
}

/// A corpus that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{}: cannot read this corpus: {source}", path.display())]
pub struct CorpusError {
    /// The folder.
    pub path: PathBuf,
    /// Why not.
    pub source: io::Error,
}

impl Corpus {
    /// Lists the cases of a folder: one folder a rule, in it `match-*` and `nomatch-*`. Files beside those folders, and
    /// hidden ones, are none of its business.
    pub fn open(folder: &Path) -> Result<Corpus, CorpusError> {
        let mut corpus = Corpus::default();
        for of_rule in sorted(folder)?.into_iter().filter(|path| path.is_dir()) {
            let Some(rule) = of_rule.file_name().map(|name| name.to_string_lossy().into_owned()) else {
                continue;
            };
            for path in sorted(&of_rule)? {
                let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
                let expected = [Expectation::Match, Expectation::NoMatch]
                    .into_iter()
                    .find(|expected| name.starts_with(expected.prefix()));
                match expected {
                    Some(expected) => corpus.cases.push(Case {
                        rule: rule.clone(),
                        expected,
                        path,
                    }),
                    None => corpus.strays.push(path),
                }
            }
        }
        Ok(corpus)
    }
}

/// The entries of a folder by name, hidden ones left out.
fn sorted(folder: &Path) -> Result<Vec<PathBuf>, CorpusError> {
    let failed = |source| CorpusError {
        path: folder.to_owned(),
        source,
    };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// Extracts an input's first crash and names it, with the dump's memory to ask where there is one.
///
/// `None`: the input tells of no boot at all.
pub fn answer(base: &KnowledgeBase, path: &Path) -> Result<Option<(CrashReport, Identification)>, ExtractError> {
    let job = Job {
        paths: vec![path.to_owned()],
    };
    let mut extracted = extract::extract(&job.open()?, Depth::default())?;
    let Some(report) = extracted.take_first_crash() else {
        return Ok(None);
    };
    let probe = extracted.probe();
    let found = identify(base, &report, probe.as_ref().map(|probe| probe as _));
    Ok(Some((report, found)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_found_by_name_and_strays_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        };
        for name in [
            "README.md",
            "b/nomatch-1.txt",
            "b/match-2.capsule",
            "a/match-1.json",
            "a/other.txt",
            "a/.hidden",
        ] {
            file(name);
        }
        let corpus = Corpus::open(folder.path()).unwrap();
        let names: Vec<String> = corpus.cases.iter().map(Case::name).collect();
        assert_eq!(names, ["a/match-1.json", "b/match-2.capsule", "b/nomatch-1.txt"]);
        assert_eq!(corpus.cases[2].expected, Expectation::NoMatch);
        assert_eq!(corpus.strays, [folder.path().join("a/other.txt")]);
        assert!(Corpus::open(&folder.path().join("nowhere")).is_err());
    }
}
