-- What goes along with a job's image because it refers to it: how many manifests, NULL where that was not asked for, and
-- which of them are put under tags of their own, as a JSON object of tags and digests.
ALTER TABLE jobs ADD COLUMN referrers INTEGER CHECK (referrers >= 0);
ALTER TABLE jobs ADD COLUMN cosign_tags TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(cosign_tags));
