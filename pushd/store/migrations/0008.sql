-- What becomes of plain layers, as it was decided when the job was taken; and how they are to be compressed, as long as
-- they are not: the digest and the size of such a job are those of the plain image, which nobody is told the digest of.
ALTER TABLE jobs ADD COLUMN compress TEXT NOT NULL DEFAULT 'none';
ALTER TABLE jobs ADD COLUMN encoding TEXT;
