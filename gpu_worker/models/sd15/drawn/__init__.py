"""The small trained base model: Stable Diffusion's shape, taught with our own drawings."""

from pathlib import Path

NAME = "drawn"
MODEL = Path(__file__).parent / "model"
