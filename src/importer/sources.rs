//! Where fixes are told of: fact files, git repositories, folders and files of patches, logs, CVE records and mails that
//! announce them. Found by content, never by name.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::bug::Bug;
use super::{cna, facts, message};

/// The largest file that is read, in bytes: a whole kernel's `git log` is about one gigabyte.
const LARGEST: u64 = 2 << 30;
/// Folders below each other that are walked into.
const DEEPEST: usize = 32;

/// A source that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", path.display())]
pub struct SourceError {
    /// The file, folder or repository.
    pub path: PathBuf,
    /// Why not.
    pub why: String,
}

impl SourceError {
    pub(super) fn new(path: &Path, why: impl Into<String>) -> Self {
        SourceError {
            path: path.to_owned(),
            why: why.into(),
        }
    }
}

/// Finds the fixes that a file, a folder or a git repository tells of.
pub fn read(path: &Path, bugs: &mut Vec<Bug>, failed: &mut Vec<SourceError>) {
    if is_repository(path) {
        let before = bugs.len();
        match git(path) {
            Ok(log) => message::read("git history", &log, bugs),
            Err(error) => return failed.push(error),
        }
        // A collection of patches or records may be kept in git, too: then its files tell, and its history does not.
        if bugs.len() > before || path.join("HEAD").is_file() {
            return;
        }
    }
    if !path.is_dir() {
        return file(path, bugs, failed, true);
    }
    let mut files = Vec::new();
    walk(path, 0, &mut files, failed);
    for path in files {
        file(&path, bugs, failed, false);
    }
}

fn is_repository(path: &Path) -> bool {
    path.join(".git").exists() || (path.join("HEAD").is_file() && path.join("objects").is_dir())
}

/// The messages of a repository that may quote a crash, as `git log` prints them.
fn git(path: &Path) -> Result<String, SourceError> {
    let failed = |why: String| SourceError::new(path, why);
    let output = Command::new("git")
        .arg("-C")
        .arg(path)
        .args(["log", "--no-color", "--no-show-signature", "--no-notes", "-E"])
        .arg("--grep=Call [Tt]race|RIP: |BUG: |Oops|kernel BUG at|[pP][cC] is at|Unable to handle|WARNING: CPU|WARNING: at|INFO: task|general protection|soft lockup|stall|corruption")
        // The program must not page, and a repository's own settings must not change the form.
        .arg("--format=commit %H%n%n%w(0,4,4)%B")
        .env("GIT_PAGER", "cat")
        .env("LC_ALL", "C")
        .output()
        .map_err(|error| failed(format!("cannot run git: {error}")))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(failed(format!("git log failed: {words}")));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn walk(folder: &Path, depth: usize, files: &mut Vec<PathBuf>, failed: &mut Vec<SourceError>) {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => return failed.push(SourceError::new(folder, error.to_string())),
    };
    let mut paths: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let hidden = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if hidden {
            continue;
        }
        if path.is_dir() {
            if depth < DEEPEST {
                walk(&path, depth + 1, files, failed);
            }
        } else {
            files.push(path);
        }
    }
}

/// Reads one file. What was not named itself may be anything: then it is no error that it tells nothing.
fn file(path: &Path, bugs: &mut Vec<Bug>, failed: &mut Vec<SourceError>, named: bool) {
    let size = fs::metadata(path).map_or(0, |data| data.len());
    if size > LARGEST {
        return failed.push(SourceError::new(path, format!("{size} bytes are more than this reads")));
    }
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => return failed.push(SourceError::new(path, error.to_string())),
    };
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    if text.trim_start().starts_with('{') {
        match serde_json::from_str(&text) {
            Ok(record) => bugs.extend(cna::read(&name, &record)),
            Err(error) if named => failed.push(SourceError::new(path, format!("not a CVE record: {error}"))),
            Err(_) => {}
        }
    } else if facts::is_one(&text) {
        facts::read(path, &text, bugs, failed);
    } else if message::may_be(&text) {
        message::read(&name, &text, bugs);
    } else if named {
        let why = "neither a fact file nor a CVE record, and no commit's message nor mail: give one, a folder of them or a git repository";
        failed.push(SourceError::new(path, why));
    }
}
