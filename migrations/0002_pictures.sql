-- Reason: results that stay: each picture with its recipe, what a person is just putting together, and where
-- an attempt began, so that its own pace can be told.

CREATE TABLE pictures (
    job INTEGER NOT NULL REFERENCES jobs (id),
    number INTEGER NOT NULL CHECK (number >= 1),
    file TEXT NOT NULL,
    recipe TEXT NOT NULL,
    deleted_ms INTEGER,
    PRIMARY KEY (job, number)
) STRICT, WITHOUT ROWID;
INSERT OR IGNORE INTO pictures (job, number, file, recipe)
SELECT notices.job, each.key + 1, each.value, ''
FROM notices, json_each(notices.files) AS each WHERE notices.kind = 'generate_done';

CREATE TABLE drafts (
    account INTEGER PRIMARY KEY REFERENCES accounts (id),
    code TEXT NOT NULL REFERENCES loras (code),
    wish TEXT NOT NULL,
    platform TEXT NOT NULL,
    chat_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    updated_ms INTEGER NOT NULL
) STRICT;

ALTER TABLE jobs ADD COLUMN begun_ms INTEGER;
ALTER TABLE jobs ADD COLUMN begun_step INTEGER NOT NULL DEFAULT 0;
