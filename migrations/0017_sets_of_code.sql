-- Reason: a Lora that is deleted is looked for in every set: a reference has an index of all its rows.

DROP INDEX photo_sets_of_code;
CREATE INDEX photo_sets_of_code ON photo_sets (code);
