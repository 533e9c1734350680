//! What the whole comes to: counts by what crashes have in common, what is new, rising and gone, and what to write a rule
//! for next.

use rusqlite::{Connection, params};
use serde::Serialize;

use super::{Catalog, CatalogError};
use crate::scan::{Status, Tally};

/// What crashes are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The bug rule that names them.
    Bug,
    /// The kernel's release.
    Kernel,
    /// The host's name.
    Host,
    /// The month of the crash, UTC.
    Month,
    /// Vendor and model.
    Hardware,
    /// The class of failure.
    Kind,
    /// The signature.
    Signature,
}

impl By {
    /// The SQL of the value and of its title. Crashes that lack it have NULL, and are counted as such.
    fn columns(self) -> (&'static str, &'static str) {
        match self {
            By::Bug => ("label.rule", "max(label.rule_title)"),
            By::Kernel => ("label.release", "NULL"),
            By::Host => ("label.host", "NULL"),
            By::Month => ("substr(label.crashed_at, 1, 7)", "NULL"),
            By::Hardware => ("label.hardware", "NULL"),
            By::Kind => ("signature.kind", "NULL"),
            By::Signature => ("label.signature", "max(signature.title)"),
        }
    }

    /// What has the greatest count comes first; of months, the latest.
    fn order(self) -> &'static str {
        match self {
            By::Month => "value IS NULL DESC, value DESC",
            _ => "3 DESC, value IS NULL, value",
        }
    }
}

/// Crashes that have something in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Count {
    /// What; absent for those that lack it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Its title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// How many crashes.
    pub crashes: u64,
    /// How many of them are of a known bug.
    pub known: u64,
    /// On how many hosts, of those that are known by name.
    pub hosts: u64,
    /// The first crash's time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
    /// The last crash's time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
}

/// A signature whose crashes come more or less often than they did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mover {
    /// The signature's id.
    pub signature: String,
    /// Its title.
    pub title: String,
    /// The bug rule that names it, if one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Crashes within the last days.
    pub recent: u64,
    /// Crashes within as many days before.
    pub before: u64,
    /// Crashes in all.
    pub crashes: u64,
    /// The first crash's time.
    pub first: String,
    /// The last crash's time.
    pub last: String,
}

/// What changed lately.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Trend {
    /// How many days are "lately".
    pub days: u32,
    /// They end with the last crash in the catalogue that is not to come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Signatures never seen before.
    pub new: Vec<Mover>,
    /// Signatures at least twice as frequent as before, and seen at least three times.
    pub rising: Vec<Mover>,
    /// Signatures that were seen at least twice, and not lately.
    pub gone: Vec<Mover>,
    /// Crashes without a time, or with one to come, which are in none of these.
    pub undated: u64,
}

/// A group of crashes that no bug rule names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnknownGroup {
    /// The id of the signature that names the group.
    pub group: String,
    /// Its title.
    pub title: String,
    /// How many crashes.
    pub crashes: u64,
    /// Of how many signatures.
    pub signatures: u64,
    /// On how many hosts, of those that are known by name.
    pub hosts: u64,
    /// On how many kernels.
    pub kernels: u64,
    /// The last crash's time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    /// One of the inputs: the first.
    pub example: String,
}

/// Which labels are crashes.
const CRASH: &str = "label.status IN ('known', 'unknown')";

impl Catalog {
    /// Counts over all rows.
    pub fn tally(&self) -> Result<Tally, CatalogError> {
        self.with(|connection| {
            let mut tally = Tally::default();
            counted(
                connection,
                "SELECT status, count(*) FROM label GROUP BY 1",
                |word, count| {
                    if let Some(status) = Status::from_word(&word) {
                        tally.count(status, count);
                    }
                },
            )?;
            let bugs = "SELECT rule, count(*) FROM label WHERE rule IS NOT NULL GROUP BY 1";
            counted(connection, bugs, |rule, count| {
                tally.by_rule.insert(rule, count);
            })?;
            let kinds = format!(
                "SELECT signature.kind, count(*) FROM label JOIN signature ON signature.id = label.signature \
                 WHERE {CRASH} GROUP BY 1"
            );
            counted(connection, &kinds, |kind, count| {
                tally.by_kind.insert(kind, count);
            })?;
            Ok(tally)
        })
    }

