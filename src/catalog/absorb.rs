//! One catalogue into another.

use std::path::Path;

use rusqlite::params;

use super::{Catalog, CatalogError};

/// What is copied, table by table; numbers are given anew, and found again: runs by what they were, inputs by path, labels
/// by input and number. Of an input that both have, the rows of the later run stay, whichever catalogue comes first. To do
/// it twice changes nothing.
const COPY: &str = "
    INSERT INTO main.run (command, started_at, ended_at, version, rules_digest)
        SELECT command, started_at, ended_at, version, rules_digest FROM other.run AS r
        WHERE NOT EXISTS (SELECT 1 FROM main.run AS m WHERE m.started_at = r.started_at AND m.command = r.command
            AND m.version = r.version AND m.rules_digest = r.rules_digest)
        ORDER BY r.id;
    CREATE TEMP TABLE their_run AS
        SELECT r.id AS theirs, min(m.id) AS mine, r.started_at FROM other.run AS r
        JOIN main.run AS m USING (started_at, command, version, rules_digest) GROUP BY r.id;
    CREATE TEMP TABLE taken AS
        SELECT t.id, t.path, r.mine AS run FROM other.input AS t JOIN their_run AS r ON r.theirs = t.run
        LEFT JOIN main.input AS m ON m.path = t.path LEFT JOIN main.run AS mr ON mr.id = m.run
        WHERE m.id IS NULL OR mr.started_at < r.started_at;

    INSERT INTO main.input (path, name, size, stamp, version, passing, run)
        SELECT t.path, t.name, t.size, t.stamp, t.version, t.passing, taken.run
        FROM taken JOIN other.input AS t ON t.id = taken.id WHERE true ORDER BY t.id
        ON CONFLICT (path) DO UPDATE SET name = excluded.name, size = excluded.size, stamp = excluded.stamp,
            version = excluded.version, passing = excluded.passing, run = excluded.run;
    INSERT INTO main.signature (id, title, kind, function, stack)
        SELECT id, title, kind, function, stack FROM other.signature WHERE true ORDER BY number
        ON CONFLICT (id) DO NOTHING;
    DELETE FROM main.label WHERE id IN (
        SELECT mine.id FROM main.label AS mine JOIN main.input ON input.id = mine.input JOIN taken USING (path)
        WHERE mine.number >= (SELECT count(*) FROM other.label AS l WHERE l.input = taken.id));
    INSERT INTO main.label (input, number, name, status, error, rules_digest, rule, rule_title, tier, general, signature,
            release, stream, machine, host, hardware, crashed_at, uptime, first_seen)
        SELECT input.id, l.number, l.name, l.status, l.error, l.rules_digest, l.rule, l.rule_title, l.tier, l.general,
            l.signature, l.release, l.stream, l.machine, l.host, l.hardware, l.crashed_at, l.uptime, l.first_seen
        FROM other.label AS l JOIN taken ON taken.id = l.input JOIN main.input ON input.path = taken.path
        WHERE true ORDER BY l.id
        ON CONFLICT (input, number) DO UPDATE SET name = excluded.name, status = excluded.status,
            error = excluded.error, rules_digest = excluded.rules_digest, rule = excluded.rule,
            rule_title = excluded.rule_title, tier = excluded.tier, general = excluded.general,
            signature = excluded.signature, release = excluded.release, stream = excluded.stream,
            machine = excluded.machine, host = excluded.host, hardware = excluded.hardware,
            crashed_at = excluded.crashed_at, uptime = excluded.uptime;

    CREATE TEMP TABLE same AS
        SELECT l.id AS theirs, mine.id AS mine, l.input, l.first_seen FROM other.label AS l
        JOIN other.input AS t ON t.id = l.input JOIN main.input ON input.path = t.path
        JOIN main.label AS mine ON mine.input = input.id AND mine.number = l.number;
    INSERT OR REPLACE INTO main.report
        SELECT same.mine, r.files, r.report, r.matches, r.near, r.asked
        FROM same JOIN other.report AS r ON r.label = same.theirs WHERE same.input IN (SELECT id FROM taken);
    UPDATE main.label SET first_seen = same.first_seen FROM same
        WHERE same.mine = label.id AND same.first_seen < label.first_seen;

    CREATE TEMP TABLE added AS
        SELECT same.mine AS label, r.mine AS run, h.status, h.rule, h.tier, h.rowid AS place
        FROM same JOIN other.history AS h ON h.label = same.theirs JOIN their_run AS r ON r.theirs = h.run
        WHERE NOT EXISTS (SELECT 1 FROM main.history AS m WHERE m.label = same.mine AND m.run = r.mine
            AND m.status = h.status AND m.rule IS h.rule AND m.tier IS h.tier);
    CREATE TEMP TABLE told AS
        SELECT h.label, h.run, h.status, h.rule, h.tier, r.started_at, h.place
        FROM (SELECT *, rowid AS place FROM main.history WHERE label IN (SELECT label FROM added)
            UNION ALL SELECT * FROM added) AS h
        JOIN main.run AS r ON r.id = h.run;
    DELETE FROM main.history WHERE label IN (SELECT label FROM added);
    INSERT INTO main.history
        SELECT label, run, status, rule, tier FROM (
            SELECT *, lag(status) OVER told_of AS status_before, lag(rule) OVER told_of AS rule_before,
                lag(tier) OVER told_of AS tier_before
            FROM told WINDOW told_of AS (PARTITION BY label ORDER BY started_at, run, place))
        WHERE NOT (status IS status_before AND rule IS rule_before AND tier IS tier_before)
        ORDER BY label, started_at, run, place;
    DROP TABLE their_run; DROP TABLE taken; DROP TABLE same; DROP TABLE added; DROP TABLE told;
    INSERT OR REPLACE INTO main.face SELECT * FROM other.face;";

impl Catalog {
    /// Takes over everything that another catalogue has, and this one has not, or of an earlier run.
    pub fn absorb(&self, other: &Path) -> Result<(), CatalogError> {
        // Whether it is one, and of this version.
        let access = Catalog::open_to_ask(other)?.access;
        self.flush()?;
        self.with(|connection| {
            connection.execute("ATTACH ?1 AS other", params![access.uri(other)])?;
            let copied = connection.transaction().and_then(|transaction| {
                transaction.execute_batch(COPY)?;
                transaction.commit()
            });
            connection.execute("DETACH other", [])?;
            copied
        })
    }
}
