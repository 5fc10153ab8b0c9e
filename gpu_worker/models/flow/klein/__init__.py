"""FLUX.2 klein 4B."""