    /// Crashes by what they have in common, at most `most` kinds of it: the most frequent ones, but the latest months, in
    /// their order.
    pub fn counts(&self, by: By, most: usize) -> Result<Vec<Count>, CatalogError> {
        let ((value, title), order) = (by.columns(), by.order());
        self.with(|connection| {
            let mut select = connection.prepare(&format!(
                "SELECT {value} AS value, {title}, count(*), sum(label.status = 'known'), count(DISTINCT label.host), \
                     min(label.crashed_at), max(label.crashed_at) \
                 FROM label LEFT JOIN signature ON signature.id = label.signature WHERE {CRASH} \
                 GROUP BY 1 ORDER BY {order} LIMIT ?1"
            ))?;
            let counts = select.query_map([limit(most)], |row| {
                Ok(Count {
                    value: row.get(0)?,
                    title: row.get(1)?,
                    crashes: number(row.get(2)?),
                    known: number(row.get(3)?),
                    hosts: number(row.get(4)?),
                    first: row.get(5)?,
                    last: row.get(6)?,
                })
            })?;
            let mut counts = counts.collect::<rusqlite::Result<Vec<_>>>()?;
            if by == By::Month {
                counts.reverse();
            }
            Ok(counts)
        })
    }

    /// What is new, rising and gone, at most `most` of each: the last `days` days against as many before. `now` is in
    /// seconds since 1970: a crash of a day later than that is of a clock that was wrong, and would make all others old.
    pub fn trend(&self, days: u32, most: usize, now: u64) -> Result<Trend, CatalogError> {
        self.with(|connection| {
            let end: Option<String> = connection.query_row(
                "SELECT strftime('%Y-%m-%dT%H:%M:%SZ', ?1, 'unixepoch', '1 day')",
                [i64::try_from(now).unwrap_or(i64::MAX)],
                |row| row.get(0),
            )?;
            let (until, undated): (Option<String>, i64) = connection.query_row(
                &format!(
                    "SELECT max(crashed_at) FILTER (WHERE crashed_at <= ?1), \
                         count(*) - count(*) FILTER (WHERE crashed_at <= ?1) FROM label WHERE {CRASH}"
                ),
                [&end],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )?;
            let mut trend = Trend {
                days,
                until,
                undated: number(undated),
                ..Trend::default()
            };
            let Some(until) = &trend.until else { return Ok(trend) };
            let mut select = connection.prepare(&format!(
                "WITH mark AS (SELECT strftime('%Y-%m-%dT%H:%M:%SZ', ?1, '-' || ?2 || ' days') AS recent, \
                                      strftime('%Y-%m-%dT%H:%M:%SZ', ?1, '-' || ?3 || ' days') AS before) \
                 SELECT label.signature, max(signature.title), max(label.rule), coalesce(sum(crashed_at > mark.recent), 0), \
                     coalesce(sum(crashed_at > mark.before AND crashed_at <= mark.recent), 0), count(*), min(crashed_at), \
                     max(crashed_at) \
                 FROM label, mark JOIN signature ON signature.id = label.signature \
                 WHERE {CRASH} AND crashed_at <= ?4 GROUP BY 1 ORDER BY 4 DESC, 6 DESC, 1"
            ))?;
            let rows = select.query_map(params![until, days, days.saturating_mul(2), end], |row| {
                Ok(Mover {
                    signature: row.get(0)?,
                    title: row.get(1)?,
                    rule: row.get(2)?,
                    recent: number(row.get(3)?),
                    before: number(row.get(4)?),
                    crashes: number(row.get(5)?),
                    first: row.get(6)?,
                    last: row.get(7)?,
                })
            })?;
            for mover in rows {
                let mover = mover?;
                let list = match (mover.recent, mover.before, mover.crashes) {
                    (recent, _, crashes) if recent == crashes => &mut trend.new,
                    (0, _, 2..) => &mut trend.gone,
                    (recent @ 3.., before, _) if recent >= before.saturating_mul(2) => &mut trend.rising,
                    _ => continue,
                };
                if list.len() < most {
                    list.push(mover);
                }
            }
            Ok(trend)
        })
    }

    /// The groups of crashes that no bug rule names, the largest first.
    pub fn unknown_groups(&self, most: usize) -> Result<Vec<UnknownGroup>, CatalogError> {
        self.with(|connection| {
            let mut select = connection.prepare(
                "SELECT coalesce(signature.grp, signature.id), count(*), count(DISTINCT label.signature), \
                     count(DISTINCT label.host), count(DISTINCT label.release), max(label.crashed_at), min(label.id) \
                 FROM label JOIN signature ON signature.id = label.signature WHERE label.status = 'unknown' \
                 GROUP BY 1 ORDER BY 2 DESC, 7 LIMIT ?1",
            )?;
            let rows = select.query_map([limit(most)], |row| {
                let group: String = row.get(0)?;
                let title =
                    connection.query_row("SELECT title FROM signature WHERE id = ?1", [&group], |row| row.get(0))?;
                let example: i64 = row.get(6)?;
                Ok(UnknownGroup {
                    title,
                    crashes: number(row.get(1)?),
                    signatures: number(row.get(2)?),
                    hosts: number(row.get(3)?),
                    kernels: number(row.get(4)?),
                    last: row.get(5)?,
                    example: connection
                        .query_row("SELECT name FROM label WHERE id = ?1", [example], |row| row.get(0))?,
                    group,
                })
            })?;
            rows.collect()
        })
    }
}

