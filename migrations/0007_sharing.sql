-- Reason: sharing: what people asked for is counted alike for codes that exist and codes that do not, a link lets in
-- only so many, and a letter may be about a share, with which it goes.

-- Kept for a day. The code is not noted: it may be nobody's. `owner` is whom a request was passed on to.
CREATE TABLE asks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account INTEGER NOT NULL REFERENCES accounts (id),
    owner INTEGER REFERENCES accounts (id),
    at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX asks_of_account ON asks (account, at_ms);
CREATE INDEX asks_of_owner ON asks (owner, at_ms);

-- How many came by it.
ALTER TABLE invitations ADD COLUMN people INTEGER NOT NULL DEFAULT 0;

-- The number of the share that a letter shows as it is when it is delivered; its words are empty then.
ALTER TABLE letters ADD COLUMN share INTEGER;
CREATE TRIGGER letters_of_share AFTER DELETE ON shares BEGIN
    DELETE FROM letters WHERE share = OLD.number;
END;
