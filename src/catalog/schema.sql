-- The catalogue's tables, version 1. docs/catalogue.md says what they mean; a change of them is a new version.

CREATE TABLE run (
    id           INTEGER PRIMARY KEY,
    command      TEXT NOT NULL,
    started_at   TEXT NOT NULL,
    ended_at     TEXT,
    version      TEXT NOT NULL,
    rules_digest TEXT NOT NULL
);

CREATE TABLE input (
    id      INTEGER PRIMARY KEY,
    path    TEXT NOT NULL UNIQUE,
    name    TEXT NOT NULL,
    size    INTEGER NOT NULL,
    stamp   INTEGER,
    version TEXT NOT NULL,
    passing INTEGER NOT NULL,
    run     INTEGER NOT NULL REFERENCES run (id)
);

CREATE TABLE signature (
    number     INTEGER PRIMARY KEY,
    id         TEXT NOT NULL UNIQUE,
    title      TEXT NOT NULL,
    kind       TEXT NOT NULL,
    function   TEXT,
    stack      TEXT NOT NULL,
    grp        TEXT,
    similarity REAL
);

CREATE TABLE label (
    id           INTEGER PRIMARY KEY,
    input        INTEGER NOT NULL REFERENCES input (id) ON DELETE CASCADE,
    number       INTEGER NOT NULL,
    name         TEXT NOT NULL,
    status       TEXT NOT NULL,
    error        TEXT,
    rules_digest TEXT NOT NULL,
    rule         TEXT,
    rule_title   TEXT,
    tier         TEXT,
    general      TEXT,
    signature    TEXT REFERENCES signature (id),
    release      TEXT,
    stream       TEXT,
    machine      TEXT,
    host         TEXT,
    hardware     TEXT,
    crashed_at   TEXT,
    uptime       REAL,
    first_seen   TEXT NOT NULL,
    UNIQUE (input, number)
);

CREATE INDEX label_by_signature ON label (signature);
CREATE INDEX label_by_rule ON label (rule);

CREATE TABLE report (
    label   INTEGER PRIMARY KEY REFERENCES label (id) ON DELETE CASCADE,
    files   TEXT,
    report  TEXT,
    matches TEXT,
    near    TEXT,
    asked   TEXT
);

CREATE TABLE history (
    label  INTEGER NOT NULL REFERENCES label (id) ON DELETE CASCADE,
    run    INTEGER NOT NULL REFERENCES run (id),
    status TEXT NOT NULL,
    rule   TEXT,
    tier   TEXT
);

CREATE INDEX history_by_label ON history (label);

CREATE TABLE face (
    folder   TEXT NOT NULL,
    name     TEXT NOT NULL,
    size     INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    face     TEXT NOT NULL,
    PRIMARY KEY (folder, name)
) WITHOUT ROWID;
