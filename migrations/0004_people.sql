-- Reason: people: what they agreed to, the set they collect, names and shares of Loras, joining of two accounts,
-- reports; and codes that outlive the people they belonged to, so that no code is ever given twice.

-- All that stays of a Lora that was deleted.
CREATE TABLE spent_codes (
    code TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

-- Draws the numbers of accounts: AUTOINCREMENT remembers the largest, so that no one gets that of somebody who
-- was forgotten while a request of theirs was still on its way. It holds no rows.
CREATE TABLE account_numbers (
    id INTEGER PRIMARY KEY AUTOINCREMENT
) STRICT;
INSERT INTO account_numbers (id) SELECT max(id) FROM accounts HAVING count(*) > 0;
DELETE FROM account_numbers;

ALTER TABLE accounts ADD COLUMN consented_ms INTEGER;

ALTER TABLE loras ADD COLUMN name TEXT NOT NULL DEFAULT '';

-- What was chosen for the photos that are being collected, and the one message that shows them.
CREATE TABLE photo_sets (
    account INTEGER PRIMARY KEY REFERENCES accounts (id),
    class_word TEXT NOT NULL DEFAULT 'person',
    name TEXT NOT NULL DEFAULT '',
    platform TEXT NOT NULL DEFAULT '',
    chat_id TEXT NOT NULL DEFAULT '',
    user_id TEXT NOT NULL DEFAULT '',
    card_message_id TEXT,
    touched_ms INTEGER NOT NULL,
    reminded_ms INTEGER
) STRICT;

-- What the next plain message of a person answers: the name of the set, or of a code.
CREATE TABLE questions (
    account INTEGER PRIMARY KEY REFERENCES accounts (id),
    about TEXT NOT NULL,
    platform TEXT NOT NULL,
    asked_ms INTEGER NOT NULL
) STRICT;

-- Who may draw with a Lora that is somebody else's, as its owner decided.
CREATE TABLE shares (
    code TEXT NOT NULL REFERENCES loras (code),
    account INTEGER NOT NULL REFERENCES accounts (id),
    allowed TEXT NOT NULL CHECK (allowed IN ('asked', 'once', 'always', 'no')),
    number INTEGER NOT NULL,
    asker TEXT NOT NULL DEFAULT '',
    platform TEXT NOT NULL,
    chat_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    changed_ms INTEGER NOT NULL,
    PRIMARY KEY (code, account)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX shares_by_number ON shares (number);
CREATE INDEX shares_of_account ON shares (account);

CREATE TABLE invitations (
    word TEXT PRIMARY KEY,
    code TEXT NOT NULL REFERENCES loras (code),
    expires_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX invitations_of_code ON invitations (code);

-- Words that join the accounts of one person on two platforms.
CREATE TABLE link_words (
    word TEXT PRIMARY KEY,
    account INTEGER NOT NULL UNIQUE REFERENCES accounts (id),
    expires_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What people told the administrators of a code. The code is no reference: it may be nobody's.
CREATE TABLE reports (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    code TEXT NOT NULL,
    account INTEGER REFERENCES accounts (id),
    words TEXT NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX reports_of_account ON reports (account);
