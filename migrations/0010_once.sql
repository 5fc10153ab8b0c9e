-- Reason: what was allowed once is spent when it has drawn, not when it was asked for: a generation that fails or is
-- cancelled gives it back. No reference: a share outlives the job of somebody's other Lora.

ALTER TABLE shares ADD COLUMN job INTEGER;
CREATE INDEX shares_by_job ON shares (job) WHERE job IS NOT NULL;
