"""Photos and pictures: decoding, quality, moderation, drawing, files on disk."""
