-- Reason: Telegram counts an update as delivered when it is asked for the next one. It is kept here until it was
-- worked off, so that a bot that dies meanwhile has it; its number stays for two days, as Telegram may bring it again.

CREATE TABLE updates (
    id      INTEGER PRIMARY KEY, -- Telegram's number of it
    user_id TEXT NOT NULL,       -- who wrote or pressed; '' once it was worked off
    body    TEXT,                -- Telegram's JSON; NULL once it was worked off
    came_ms INTEGER NOT NULL,
    tries   INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX updates_left ON updates (id) WHERE body IS NOT NULL;

-- What asked for a job, so that it is not queued again for the same message.
ALTER TABLE jobs ADD COLUMN asked_by TEXT;
CREATE INDEX jobs_by_asking ON jobs (asked_by) WHERE asked_by IS NOT NULL;
