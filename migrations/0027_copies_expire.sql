-- Reason: a message that only its person sees is edited by a token of 15 minutes, which was kept for ever.
ALTER TABLE copies ADD COLUMN expires_ms INTEGER;
CREATE INDEX copies_expire ON copies (expires_ms) WHERE expires_ms NOT NULL;
-- What was kept until now: before the `/` stands the channel, which is a number, or the token.
DELETE FROM copies WHERE substr(message_id, 1, instr(message_id, '/') - 1) GLOB '*[^0-9]*';
