-- Reason: a ledger with a million jobs answers as fast as a small one: what is asked of a table that grows has an
-- index, every reference has one too (else a deleted row reads all that may refer to it), and further LoraCodes of a
-- wish are rows, as a Lora is deleted with all that was drawn with it.

CREATE INDEX jobs_latest ON jobs (account, id);
CREATE INDEX identities_of_account ON identities (account);
CREATE INDEX photos_of_account ON photos (account);
CREATE INDEX drafts_of_code ON drafts (code);
CREATE INDEX drafts_by_age ON drafts (updated_ms);
CREATE INDEX questions_by_about ON questions (about);
CREATE INDEX photo_sets_by_age ON photo_sets (touched_ms);
CREATE INDEX letters_of_person ON letters (platform, user_id);
CREATE INDEX letters_by_share ON letters (share) WHERE share IS NOT NULL;
CREATE INDEX shares_asked ON shares (changed_ms) WHERE allowed = 'asked';
CREATE INDEX asks_by_age ON asks (at_ms);
CREATE INDEX updates_by_age ON updates (came_ms);
CREATE INDEX invitations_by_age ON invitations (expires_ms);

-- Kept by the triggers alone.
CREATE TABLE further_codes (
    code TEXT NOT NULL,
    job INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    PRIMARY KEY (code, job)
) STRICT, WITHOUT ROWID;
CREATE INDEX further_codes_of_job ON further_codes (job);
INSERT OR IGNORE INTO further_codes (code, job)
SELECT each.value, jobs.id FROM jobs, json_each(jobs.wish, '$.codes') AS each;

CREATE TRIGGER further_codes_of_new AFTER INSERT ON jobs BEGIN
    INSERT OR IGNORE INTO further_codes (code, job)
    SELECT each.value, NEW.id FROM json_each(NEW.wish, '$.codes') AS each;
END;
CREATE TRIGGER further_codes_of_changed AFTER UPDATE OF wish ON jobs BEGIN
    DELETE FROM further_codes WHERE job = NEW.id;
    INSERT OR IGNORE INTO further_codes (code, job)
    SELECT each.value, NEW.id FROM json_each(NEW.wish, '$.codes') AS each;
END;
