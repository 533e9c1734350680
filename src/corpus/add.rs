//! A crash becomes a case: a text as a short excerpt that says the same, a dump as a capsule, a report as it is.
//!
//! Nothing is written unless the rule already answers the crash as the case will ask. It must not know of terminals.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Expectation;
use crate::capsule;
use crate::crash::{CrashReport, SourceKind};
use crate::extract::{self, Depth, ExtractError, Job};
use crate::input::{Content, Input};
use crate::rules::{Identification, KnowledgeBase, LoadedRule, Tier, explain, identify};

/// How many lines before the one that names the failure an excerpt keeps, from little to much.
const BEFORE: [usize; 3] = [20, 80, 300];

/// Marks of lines that name the machine and its kernel, wherever they stand.
const HEAD: [&str; 3] = ["Linux version ", "Command line: ", "DMI: "];

/// A case that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// The new file.
    pub path: PathBuf,
    /// What was written: `text`, `excerpt`, `capsule` or `report`.
    pub form: &'static str,
    /// Its size in bytes.
    pub size: usize,
    /// How sure the rule is of it; absent for a case that must not match.
    pub tier: Option<Tier>,
}

/// Why no case was written.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// There is no such rule.
    #[error("there is no rule `{0}`: give its file with --rules")]
    NoRule(String),
    /// The input could not be read.
    #[error(transparent)]
    Extract(#[from] ExtractError),
    /// The input tells of no crash.
    #[error("{}: shows no crash", .0.display())]
    NoCrash(PathBuf),
    /// The rule does not match, or is only related.
    #[error("`{rule}` does not match this crash: {why}")]
    NotMatched {
        /// The rule.
        rule: String,
        /// What stands between them.
        why: String,
    },
    /// The rule matches a crash that it should not.
    #[error("`{rule}` matches this crash ({}): make it say no first", tier.word())]
    Matched {
        /// The rule.
        rule: String,
        /// How sure it is.
        tier: Tier,
    },
    /// The file could not be written.
    #[error("{}: cannot write this case: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Puts a crash into `<corpus>/<rule>/`. `name` is what the file is called behind `match-` or `nomatch-`, without an
/// ending; made of release and place when not given. An existing case is never overwritten.
pub fn add_case(
    base: &KnowledgeBase,
    corpus: &Path,
    rule: &str,
    input: &Path,
    expected: Expectation,
    name: Option<&str>,
) -> Result<Added, AddError> {
    let loaded = base.find(rule).ok_or_else(|| AddError::NoRule(rule.to_owned()))?;
    let job = Job {
        paths: vec![input.to_owned()],
    };
    let parts = job.open()?;
    let mut extracted = extract::extract(&parts, Depth::default())?;
    let report = extracted
        .take_first_crash()
        .filter(|report| report.panic.is_some())
        .ok_or_else(|| AddError::NoCrash(input.to_owned()))?;
    let probe = extracted.probe();
    let found = identify(base, &report, probe.as_ref().map(|probe| probe as _));
    let tier = tier_of(&found, loaded);
    let sure = tier.is_some_and(|tier| tier <= Tier::Likely);
    match (expected, tier) {
        (Expectation::Match, _) if !sure => {
            let explained = explain(loaded, &report, probe.as_ref().map(|probe| probe as _));
            let first = explained.missing().next();
            let why = first.map(|row| format!("{}: {}", row.answer.word(), row.predicate));
            let why = why.or_else(|| explained.reason.clone()).unwrap_or_default();
            return Err(AddError::NotMatched {
                rule: loaded.rule().id.to_string(),
                why,
            });
        }
        (Expectation::NoMatch, Some(tier)) if sure => {
            return Err(AddError::Matched {
                rule: loaded.rule().id.to_string(),
                tier,
            });
        }
        _ => {}
    }
    let (bytes, form, ending) = content(base, loaded, &parts, &report, tier);
    let stem = name.map_or_else(|| name_of(&report), str::to_owned);
    let path = write(&corpus.join(loaded.id()), expected, &stem, ending, &bytes)?;
    Ok(Added {
        path,
        form,
        size: bytes.len(),
        tier: tier.filter(|_| expected == Expectation::Match),
    })
}

/// How sure a rule is of a crash, a better one that explains it included.
fn tier_of(found: &Identification, loaded: &LoadedRule) -> Option<Tier> {
    let id = loaded.id();
    found
        .matches
        .iter()
        .find(|found| found.rule == id || found.folded.iter().any(|folded| folded == id))
        .map(|found| found.tier)
}

fn content(
    base: &KnowledgeBase,
    loaded: &LoadedRule,
    parts: &[Input],
    report: &CrashReport,
    tier: Option<Tier>,
) -> (Vec<u8>, &'static str, &'static str) {
    let text = parts.iter().find_map(|part| match &part.content {
        Content::Text(text) if report.source.kind != SourceKind::Report => Some((part, text)),
        _ => None,
    });
    if let Some((part, text)) = text {
        let message = report.panic.as_ref().and_then(|panic| panic.message.as_deref());
        let whole = || (text.to_vec(), "text", "txt");
        return message
            .and_then(|message| {
                excerpt(part, text, message, |other| {
                    says_the_same(base, loaded, report, other, tier)
                })
            })
            .map_or_else(whole, |short| (short, "excerpt", "txt"));
    }
    // A dump that no capsule can be made of keeps the facts that rules see, though not what they ask of memory.
    let is_dump = parts.iter().any(|part| matches!(part.content, Content::Dump(_)));
    if is_dump && let Ok(capsule) = capsule::make(parts, base, capsule::Options::default()) {
        return (capsule.bytes, "capsule", "capsule");
    }
    // Plain data with string keys: there is nothing in it that JSON cannot say.
    let mut json = serde_json::to_vec_pretty(report).unwrap_or_default();
    json.push(b'\n');
    (json, "report", "json")
}

/// The least of the text around `message` that still says the same.
fn excerpt(
    part: &Input,
    text: &[u8],
    message: &str,
    says_the_same: impl Fn(Option<CrashReport>) -> bool,
) -> Option<Vec<u8>> {
    let lines: Vec<&[u8]> = text.split_inclusive(|&byte| byte == b'\n').collect();
    let contains = |line: &[u8], part: &str| String::from_utf8_lossy(line).contains(part);
    let at = lines.iter().position(|line| contains(line, message))?;
    for before in BEFORE {
        let from = at.saturating_sub(before);
        if from == 0 {
            return None;
        }
        let head = lines.get(..from)?;
        let kept = head.iter().filter(|line| HEAD.iter().any(|mark| contains(line, mark)));
        let short: Vec<u8> = kept.chain(lines.get(from..)?).copied().flatten().copied().collect();
        let input = Input {
            content: Content::Text(Arc::new(short.clone())),
            ..part.clone()
        };
        let report = extract::extract(&[input], Depth::default())
            .ok()
            .and_then(extract::Extracted::into_first_crash);
        if says_the_same(report) {
            return Some(short);
        }
    }
    None
}

/// Whether an excerpt tells of the same crash, and the rule is as sure of it.
fn says_the_same(
    base: &KnowledgeBase,
    loaded: &LoadedRule,
    whole: &CrashReport,
    excerpt: Option<CrashReport>,
    tier: Option<Tier>,
) -> bool {
    excerpt.is_some_and(|excerpt| {
        excerpt.panic == whole.panic
            && excerpt.fault == whole.fault
            && excerpt.frames == whole.frames
            && excerpt.system.release == whole.system.release
            && excerpt.signature == whole.signature
            && tier_of(&identify(base, &excerpt, None), loaded) == tier
    })
}

/// `6.1-down-read-trylock`: the kernel's version and the place, or else the kind.
fn name_of(report: &CrashReport) -> String {
    let release = report.system.release.as_deref().unwrap_or_default();
    let version: Vec<&str> = release
        .split(|c: char| !c.is_ascii_digit())
        .take(2)
        .filter(|number| !number.is_empty())
        .collect();
    let symbol = report.fault.as_ref().and_then(|fault| fault.symbol.as_deref());
    let kind = report.panic.as_ref().map_or("crash", |panic| panic.kind.word());
    let place = symbol.map_or(kind, crate::crash::normalise_symbol);
    let words: Vec<&str> = place
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    let mut name = version.join(".");
    for word in words {
        if name.len() > 48 {
            break;
        }
        if !name.is_empty() {
            name.push('-');
        }
        name.push_str(word);
    }
    name
}

fn write(folder: &Path, expected: Expectation, stem: &str, ending: &str, bytes: &[u8]) -> Result<PathBuf, AddError> {
    let failed = |path: &Path, source| AddError::Write {
        path: path.to_owned(),
        source,
    };
    if stem.is_empty() || stem.contains(['/', '\\']) || stem.contains("..") {
        let error = io::Error::new(io::ErrorKind::InvalidInput, "a case's name is one plain word");
        return Err(failed(Path::new(stem), error));
    }
    fs::create_dir_all(folder).map_err(|source| failed(folder, source))?;
    let mut number = 1;
    loop {
        let suffix = if number > 1 {
            format!("-{number}")
        } else {
            String::new()
        };
        let path = folder.join(format!("{}{stem}{suffix}.{ending}", expected.prefix()));
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(mut file) => {
                return match file.write_all(bytes) {
                    Ok(()) => Ok(path),
                    Err(source) => Err(failed(&path, source)),
                };
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < 1000 => number += 1,
            Err(source) => return Err(failed(&path, source)),
        }
    }
}
