-- Reason: how alike a Lora's pictures are to its photos, step by step: numbers of its pictures, nothing of a face.

ALTER TABLE loras ADD COLUMN likeness TEXT;
