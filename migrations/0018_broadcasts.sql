-- Reason: everybody is owed a letter a hundred people at a time, so that nobody waits for it meanwhile; a bot that
-- dies between two times goes on, and the message that asked for it asks once.

CREATE TABLE broadcasts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    asked TEXT UNIQUE,
    words TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    told_up_to INTEGER NOT NULL DEFAULT 0,
    people INTEGER NOT NULL DEFAULT 0,
    is_done INTEGER NOT NULL DEFAULT 0
) STRICT;
