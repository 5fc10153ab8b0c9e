-- Reason: `/show` brings a result into further messages, and deleting the result has to find all of them again, also
-- after a restart. The card of a result is among them from when the result is deleted.

CREATE TABLE copies (
    id INTEGER PRIMARY KEY,
    job INTEGER NOT NULL REFERENCES jobs (id),
    platform TEXT NOT NULL,
    chat_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    message_id TEXT NOT NULL,
    next_try_ms INTEGER, -- when its pictures are to be taken out of it; NULL while the result is there
    tries INTEGER NOT NULL DEFAULT 0,
    UNIQUE (job, platform, chat_id, message_id)
) STRICT;
CREATE INDEX copies_due ON copies (next_try_ms, id) WHERE next_try_ms IS NOT NULL;
