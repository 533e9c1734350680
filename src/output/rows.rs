//! Rows of an archive in the forms that other programs read, and for people.

use std::borrow::Cow;

use serde::Serialize;

use super::page::{Page, Tone};
use crate::scan::{Labelled, Status, Tally};

/// The columns of a crash, as the table has them.
#[derive(Serialize)]
pub(super) struct Columns<'a> {
    pub(super) input: &'a str,
    pub(super) status: Status,
    pub(super) rule: Option<&'a str>,
    pub(super) tier: Option<&'a str>,
    pub(super) rule_title: Option<&'a str>,
    pub(super) general: Option<&'a str>,
    pub(super) kind: Option<&'a str>,
    pub(super) title: Option<&'a str>,
    pub(super) signature: Option<&'a str>,
    pub(super) function: Option<&'a str>,
    pub(super) release: Option<&'a str>,
    pub(super) stream: Option<&'a str>,
    pub(super) machine: Option<&'a str>,
    pub(super) host: Option<&'a str>,
    pub(super) hardware: Option<&'a str>,
    pub(super) crashed_at: Option<&'a str>,
    pub(super) uptime_seconds: Option<f64>,
    pub(super) error: Option<&'a str>,
}

impl<'a> Columns<'a> {
    pub(super) fn of(labelled: &'a Labelled) -> Self {
        let (row, facts) = (&labelled.row, &labelled.facts);
        Columns {
            input: &row.input,
            status: row.status,
            rule: facts.rule.as_deref(),
            tier: facts.tier.as_deref(),
            rule_title: facts.rule_title.as_deref(),
            general: facts.general.as_deref(),
            kind: facts.kind.as_deref(),
            title: facts.title.as_deref(),
            signature: facts.signature.as_deref(),
            function: facts.function.as_deref(),
            release: facts.release.as_deref(),
            stream: facts.stream.as_deref(),
            machine: facts.machine.as_deref(),
            host: facts.host.as_deref(),
            hardware: facts.hardware.as_deref(),
            crashed_at: facts.crashed_at.as_deref(),
            uptime_seconds: facts.uptime,
            error: row.error.as_deref(),
        }
    }
}

/// A row of the table; the first with the line of names before it. A cell that a spreadsheet would take for a formula has
/// an apostrophe before it: what a crash says of itself is not to be run by who reads it.
pub fn csv(labelled: &Labelled, first: bool) -> String {
    let mut writer = csv::WriterBuilder::new().has_headers(first).from_writer(Vec::new());
    // Written to memory, and of one shape.
    let _ = writer.serialize(Columns::of(labelled));
    let plain = writer.into_inner().unwrap_or_default();
    let mut cells = csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(plain.as_slice());
    let mut writer = csv::Writer::from_writer(Vec::new());
    for record in cells.records().flatten() {
        let _ = writer.write_record(record.iter().map(|cell| defused(cell).into_owned()));
    }
    writer
        .into_inner()
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}

/// A cell's text that no spreadsheet takes for a formula (OWASP, "CSV Injection").
fn defused(cell: &str) -> Cow<'_, str> {
    let is_formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) && cell.parse::<f64>().is_err();
    match is_formula {
        true => format!("'{cell}").into(),
        false => cell.into(),
    }
}

/// A row for people: what it is, and which input.
pub fn human(page: &mut Page, labelled: &Labelled) {
    let (row, facts) = (&labelled.row, &labelled.facts);
    let title = facts.title.as_deref().unwrap_or("a crash");
    let (tone, what) = match row.status {
        Status::Known => {
            let word = |word: &Option<String>| word.clone().unwrap_or_default();
            (
                Tone::Good,
                format!("{} ({}): {title}", word(&facts.rule), word(&facts.tier)),
            )
        }
        Status::Unknown => (Tone::Doubt, title.to_owned()),
        Status::NoCrash => (Tone::Faint, "holds no crash".to_owned()),
        Status::Failed => (Tone::Bad, row.error.clone().unwrap_or_default()),
    };
    page.row(row.status.word(), tone, &what);
    page.row("", Tone::Faint, &row.input);
}

