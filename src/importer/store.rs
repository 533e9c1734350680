//! Rules and cases on disk: what the importer wrote it may write again, what a person changed it leaves alone.
//!
//! Each rule carries a mark with a digest of the text below it. A file whose text has another digest, or none, is a
//! person's.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{ImportError, Imported, Target};

/// What was done with a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Done {
    /// It was not there.
    New,
    /// It was there and says something else now.
    Updated,
    /// It says the same as before.
    Same,
    /// It was there, and cannot be made any more.
    Removed,
    /// It was changed by hand since it was imported, and was left as it is.
    Kept,
}

impl Done {
    /// The state in a word.
    pub fn word(self) -> &'static str {
        match self {
            Done::New => "new",
            Done::Updated => "updated",
            Done::Same => "unchanged",
            Done::Removed => "removed",
            Done::Kept => "edited by hand, kept",
        }
    }
}

/// A rule that is ready to be written.
pub struct Made {
    /// Its id.
    pub id: String,
    /// Its area: the folder.
    pub area: String,
    /// Its text.
    pub text: String,
    /// The text of its case.
    pub case: String,
}

const MARK: &str = "# Made by `vmcoroner rules import`, ";
/// The case of a rule, in its folder of the corpus.
const CASE: &str = "match-fix-message.json";
const REST: &str = ". What is changed by hand here is kept.";

/// The rules that were imported before, by id.
#[derive(Debug, Default)]
pub struct Own {
    files: BTreeMap<String, (PathBuf, String)>,
}

impl Own {
    /// Finds the files below the folder of the imported rules.
    pub fn find(folder: &Path) -> Self {
        let mut own = Own::default();
        own.walk(folder, 0);
        own
    }

    fn walk(&mut self, folder: &Path, depth: usize) {
        let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
        for path in entries.map(|entry| entry.path()) {
            if path.is_dir() && depth < 8 {
                self.walk(&path, depth + 1);
            } else if path.extension().is_some_and(|extension| extension == "yaml")
                && let (Some(stem), Ok(text)) = (path.file_stem(), fs::read_to_string(&path))
            {
                self.files.insert(stem.to_string_lossy().into_owned(), (path, text));
            }
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Whether a rule was imported, changed since or not.
    pub fn has(&self, id: &str) -> bool {
        self.files.contains_key(id)
    }

    /// The day that an imported rule was written.
    pub fn date(&self, id: &str) -> Option<&str> {
        let (_, text) = self.files.get(id)?;
        text.lines().find_map(|line| line.strip_prefix("date: "))
    }
}

/// A rule's file: the mark and the text.
fn marked(text: &str) -> String {
    format!("{MARK}{:016x}{REST}\n{text}", digest(text))
}

fn is_untouched(file: &str) -> bool {
    let Some((first, text)) = file.split_once('\n') else {
        return false;
    };
    let told = first.strip_prefix(MARK).and_then(|rest| rest.strip_suffix(REST));
    told == Some(format!("{:016x}", digest(text)).as_str())
}

/// FNV-1a, 64 bit: the same on every machine and in every version.
fn digest(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Puts a rule and its case where they belong.
pub fn write(made: &Made, own: &Own, target: &Target) -> Result<Done, ImportError> {
    let before = own.files.get(&made.id);
    if before.is_some_and(|(_, text)| !is_untouched(text)) {
        return Ok(Done::Kept);
    }
    let path = match before {
        Some((path, _)) => path.clone(),
        None => target.rules.join(&made.area).join(format!("{}.yaml", made.id)),
    };
    let text = marked(&made.text);
    let case = target.corpus.join(&made.id).join(CASE);
    let same =
        before.is_some_and(|(_, old)| *old == text) && fs::read_to_string(&case).is_ok_and(|old| old == made.case);
    let done = match before {
        Some(_) if same => Done::Same,
        Some(_) => Done::Updated,
        None => Done::New,
    };
    if !same && !target.dry_run {
        put(&path, &text)?;
        put(&case, &made.case)?;
    }
    Ok(done)
}

/// Takes away a rule that was imported before and is not made any more, with its case, unless somebody changed it.
/// `None`: there is none.
pub fn remove(id: &str, own: &Own, target: &Target) -> Result<Option<Done>, ImportError> {
    let Some((path, text)) = own.files.get(id) else {
        return Ok(None);
    };
    if !is_untouched(text) {
        return Ok(Some(Done::Kept));
    }
    if !target.dry_run {
        let folder = target.corpus.join(id);
        for path in [path, &folder.join(CASE)] {
            match fs::remove_file(path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    let path = path.clone();
                    return Err(ImportError::Write { path, source });
                }
                _ => {}
            }
        }
        // Somebody's further cases stay, and `rules test` tells of them.
        let _ = fs::remove_dir(folder);
    }
    Ok(Some(Done::Removed))
}

fn put(path: &Path, text: &str) -> Result<(), ImportError> {
    let failed = |source: io::Error| ImportError::Write {
        path: path.to_owned(),
        source,
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    fs::write(path, text).map_err(failed)
}

/// Lists the bugs that got no rule, by reason.
pub fn write_left_out(imported: &Imported, folder: &Path) -> Result<(), ImportError> {
    let mut text = String::from(
        "# Fixes that got no rule, and why\n\nWritten by `vmcoroner rules import`; a rule must name one bug and nobody else's crash.\n",
    );
    for (reason, bugs) in &imported.left_out {
        text.push_str(&format!("\n## {} ({})\n\n", reason.heading(), bugs.len()));
        for (bug, what) in bugs {
            let what = if what.is_empty() {
                String::new()
            } else {
                format!(": {what}")
            };
            text.push_str(&format!("- {bug}{what}\n"));
        }
    }
    let path = folder.join("left-out.md");
    if imported.left_out.values().all(Vec::is_empty) {
        return Ok(());
    }
    put(&path, &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_was_touched_is_known() {
        let text = "id: pump\ntitle: The pump leaks\n";
        let file = marked(text);
        assert!(is_untouched(&file));
        assert!(!is_untouched(&file.replace("leaks", "drips")));
        assert!(!is_untouched(text));
    }
}
