-- Reason: a photo is named by the SHA-256 of its stored bytes wherever something was derived of it. Stored as
-- `data_sha256` it is read without them, which therefore stand last: what stands behind a BLOB is read through it.
-- `sha256` is of the decoded pixels and finds the same photo in another file. `sha256_hex` is a function of the program.

CREATE TABLE new_photos (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account INTEGER NOT NULL REFERENCES accounts (id),
    job INTEGER REFERENCES jobs (id),
    sha256 TEXT NOT NULL,
    data_sha256 TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    place INTEGER,
    hint TEXT NOT NULL DEFAULT '',
    data BLOB NOT NULL
) STRICT;
INSERT INTO new_photos (id, account, job, sha256, data_sha256, created_ms, place, hint, data)
SELECT id, account, job, sha256, sha256_hex(data), created_ms, place, hint, data FROM photos;
-- A number is never given twice, also when its photo is gone.
DELETE FROM sqlite_sequence WHERE name = 'new_photos';
INSERT INTO sqlite_sequence (name, seq) SELECT 'new_photos', seq FROM sqlite_sequence WHERE name = 'photos';
DROP TABLE photos;
ALTER TABLE new_photos RENAME TO photos;
CREATE UNIQUE INDEX photos_in_set ON photos (account, sha256) WHERE job IS NULL;
CREATE INDEX photos_of_job ON photos (job, id);
CREATE INDEX photos_by_age ON photos (created_ms);
CREATE INDEX photos_of_account ON photos (account);
