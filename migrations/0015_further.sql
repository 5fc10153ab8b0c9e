-- Reason: a Lora can be trained further: how much it has learnt, the set that is collected for it and which of its
-- photos the next one takes the place of, photos that their person asked to keep; and what was measured belongs to the
-- training until that is done, so that one that fails leaves the Lora as it was.

ALTER TABLE loras ADD COLUMN steps INTEGER;
UPDATE loras SET steps = coalesce(
    json_extract(likeness, '$.chosen'),
    (SELECT jobs.steps FROM jobs WHERE jobs.code = loras.code AND kind = 'train' AND status = 'done')
) WHERE state = 'ready';

ALTER TABLE jobs ADD COLUMN likeness TEXT;
UPDATE jobs SET likeness = (SELECT loras.likeness FROM loras WHERE loras.code = jobs.code) WHERE kind = 'train';
UPDATE loras SET likeness = NULL WHERE state != 'ready';

-- The Lora that a set is for, and for how many steps; NULL: a new one.
ALTER TABLE photo_sets ADD COLUMN code TEXT REFERENCES loras (code);
ALTER TABLE photo_sets ADD COLUMN steps INTEGER;
ALTER TABLE photo_sets ADD COLUMN swaps INTEGER;
CREATE INDEX photo_sets_of_code ON photo_sets (code) WHERE code IS NOT NULL;

-- Where a photo stands in its set; NULL: where it came.
ALTER TABLE photos ADD COLUMN place INTEGER;

ALTER TABLE accounts ADD COLUMN keeps_photos INTEGER NOT NULL DEFAULT 0 CHECK (keeps_photos IN (0, 1));
