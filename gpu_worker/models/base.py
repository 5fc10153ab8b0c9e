"""The base model: loaded once, frozen, shared by training and generation. What it is, its family knows."""

from __future__ import annotations

import contextlib
import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from gpu_worker.device.attention import max_kernel_flops
from gpu_worker.device.memory_modes import MemoryMode, NotFinite
from gpu_worker.device.memory_profile import WeightStorage
from gpu_worker.device.placement import DeviceConfig
from gpu_worker.memory.mode_retry import ModeRetry
from gpu_worker.memory.plan import MemoryPlan
from gpu_worker.memory.storage import WeightStore
from gpu_worker.models.family import ModelFamily
from gpu_worker.models.inputs import latents as model_latents
from gpu_worker.models.inputs.conditioning import Conditioning, ImageSize
from gpu_worker.models.inputs.latents import LatentDistribution
from gpu_worker.models.inputs.regions import RegionState
from gpu_worker.models.lora_hooks import LoraHooks, LoraTarget, Reach, find_targets, list_other_names
from gpu_worker.models.noise.process import NoiseProcess
from gpu_worker.models.sources.vae import VaeSource

log = logging.getLogger(__name__)

T = TypeVar("T")


class BaseModel(ABC):
    """The frozen components of one model on their device. Each family has a subclass.

    Every family has a VAE; `denoiser` is what predicts, and the component whose activations are large.
    """

    has_readings = False  #: whether each person's region reads the prompt for itself, and is looked for

    def __init__(
        self,
        name: str,
        family: ModelFamily,
        components: Mapping[str, Any],
        noise_process: NoiseProcess,
        device_config: DeviceConfig,
        other_vae: VaeSource | None = None,
    ) -> None:
        """Freeze the components, which lie on the device, and hook the modules that LoRAs adapt.

        `name` is never a path. `other_vae` is where the VAE is from; None: it is the model's own.
        """
        self.name, self.family, self.components = name, family, components
        self.other_vae, self.noise_process = other_vae, noise_process
        self.device_config, self.memory_mode = device_config, MemoryMode(device_config.dtype)
        self.weight_store = WeightStore(components, family.wide_paths, family.memory.block_classes)
        self.memory_plan: MemoryPlan | None = None  #: None: nothing had to be planned
        self.mode_retry = ModeRetry()
        self.lora_hooks = LoraHooks()
        self.regions = RegionState()
        self._vae_lock = threading.RLock()  # pictures may be decoded in a thread
        self.targets_by_name: dict[str, LoraTarget] = {}
        self._names_by_other: dict[str, str] = {}
        for component in components.values():
            component.requires_grad_(False).eval()
        for group in family.lora_groups:
            targets = find_targets(group, components[group.name])
            self.lora_hooks.install(components[group.name], targets)
            self.targets_by_name |= {target.kohya_name: target for target in targets}
            for target in targets:
                names = list_other_names(group, target.path)
                self._names_by_other |= dict.fromkeys(names, target.kohya_name)
        self.max_kernel_flops = max_kernel_flops(device_config.tflops)
        self.set_memory_mode(device_config.memory_mode)
        self.keep_text_encoders(False)

    @property
    @abstractmethod
    def native_px(self) -> int:
        """Side of the pictures that the model was trained on, in pixels."""

    @property
    @abstractmethod
    def denoiser(self) -> Any:
        """The component that predicts."""

    @property
    @abstractmethod
    def max_clip_skip(self) -> int:
        """How many layers from the last its text may be read at; 0 where that is not chosen."""

    @abstractmethod
    def predict(self, latents: Tensor, timesteps: Tensor, conditioning: Conditioning) -> Tensor:
        """Return the prediction for noisy latents, (rows, channels, h, w), in fp32; one timestep a row.

        Training and drawing both ask here and nowhere else.
        """

    @abstractmethod
    def encode_prompts(
        self, prompts: Sequence[str], clip_skip: int | None = None, max_token_length: int = 75
    ) -> Conditioning:
        """Return the conditioning of captions as trainers read them: plain, cut to so many tokens."""

    @abstractmethod
    def encode_weighted_prompts(
        self, prompts: Sequence[str], negative_prompt: str | None = None
    ) -> Conditioning:
        """Return the conditioning of prompts with weights and of any length, as they are drawn.

        A negative prompt gets a row before the others.
        """

    @contextlib.contextmanager
    def for_pictures(self) -> Iterator[None]:
        """Predict with what draws pictures inside: some families have a distilled twin for it."""
        yield

    def add_sizes(self, conditioning: Conditioning, sizes: Sequence[ImageSize]) -> Conditioning:
        """Return the conditioning with what the family is told of each row's size; by default nothing."""
        del sizes
        return conditioning

    def join_readings(self, readings: Sequence[Conditioning]) -> Conditioning:
        """Return readings of one prompt as one, of which each region gets its own; by default the first."""
        return readings[0]

    @abstractmethod
    def find_words(self, prompt: str, words: str) -> list[tuple[int, ...]]:
        """Return where words stand among the tokens of a prompt that is drawn, once for each time they do."""

    def component_dtype(self, name: str, dtype: torch.dtype) -> torch.dtype:
        """Return the precision of a component in a memory mode of this one; by default the same."""
        del name
        return dtype

    @property
    def identity(self) -> str:
        """What trainings and latents belong to: the name, and the VAE where it is another."""
        return self.name if self.other_vae is None else f"{self.name} VAE {self.other_vae.sha256[:16]}"

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.device_config.device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the frozen weights."""
        return self.memory_mode.dtype

    def set_memory_mode(self, memory_mode: MemoryMode) -> None:
        """Set precision and memory savings. If memory runs out on the way, the old mode stays.

        Weights that were rounded are never whole again.
        """
        if self.memory_mode.storage is not WeightStorage.WHOLE is memory_mode.storage:
            raise ValueError(f"weights in {self.memory_mode.storage} cannot be whole again")
        if memory_mode.dtype is not self.memory_mode.dtype:
            try:
                self._cast_weights(memory_mode.dtype)
            except Exception:
                self._cast_weights(self.memory_mode.dtype)  # all components must have one dtype
                raise
        if memory_mode.storage is not WeightStorage.WHOLE:
            # First: what is rounded stays so, also where memory runs out on the way: no mode comes twice.
            self.memory_mode = replace(
                self.memory_mode,
                dtype=memory_mode.dtype,
                storage=memory_mode.storage,
                streamed_blocks=memory_mode.streamed_blocks,
            )
            self.weight_store.store(memory_mode.storage, memory_mode.streamed_blocks, self.device)
        if memory_mode.gradient_checkpointing:
            self.denoiser.enable_gradient_checkpointing()  # a text encoder's activations are small
        else:
            self.denoiser.disable_gradient_checkpointing()
        if self.device.type == "cuda":
            with self._vae_lock:
                self.components["vae"].to("cpu" if memory_mode.vae_offload else self.device)
        self.memory_mode = memory_mode

    @contextlib.contextmanager
    def use_precision(self, is_full: bool) -> Iterator[None]:
        """Compute in fp32 inside, if asked; after it the weights are the same bits. Memory may run out."""
        memory_mode = self.memory_mode
        if not is_full:
            yield
            return
        with self._vae_lock:  # no other thread decodes in fp32 what it would in half precision
            self.set_memory_mode(replace(memory_mode, dtype=torch.float32))
            try:
                yield
            finally:
                self.set_memory_mode(memory_mode)

    def keep_text_encoders(self, is_kept: bool) -> None:
        """Keep the text encoders on the card, as a training of them must, or let them leave it."""
        self._keeps_text_encoders = is_kept
        self._place_text_encoders(is_kept)

    @contextlib.contextmanager
    def text_encoders_on_card(self) -> Iterator[None]:
        """Have the text encoders on the card; where they are not kept they leave it afterwards."""
        self._place_text_encoders(True)
        try:
            yield
        finally:
            self._place_text_encoders(self._keeps_text_encoders)

    def _place_text_encoders(self, is_on_card: bool) -> None:
        if not self.family.parks_text_encoders or self.device.type != "cuda":
            return
        if self.memory_mode.text_encoder_offload and not self._keeps_text_encoders:
            is_on_card = False
        names = [name for name in self.components if name.startswith("text_encoder")]
        try:
            for name in names:
                self.components[name].to(self.device if is_on_card else "cpu")
        except torch.OutOfMemoryError:
            if self._keeps_text_encoders:
                raise
            log.warning("the text encoders do not fit on the card; prompts are encoded by the processor")
            for name in names:
                self.components[name].to("cpu")

    def _cast_weights(self, dtype: torch.dtype) -> None:
        with self._vae_lock:
            for name, component in self.components.items():
                component.to(self.component_dtype(name, dtype))

    def list_targets(self, *groups: str, reach: Reach = Reach.BLOCK) -> tuple[LoraTarget, ...]:
        """Return the modules of these components that LoRAs of a reach adapt."""
        return tuple(
            target
            for target in self.targets_by_name.values()
            if target.group.name in groups and target.reach is reach
        )

    def resolve_names(self, modules: Mapping[str, T]) -> dict[str, T]:
        """Return modules by our names; a file of another program may call them as diffusers does."""
        return {self._names_by_other.get(name, name): value for name, value in modules.items()}

    @property
    def vae_scale_factor(self) -> int:
        """Width of one latent in pixels."""
        return int(2 ** (len(self.components["vae"].config.block_out_channels) - 1))

    def latent_shape(self, size_px: tuple[int, int]) -> tuple[int, int, int]:
        """Return channels, height and width of the latents of a picture of this width and height."""
        width_px, height_px = size_px
        channels = int(self.components["vae"].config.latent_channels)
        return channels, height_px // self.vae_scale_factor, width_px // self.vae_scale_factor

    def to_model_latents(self, mean: Tensor, std: Tensor) -> LatentDistribution:
        """Return the distribution of what the VAE made, (channels, h, w), as the model takes it."""
        scaling_factor = float(self.components["vae"].config.scaling_factor)
        return LatentDistribution(mean * scaling_factor, std * scaling_factor)

    def to_vae_latents(self, latents: Tensor) -> Tensor:
        """Return latents, (rows, channels, h, w), as the VAE takes them."""
        return latents / float(self.components["vae"].config.scaling_factor)

    @torch.no_grad()
    def encode_image(self, pixels: Tensor) -> LatentDistribution:
        """Return the scaled latent distribution of pixels, (3, height, width), -1 .. 1.

        Raises NotFinite if it overflows.
        """
        vae = self.components["vae"]
        with self._vae_lock, model_latents.on_device(vae, self.device, self.memory_mode.vae_offload):
            moments = model_latents.run_finite(vae, lambda: model_latents.encode(vae, pixels[None]))
        return self.to_model_latents(*moments.cpu().unbind())

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Return the pixels of latents, (1, channels, h, w), as (1, 3, height, width), -1 .. 1, on the CPU.

        They are fp32, and those of large pictures come in tiles. Any thread may ask. Raises NotFinite.
        """
        if not bool(latents.isfinite().all()):
            raise NotFinite("the latents of a picture are not finite")
        vae, vae_latents = self.components["vae"], self.to_vae_latents(latents)
        native_side = self.native_px * vae_latents.shape[-1] // (latents.shape[-1] * self.vae_scale_factor)
        with self._vae_lock, model_latents.on_device(vae, self.device, self.memory_mode.vae_offload):
            pixels = model_latents.run_finite(
                vae, lambda: model_latents.decode(vae, vae_latents, native_side)
            )
        return pixels.clamp(-1, 1).cpu()

    @torch.no_grad()
    def encode_image_tiled(self, pixels: Tensor) -> Tensor:
        """Return the mean latents, (channels, h, w), of pixels, (3, height, width), of any size."""
        vae, is_large = self.components["vae"], max(pixels.shape[-2:]) > self.native_px
        with self._vae_lock, model_latents.in_tiles(vae, vae.tile_latent_min_size if is_large else None):
            return self.encode_image(pixels).mean
