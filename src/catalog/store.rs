//! Inputs and their rows, in and out.

use std::sync::atomic::Ordering;
use std::sync::{LazyLock, PoisonError};

use rusqlite::{Connection, OptionalExtension, Row as SqlRow, params};

use super::{Catalog, CatalogError};
use crate::archive::Entry;
use crate::crash::time;
use crate::scan::{Facts, Json, Labelled, Row, Status};

/// So many inputs are written in one transaction: what a kill may cost, and what makes writing cheap.
const BATCH: u32 = 64;

/// The columns of a row, as [`labelled`] reads them.
const LINE: &str = "label.id, label.rules_digest, label.name, label.status, label.error, report.files, report.report, \
     report.matches, report.near, report.asked";
/// The columns of its facts, as [`facts`] reads them: where they begin, and which they are.
const FACTS_AT: usize = 10;
const FACTS: &str = "label.rule, label.rule_title, label.tier, label.general, label.signature, signature.title, \
     signature.kind, signature.function, label.release, label.stream, label.machine, label.host, label.hardware, \
     label.crashed_at, label.uptime";
/// Where the facts are that a label does not hold itself.
const SIGNATURES: &str = "LEFT JOIN signature ON signature.id = label.signature";

/// The rows of one input for which everything is as it was, in order.
const KEPT: &str = "FROM input CROSS JOIN label JOIN report ON report.label = label.id";
const IF_SAME: &str = "WHERE input.path = ?1 AND input.name = ?2 AND input.stamp = ?3 AND input.version = ?4 \
     AND input.passing = 0 AND label.input = input.id ORDER BY label.number";
static KEPT_LINES: LazyLock<String> = LazyLock::new(|| format!("SELECT {LINE} {KEPT} {IF_SAME}"));
static KEPT_WHOLE: LazyLock<String> = LazyLock::new(|| format!("SELECT {LINE}, {FACTS} {KEPT} {SIGNATURES} {IF_SAME}"));

/// How much of a row is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    Whole,
    /// What is printed of it in JSON. Its facts are left empty: to read them takes a tenth of the time.
    Line,
}

/// Rows that the catalogue has of an input that did not change.
#[derive(Debug)]
pub enum Kept {
    /// None.
    Nothing,
    /// Under these rules.
    Rows(Vec<Labelled>),
    /// Under others.
    OtherRules(Vec<Labelled>),
}

impl Catalog {
    /// Notes that a command began; its number.
    pub fn begin(&self, command: &str, rules_digest: &str, now: u64) -> Result<i64, CatalogError> {
        self.with(|connection| {
            connection.execute(
                "INSERT INTO run (command, started_at, version, rules_digest) VALUES (?1, ?2, ?3, ?4)",
                params![command, time::rfc3339(now), env!("CARGO_PKG_VERSION"), rules_digest],
            )?;
            Ok(connection.last_insert_rowid())
        })
    }

    /// Notes that a command came to its end, writes what is still held back, and puts new signatures into groups.
    pub fn end(&self, run: i64, now: u64) -> Result<(), CatalogError> {
        self.flush()?;
        self.with(|connection| {
            super::groups::regroup(connection)?;
            connection.execute(
                "UPDATE run SET ended_at = ?2 WHERE id = ?1",
                params![run, time::rfc3339(now)],
            )?;
            Ok(())
        })
    }

    /// What is known of an entry under rules of that digest, as of the last [`Catalog::flush`] or later.
    pub fn kept(&self, entry: &Entry, rules_digest: &str, extent: Extent) -> Result<Kept, CatalogError> {
        self.ask(|connection| {
            let select: &str = match extent {
                Extent::Whole => &KEPT_WHOLE,
                Extent::Line => &KEPT_LINES,
            };
            let mut select = connection.prepare_cached(select)?;
            let version = env!("CARGO_PKG_VERSION");
            let mut found = select.query(params![entry.key(), entry.name, entry.stamp(), version])?;
            let (mut rows, mut same_rules) = (Vec::new(), true);
            while let Some(row) = found.next()? {
                same_rules &= row.get_ref(1)?.as_str()? == rules_digest;
                rows.push(labelled(row, extent)?);
            }
            Ok(match same_rules {
                _ if rows.is_empty() => Kept::Nothing,
                true => Kept::Rows(rows),
                false => Kept::OtherRules(rows),
            })
        })
    }

