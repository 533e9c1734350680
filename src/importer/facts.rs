//! Our fact files: a list of bugs in YAML, with the texts that show them in a folder beside it.

use std::fs;
use std::path::Path;

use serde::Deserialize;

use super::bug::{About, Bug, area_of, is_commit, slug};
use super::sources::SourceError;

/// One entry. What a rule cannot use is not named here, and skipped.
#[derive(Deserialize)]
struct Entry {
    id: String,
    #[serde(default)]
    subsystem: Option<String>,
    #[serde(default)]
    introduced_by: Option<String>,
    #[serde(default)]
    introduced_in: Option<String>,
    #[serde(default)]
    fixed_by: FixedBy,
    #[serde(default)]
    fixed_in: Vec<String>,
    #[serde(default)]
    last_affected_mainline: Option<String>,
    #[serde(default)]
    cve: Vec<String>,
    #[serde(default)]
    source: Option<String>,
    #[serde(default)]
    oops_file: Option<String>,
}

#[derive(Default, Deserialize)]
struct FixedBy {
    #[serde(default)]
    sha: Option<String>,
    #[serde(default)]
    subject: Option<String>,
}

/// Whether a text may be a fact file.
pub fn is_one(text: &str) -> bool {
    text.lines()
        .take(200)
        .any(|line| line.trim_start().starts_with("- id:"))
        && text.contains("fixed_by:")
}

/// Reads a fact file.
pub fn read(path: &Path, text: &str, bugs: &mut Vec<Bug>, failed: &mut Vec<SourceError>) {
    let entries: Vec<Entry> = match serde_yaml::from_str(text) {
        Ok(entries) => entries,
        Err(error) => return failed.push(SourceError::new(path, format!("not a fact file: {error}"))),
    };
    let folder = path.parent().unwrap_or(Path::new("."));
    for entry in entries {
        let Some(file) = &entry.oops_file else { continue };
        // A fact file speaks of texts below its own folder only.
        let outside = Path::new(file)
            .components()
            .any(|part| !matches!(part, std::path::Component::Normal(_)));
        let text_path = folder.join(file);
        let text = match fs::read(&text_path) {
            Ok(text) if !outside => text,
            Ok(_) => continue,
            Err(error) => {
                failed.push(SourceError::new(&text_path, error.to_string()));
                continue;
            }
        };
        // 2.6.12 is where the history of git begins: older than anything that is known.
        let introduced_in = entry.introduced_in.filter(|release| release != "2.6.12");
        bugs.push(Bug {
            id: slug(&entry.id),
            commit: entry.fixed_by.sha.filter(|sha| is_commit(sha)),
            introduced_by: entry
                .introduced_by
                .filter(|sha| is_commit(sha) && sha != "1da177e4c3f4"),
            introduced_in,
            last_affected: entry.last_affected_mainline,
            fixed_in: entry.fixed_in,
            cves: entry.cve,
            area: entry.subsystem.as_deref().map(|name| area_of(name).to_owned()),
            about: entry.fixed_by.subject.as_deref().map(About::of).unwrap_or_default(),
            source: entry.source.unwrap_or_else(|| text_path.display().to_string()),
            text,
        });
    }
}
