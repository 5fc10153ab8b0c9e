-- Reason: what a person wants where they say nothing: size and style of pictures, and whether notices make a sound.

ALTER TABLE accounts ADD COLUMN size TEXT NOT NULL DEFAULT '';
ALTER TABLE accounts ADD COLUMN style TEXT NOT NULL DEFAULT '';
ALTER TABLE accounts ADD COLUMN is_silent INTEGER NOT NULL DEFAULT 0 CHECK (is_silent IN (0, 1));
