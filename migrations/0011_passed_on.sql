-- Reason: whoever asks for a code waits for the same work, be it somebody's or nobody's: the request is written down,
-- and passed on afterwards. What it said is blanked then; the row counts for a day.

ALTER TABLE asks ADD COLUMN code TEXT;
ALTER TABLE asks ADD COLUMN asker TEXT NOT NULL DEFAULT '';
ALTER TABLE asks ADD COLUMN platform TEXT NOT NULL DEFAULT '';
ALTER TABLE asks ADD COLUMN chat_id TEXT NOT NULL DEFAULT '';
ALTER TABLE asks ADD COLUMN user_id TEXT NOT NULL DEFAULT '';
CREATE INDEX asks_to_pass_on ON asks (id) WHERE code IS NOT NULL;
