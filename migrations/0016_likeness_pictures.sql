-- Reason: the strip of a training is kept with its Lora, to be shown again, and with it the pictures of the LoRA that is
-- handed out: made ones, by which later pictures can be compared. Number 1 is the strip.

INSERT OR IGNORE INTO pictures (job, number, file, recipe)
SELECT notices.job, 1, each.value, ''
FROM notices, json_each(notices.files) AS each WHERE notices.kind = 'train_done';
