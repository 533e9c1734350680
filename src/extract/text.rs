//! Text inputs: a report read back, a pasted `crash` session, kernel messages.

use super::{ExtractError, Extracted};
use crate::console;
use crate::crash::{CrashReport, SCHEMA, Source, SourceKind};
use crate::input::Input;

/// Reads a text input.
pub fn read(input: &Input, text: &[u8]) -> Result<Extracted, ExtractError> {
    let reports = match text.trim_ascii_start().first() {
        Some(b'{' | b'[') => match read_back(input, text)? {
            Some(reports) => reports,
            None => kernel_text(input, text)?,
        },
        _ => kernel_text(input, text)?,
    };
    Ok(Extracted { reports, dumped: None })
}

fn kernel_text(input: &Input, text: &[u8]) -> Result<Vec<CrashReport>, ExtractError> {
    let mut reports = console::read(text, &source(input));
    let tells_something = |report: &CrashReport| {
        report.panic.is_some()
            || report.system.release.is_some()
            || report.log.as_ref().is_some_and(|log| log.first_seconds.is_some())
    };
    if !reports.iter().any(tells_something) {
        return Err(ExtractError::NotKernelText {
            path: input.path.clone(),
        });
    }
    if let Some(why) = &input.cut_short {
        for report in &mut reports {
            report.note_missing("source", why.clone());
        }
    }
    Ok(reports)
}

/// A report or an array of reports in JSON; `None` when the text only begins like JSON (`[    1.0] …`).
fn read_back(input: &Input, text: &[u8]) -> Result<Option<Vec<CrashReport>>, ExtractError> {
    let refused = |why: String| ExtractError::Report {
        path: input.path.clone(),
        why,
    };
    let value: serde_json::Value = match serde_json::from_slice(text) {
        Ok(value) => value,
        // A log line may begin with a bracket too; an object cannot be anything but broken JSON.
        Err(error) if text.trim_ascii_start().first() == Some(&b'{') => return Err(refused(error.to_string())),
        Err(_) => return Ok(None),
    };
    let values = match value {
        serde_json::Value::Array(values) => values,
        value => vec![value],
    };
    let mut reports = Vec::with_capacity(values.len());
    for mut value in values {
        // `identify --format json` wraps the report: take it out.
        if let Some(inner) = value.get_mut("report") {
            value = inner.take();
        }
        let schema = value.get("schema").and_then(|s| s.as_str()).unwrap_or("none");
        if schema != SCHEMA {
            return Err(refused(format!("its schema is {schema:?}, expected {SCHEMA:?}")));
        }
        let mut report: CrashReport = serde_json::from_value(value).map_err(|e| refused(e.to_string()))?;
        report.source.kind = SourceKind::Report;
        report.source.path = input.path.display().to_string();
        reports.push(report);
    }
    if reports.is_empty() {
        return Err(refused("an empty array".to_owned()));
    }
    Ok(Some(reports))
}

/// The `source` of a text input; the reader says what kind of text it is.
fn source(input: &Input) -> Source {
    let mut source = Source::new(input.path.display().to_string(), SourceKind::Console);
    source.compression = input.wrappings.iter().map(|w| (*w).to_owned()).collect();
    source.size = Some(input.size);
    source.bytes_read = Some(input.counter.bytes());
    source.truncated = input.cut_short.is_some();
    source
}
