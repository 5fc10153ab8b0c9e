-- Reason: what the coach saw on a photo that helps to train on it goes with the photo and is deleted with it.
ALTER TABLE photos ADD COLUMN hint TEXT NOT NULL DEFAULT '';
