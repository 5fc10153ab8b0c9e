-- Reason: a Lora fits the family of base models that it was trained on; once the bot draws with another, its code
-- answers with the one it needs. Empty: trained before this was stored.
ALTER TABLE loras ADD COLUMN family TEXT NOT NULL DEFAULT '';
