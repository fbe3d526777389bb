-- Times are REAL seconds since 1970-01-01 UTC; sizes and offsets are bytes; labels and event fields are JSON.

-- "push" in ASCII: tells our files from other programs'.
PRAGMA application_id = 1886745448;

-- The database itself: how many lives the daemon had, and which stream its event numbers belong to.
CREATE TABLE meta (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    epoch  INTEGER NOT NULL,
    stream TEXT NOT NULL
) STRICT;
INSERT INTO meta (one, epoch, stream) VALUES (1, 0, lower(hex(randomblob(16))));

CREATE TABLE jobs (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT NOT NULL UNIQUE,
    uid         INTEGER NOT NULL,
    source      TEXT NOT NULL,
    priority    INTEGER NOT NULL,
    labels      TEXT NOT NULL,
    -- Derived from the deliveries in every transaction that changes one of them; kept to list by it.
    state       TEXT NOT NULL CHECK (
        state IN ('queued', 'running', 'held', 'succeeded', 'partial', 'failed', 'cancelled')
    ),
    digest      TEXT NOT NULL,
    media_type  TEXT NOT NULL,
    size        INTEGER NOT NULL,
    created_at  REAL NOT NULL,
    deadline_at REAL NOT NULL,
    finished_at REAL
) STRICT;
CREATE INDEX jobs_by_state ON jobs (state, number);
CREATE INDEX jobs_by_uid ON jobs (uid, number);

CREATE TABLE deliveries (
    id                INTEGER PRIMARY KEY AUTOINCREMENT,
    job               INTEGER NOT NULL REFERENCES jobs (number) ON DELETE CASCADE,
    position          INTEGER NOT NULL,
    destination       TEXT NOT NULL,
    registry          TEXT NOT NULL,
    -- The job's, here for the index a claim searches.
    priority          INTEGER NOT NULL,
    state             TEXT NOT NULL CHECK (
        state IN ('queued', 'running', 'held', 'succeeded', 'failed', 'cancelled')
    ),
    attempt           INTEGER NOT NULL DEFAULT 0,
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
-- What waits and what runs, never what ended: these stay small however long the history is.
CREATE INDEX deliveries_queued ON deliveries (registry, priority DESC, id) WHERE state = 'queued';
CREATE INDEX deliveries_held ON deliveries (not_before) WHERE state = 'held';
CREATE INDEX deliveries_open ON deliveries (state) WHERE state IN ('queued', 'running', 'held');

-- The original bytes, each once however many jobs push them.
CREATE TABLE manifests (
    digest  TEXT PRIMARY KEY,
    content BLOB NOT NULL
) STRICT;

-- Which manifests a job's image is made of, children before parents.
CREATE TABLE documents (
    job        INTEGER NOT NULL REFERENCES jobs (number) ON DELETE CASCADE,
    position   INTEGER NOT NULL,
    digest     TEXT NOT NULL REFERENCES manifests (digest),
    media_type TEXT NOT NULL,
    PRIMARY KEY (job, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX documents_by_digest ON documents (digest);

-- One blob to one repository. Sharing never crosses principals or credentials.
CREATE TABLE transfers (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    registry   TEXT NOT NULL,
    repository TEXT NOT NULL,
    digest     TEXT NOT NULL,
    credential TEXT NOT NULL,
    uid        INTEGER NOT NULL,
    UNIQUE (registry, repository, digest, credential, uid)
) STRICT;

-- Which delivery needs which transfer, in order, and what it came to for that delivery.
CREATE TABLE waiters (
    delivery      INTEGER NOT NULL REFERENCES deliveries (id) ON DELETE CASCADE,
    position      INTEGER NOT NULL,
    transfer      INTEGER NOT NULL REFERENCES transfers (id),
    media_type    TEXT NOT NULL,
    size          INTEGER NOT NULL,
    state         TEXT NOT NULL CHECK (state IN ('pending', 'uploaded', 'mounted', 'present', 'failed')),
    sent          INTEGER NOT NULL DEFAULT 0,
    resumed       INTEGER NOT NULL DEFAULT 0,
    interruptions INTEGER NOT NULL DEFAULT 0,
    form          TEXT NOT NULL DEFAULT '',
    seconds       REAL NOT NULL DEFAULT 0.0,
    PRIMARY KEY (delivery, position),
    UNIQUE (delivery, transfer)
) STRICT, WITHOUT ROWID;
CREATE INDEX waiters_by_transfer ON waiters (transfer);

-- Where an upload stands. The query of `location` is a secret: it goes to the registry and nowhere else.
CREATE TABLE upload_sessions (
    transfer   INTEGER PRIMARY KEY REFERENCES transfers (id) ON DELETE CASCADE,
    location   TEXT NOT NULL,
    "offset"   INTEGER NOT NULL,
    chunk_size INTEGER NOT NULL,
    form       TEXT NOT NULL,
    epoch      INTEGER NOT NULL,
    updated_at REAL NOT NULL
) STRICT;

-- What earlier pushes of the same principal with the same credential taught about what a repository holds.
CREATE TABLE known_blobs (
    registry   TEXT NOT NULL,
    digest     TEXT NOT NULL,
    credential TEXT NOT NULL,
    uid        INTEGER NOT NULL,
    repository TEXT NOT NULL,
    seen_at    REAL NOT NULL,
    PRIMARY KEY (registry, digest, credential, uid, repository)
) STRICT, WITHOUT ROWID;
CREATE INDEX known_blobs_by_age ON known_blobs (seen_at);

-- Files whose content was hashed before and has not changed since.
CREATE TABLE validated_files (
    device       INTEGER NOT NULL,
    inode        INTEGER NOT NULL,
    size         INTEGER NOT NULL,
    mtime_ns     INTEGER NOT NULL,
    ctime_ns     INTEGER NOT NULL,
    digest       TEXT NOT NULL,
    validated_at REAL NOT NULL,
    PRIMARY KEY (device, inode)
) STRICT, WITHOUT ROWID;

-- AUTOINCREMENT: a number is never given twice, not even after everything was pruned.
-- `job` is no foreign key: a job and the story of it are kept for times of their own.
CREATE TABLE events (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    at       REAL NOT NULL,
    name     TEXT NOT NULL,
    job      TEXT,
    delivery INTEGER,
    fields   TEXT NOT NULL
) STRICT;
CREATE INDEX events_by_job ON events (job, seq);

CREATE TABLE idempotency_keys (
    uid         INTEGER NOT NULL,
    key         TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    job         INTEGER NOT NULL REFERENCES jobs (number) ON DELETE CASCADE,
    PRIMARY KEY (uid, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_keys_by_job ON idempotency_keys (job);