    /// Keeps an entry's rows. They are safe from a kill some entries later, or after [`Catalog::flush`].
    pub fn keep(
        &self,
        entry: &Entry,
        rows: &[Labelled],
        rules_digest: &str,
        run: i64,
        now: u64,
    ) -> Result<(), CatalogError> {
        let now = time::rfc3339(now);
        self.with(|connection| {
            self.begin_batch(connection)?;
            let size = i64::try_from(entry.size()).unwrap_or(i64::MAX);
            let passing = rows.iter().any(|row| row.passing);
            let mut insert = connection.prepare_cached(
                "INSERT INTO input (path, name, size, stamp, version, passing, run) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
                 ON CONFLICT (path) DO UPDATE SET name = ?2, size = ?3, stamp = ?4, version = ?5, passing = ?6, run = ?7 \
                 RETURNING id",
            )?;
            let version = env!("CARGO_PKG_VERSION");
            let input: i64 = insert.query_row(
                params![entry.key(), entry.name, size, entry.stamp(), version, passing, run],
                |row| row.get(0),
            )?;
            for (number, row) in (0i64..).zip(rows) {
                write_label(connection, input, number, row, rules_digest, run, now.as_deref())?;
            }
            let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
            connection
                .prepare_cached("DELETE FROM label WHERE input = ?1 AND number >= ?2")?
                .execute(params![input, count])?;
            if self.held.fetch_add(1, Ordering::Relaxed) + 1 >= BATCH { connection.execute_batch("COMMIT") } else { Ok(()) }
        })
    }

    /// Opens a transaction to write in, unless one is open.
    pub(super) fn begin_batch(&self, connection: &Connection) -> rusqlite::Result<()> {
        if connection.is_autocommit() {
            self.held.store(0, Ordering::Relaxed);
            connection.execute_batch("BEGIN IMMEDIATE")?;
        }
        Ok(())
    }

    /// Writes what is held back.
    pub fn flush(&self) -> Result<(), CatalogError> {
        self.with(|connection| {
            if connection.is_autocommit() {
                Ok(())
            } else {
                connection.execute_batch("COMMIT")
            }
        })?;
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        reading.renew(0).map_err(self.failed())
    }

    /// The rows behind `after` by their numbers in the catalogue, at most `count`, each with its number.
    pub fn rows_after(&self, after: i64, count: usize) -> Result<Vec<(i64, Labelled)>, CatalogError> {
        self.with(|connection| {
            let mut select = connection.prepare_cached(&format!(
                "SELECT {LINE}, {FACTS} FROM label JOIN report ON report.label = label.id {SIGNATURES} \
                 WHERE label.id > ?1 ORDER BY label.id LIMIT ?2"
            ))?;
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            let rows = select.query_map([after, count], |row| Ok((row.get(0)?, labelled(row, Extent::Whole)?)))?;
            rows.collect()
        })
    }

    /// Writes what other rules say of rows that are kept.
    pub fn rewrite(&self, rows: &[(i64, Labelled)], rules_digest: &str, run: i64) -> Result<(), CatalogError> {
        self.with(|connection| {
            self.begin_batch(connection)?;
            for (label, row) in rows {
                rewrite(connection, *label, row, rules_digest, run)?;
            }
            connection.execute_batch("COMMIT")
        })
    }

