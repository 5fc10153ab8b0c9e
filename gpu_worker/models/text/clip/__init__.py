"""CLIP's text encoders: tokens, weighted prompts of any length, embeddings."""
