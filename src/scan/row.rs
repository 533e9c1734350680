//! What is said of one input: the `identify` object and a status. The scan's native stream is one such object a line.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::crash::{CrashReport, signature};
use crate::rules::schema::Scope;
use crate::rules::{Identification, Tier};

/// How many names of a stack are kept to compare crashes by: as many as `group` looks at.
const DEPTH: usize = 20;

/// What became of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It is a crash, and a bug rule names it, exactly or likely.
    Known,
    /// It is a crash that no bug rule names.
    Unknown,
    /// It was read, and holds no crash.
    NoCrash,
    /// It could not be read.
    Failed,
}

impl Status {
    /// All of them.
    pub const ALL: [Status; 4] = [Status::Known, Status::Unknown, Status::NoCrash, Status::Failed];

    /// The status in a word.
    pub fn word(self) -> &'static str {
        match self {
            Status::Known => "known",
            Status::Unknown => "unknown",
            Status::NoCrash => "no-crash",
            Status::Failed => "failed",
        }
    }

    /// The status of that word.
    pub fn from_word(word: &str) -> Option<Self> {
        Status::ALL.into_iter().find(|status| status.word() == word)
    }

    /// Whether it is a crash.
    pub fn is_crash(self) -> bool {
        matches!(self, Status::Known | Status::Unknown)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What is said of one input. The larger parts are JSON text already: rows are kept and passed on more often than
/// looked into.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// The input's name: the path as its place was given, `ARCHIVE!MEMBER` for a member of a tar archive.
    pub input: String,
    /// What became of it.
    pub status: Status,
    /// The files that belong to it, beside the first: parts of a split dump, logs, metadata.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub with: Vec<String>,
    /// A [`CrashReport`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Json>,
    /// An array of [`crate::rules::Match`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matches: Option<Json>,
    /// An array of [`crate::rules::Near`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub near: Option<Json>,
    /// Why it could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Row {
    /// The row of an input that could not be read.
    pub fn failed(input: impl Into<String>, error: impl Into<String>) -> Self {
        Row {
            input: input.into(),
            status: Status::Failed,
            with: Vec::new(),
            report: None,
            matches: None,
            near: None,
            error: Some(error.into()),
        }
    }

    /// The row as one line of the stream, with its line feed.
    pub fn line(&self) -> String {
        let mut line = String::new();
        self.write_line(|part| line.push_str(part));
        line
    }

    /// The same, part by part: most of a row is text that is kept already, and longer than what it is copied to.
    pub fn write_line(&self, mut write: impl FnMut(&str)) {
        // Strings: there is nothing in them that JSON cannot say.
        let string = |text: &str| serde_json::to_string(text).unwrap_or_default();
        write("{\"input\":");
        write(&string(&self.input));
        write(",\"status\":\"");
        write(self.status.word());
        write("\"");
        if !self.with.is_empty() {
            write(",\"with\":");
            write(&serde_json::to_string(&self.with).unwrap_or_default());
        }
        let parts = [
            (",\"report\":", &self.report),
            (",\"matches\":", &self.matches),
            (",\"near\":", &self.near),
        ];
        for (key, json) in parts {
            if let Some(json) = json {
                write(key);
                write(json.get());
            }
        }
        if let Some(error) = &self.error {
            write(",\"error\":");
            write(&string(error));
        }
        write("}\n");
    }
}

/// A value as JSON text in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Json(String);

impl Json {
    /// The text of a value. `None` for what JSON cannot say; reports and verdicts, plain data with string keys, are not
    /// of that kind.
    pub(super) fn of<T: Serialize + ?Sized>(value: &T) -> Option<Self> {
        serde_json::to_string(value).ok().map(Json)
    }

    /// Text that [`Json::get`] gave, and that was kept by one who is trusted not to have changed it: to parse it again
    /// would be most of what it costs to take a row out of a catalogue. What would break the stream is nothing.
    pub fn kept(text: String) -> Option<Self> {
        let is_whole = text.starts_with(['{', '[']) && text.ends_with(['}', ']']);
        (is_whole && memchr::memchr(b'\n', text.as_bytes()).is_none()).then_some(Json(text))
    }

    /// The text.
    pub fn get(&self) -> &str {
        &self.0
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serde_json::from_str::<&RawValue>(&self.0)
            .map_err(serde::ser::Error::custom)?
            .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text: Box<str> = Box::<RawValue>::deserialize(deserializer)?.into();
        Ok(Json(text.into()))
    }
}

/// What tables and statistics are made of: the columns of a crash.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// The signature's id: `v1-…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// The signature's title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The class of failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The blamed function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// The kernel's release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// The kernel's stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// The architecture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// The host's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Vendor and model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardware: Option<String>,
    /// When it crashed: RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crashed_at: Option<String>,
    /// How long it had been up, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uptime: Option<f64>,
    /// The bug rule that names it, exactly or likely.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// That rule's title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule_title: Option<String>,
    /// How sure: `exact` or `likely`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// The first general rule that holds: what kind of crash it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub general: Option<String>,
    /// The normalised names of its stack, innermost first: what groups are made by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stack: Vec<String>,
}

impl Facts {
    /// The columns of a report and what rules say of it.
    pub fn of(report: &CrashReport, found: &Identification) -> Self {
        let system = &report.system;
        let signature = report.signature.as_ref();
        let label = found.label();
        let general = found
            .matches
            .iter()
            .find(|found| found.scope == Scope::General && found.tier <= Tier::Likely);
        Facts {
            signature: signature.map(|signature| signature.id.clone()),
            title: signature.map(|signature| signature.title.clone()),
            kind: report.panic.as_ref().map(|panic| panic.kind.word().to_owned()),
            function: signature.and_then(|signature| signature.function.clone()),
            release: system.release.clone(),
            stream: system.stream.clone(),
            machine: system.machine.clone(),
            host: system.host().map(str::to_owned),
            hardware: system.hardware.clone(),
            crashed_at: system.crashed_at.clone(),
            uptime: system.uptime_seconds,
            rule: label.map(|label| label.rule.clone()),
            rule_title: label.map(|label| label.title.clone()),
            tier: label.map(|label| label.tier.word().to_owned()),
            general: general.map(|general| general.rule.clone()),
            stack: signature::stack(report, DEPTH),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_what_serde_makes_of_the_row() {
        let mut row = Row::failed("/a \"b\"\n\u{1}", "é\\");
        let same = |row: &Row| {
            assert_eq!(row.line(), serde_json::to_string(row).unwrap() + "\n");
            let again: Row = serde_json::from_str(&row.line()).unwrap();
            assert_eq!(again.line(), row.line());
        };
        same(&row);
        row.with = vec!["x\t".to_owned(), "y".to_owned()];
        row.report = Json::of(&serde_json::json!({"a": [1, "\n"]}));
        row.near = Json::of(&[1, 2]);
        same(&row);
        row.error = None;
        row.matches = Json::of::<[u8]>(&[]);
        same(&row);
    }

    #[test]
    fn kept_text_cannot_break_the_stream() {
        for text in ["{\"a\":1}", "[]"] {
            assert_eq!(Json::kept(text.to_owned()).unwrap().get(), text);
        }
        for text in ["", "{\"a\":\n1}", "{", "null"] {
            assert_eq!(Json::kept(text.to_owned()), None, "{text}");
        }
    }
}
