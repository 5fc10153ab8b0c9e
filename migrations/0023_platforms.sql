-- Reason: a further platform is a matter of its adapter, and no longer one of rebuilding a table: no CHECK on its name.

CREATE TABLE new_identities (
    platform TEXT NOT NULL,
    user_id TEXT NOT NULL,
    account INTEGER NOT NULL REFERENCES accounts (id),
    locale TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (platform, user_id)
) STRICT, WITHOUT ROWID;
INSERT INTO new_identities (platform, user_id, account, locale)
SELECT platform, user_id, account, locale FROM identities;
DROP TABLE identities;
ALTER TABLE new_identities RENAME TO identities;
CREATE INDEX identities_of_account ON identities (account);
