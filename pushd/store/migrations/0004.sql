-- Credentials of submitters, sealed: the key is not in here.

-- What its destinations are spoken to with.
ALTER TABLE jobs ADD COLUMN credential TEXT NOT NULL DEFAULT 'auto';

CREATE TABLE credentials (
    number     INTEGER PRIMARY KEY AUTOINCREMENT,
    uid        INTEGER NOT NULL,
    -- The job it was handed over with, or the name it was stored under.
    job        INTEGER REFERENCES jobs (number) ON DELETE CASCADE,
    name       TEXT,
    -- host[:port], or a part of that registry, host[:port]/path.
    scope      TEXT NOT NULL,
    -- Only the vault can open it. NULL when it was spent: the row tells that there was one.
    secret     BLOB,
    created_at REAL NOT NULL,
    expires_at REAL,
    CHECK ((job IS NULL) <> (name IS NULL))
) STRICT;
-- One that comes in place of another has a number of its own: who spends the old one spares the new.
CREATE UNIQUE INDEX credentials_by_job ON credentials (job, scope);
CREATE UNIQUE INDEX credentials_by_name ON credentials (uid, name) WHERE name IS NOT NULL;
CREATE INDEX credentials_by_expiry ON credentials (expires_at) WHERE secret IS NOT NULL AND expires_at IS NOT NULL;

-- The newest credential there was when it was claimed: one that came since may be what it turns out to lack.
ALTER TABLE deliveries ADD COLUMN newest_credential INTEGER NOT NULL DEFAULT 0;
-- What waits for a credential. Hosts have no case.
CREATE INDEX deliveries_needing ON deliveries (uid, registry COLLATE NOCASE)
WHERE state = 'held' AND failure_code = 'registry.needs_credential';
