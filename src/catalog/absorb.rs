//! One catalogue into another.

use std::path::Path;

use rusqlite::params;

use super::{Catalog, CatalogError};

/// What is copied, table by table; numbers are given anew, and found again by path and number. An input that both have is
/// taken over from the other.
const COPY: &str = "
    INSERT INTO input (path, name, size, stamp, version, passing, run)
        SELECT path, name, size, stamp, version, passing, RUN FROM other.input WHERE true
        ON CONFLICT (path) DO UPDATE SET name = excluded.name, size = excluded.size, stamp = excluded.stamp,
            version = excluded.version, passing = excluded.passing, run = excluded.run;
    INSERT INTO signature (id, title, kind, function, stack)
        SELECT id, title, kind, function, stack FROM other.signature ORDER BY number
        ON CONFLICT (id) DO NOTHING;
    DELETE FROM label WHERE id IN (
        SELECT mine.id FROM label AS mine JOIN input ON input.id = mine.input JOIN other.input AS theirs USING (path)
        WHERE mine.number >= (SELECT count(*) FROM other.label AS l WHERE l.input = theirs.id));
    INSERT INTO label (input, number, name, status, error, rules_digest, rule, rule_title, tier, general, signature,
            release, stream, machine, host, hardware, crashed_at, uptime, first_seen)
        SELECT input.id, l.number, l.name, l.status, l.error, l.rules_digest, l.rule, l.rule_title, l.tier, l.general,
            l.signature, l.release, l.stream, l.machine, l.host, l.hardware, l.crashed_at, l.uptime, l.first_seen
        FROM other.label AS l JOIN other.input AS theirs ON theirs.id = l.input JOIN input ON input.path = theirs.path
        ORDER BY l.id
        ON CONFLICT (input, number) DO UPDATE SET name = excluded.name, status = excluded.status,
            error = excluded.error, rules_digest = excluded.rules_digest, rule = excluded.rule,
            rule_title = excluded.rule_title, tier = excluded.tier, general = excluded.general,
            signature = excluded.signature, release = excluded.release, stream = excluded.stream,
            machine = excluded.machine, host = excluded.host, hardware = excluded.hardware,
            crashed_at = excluded.crashed_at, uptime = excluded.uptime,
            first_seen = min(first_seen, excluded.first_seen);
    CREATE TEMP TABLE same AS
        SELECT l.id AS theirs, mine.id AS mine FROM other.label AS l JOIN other.input AS t ON t.id = l.input
        JOIN input ON input.path = t.path JOIN label AS mine ON mine.input = input.id AND mine.number = l.number;
    INSERT OR REPLACE INTO report
        SELECT same.mine, r.files, r.report, r.matches, r.near, r.asked
        FROM same JOIN other.report AS r ON r.label = same.theirs;
    INSERT INTO history
        SELECT same.mine, RUN, h.status, h.rule, h.tier FROM same JOIN other.history AS h ON h.label = same.theirs
        ORDER BY h.rowid;
    DROP TABLE same;
    INSERT OR REPLACE INTO face SELECT * FROM other.face;";

impl Catalog {
    /// Takes over everything that another catalogue has.
    pub fn absorb(&self, other: &Path, run: i64) -> Result<(), CatalogError> {
        // Whether it is one, and of this version.
        drop(Catalog::open_existing(other)?);
        self.flush()?;
        self.with(|connection| {
            connection.execute("ATTACH ?1 AS other", params![other.to_string_lossy()])?;
            let copied = connection.transaction().and_then(|transaction| {
                transaction.execute_batch(&COPY.replace("RUN", &run.to_string()))?;
                transaction.commit()
            });
            connection.execute("DETACH other", [])?;
            copied
        })
    }
}
