-- Pauses, turns, labels to search by, whose events are whose, sources in the spool, and what goes when its time is over.

-- As in step 2: the two tables with states are built again, and what AUTOINCREMENT knows is carried over.
CREATE TABLE new_jobs (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT NOT NULL UNIQUE,
    uid         INTEGER NOT NULL,
    -- The groups of the submitter: with their rights, and those of `uid`, the source is opened.
    gids        TEXT NOT NULL DEFAULT '[]',
    -- Whether they were an administrator, by the socket they came by. Before this version nobody else was served.
    administrator INTEGER NOT NULL DEFAULT 1,
    source      TEXT NOT NULL,
    -- The spool entry that holds the bytes, where the source does not.
    spool       TEXT,
    retain      TEXT NOT NULL DEFAULT 'source' CHECK (retain IN ('source', 'spool')),
    priority    INTEGER NOT NULL,
    -- To be read; the table of that name is there to be searched.
    labels      TEXT NOT NULL,
    -- Derived from the deliveries in every transaction that changes one of them; kept to list by it.
    state       TEXT NOT NULL CHECK (
        state IN ('queued', 'running', 'held', 'paused', 'succeeded', 'superseded', 'partial', 'failed', 'cancelled')
    ),
    digest      TEXT NOT NULL,
    media_type  TEXT NOT NULL,
    size        INTEGER NOT NULL,
    verify      TEXT NOT NULL DEFAULT 'tag' CHECK (verify IN ('tag', 'blobs')),
    if_tag      TEXT,
    created_at  REAL NOT NULL,
    -- When its submitter asked it to begin at the earliest.
    not_before  REAL,
    deadline_at REAL NOT NULL,
    -- Seconds from its beginning to its deadline as it was submitted: what a retry is given again.
    lifetime    REAL NOT NULL,
    paused_at   REAL,
    finished_at REAL,
    CHECK (finished_at IS NULL OR paused_at IS NULL)
) STRICT;
INSERT INTO new_jobs
    (number, id, uid, source, priority, labels, state, digest, media_type, size, verify, created_at, deadline_at,
     lifetime, finished_at)
SELECT
    number, id, uid, source, priority, labels, state, digest, media_type, size, verify, created_at, deadline_at,
    max(0.0, deadline_at - created_at), finished_at
FROM jobs;
DELETE FROM sqlite_sequence WHERE name = 'new_jobs';
INSERT INTO sqlite_sequence (name, seq) SELECT 'new_jobs', seq FROM sqlite_sequence WHERE name = 'jobs';
DROP TABLE jobs;
ALTER TABLE new_jobs RENAME TO jobs;
CREATE INDEX jobs_by_state ON jobs (state, number);
CREATE INDEX jobs_by_uid ON jobs (uid, number);
CREATE INDEX jobs_by_uid_and_state ON jobs (uid, state, number);
-- Those without an end come first, in the order of submission; then the others by their age.
CREATE INDEX jobs_by_end ON jobs (finished_at, number);
CREATE INDEX jobs_by_spool ON jobs (spool) WHERE spool IS NOT NULL;
CREATE INDEX jobs_spooled ON jobs (spool) WHERE spool IS NOT NULL AND finished_at IS NULL;

CREATE TABLE new_deliveries (
    id                INTEGER PRIMARY KEY AUTOINCREMENT,
    job               INTEGER NOT NULL REFERENCES jobs (number) ON DELETE CASCADE,
    position          INTEGER NOT NULL,
    destination       TEXT NOT NULL,
    registry          TEXT NOT NULL,
    -- The job's, all three, here for the indexes a claim, a count and the deadline search.
    uid               INTEGER NOT NULL,
    priority          INTEGER NOT NULL,
    deadline_at       REAL NOT NULL,
    state             TEXT NOT NULL CHECK (
        state IN ('queued', 'running', 'held', 'paused', 'succeeded', 'superseded', 'failed', 'cancelled')
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
INSERT INTO new_deliveries
    (id, job, position, destination, registry, uid, priority, deadline_at, state, attempt, holds, crashes, progressed,
     epoch, sent, digest, failure_code, failure_message, failure_retryable, not_before, started_at, finished_at)
SELECT
    old.id, old.job, old.position, old.destination, old.registry, jobs.uid, old.priority, jobs.deadline_at, old.state,
    old.attempt, old.holds, old.crashes, old.progressed, old.epoch, old.sent, old.digest, old.failure_code,
    old.failure_message, old.failure_retryable, old.not_before, old.started_at, old.finished_at
FROM deliveries AS old JOIN jobs ON jobs.number = old.job;
DELETE FROM sqlite_sequence WHERE name = 'new_deliveries';
INSERT INTO sqlite_sequence (name, seq) SELECT 'new_deliveries', seq FROM sqlite_sequence WHERE name = 'deliveries';
DROP TABLE deliveries;
ALTER TABLE new_deliveries RENAME TO deliveries;
-- What waits and what runs, never what ended: these stay small however long the history is.
CREATE INDEX deliveries_queued ON deliveries (registry, priority DESC, uid, id) WHERE state = 'queued';
CREATE INDEX deliveries_held ON deliveries (not_before) WHERE state = 'held';
CREATE INDEX deliveries_running ON deliveries (registry) WHERE state = 'running';
CREATE INDEX deliveries_due ON deliveries (deadline_at) WHERE state IN ('queued', 'held');
CREATE INDEX deliveries_open ON deliveries (uid, registry, state)
WHERE state IN ('queued', 'running', 'held', 'paused');
CREATE INDEX deliveries_by_registry ON deliveries (registry, job);

-- What jobs are searched by: the submitters' own words.
CREATE TABLE labels (
    key   TEXT NOT NULL,
    value TEXT NOT NULL,
    job   INTEGER NOT NULL REFERENCES jobs (number) ON DELETE CASCADE,
    PRIMARY KEY (key, value, job)
) STRICT, WITHOUT ROWID;
CREATE INDEX labels_by_job ON labels (job);
INSERT INTO labels (key, value, job)
SELECT label.key, label.value, jobs.number FROM jobs, json_each(jobs.labels) AS label;

-- Everyone who ever submitted: how many of their jobs have not ended, and when it was their turn last.
-- A count that is kept, because a limit is asked for at every submission, and turns, because 10,000 jobs of one user
-- shall not make another wait for all of them.
CREATE TABLE submitters (
    uid        INTEGER PRIMARY KEY,
    unfinished INTEGER NOT NULL CHECK (unfinished >= 0),
    -- The larger the later; 0 when there was none yet.
    turn       INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX submitters_by_turn ON submitters (turn);
INSERT INTO submitters (uid, unfinished) SELECT uid, sum(finished_at IS NULL) FROM jobs GROUP BY uid;

-- Registries nothing goes to until somebody resumes them; `uid` is who paused it.
CREATE TABLE paused_registries (
    registry  TEXT PRIMARY KEY,
    paused_at REAL NOT NULL,
    uid       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Registries that were ever reached, which outlives every transfer there.
CREATE TABLE met_registries (
    registry TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;
INSERT INTO met_registries (registry) SELECT DISTINCT registry FROM transfers;

-- Whose job it tells of; NULL for the daemon's own affairs.
ALTER TABLE events ADD COLUMN uid INTEGER;
UPDATE events SET uid = (SELECT jobs.uid FROM jobs WHERE jobs.id = events.job);
CREATE INDEX events_by_uid ON events (uid, seq);

-- To forget by.
CREATE INDEX validated_files_by_age ON validated_files (validated_at);
CREATE INDEX tags_by_delivery ON tags (delivery);