    /// How many rows there are.
    pub fn len(&self) -> Result<u64, CatalogError> {
        self.with(|connection| {
            let count: i64 = connection.query_row("SELECT count(*) FROM label", [], |row| row.get(0))?;
            Ok(count.unsigned_abs())
        })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> Result<bool, CatalogError> {
        Ok(self.len()? == 0)
    }
}

fn write_label(
    connection: &Connection,
    input: i64,
    number: i64,
    labelled: &Labelled,
    rules_digest: &str,
    run: i64,
    now: Option<&str>,
) -> rusqlite::Result<()> {
    let (row, facts) = (&labelled.row, &labelled.facts);
    write_signature(connection, facts)?;
    let mut insert = connection.prepare_cached(
        "INSERT INTO label (input, number, name, status, error, rules_digest, rule, rule_title, tier, general, signature, \
             release, stream, machine, host, hardware, crashed_at, uptime, first_seen) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19) \
         ON CONFLICT (input, number) DO UPDATE SET name = ?3, status = ?4, error = ?5, rules_digest = ?6, rule = ?7, \
             rule_title = ?8, tier = ?9, general = ?10, signature = ?11, release = ?12, stream = ?13, machine = ?14, \
             host = ?15, hardware = ?16, crashed_at = ?17, uptime = ?18 \
         RETURNING id",
    )?;
    let label: i64 = insert.query_row(
        params![
            input,
            number,
            row.input,
            row.status.word(),
            row.error,
            rules_digest,
            facts.rule,
            facts.rule_title,
            facts.tier,
            facts.general,
            facts.signature,
            facts.release,
            facts.stream,
            facts.machine,
            facts.host,
            facts.hardware,
            facts.crashed_at,
            facts.uptime,
            now,
        ],
        |row| row.get(0),
    )?;
    let files = (!row.with.is_empty()).then(|| serde_json::to_string(&row.with).unwrap_or_default());
    connection
        .prepare_cached("INSERT OR REPLACE INTO report VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
        .execute(params![
            label,
            files,
            text(&row.report),
            text(&row.matches),
            text(&row.near),
            asked(labelled)
        ])?;
    note_history(connection, label, labelled, run)
}

/// The same crash under other rules.
fn rewrite(
    connection: &Connection,
    label: i64,
    labelled: &Labelled,
    rules_digest: &str,
    run: i64,
) -> rusqlite::Result<()> {
    let (row, facts) = (&labelled.row, &labelled.facts);
    connection
        .prepare_cached(
            "UPDATE label SET status = ?2, error = ?3, rules_digest = ?4, rule = ?5, rule_title = ?6, tier = ?7, \
             general = ?8 WHERE id = ?1",
        )?
        .execute(params![
            label,
            row.status.word(),
            row.error,
            rules_digest,
            facts.rule,
            facts.rule_title,
            facts.tier,
            facts.general
        ])?;
    connection
        .prepare_cached("UPDATE report SET report = ?2, matches = ?3, near = ?4 WHERE label = ?1")?
        .execute(params![label, text(&row.report), text(&row.matches), text(&row.near)])?;
    connection
        .prepare_cached("UPDATE input SET run = ?2 WHERE id = (SELECT input FROM label WHERE id = ?1)")?
        .execute(params![label, run])?;
    note_history(connection, label, labelled, run)
}

fn write_signature(connection: &Connection, facts: &Facts) -> rusqlite::Result<()> {
    let (Some(id), Some(title), Some(kind)) = (&facts.signature, &facts.title, &facts.kind) else {
        return Ok(());
    };
    let stack = serde_json::to_string(&facts.stack).unwrap_or_default();
    connection
        .prepare_cached(
            "INSERT INTO signature (id, title, kind, function, stack) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (id) DO NOTHING",
        )?
        .execute(params![id, title, kind, facts.function, stack])?;
    Ok(())
}

/// A verdict is history when it is the first, or another than the last.
fn note_history(connection: &Connection, label: i64, labelled: &Labelled, run: i64) -> rusqlite::Result<()> {
    let (status, facts) = (labelled.row.status.word(), &labelled.facts);
    let last: Option<(String, Option<String>, Option<String>)> = connection
        .prepare_cached("SELECT status, rule, tier FROM history WHERE label = ?1 ORDER BY rowid DESC LIMIT 1")?
        .query_row([label], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    if last == Some((status.to_owned(), facts.rule.clone(), facts.tier.clone())) {
        return Ok(());
    }
    connection
        .prepare_cached("INSERT INTO history VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![label, run, status, facts.rule, facts.tier])?;
    Ok(())
}

fn text(value: &Option<Json>) -> Option<&str> {
    value.as_ref().map(Json::get)
}

fn asked(labelled: &Labelled) -> Option<String> {
    (!labelled.asked.is_empty()).then(|| serde_json::to_string(&labelled.asked).unwrap_or_default())
}

/// Reads [`LINE`], and if all is wanted [`FACTS`].
fn labelled(row: &SqlRow<'_>, extent: Extent) -> rusqlite::Result<Labelled> {
    let word = |at: usize| row.get::<_, Option<String>>(at);
    let json = |at: usize| word(at).map(|text| text.and_then(Json::kept));
    let status = Status::from_word(row.get_ref(3)?.as_str()?).unwrap_or(Status::Failed);
    Ok(Labelled {
        facts: match extent {
            Extent::Whole => facts(row)?,
            Extent::Line => Facts::default(),
        },
        asked: word(9)?
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default(),
        passing: false,
        bytes_read: 0,
        row: Row {
            input: row.get(2)?,
            status,
            with: word(5)?
                .and_then(|text| serde_json::from_str(&text).ok())
                .unwrap_or_default(),
            report: json(6)?,
            matches: json(7)?,
            near: json(8)?,
            error: word(4)?,
        },
    })
}

/// Reads [`FACTS`].
fn facts(row: &SqlRow<'_>) -> rusqlite::Result<Facts> {
    let word = |at: usize| row.get::<_, Option<String>>(FACTS_AT + at);
    Ok(Facts {
        rule: word(0)?,
        rule_title: word(1)?,
        tier: word(2)?,
        general: word(3)?,
        signature: word(4)?,
        title: word(5)?,
        kind: word(6)?,
        function: word(7)?,
        release: word(8)?,
        stream: word(9)?,
        machine: word(10)?,
        host: word(11)?,
        hardware: word(12)?,
        crashed_at: word(13)?,
        uptime: row.get(FACTS_AT + 14)?,
        stack: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::{FileStamp, Kind};

    fn entry(name: &str) -> Entry {
        Entry {
            name: name.to_owned(),
            within: name.to_owned(),
            kind: Kind::Crash,
            parts: vec![FileStamp {
                path: name.into(),
                size: 7,
                modified: 8,
            }],
            companions: Vec::new(),
        }
    }

    fn row(name: &str, rule: Option<&str>) -> Labelled {
        let mut row = Labelled::failed(name, "why", false);
        row.row.status = Status::Unknown;
        row.row.with = vec!["vmcore-dmesg.txt".to_owned()];
        row.row.report = Json::kept("{\"a\":1}".to_owned());
        row.facts.rule = rule.map(str::to_owned);
        row.facts.signature = Some("v1-1".to_owned());
        row.facts.title = Some("NULL in x".to_owned());
        row.facts.kind = Some("null-pointer-dereference".to_owned());
        row
    }

    fn lines(kept: Kept) -> Option<(bool, Vec<String>)> {
        let lines = |rows: Vec<Labelled>| rows.iter().map(|row| row.row.line()).collect();
        match kept {
            Kept::Nothing => None,
            Kept::Rows(rows) => Some((true, lines(rows))),
            Kept::OtherRules(rows) => Some((false, lines(rows))),
        }
    }

    #[test]
    fn rows_come_back_as_they_were_until_something_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalogue.db");
        let catalog = Catalog::open(&path).unwrap();
        let run = catalog.begin("scan", "d1", 0).unwrap();
        let (one, rows) = (
            entry("/a/vmcore"),
            [row("/a/vmcore", Some("r")), row("/a/vmcore!x", None)],
        );
        assert!(matches!(
            catalog.kept(&one, "d1", Extent::Whole).unwrap(),
            Kept::Nothing
        ));
        catalog.keep(&one, &rows, "d1", run, 0).unwrap();
        catalog.end(run, 1).unwrap();
        drop(catalog);
        let catalog = Catalog::open_existing(&path).unwrap();
        let expected: Vec<String> = rows.iter().map(|row| row.row.line()).collect();
        assert_eq!(
            lines(catalog.kept(&one, "d1", Extent::Whole).unwrap()),
            Some((true, expected.clone()))
        );
        assert_eq!(
            lines(catalog.kept(&one, "d1", Extent::Line).unwrap()),
            Some((true, expected.clone()))
        );
        assert_eq!(
            lines(catalog.kept(&one, "d2", Extent::Whole).unwrap()),
            Some((false, expected))
        );
        let facts = |extent| match catalog.kept(&one, "d1", extent).unwrap() {
            Kept::Rows(kept) => kept.into_iter().map(|row| row.facts).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        };
        assert_eq!(facts(Extent::Whole), rows.clone().map(|row| row.facts));
        assert_eq!(facts(Extent::Line), [Facts::default(), Facts::default()]);
        let renamed = Entry {
            name: "vmcore".to_owned(),
            ..one.clone()
        };
        assert!(matches!(
            catalog.kept(&renamed, "d1", Extent::Line).unwrap(),
            Kept::Nothing
        ));
        let mut changed = one.clone();
        changed.parts[0].modified += 1;
        assert!(matches!(
            catalog.kept(&changed, "d1", Extent::Whole).unwrap(),
            Kept::Nothing
        ));
        // Fewer rows than before: the others are gone.
        catalog.keep(&changed, &rows[..1], "d1", run, 0).unwrap();
        assert_eq!(catalog.len().unwrap(), 1);
    }

    #[test]
    fn what_may_pass_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(&folder.path().join("c")).unwrap();
        let run = catalog.begin("scan", "d", 0).unwrap();
        let mut failed = Labelled::failed("/a", "no access", true);
        catalog.keep(&entry("/a"), &[failed.clone()], "d", run, 0).unwrap();
        catalog.flush().unwrap();
        assert!(matches!(
            catalog.kept(&entry("/a"), "d", Extent::Whole).unwrap(),
            Kept::Nothing
        ));
        failed.passing = false;
        catalog.keep(&entry("/a"), &[failed], "d", run, 0).unwrap();
        catalog.flush().unwrap();
        assert!(matches!(
            catalog.kept(&entry("/a"), "d", Extent::Whole).unwrap(),
            Kept::Rows(_)
        ));
    }

    #[test]
    fn other_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("other.db");
        Connection::open(&path)
            .unwrap()
            .execute_batch("CREATE TABLE t (x)")
            .unwrap();
        assert!(Catalog::open(&path).unwrap_err().to_string().contains("table `t`"));
        std::fs::write(
            &path,
            b"plain text, and long enough to be looked at as a database header by anybody who would\n",
        )
        .unwrap();
        assert!(Catalog::open(&path).is_err());
        assert!(Catalog::open_existing(&folder.path().join("missing")).is_err());
    }
}
