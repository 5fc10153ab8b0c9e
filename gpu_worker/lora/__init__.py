"""LoRA layers, their files and the cache of those in use."""