fn counted(connection: &Connection, sql: &str, mut then: impl FnMut(String, u64)) -> rusqlite::Result<()> {
    let mut select = connection.prepare(sql)?;
    let rows = select.query_map([], |row| Ok((row.get(0)?, number(row.get(1)?))))?;
    for row in rows {
        let (word, count) = row?;
        then(word, count);
    }
    Ok(())
}

/// A count, which SQLite keeps signed.
fn number(count: i64) -> u64 {
    count.unsigned_abs()
}

fn limit(most: usize) -> i64 {
    i64::try_from(most).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::{Entry, FileStamp, Kind};
    use crate::scan::Labelled;

    fn crash(catalog: &Catalog, run: i64, number: usize, signature: &str, at: Option<&str>, rule: Option<&str>) {
        let name = format!("/c/{number}");
        let mut row = Labelled::failed(&name, "", false);
        row.row.status = if rule.is_some() { Status::Known } else { Status::Unknown };
        row.facts.signature = Some(signature.to_owned());
        row.facts.title = Some(format!("title of {signature}"));
        row.facts.kind = Some("bug".to_owned());
        row.facts.stack = vec![signature.to_owned(), "main".to_owned()];
        row.facts.crashed_at = at.map(str::to_owned);
        row.facts.rule = rule.map(str::to_owned);
        row.facts.host = Some(format!("h{}", number % 2));
        let entry = Entry {
            name: name.clone(),
            within: name.clone(),
            kind: Kind::Crash,
            parts: vec![FileStamp {
                path: name.into(),
                size: 1,
                modified: 1,
            }],
            companions: Vec::new(),
        };
        catalog.keep(&entry, &[row], "d", run, 0).unwrap();
    }

    #[test]
    fn figures_of_a_small_fleet() {
        let folder = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(&folder.path().join("c")).unwrap();
        let run = catalog.begin("scan", "d", 0).unwrap();
        let days = |signature: &'static str, times: &'static [&'static str], rule: Option<&'static str>| {
            times.iter().map(move |at| (signature, Some(*at), rule))
        };
        let all = days("old", &["2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z"], None)
            .chain(days(
                "rises",
                &[
                    "2024-03-01T00:00:00Z",
                    "2024-03-25T00:00:00Z",
                    "2024-03-26T00:00:00Z",
                    "2024-03-27T00:00:00Z",
                ],
                Some("r"),
            ))
            .chain(days("new", &["2024-03-30T00:00:00Z"], None))
            .chain([("undated", None, None)]);
        for (number, (signature, at, rule)) in all.enumerate() {
            crash(&catalog, run, number, signature, at, rule);
        }
        catalog.end(run, 1).unwrap();
        // A clock that was wrong is left out, and does not make everything else old.
        crash(&catalog, run, 8, "undated", Some("2099-01-01T00:00:00Z"), None);
        let now = 1_711_929_600;
        assert_eq!(
            catalog.counts(By::Month, 2).unwrap()[0].value.as_deref(),
            Some("2099-01")
        );
        let trend = catalog.trend(20, 10, now).unwrap();
        assert_eq!(trend.until.as_deref(), Some("2024-03-30T00:00:00Z"));
        let names = |movers: &[Mover]| movers.iter().map(|mover| mover.signature.clone()).collect::<Vec<_>>();
        assert_eq!(
            (names(&trend.new), names(&trend.rising), names(&trend.gone)),
            (vec!["new".to_owned()], vec!["rises".to_owned()], vec!["old".to_owned()])
        );
        assert_eq!(trend.undated, 2);
        let by = |by| {
            let counts = catalog.counts(by, 10).unwrap();
            counts
                .into_iter()
                .map(|count| (count.value, count.crashes))
                .collect::<Vec<_>>()
        };
        assert_eq!(by(By::Bug), [(None, 5), (Some("r".to_owned()), 4)]);
        assert_eq!(
            by(By::Month),
            [
                (Some("2024-01".to_owned()), 2),
                (Some("2024-03".to_owned()), 5),
                (Some("2099-01".to_owned()), 1),
                (None, 1)
            ]
        );
        assert_eq!(by(By::Host), [(Some("h0".to_owned()), 5), (Some("h1".to_owned()), 4)]);
        let groups = catalog.unknown_groups(10).unwrap();
        assert_eq!(
            (groups[0].group.as_str(), groups[0].crashes, groups[0].example.as_str()),
            ("old", 2, "/c/0")
        );
        let tally = catalog.tally().unwrap();
        assert_eq!(
            (
                tally.rows,
                tally.of(Status::Unknown),
                tally.by_rule["r"],
                tally.by_kind["bug"]
            ),
            (9, 5, 4, 9)
        );
    }
}
