-- Reason: a bot that is killed after a request or a report was written down, and before the message that said so was
-- noted as worked off, carries it out once: the row knows which message it came from.

ALTER TABLE asks ADD COLUMN asked_by TEXT;
ALTER TABLE reports ADD COLUMN asked_by TEXT;
CREATE INDEX asks_by_asking ON asks (asked_by) WHERE asked_by IS NOT NULL;
CREATE INDEX reports_by_asking ON reports (asked_by) WHERE asked_by IS NOT NULL;
