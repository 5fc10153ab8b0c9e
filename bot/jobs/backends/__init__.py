"""Backends that run GPU work: one local process, or a Ray cluster."""
