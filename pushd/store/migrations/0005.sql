-- Traces: which request of another program a job goes back to (W3C Trace Context).

-- The caller's, as version 00 has it, or NULL.
ALTER TABLE jobs ADD COLUMN traceparent TEXT;
-- The trace's id in it, or NULL.
ALTER TABLE events ADD COLUMN trace TEXT;
