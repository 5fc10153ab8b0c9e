-- Reason: the ground: accounts, photos, Loras, jobs and owed notices.
-- Times are whole milliseconds since 1970 in UTC. Wishes are JSON. A code, once given, keeps its row for ever.

CREATE TABLE accounts (
    id INTEGER PRIMARY KEY,
    created_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE identities (
    platform TEXT NOT NULL CHECK (platform IN ('telegram', 'discord', 'console')),
    user_id TEXT NOT NULL,
    account INTEGER NOT NULL REFERENCES accounts (id),
    PRIMARY KEY (platform, user_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE loras (
    code TEXT PRIMARY KEY CHECK (length(code) = 8 AND code NOT GLOB '*[^0-9]*'),
    account INTEGER NOT NULL REFERENCES accounts (id),
    token TEXT NOT NULL,
    class_word TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('training', 'ready', 'failed', 'cancelled')),
    file TEXT,
    sha256 TEXT,
    created_ms INTEGER NOT NULL,
    ready_ms INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX loras_of_account ON loras (account, created_ms);
CREATE INDEX loras_by_state ON loras (state);

CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL CHECK (kind IN ('train', 'generate')),
    status TEXT NOT NULL CHECK (status IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    account INTEGER NOT NULL REFERENCES accounts (id),
    code TEXT NOT NULL REFERENCES loras (code),
    wish TEXT NOT NULL,
    platform TEXT NOT NULL,
    chat_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    attempt INTEGER NOT NULL DEFAULT 0,
    losses INTEGER NOT NULL DEFAULT 0,
    resumed_told INTEGER NOT NULL DEFAULT 0,
    step INTEGER NOT NULL DEFAULT 0,
    steps INTEGER,
    card_message_id TEXT,
    error TEXT,
    created_ms INTEGER NOT NULL,
    started_ms INTEGER,
    finished_ms INTEGER
) STRICT;
CREATE INDEX jobs_in_line ON jobs (kind, status, created_ms, id);
CREATE INDEX jobs_of_account ON jobs (account, status);
CREATE INDEX jobs_of_code ON jobs (code, kind);
CREATE INDEX jobs_started ON jobs (kind, account, started_ms);
CREATE INDEX jobs_finished ON jobs (kind, status, finished_ms);

CREATE TABLE photos (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account INTEGER NOT NULL REFERENCES accounts (id),
    job INTEGER REFERENCES jobs (id),
    sha256 TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    data BLOB NOT NULL
) STRICT;
-- One set is collected at a time (job IS NULL); a photo is in it once.
CREATE UNIQUE INDEX photos_in_set ON photos (account, sha256) WHERE job IS NULL;
CREATE INDEX photos_of_job ON photos (job, id);
CREATE INDEX photos_by_age ON photos (created_ms);

CREATE TABLE notices (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    job INTEGER NOT NULL REFERENCES jobs (id),
    kind TEXT NOT NULL,
    files TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('owed', 'sent', 'undeliverable')),
    tries INTEGER NOT NULL DEFAULT 0,
    next_try_ms INTEGER NOT NULL,
    message_id TEXT,
    created_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX notices_owed ON notices (state, next_try_ms, id);
CREATE INDEX notices_of_job ON notices (job);
