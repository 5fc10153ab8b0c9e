"""Runs the jobs of a worker on one base model, which is loaded when the worker starts."""

from __future__ import annotations

import gc
import logging
from collections.abc import Generator
from dataclasses import replace

import torch

from gpu_worker.device import placement
from gpu_worker.device.convolutions import use_channels_last
from gpu_worker.device.memory_profile import WeightStorage
from gpu_worker.generation import generate as generation
from gpu_worker.generation.context import GenerationContext
from gpu_worker.kohya.external.trainer import SdScriptsTrainer
from gpu_worker.lora.acceleration import Acceleration
from gpu_worker.memory.plan import AUTO
from gpu_worker.models import files
from gpu_worker.models.base import BaseModel
from gpu_worker.models.family import ModelFamily
from gpu_worker.models.registry import load_base_model
from gpu_worker.models.sources.acceleration import AccelerationError, find_acceleration
from gpu_worker.models.sources.acceleration_recipes import NO_ACCELERATION, AccelerationSetting
from gpu_worker.protocol import Crop, GenerateRequest, TrainRequest, WorkerEvent, WorkerHealth
from gpu_worker.training import config, latents, trainer
from gpu_worker.training.config import TrainingConfig
from gpu_worker.training.latents import LatentCache, hash_photo

log = logging.getLogger(__name__)


class TorchEngine:
    """Trains and generates on the machine's GPU, or its CPU."""

    def __init__(
        self,
        base_model: str,
        train_steps: int | None,
        sd_scripts: SdScriptsTrainer | None = None,
        base_vae: str = "",
        acceleration: AccelerationSetting = NO_ACCELERATION,
        memory: str = AUTO,
        channels_last: bool = False,
    ) -> None:
        """Set the base model (empty: the machine's default) and the steps (None: the family's default).

        With `sd_scripts`, trainings run there; pictures are still generated here. `base_vae` replaces the
        base model's VAE. `acceleration` is for fast pictures, `memory` how weights are stored,
        `channels_last` how those of convolutions are laid out where they are stored whole.
        """
        self._base_model_name = base_model
        self._base_vae_name = base_vae
        self._acceleration = acceleration
        self._memory = memory
        self._channels_last = channels_last
        self._train_steps = train_steps
        self._sd_scripts = sd_scripts
        self._base: BaseModel | None = None
        self._family: ModelFamily | None = None
        self._loading_status = ""
        self._latent_cache = LatentCache()
        self._context: GenerationContext | None = None

    def preload(self) -> None:
        """Load the base model before the first job; BaseModelError if it cannot be loaded."""
        name = self._base_model_name or files.default_base_model(torch.cuda.is_available())
        self._family = files.find_family(name)  # first: a download may take long
        if self._sd_scripts is None:  # otherwise sd-scripts needs the GPU's memory
            self._get_context()

    def prefetch(self, photo: bytes, crop: Crop | None) -> None:
        """Encode a photo for a training that may follow; BadInput if it cannot be read."""
        if self._sd_scripts is None:
            base = self._load_base()
            side_px = self._training_config(base).resolution_px
            latents.encode_photo(base, photo, (side_px, side_px), self._latent_cache, crop)

    def forget(self, photo_hashes: tuple[str, ...]) -> None:
        """Drop the latents of these photos."""
        self._latent_cache.drop_photos(photo_hashes)

    def evict_expired(self) -> None:
        """Drop latents that were not used in time."""
        self._latent_cache.drop_expired()

    def train(self, request: TrainRequest) -> Generator[WorkerEvent, None, None]:
        """Train a LoRA, one step per event; raises BadInput or BaseModelError."""
        if self._sd_scripts is not None:
            self._unload_base()
            yield from self._sd_scripts.train(request)
            return
        base = self._load_base()
        try:
            yield from trainer.train(base, request, self._training_config(base), self._latent_cache)
        finally:
            self._latent_cache.drop_photos(hash_photo(photo) for photo in request.photos)

    def generate(self, request: GenerateRequest) -> Generator[WorkerEvent, None, None]:
        """Generate pictures, one denoising step per event; raises BadInput or BaseModelError."""
        yield from generation.generate(self._get_context(), request)

    def read_health(self) -> WorkerHealth:
        """Return the metrics of the process and its GPU; may be called from another thread."""
        base = self._base
        family = base.family if base else self._family
        device_metrics = placement.read_metrics(base.device if base else None)
        return WorkerHealth(
            device=device_metrics.name,
            base_model=base.name if base else self._base_model_name,
            base_model_loaded=base is not None,
            process_memory_bytes=device_metrics.process_memory_bytes,
            device_memory_used_bytes=device_metrics.memory_used_bytes,
            device_memory_total_bytes=device_metrics.memory_total_bytes,
            device_temperature_c=device_metrics.temperature_c,
            device_load_percent=device_metrics.utilization_percent,
            loading=self._loading_status,
            family=family.name if family else "",
            licence=family.licence if family else "",
            native_px=base.native_px if base else family.native_px if family else 0,
            memory_plan=self._describe_memory(base) if base else "",
        )

    def _training_config(self, base: BaseModel) -> TrainingConfig:
        default_config = config.default_training_config(base.family, base.native_px)
        if base.memory_plan:
            side_px = min(default_config.resolution_px, base.memory_plan.size_px)
            default_config = replace(default_config, resolution_px=side_px)
        if self._train_steps is None:
            return default_config
        return replace(default_config, steps=self._train_steps)

    def _describe_memory(self, base: BaseModel) -> str:
        if base.memory_plan is None:
            return str(base.memory_mode)
        return base.memory_plan.describe(self._training_config(base).steps)

    def _unload_base(self) -> None:
        """Free the base model: a GPU seldom has memory for two."""
        self._base = self._context = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _load_base(self) -> BaseModel:
        if self._base is None:
            try:
                self._base = load_base_model(
                    self._base_model_name,
                    on_progress=self._on_loading,
                    vae_name=self._base_vae_name,
                    memory=self._memory,
                )
                if self._channels_last and self._base.memory_mode.storage is WeightStorage.WHOLE:
                    use_channels_last((self._base.denoiser, self._base.components["vae"]))
            finally:
                self._loading_status = ""  # also after a failed download
        return self._base

    def _get_context(self) -> GenerationContext:
        base = self._load_base()
        if self._context is None or self._context.base is not base:
            self._context = GenerationContext(base, acceleration=self._load_acceleration(base))
        return self._context

    def _load_acceleration(self, base: BaseModel) -> Acceleration | None:
        """Return the LoRA for fast pictures; None where none is set, or it cannot be used."""
        if not self._acceleration.name:
            return None
        try:
            source = find_acceleration(self._acceleration, base.family, on_progress=self._on_loading)
            acceleration = Acceleration(base, source)
        except AccelerationError as error:
            log.warning("fast pictures are drawn without ACCELERATE: %s", error)
            return None
        finally:
            self._loading_status = ""
        log.info("fast pictures take %s: %s", acceleration.name, acceleration.recipe)
        return acceleration

    def _on_loading(self, status: str) -> None:
        self._loading_status = status
