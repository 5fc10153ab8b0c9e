-- Reason: for administrators: the state of things minute by minute, switches that outlive a restart, who may use
-- the bot and how much, what administrators did, and letters: messages that belong to no job.

-- Kept for 25 hours.
CREATE TABLE samples (
    at_ms INTEGER PRIMARY KEY,
    waiting_train INTEGER NOT NULL,
    waiting_generate INTEGER NOT NULL,
    device TEXT,
    load_percent INTEGER,
    memory_used_bytes INTEGER,
    memory_total_bytes INTEGER,
    temperature_c INTEGER,
    worker_deaths INTEGER NOT NULL
) STRICT;

-- A row is a switch that is on: `paused`, or `alarm:<name>`.
CREATE TABLE switches (
    name TEXT PRIMARY KEY,
    since_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms INTEGER NOT NULL,
    admin TEXT NOT NULL,
    command TEXT NOT NULL,
    about TEXT NOT NULL
) STRICT;

-- By identity, so that it outlives /forgetme. The account is no reference for the same reason.
CREATE TABLE bans (
    platform TEXT NOT NULL,
    user_id TEXT NOT NULL,
    since_ms INTEGER NOT NULL,
    PRIMARY KEY (platform, user_id)
) STRICT, WITHOUT ROWID;

-- '' is whoever came by themselves; `member` was let in; `trusted` is whom an administrator made so.
ALTER TABLE accounts ADD COLUMN role TEXT NOT NULL DEFAULT '' CHECK (role IN ('', 'member', 'trusted'));
-- NULL: what the role has.
ALTER TABLE accounts ADD COLUMN trainings_a_day INTEGER;
ALTER TABLE accounts ADD COLUMN pictures_an_hour INTEGER;
CREATE INDEX jobs_asked ON jobs (account, kind, created_ms);

-- Words that let one person in each.
CREATE TABLE entry_words (
    word TEXT PRIMARY KEY,
    expires_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- A letter that was delivered, or never will be, is deleted.
CREATE TABLE letters (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    platform TEXT NOT NULL,
    user_id TEXT NOT NULL,
    words TEXT NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    next_try_ms INTEGER NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX letters_due ON letters (platform, next_try_ms, id);
