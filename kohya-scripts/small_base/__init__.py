"""The training of the shipped small base model."""
