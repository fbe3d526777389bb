-- What is pushed of an index: platforms, as JSON; all there is when empty.
ALTER TABLE jobs ADD COLUMN platforms TEXT NOT NULL DEFAULT '[]';
