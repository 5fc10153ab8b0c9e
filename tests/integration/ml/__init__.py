"""Tests of the worker's models: they run on the embedded base model."""
