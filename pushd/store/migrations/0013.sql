-- What waits for a credential to read its source with counts as what waits for one to push with.

ALTER TABLE deliveries ADD COLUMN needing INTEGER NOT NULL GENERATED ALWAYS AS (
    state = 'held' AND (failure_code IS 'registry.needs_credential' OR failure_code IS 'source.needs_credential')
) VIRTUAL;

DROP TRIGGER deliveries_came;
CREATE TRIGGER deliveries_came AFTER INSERT ON deliveries
WHEN new.state IN ('queued', 'running', 'held', 'paused') BEGIN
    INSERT INTO backlog (registry, uid, state, needing, number)
    VALUES (new.registry, new.uid, new.state, new.needing, 1)
    ON CONFLICT DO UPDATE SET number = number + 1;
END;
DROP TRIGGER deliveries_moved;
CREATE TRIGGER deliveries_moved AFTER UPDATE OF state, failure_code ON deliveries
WHEN old.state <> new.state OR old.needing <> new.needing BEGIN
    UPDATE backlog SET number = number - 1
    WHERE registry = old.registry AND uid = old.uid AND state = old.state AND needing = old.needing;
    INSERT INTO backlog (registry, uid, state, needing, number)
    SELECT new.registry, new.uid, new.state, new.needing, 1
    WHERE new.state IN ('queued', 'running', 'held', 'paused')
    ON CONFLICT DO UPDATE SET number = number + 1;
    DELETE FROM backlog
    WHERE registry = old.registry AND uid = old.uid AND state = old.state AND number = 0 AND needing = old.needing;
END;
DROP TRIGGER deliveries_gone;
CREATE TRIGGER deliveries_gone AFTER DELETE ON deliveries
WHEN old.state IN ('queued', 'running', 'held', 'paused') BEGIN
    UPDATE backlog SET number = number - 1
    WHERE registry = old.registry AND uid = old.uid AND state = old.state AND needing = old.needing;
    DELETE FROM backlog
    WHERE registry = old.registry AND uid = old.uid AND state = old.state AND number = 0 AND needing = old.needing;
END;

-- Which source it is stands with the job: of one user there are few that wait so.
CREATE INDEX deliveries_needing_to_read ON deliveries (uid)
WHERE state = 'held' AND failure_code = 'source.needs_credential';
