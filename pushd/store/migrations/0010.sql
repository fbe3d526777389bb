-- How far the bytes of a job's image are looked into, and what was found: an inspection, as JSON; NULL until there is one.
ALTER TABLE jobs ADD COLUMN validate TEXT NOT NULL DEFAULT 'digest' CHECK (validate IN ('digest', 'full'));
ALTER TABLE jobs ADD COLUMN inspection TEXT;
