"""Stable Diffusion XL: configurations, file names, loading."""
