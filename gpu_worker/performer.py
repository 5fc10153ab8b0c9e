"""Performs the jobs of a worker on one base model, which is loaded when the first job comes."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

from gpu_worker import device, dials, generation, training
from gpu_worker.base_model import BaseModel
from gpu_worker.protocol import Event, Generate, Health, Train


class CardPerformer:
    """Trains and draws on the machine's card, or its CPU."""

    def __init__(self, base_model: str, train_steps: int | None) -> None:
        """Remember the base model's name (empty: the machine's default) and steps (None: the model's own)."""
        self._name = base_model
        self._train_steps = train_steps
        self._base: BaseModel | None = None

    def train(self, request: Train) -> Generator[Event, None, None]:
        """Train a LoRA, one step per event; BadInput or BaseModelError when that cannot be."""
        base = self._loaded()
        usual = dials.training_dials(base.is_embedded, base.native_px)
        if self._train_steps is not None:
            usual = replace(usual, steps=self._train_steps)
        yield from training.train(base, request, usual)

    def generate(self, request: Generate) -> Generator[Event, None, None]:
        """Draw pictures, one denoising step per event; BadInput or BaseModelError when that cannot be."""
        yield from generation.generate(self._loaded(), request)

    def health(self) -> Health:
        """Measure the process and its card; may be called from another thread."""
        base = self._base
        found = device.read(base.device if base else None)
        return Health(
            device=found.name,
            base_model=base.name if base else self._name,
            base_model_loaded=base is not None,
            process_memory_bytes=found.process_memory_bytes,
            device_memory_used_bytes=found.memory_used_bytes,
            device_memory_total_bytes=found.memory_total_bytes,
            device_temperature_c=found.temperature_c,
            device_load_percent=found.load_percent,
        )

    def _loaded(self) -> BaseModel:
        if self._base is None:
            self._base = BaseModel.load(self._name)
        return self._base
