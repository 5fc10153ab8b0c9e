"""Measures of the shipped small base model."""
