-- Tags that move together: whether they are to, and when that was decided, which is never taken back.
ALTER TABLE jobs ADD COLUMN tags TEXT NOT NULL DEFAULT 'each' CHECK (tags IN ('each', 'together'));
ALTER TABLE jobs ADD COLUMN ready_at REAL;

-- Whether everything but its tag is there. While it is not decided that tags move, one that is ready is held.
ALTER TABLE deliveries ADD COLUMN ready INTEGER NOT NULL DEFAULT 0;
-- Tags that are to be moved, which are claimed before anything else; and what may begin to when a registry is resumed.
CREATE INDEX deliveries_moving ON deliveries (ready, id) WHERE state = 'queued' AND ready = 1;
CREATE INDEX deliveries_ready ON deliveries (registry, job) WHERE state = 'held' AND ready = 1;
