-- Reason: what a person has used of their quota is still counted after its LoRA and its jobs were deleted.
CREATE TABLE used_quota (
    account INTEGER NOT NULL REFERENCES accounts (id),
    kind TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    amount INTEGER NOT NULL
) STRICT;
CREATE INDEX used_quota_account ON used_quota (account, kind, at_ms);
CREATE INDEX used_quota_time ON used_quota (at_ms);
