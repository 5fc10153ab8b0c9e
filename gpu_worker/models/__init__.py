"""Base models: sources, loading, weights, hooks for LoRAs."""
