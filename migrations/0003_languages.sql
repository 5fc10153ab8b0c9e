-- Reason: each person is spoken to in their language: the one their app last told, unless they chose another.

ALTER TABLE identities ADD COLUMN locale TEXT NOT NULL DEFAULT '';
ALTER TABLE accounts ADD COLUMN language TEXT;
