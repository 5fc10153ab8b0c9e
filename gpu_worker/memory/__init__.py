"""Frozen weights in little memory: stored in few bits, and planned before anything is downloaded."""
