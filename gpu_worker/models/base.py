"""The base model: loaded once, frozen, shared by training and generation."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor2_0, SlicedAttnProcessor
from diffusers.utils import logging as diffusers_logging
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer
from transformers.utils import logging as transformers_logging

from gpu_worker.device import placement as device_placement
from gpu_worker.device.memory_modes import MemoryMode, NotFinite
from gpu_worker.device.placement import DeviceConfig
from gpu_worker.errors import BaseModelError, JobProblem
from gpu_worker.models import drawn, lora_hooks, tiny
from gpu_worker.models.family import ModelFamily
from gpu_worker.models.hub import SD15, ProgressCallback
from gpu_worker.models.latents import LatentDistribution
from gpu_worker.models.lora_hooks import LoraHooks, LoraTarget
from gpu_worker.models.sd15 import loading, recognition
from gpu_worker.models.sd15.config import CHUNK_TOKENS, SCHEDULER_CONFIG, load_clip_tokenizer
from gpu_worker.models.sd15.vae import VaeSource, find_vae

log = logging.getLogger(__name__)

_SHIPPED_FAMILIES: dict[str, ModelFamily] = {tiny.NAME: "tiny", drawn.NAME: "drawn"}


@dataclass(eq=False)
class BaseModel:
    """The frozen components of one Stable Diffusion model, on their device."""

    name: str  #: as people may see it; never a path
    unet: UNet2DConditionModel
    vae: AutoencoderKL
    text_encoder: CLIPTextModel
    tokenizer: CLIPTokenizer
    scheduler_config: dict[str, Any]
    device_config: DeviceConfig
    memory_mode: MemoryMode
    family: ModelFamily  #: which default settings suit it
    unet_targets: tuple[LoraTarget, ...] = field(repr=False)
    unet_resnet_targets: tuple[LoraTarget, ...] = field(repr=False)
    unet_end_targets: tuple[LoraTarget, ...] = field(repr=False)
    text_encoder_targets: tuple[LoraTarget, ...] = field(repr=False)
    lora_hooks: LoraHooks = field(default_factory=LoraHooks, repr=False)
    other_vae: VaeSource | None = None  #: where the VAE is from; None: the model's own

    @classmethod
    def load(
        cls,
        name: str = "",
        dtype: torch.dtype | None = None,
        on_progress: ProgressCallback = lambda _: None,
        vae_name: str = "",
    ) -> BaseModel:
        """Load `tiny`, `drawn`, a diffusers folder, a `.safetensors` file or a hub id.

        An empty name means SD 1.5 on a machine with CUDA, and `drawn` elsewhere. `vae_name`, a folder, a file
        or a hub id, replaces the VAE. `on_progress` is called with the progress of a download. Raises
        BaseModelError if the model cannot be loaded.
        """
        _silence_libraries()
        name = recognition.resolve_name(name) or (SD15 if torch.cuda.is_available() else drawn.NAME)
        if name not in _SHIPPED_FAMILIES:
            loading.check_source(name)  # first, as to measure precisions takes seconds
        device_config = _select_device(name, dtype)
        if vae_name and name == drawn.NAME:
            raise BaseModelError(JobProblem.BASE_MODEL_KEEPS_VAE, name=name)
        other_vae = find_vae(vae_name, on_progress=on_progress) if vae_name else None
        widths = tiny.WIDTHS if name == tiny.NAME else None
        vae = loading.read_vae(other_vae, device_config, widths) if other_vae else None
        if name == tiny.NAME:
            unet, own_vae, text_encoder = tiny.build_parts()
            components = loading.ModelComponents(
                unet, vae or own_vae, text_encoder, load_clip_tokenizer(), SCHEDULER_CONFIG
            )
            for component in components.modules:
                component.to(device=device_config.device, dtype=device_config.dtype)
        else:
            source = str(drawn.MODEL) if name == drawn.NAME else name
            components = loading.read_model(source, device_config, on_progress, vae)
        log.info(
            "base model %s on %s: %s", _get_public_name(name), device_config.device, device_config.reason
        )
        return cls._from_components(name, components, device_config, other_vae)

    @classmethod
    def _from_components(
        cls,
        name: str,
        components: loading.ModelComponents,
        device_config: DeviceConfig,
        other_vae: VaeSource | None,
    ) -> BaseModel:
        for component in components.modules:
            component.requires_grad_(False).eval()
        base = cls(
            name=_get_public_name(name),
            unet=components.unet,
            vae=components.vae,
            text_encoder=components.text_encoder,
            tokenizer=components.tokenizer,
            scheduler_config=dict(components.scheduler_config),
            device_config=device_config,
            memory_mode=MemoryMode(device_config.dtype),
            family=_SHIPPED_FAMILIES.get(name, "sd15"),
            unet_targets=lora_hooks.unet_targets(components.unet),
            unet_resnet_targets=lora_hooks.unet_resnet_targets(components.unet),
            unet_end_targets=lora_hooks.unet_end_targets(components.unet),
            text_encoder_targets=lora_hooks.text_encoder_targets(components.text_encoder),
            other_vae=other_vae,
        )
        for targets in (base.unet_targets, base.unet_resnet_targets, base.unet_end_targets):
            base.lora_hooks.install(base.unet, targets)
        base.lora_hooks.install(base.text_encoder, base.text_encoder_targets)
        base.set_memory_mode(device_config.memory_mode)
        return base

    @property
    def identity(self) -> str:
        """What trainings and latents belong to: the name, and the VAE where it is another."""
        return self.name if self.other_vae is None else f"{self.name} VAE {self.other_vae.sha256[:16]}"

    @property
    def vae_scale_factor(self) -> int:
        """Width of one latent in pixels."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def native_px(self) -> int:
        """Side of the pictures that the model was trained on, in pixels."""
        return int(self.unet.config.sample_size) * self.vae_scale_factor

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.device_config.device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the frozen weights."""
        return self.memory_mode.dtype

    def set_memory_mode(self, memory_mode: MemoryMode) -> None:
        """Set precision and memory savings. If memory runs out on the way, the old mode stays."""
        if memory_mode.dtype is not self.memory_mode.dtype:
            try:
                self._cast_weights(memory_mode.dtype)
            except Exception:
                self._cast_weights(self.memory_mode.dtype)  # all components must have one dtype
                raise
        if memory_mode.gradient_checkpointing:
            self.unet.enable_gradient_checkpointing()  # the text encoder's activations are small
        else:
            self.unet.disable_gradient_checkpointing()
        self.unet.set_attn_processor(
            SlicedAttnProcessor(slice_size=1) if memory_mode.sliced_attention else AttnProcessor2_0()
        )
        self.memory_mode = memory_mode

    def _cast_weights(self, dtype: torch.dtype) -> None:
        modules: tuple[nn.Module, ...] = (self.unet, self.vae, self.text_encoder)
        for module in modules:
            module.to(dtype)

    def encode_prompts(
        self, prompts: list[str], clip_skip: int | None = None, max_token_length: int = CHUNK_TOKENS
    ) -> Tensor:
        """Return the prompt embeddings, (prompts, 77, width). Prompts are truncated to 77 tokens with marks.

        `clip_skip` is the layer that is used, counted from the last, which is 1. The final layer norm is
        applied to it too, as SD 1.5 expects. With a `max_token_length` of 150 or 225 the embeddings are
        longer: every 75 tokens are encoded between marks, of which the first and the last are kept.
        """
        tokens = self.tokenizer(
            prompts,
            padding="max_length",
            max_length=max_token_length + 2,
            truncation=True,
            return_tensors="pt",
        )
        input_ids = tokens.input_ids.to(self.device)
        if max_token_length == CHUNK_TOKENS:
            return self._encode_ids(input_ids, clip_skip)
        chunks = input_ids[:, 1:-1].reshape(len(prompts), -1, CHUNK_TOKENS)
        first_marks, last_marks = (
            input_ids[:, place, None, None].expand(-1, chunks.shape[1], 1) for place in (0, -1)
        )
        chunk_ids = torch.cat([first_marks, chunks, last_marks], dim=2)
        embeds = self._encode_ids(chunk_ids.flatten(0, 1), clip_skip).reshape(*chunk_ids.shape, -1)
        return torch.cat([embeds[:, 0, :1], embeds[:, :, 1:-1].flatten(1, 2), embeds[:, -1, -1:]], dim=1)

    def _encode_ids(self, input_ids: Tensor, clip_skip: int | None) -> Tensor:
        if clip_skip is None or clip_skip == 1:
            prompt_embeds: Tensor = self.text_encoder(input_ids)[0]
            return prompt_embeds
        hidden_states = self.text_encoder(input_ids, output_hidden_states=True).hidden_states
        text_model = getattr(self.text_encoder, "text_model", self.text_encoder)
        normed_embeds: Tensor = text_model.final_layer_norm(hidden_states[-clip_skip])
        return normed_embeds

    def encode_tokens(self, input_ids: Tensor) -> Tensor:
        """Return the prompt embeddings of token ids, (prompts, 77), as (prompts, 77, width)."""
        prompt_embeds: Tensor = self.text_encoder(input_ids.to(self.device))[0]
        return prompt_embeds

    @torch.no_grad()
    def encode_image(self, pixels: Tensor) -> LatentDistribution:
        """Return the scaled latent distribution of pixels, (3, height, width), -1 .. 1.

        Raises NotFinite if it overflows.
        """
        posterior = self.vae.encode(pixels[None].to(self.device, self.dtype)).latent_dist
        scaling_factor = float(self.vae.config.scaling_factor)
        distribution = LatentDistribution(
            posterior.mean[0].float().cpu() * scaling_factor, posterior.std[0].float().cpu() * scaling_factor
        )
        if not bool(distribution.mean.isfinite().all() and distribution.std.isfinite().all()):
            raise NotFinite("the latents of an image are not finite")
        return distribution

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Return the pixels of latents, (1, 4, h, w), as (1, 3, height, width), -1 .. 1, fp32, on the CPU.

        Pictures larger than the model's native size are decoded in tiles.
        """
        unscaled_latents = (latents / float(self.vae.config.scaling_factor)).to(self.dtype)
        self.vae.use_tiling = max(latents.shape[-2:]) > int(self.unet.config.sample_size)
        try:
            pixels: Tensor = self.vae.decode(unscaled_latents).sample
        finally:
            self.vae.use_tiling = False  # trainings encode whole images
        return pixels.float().clamp(-1, 1).cpu()

    @torch.no_grad()
    def encode_image_tiled(self, pixels: Tensor) -> Tensor:
        """Return the mean latents, (4, h, w), of pixels, (3, height, width), of any size."""
        self.vae.use_tiling = max(pixels.shape[-2:]) > self.native_px
        try:
            return self.encode_image(pixels).mean
        finally:
            self.vae.use_tiling = False


def _select_device(name: str, dtype: torch.dtype | None) -> DeviceConfig:
    device_config = device_placement.select_device(is_small_model=name in _SHIPPED_FAMILIES, dtype=dtype)
    if device_config.dtype is torch.float16 and device_config.device.type == "cpu":
        raise BaseModelError(JobProblem.FP16_ON_CPU)
    return device_config


def _get_public_name(name: str) -> str:
    """Return a folder's or file's last part, so that no path gets into files that people share."""
    path = Path(name)
    if path.is_dir():
        return path.resolve().name
    return path.stem if path.is_file() else name


def _silence_libraries() -> None:
    for libraries_log in (diffusers_logging, transformers_logging):
        libraries_log.set_verbosity_error()
        libraries_log.disable_progress_bar()
