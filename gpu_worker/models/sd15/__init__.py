"""Stable Diffusion 1.5: its configuration and its file layouts."""
