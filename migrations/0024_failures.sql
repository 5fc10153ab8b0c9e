-- Reason: why a job failed is stored as a reason that texts translate, and no longer as an English sentence.
UPDATE jobs SET error = CASE
    WHEN error LIKE 'The photos of this training are seven days old,%' THEN '{"reason":"photos-expired"}'
    WHEN error LIKE 'The graphics card process stopped five times%' THEN '{"reason":"worker-crashed"}'
    WHEN error = 'The picture this was to begin from is no longer here.' THEN '{"reason":"start-picture-gone"}'
    WHEN error LIKE 'The file of this LoraCode is missing here.%' THEN '{"reason":"lora-file-gone"}'
    ELSE error
END WHERE error IS NOT NULL;
