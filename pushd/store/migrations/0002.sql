-- A superseded delivery; crash loops; the history of tries; the order of tags; parts of files.

-- SQLite cannot change a CHECK, so the two tables with states are built again
-- (https://www.sqlite.org/lang_altertable.html, 7), and what AUTOINCREMENT knows of rows that are gone is carried over.
CREATE TABLE new_jobs (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT NOT NULL UNIQUE,
    uid         INTEGER NOT NULL,
    source      TEXT NOT NULL,
    priority    INTEGER NOT NULL,
    labels      TEXT NOT NULL,
    -- Derived from the deliveries in every transaction that changes one of them; kept to list by it.
    state       TEXT NOT NULL CHECK (
        state IN ('queued', 'running', 'held', 'succeeded', 'superseded', 'partial', 'failed', 'cancelled')
    ),
    digest      TEXT NOT NULL,
    media_type  TEXT NOT NULL,
    size        INTEGER NOT NULL,
    created_at  REAL NOT NULL,
    deadline_at REAL NOT NULL,
    finished_at REAL,
    verify      TEXT NOT NULL DEFAULT 'tag' CHECK (verify IN ('tag', 'blobs'))
) STRICT;
INSERT INTO new_jobs
    (number, id, uid, source, priority, labels, state, digest, media_type, size, created_at, deadline_at, finished_at)
SELECT
    number, id, uid, source, priority, labels, state, digest, media_type, size, created_at, deadline_at, finished_at
FROM jobs;
DELETE FROM sqlite_sequence WHERE name = 'new_jobs';
INSERT INTO sqlite_sequence (name, seq) SELECT 'new_jobs', seq FROM sqlite_sequence WHERE name = 'jobs';
DROP TABLE jobs;
ALTER TABLE new_jobs RENAME TO jobs;
CREATE INDEX jobs_by_state ON jobs (state, number);
CREATE INDEX jobs_by_uid ON jobs (uid, number);

CREATE TABLE new_deliveries (
    id                INTEGER PRIMARY KEY AUTOINCREMENT,
    job               INTEGER NOT NULL REFERENCES jobs (number) ON DELETE CASCADE,
    position          INTEGER NOT NULL,
    destination       TEXT NOT NULL,
    registry          TEXT NOT NULL,
    -- The job's, here for the index a claim searches.
    priority          INTEGER NOT NULL,
    state             TEXT NOT NULL CHECK (
        state IN ('queued', 'running', 'held', 'succeeded', 'superseded', 'failed', 'cancelled')
    ),
    -- How often it was claimed.
    attempt           INTEGER NOT NULL DEFAULT 0,
    -- How often it was held. Its tries are counted by these, never by attempts: a restart is not its failure.
    holds             INTEGER NOT NULL DEFAULT 0,
    -- How often in a row the daemon crashed while it ran and had made no progress.
    crashes           INTEGER NOT NULL DEFAULT 0,
    -- Whether a blob of it landed since it was claimed that was not there before.
    progressed        INTEGER NOT NULL DEFAULT 0,
    -- The daemon's life that claimed it last.
    epoch             INTEGER,
    -- Bytes that went over the wire for it in all its attempts.
    sent              INTEGER NOT NULL DEFAULT 0,
    digest            TEXT,
    failure_code      TEXT,
    failure_message   TEXT,
    failure_retryable INTEGER,
    not_before        REAL,
    started_at        REAL,
    finished_at       REAL,
    UNIQUE (job, position),
    CHECK ((state = 'held') = (not_before IS NOT NULL))
) STRICT;
-- An ordered stop left what ran as a crash does, before this version: it does not count as one.
INSERT INTO new_deliveries
    (id, job, position, destination, registry, priority, state, attempt, progressed, epoch, sent, digest, failure_code,
     failure_message, failure_retryable, not_before, started_at, finished_at)
SELECT
    id, job, position, destination, registry, priority, state, attempt, state = 'running', epoch, sent, digest,
    failure_code, failure_message, failure_retryable, not_before, started_at, finished_at
FROM deliveries;
DELETE FROM sqlite_sequence WHERE name = 'new_deliveries';
INSERT INTO sqlite_sequence (name, seq) SELECT 'new_deliveries', seq FROM sqlite_sequence WHERE name = 'deliveries';
DROP TABLE deliveries;
ALTER TABLE new_deliveries RENAME TO deliveries;
-- What waits and what runs, never what ended: these stay small however long the history is.
CREATE INDEX deliveries_queued ON deliveries (registry, priority DESC, id) WHERE state = 'queued';
CREATE INDEX deliveries_held ON deliveries (not_before) WHERE state = 'held';
CREATE INDEX deliveries_open ON deliveries (state) WHERE state IN ('queued', 'running', 'held');

-- Where the blob's upload stood when the delivery was claimed or planned: what lies beyond is progress.
ALTER TABLE waiters ADD COLUMN claimed_offset INTEGER NOT NULL DEFAULT 0;

-- Each hold and the failure at the end. A number is given once for each, so the last one tells how many there were.
CREATE TABLE history (
    delivery INTEGER NOT NULL REFERENCES deliveries (id) ON DELETE CASCADE,
    number   INTEGER NOT NULL,
    at       REAL NOT NULL,
    attempt  INTEGER NOT NULL,
    code     TEXT NOT NULL,
    message  TEXT NOT NULL,
    PRIMARY KEY (delivery, number)
) STRICT, WITHOUT ROWID;
-- Version 1 told of them in its events alone.
INSERT INTO history (delivery, number, at, attempt, code, message)
SELECT
    told.delivery, row_number() OVER (PARTITION BY told.delivery ORDER BY told.seq), told.at,
    json_extract(told.fields, '$.attempt'), json_extract(told.fields, '$.code'), json_extract(told.fields, '$.reason')
FROM events AS told JOIN deliveries ON deliveries.id = told.delivery
WHERE told.name IN ('delivery.held', 'delivery.failed');
DELETE FROM history
WHERE number <= (SELECT max(later.number) FROM history AS later WHERE later.delivery = history.delivery) - 20;
UPDATE deliveries
SET holds = (
    SELECT count(*) FROM jobs JOIN events ON events.job = jobs.id
    WHERE jobs.number = deliveries.job AND events.delivery = deliveries.id AND events.name = 'delivery.held'
)
WHERE state IN ('queued', 'running', 'held');

-- Which delivery was the last to put a tag, by the order of submission, which is that of the ids. No reference: the
-- order outlives the delivery.
CREATE TABLE tags (
    destination TEXT PRIMARY KEY,
    delivery    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Parts of files whose content was hashed before and has not changed since. Never filled in version 1.
DROP TABLE validated_files;
CREATE TABLE validated_files (
    -- TEXT: these are unsigned and have 64 bits, one more than an INTEGER.
    device       TEXT NOT NULL,
    inode        TEXT NOT NULL,
    "offset"     INTEGER NOT NULL,
    length       INTEGER NOT NULL,
    size         INTEGER NOT NULL,
    mtime_ns     INTEGER NOT NULL,
    ctime_ns     INTEGER NOT NULL,
    digest       TEXT NOT NULL,
    validated_at REAL NOT NULL,
    PRIMARY KEY (device, inode, "offset", length)
) STRICT, WITHOUT ROWID;
