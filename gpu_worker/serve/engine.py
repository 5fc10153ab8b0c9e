"""Performs the jobs of a worker on one base model, which is loaded when the worker starts."""

from __future__ import annotations

import gc
from collections.abc import Generator
from dataclasses import replace

import torch

from gpu_worker.device import placement
from gpu_worker.generation import generate as generation
from gpu_worker.generation.generate import Room
from gpu_worker.kohya.external.trainer import SdScriptsTrainer
from gpu_worker.models.base import BaseModel
from gpu_worker.protocol import Crop, Event, Generate, Health, Train
from gpu_worker.training import config, latents, trainer
from gpu_worker.training.config import Dials
from gpu_worker.training.latents import LatentCache, photo_name


class CardPerformer:
    """Trains and draws on the machine's card, or its CPU."""

    def __init__(
        self, base_model: str, train_steps: int | None, sd_scripts: SdScriptsTrainer | None = None
    ) -> None:
        """Remember the base model's name (empty: the machine's default) and steps (None: the model's own).

        With `sd_scripts`, that trains instead of our own trainer; pictures are drawn here all the same.
        """
        self._name = base_model
        self._train_steps = train_steps
        self._sd_scripts = sd_scripts
        self._base: BaseModel | None = None
        self._loading = ""
        self._latents = LatentCache()
        self._room: Room | None = None

    def warm(self) -> None:
        """Load the base model before anybody asks; BaseModelError when that cannot be."""
        if self._sd_scripts is None:  # else the card's memory is its own while it trains
            self._loaded()

    def prepare(self, photo: bytes, crop: Crop | None) -> None:
        """Encode a photo for a training that may come; BadInput when it is no picture."""
        if self._sd_scripts is None:
            base = self._loaded()
            side_px = self._training_dials(base).resolution_px
            latents.moments_of(base, photo, (side_px, side_px), self._latents, crop)

    def forget(self, photos: tuple[str, ...]) -> None:
        """Drop what was encoded of these photos."""
        self._latents.forget(photos)

    def tidy(self) -> None:
        """Drop photos' latents that nobody asked for in time."""
        self._latents.drop_old()

    def train(self, request: Train) -> Generator[Event, None, None]:
        """Train a LoRA, one step per event; BadInput or BaseModelError when that cannot be."""
        if self._sd_scripts is not None:
            self._make_room()
            yield from self._sd_scripts.train(request)
            return
        base = self._loaded()
        try:
            yield from trainer.train(base, request, self._training_dials(base), self._latents)
        finally:
            self._latents.forget(photo_name(photo) for photo in request.photos)

    def generate(self, request: Generate) -> Generator[Event, None, None]:
        """Draw pictures, one denoising step per event; BadInput or BaseModelError when that cannot be."""
        base = self._loaded()
        if self._room is None or self._room.base is not base:
            self._room = Room(base)
        yield from generation.generate(self._room, request)

    def health(self) -> Health:
        """Measure the process and its card; may be called from another thread."""
        base = self._base
        found = placement.read(base.device if base else None)
        return Health(
            device=found.name,
            base_model=base.name if base else self._name,
            base_model_loaded=base is not None,
            process_memory_bytes=found.process_memory_bytes,
            device_memory_used_bytes=found.memory_used_bytes,
            device_memory_total_bytes=found.memory_total_bytes,
            device_temperature_c=found.temperature_c,
            device_load_percent=found.load_percent,
            loading=self._loading,
        )

    def _training_dials(self, base: BaseModel) -> Dials:
        usual = config.training_dials(base.kind, base.native_px)
        return usual if self._train_steps is None else replace(usual, steps=self._train_steps)

    def _make_room(self) -> None:
        """Let go of our own base model: one card seldom holds two."""
        self._base = self._room = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _loaded(self) -> BaseModel:
        if self._base is None:
            try:
                self._base = BaseModel.load(self._name, tell=self._hear_loading)
            finally:
                self._loading = ""  # a download that broke off is none any more
        return self._base

    def _hear_loading(self, line: str) -> None:
        self._loading = line