/// The end of a run for people.
pub fn summary(page: &mut Page, tally: &Tally) {
    let counts: Vec<String> = Status::ALL
        .into_iter()
        .map(|status| format!("{} {status}", tally.of(status)))
        .collect();
    page.gap();
    page.row(
        "in all",
        Tone::Strong,
        &format!("{} ({})", tally.rows, counts.join(", ")),
    );
}

/// Counts in Prometheus' text form. Label values are escaped as it asks: backslash, quote, line feed.
pub fn prometheus(tally: &Tally, ended: u64) -> String {
    let escape = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let mut text = String::new();
    let mut family = |name: &str, help: &str, samples: Vec<(String, u64)>| {
        text += &format!("# HELP {name} {help}\n# TYPE {name} gauge\n");
        for (labels, value) in samples {
            text += &format!("{name}{labels} {value}\n");
        }
    };
    let labelled = |label: &str, counts: &std::collections::BTreeMap<String, u64>| {
        let counts = counts.iter();
        counts
            .map(|(word, count)| (format!("{{{label}=\"{}\"}}", escape(word)), *count))
            .collect()
    };
    let statuses = Status::ALL.into_iter();
    family(
        "vmcoroner_inputs",
        "Inputs of the archive by what became of them.",
        statuses
            .map(|status| (format!("{{status=\"{status}\"}}"), tally.of(status)))
            .collect(),
    );
    family(
        "vmcoroner_known_bugs",
        "Crashes of the archive by the rule that names them.",
        labelled("rule", &tally.by_rule),
    );
    family(
        "vmcoroner_crash_kinds",
        "Crashes of the archive by their class of failure.",
        labelled("kind", &tally.by_kind),
    );
    family(
        "vmcoroner_scan_bytes_read",
        "Bytes that the last scan read.",
        vec![(String::new(), tally.bytes_read)],
    );
    family(
        "vmcoroner_scan_inputs_read",
        "Inputs that the last scan read, and did not take from its catalogue.",
        vec![(String::new(), tally.read)],
    );
    family(
        "vmcoroner_scan_end_timestamp_seconds",
        "When the last scan ended, in seconds since 1970.",
        vec![(String::new(), ended)],
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str) -> Labelled {
        let mut row = Labelled::failed(name, "x, \"y\"\nz", false);
        row.facts.rule = Some("a\\\"b".to_owned());
        row
    }

    #[test]
    fn a_table_keeps_what_needs_quotes() {
        let text = csv(&row("a"), true) + &csv(&row("b,c"), false);
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        assert_eq!(rows.len(), 2);
        assert_eq!(&rows[1][0], "b,c");
        assert_eq!(&rows[1][rows[1].len() - 1], "x, \"y\"\nz");
    }

    #[test]
    fn a_table_holds_no_formulas() {
        let mut row = row("=HYPERLINK(\"http://x\")");
        row.facts.host = Some("@SUM(1)".to_owned());
        row.facts.title = Some("-1+1".to_owned());
        row.facts.hardware = Some("a=b".to_owned());
        row.facts.uptime = Some(-1.5);
        let text = csv(&row, true);
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let names = reader.headers().unwrap().clone();
        let cells = reader.records().next().unwrap().unwrap();
        let cell = |name: &str| &cells[names.iter().position(|found| found == name).unwrap()];
        assert_eq!(cell("input"), "'=HYPERLINK(\"http://x\")");
        assert_eq!((cell("host"), cell("title")), ("'@SUM(1)", "'-1+1"));
        assert_eq!((cell("hardware"), cell("uptime_seconds")), ("a=b", "-1.5"));
    }

    #[test]
    fn prometheus_names_every_status_and_escapes() {
        let mut tally = Tally::default();
        tally.add_row(&row("a"), true);
        let text = prometheus(&tally, 7);
        assert!(text.contains("vmcoroner_inputs{status=\"no-crash\"} 0\n"));
        assert!(text.contains("vmcoroner_inputs{status=\"failed\"} 1\n"));
        assert!(text.contains("vmcoroner_known_bugs{rule=\"a\\\\\\\"b\"} 1\n"));
        assert!(text.ends_with("vmcoroner_scan_end_timestamp_seconds 7\n"));
    }
}
