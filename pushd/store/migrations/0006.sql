-- Counts that are kept and ends that are indexed: no question costs more, the more there is to count.

-- How many of their jobs have ended and are kept still; beside `unfinished`, but kept by the triggers below.
ALTER TABLE submitters ADD COLUMN finished INTEGER NOT NULL DEFAULT 0 CHECK (finished >= 0);
UPDATE submitters SET finished = (
    SELECT count(*) FROM jobs WHERE jobs.uid = submitters.uid AND jobs.finished_at IS NOT NULL
);
CREATE TRIGGER jobs_ended AFTER UPDATE OF finished_at ON jobs
WHEN (old.finished_at IS NULL) <> (new.finished_at IS NULL) BEGIN
    UPDATE submitters SET finished = finished + iif(new.finished_at IS NULL, -1, 1) WHERE uid = new.uid;
END;
CREATE TRIGGER jobs_gone AFTER DELETE ON jobs WHEN old.finished_at IS NOT NULL BEGIN
    UPDATE submitters SET finished = finished - 1 WHERE uid = old.uid;
END;

-- Whether anybody made progress in this life of the daemon.
ALTER TABLE meta ADD COLUMN moved INTEGER NOT NULL DEFAULT 0;
UPDATE meta SET moved = EXISTS (
    SELECT 1 FROM deliveries WHERE epoch = (SELECT max(epoch) FROM deliveries)
    AND (state = 'succeeded' OR (state <> 'running' AND progressed))
);

-- Since when a job counts as waiting, and those whose turn it is by then: paused ones are not.
CREATE INDEX jobs_by_wait ON jobs (max(created_at, coalesce(not_before, created_at)), number)
WHERE state IN ('queued', 'running', 'held') AND paused_at IS NULL;

-- When it might begin at the earliest: the job's deadline less its lifetime, here for the index a registry's oldest is
-- searched by. What has ended has none until it is retried.
ALTER TABLE deliveries ADD COLUMN since REAL NOT NULL DEFAULT 0.0;
UPDATE deliveries SET since = (
    SELECT jobs.deadline_at - jobs.lifetime FROM jobs WHERE jobs.number = deliveries.job
) WHERE state IN ('queued', 'running', 'held', 'paused');
CREATE INDEX deliveries_waiting ON deliveries (registry, since)
WHERE state IN ('queued', 'running') OR (state = 'held' AND failure_code IS NOT NULL);

-- What waits for a registry, to be cancelled in order. The counts it was there for are kept below.
DROP INDEX deliveries_open;
CREATE INDEX deliveries_open ON deliveries (registry) WHERE state IN ('queued', 'running', 'held', 'paused');

-- How many deliveries that have not ended go where, and whose they are.
CREATE TABLE backlog (
    registry TEXT NOT NULL,
    uid      INTEGER NOT NULL,
    state    TEXT NOT NULL,
    -- Whether they are held for want of a credential.
    needing  INTEGER NOT NULL,
    number   INTEGER NOT NULL CHECK (number >= 0),
    PRIMARY KEY (registry, uid, state, needing)
) STRICT, WITHOUT ROWID;
INSERT INTO backlog (registry, uid, state, needing, number)
SELECT registry, uid, state, state = 'held' AND failure_code IS 'registry.needs_credential' AS needing, count(*)
FROM deliveries WHERE state IN ('queued', 'running', 'held', 'paused') GROUP BY registry, uid, state, needing;

CREATE TRIGGER deliveries_came AFTER INSERT ON deliveries
WHEN new.state IN ('queued', 'running', 'held', 'paused') BEGIN
    INSERT INTO backlog (registry, uid, state, needing, number) VALUES (
        new.registry, new.uid, new.state, new.state = 'held' AND new.failure_code IS 'registry.needs_credential', 1
    ) ON CONFLICT DO UPDATE SET number = number + 1;
END;
CREATE TRIGGER deliveries_moved AFTER UPDATE OF state, failure_code ON deliveries
WHEN old.state <> new.state OR old.failure_code IS NOT new.failure_code BEGIN
    UPDATE backlog SET number = number - 1
    WHERE registry = old.registry AND uid = old.uid AND state = old.state
        AND needing = (old.state = 'held' AND old.failure_code IS 'registry.needs_credential');
    INSERT INTO backlog (registry, uid, state, needing, number)
    SELECT new.registry, new.uid, new.state, new.state = 'held' AND new.failure_code IS 'registry.needs_credential', 1
    WHERE new.state IN ('queued', 'running', 'held', 'paused')
    ON CONFLICT DO UPDATE SET number = number + 1;
    DELETE FROM backlog
    WHERE registry = old.registry AND uid = old.uid AND state = old.state AND number = 0
        AND needing = (old.state = 'held' AND old.failure_code IS 'registry.needs_credential');
END;
CREATE TRIGGER deliveries_gone AFTER DELETE ON deliveries
WHEN old.state IN ('queued', 'running', 'held', 'paused') BEGIN
    UPDATE backlog SET number = number - 1
    WHERE registry = old.registry AND uid = old.uid AND state = old.state
        AND needing = (old.state = 'held' AND old.failure_code IS 'registry.needs_credential');
    DELETE FROM backlog
    WHERE registry = old.registry AND uid = old.uid AND state = old.state AND number = 0
        AND needing = (old.state = 'held' AND old.failure_code IS 'registry.needs_credential');
END;
