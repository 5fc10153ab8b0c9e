"""Qwen3 as a text encoder: klein and Z-Image read its hidden layers."""
