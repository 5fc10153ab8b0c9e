"""Trainings: data, step, loss, optimizers, checkpoints, metadata."""
