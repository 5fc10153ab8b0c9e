-- Reason: a question is answered where it was asked, and where others write only in answer to it.
ALTER TABLE questions ADD COLUMN chat_id TEXT NOT NULL DEFAULT '';
ALTER TABLE questions ADD COLUMN user_id TEXT NOT NULL DEFAULT '';
ALTER TABLE questions ADD COLUMN message_ids TEXT NOT NULL DEFAULT '';
ALTER TABLE drafts ADD COLUMN message_ids TEXT NOT NULL DEFAULT '';
