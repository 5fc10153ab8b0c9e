"""The base model: loaded once, frozen, shared by training and generation."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers.models.attention_processor import AttnProcessor2_0, SlicedAttnProcessor
from diffusers.utils import logging as diffusers_logging
from torch import Tensor
from transformers.utils import logging as transformers_logging

from gpu_worker.device import placement as device_placement
from gpu_worker.device.memory_modes import Gear, NotFinite
from gpu_worker.device.placement import Placement
from gpu_worker.errors import BaseModelError
from gpu_worker.models import drawn, lora_hooks, tiny
from gpu_worker.models.family import Kind
from gpu_worker.models.hub import SD15, Tell
from gpu_worker.models.latents import Moments
from gpu_worker.models.lora_hooks import Slots, Target
from gpu_worker.models.sd15 import loading
from gpu_worker.models.sd15.config import MAX_TOKENS, SCHEDULER, clip_tokenizer

log = logging.getLogger(__name__)

_SHIPPED: dict[str, Kind] = {tiny.NAME: "tiny", drawn.NAME: "drawn"}


@dataclass(eq=False)
class BaseModel:
    """The frozen parts of one Stable Diffusion model and where they live."""

    name: str  #: as people may see it: never a path of this machine
    unet: Any
    vae: Any
    text_encoder: Any
    tokenizer: Any
    scheduler_config: dict[str, Any]
    placement: Placement
    gear: Gear
    kind: Kind  #: which default settings suit it
    unet_targets: tuple[Target, ...] = field(repr=False)
    text_targets: tuple[Target, ...] = field(repr=False)
    slots: Slots = field(default_factory=Slots, repr=False)

    @classmethod
    def load(cls, name: str = "", dtype: torch.dtype | None = None, tell: Tell = lambda _: None) -> BaseModel:
        """Load `tiny`, `drawn`, a diffusers folder, a `.safetensors` file or a hub id.

        An empty name means SD 1.5 where there is a CUDA card, and the small drawn model elsewhere; `tell`
        hears how far a download is.
        Raises BaseModelError if it cannot.
        """
        _keep_libraries_quiet()
        name = name or (SD15 if torch.cuda.is_available() else drawn.NAME)
        placement = _placement(name, dtype)
        if name == tiny.NAME:
            parts = loading.Parts(*tiny.build_parts(), clip_tokenizer(), SCHEDULER)
            for part in (parts.unet, parts.vae, parts.text_encoder):
                part.to(device=placement.device, dtype=placement.dtype)
        else:
            where = str(drawn.MODEL) if name == drawn.NAME else name
            parts = loading.read(where, placement, tell)
        log.info("base model %s on %s: %s", _public_name(name), placement.device, placement.reason)
        return cls._frozen(name, parts, placement)

    @classmethod
    def _frozen(cls, name: str, parts: loading.Parts, placement: Placement) -> BaseModel:
        for part in (parts.unet, parts.vae, parts.text_encoder):
            part.requires_grad_(False).eval()
        base = cls(
            name=_public_name(name),
            unet=parts.unet,
            vae=parts.vae,
            text_encoder=parts.text_encoder,
            tokenizer=parts.tokenizer,
            scheduler_config=dict(parts.scheduler_config),
            placement=placement,
            gear=Gear(placement.dtype),
            kind=_SHIPPED.get(name, "sd15"),
            unet_targets=lora_hooks.unet_targets(parts.unet),
            text_targets=lora_hooks.text_targets(parts.text_encoder),
        )
        base.slots.install(base.unet, base.unet_targets)
        base.slots.install(base.text_encoder, base.text_targets)
        base.shift(placement.gear)
        return base

    @property
    def vae_scale(self) -> int:
        """How many pixels one latent is wide."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def native_px(self) -> int:
        """The side of the pictures it was made for, in pixels."""
        return int(self.unet.config.sample_size) * self.vae_scale

    @property
    def device(self) -> torch.device:
        """Where the weights live."""
        return self.placement.device

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the frozen weights."""
        return self.gear.dtype

    def shift(self, gear: Gear) -> None:
        """Use the card in another way from now on; where memory is too short for it, nothing has changed."""
        if gear.dtype is not self.gear.dtype:
            try:
                self._cast(gear.dtype)
            except Exception:
                self._cast(self.gear.dtype)  # what was cast already would fit nothing else
                raise
        if gear.checkpointing:
            self.unet.enable_gradient_checkpointing()  # the text encoder's activations are too few to matter
        else:
            self.unet.disable_gradient_checkpointing()
        self.unet.set_attn_processor(
            SlicedAttnProcessor(slice_size=1) if gear.sliced_attention else AttnProcessor2_0()
        )
        self.gear = gear

    def _cast(self, dtype: torch.dtype) -> None:
        for part in (self.unet, self.vae, self.text_encoder):
            part.to(dtype)

    def embed(self, texts: list[str], clip_skip: int | None = None) -> Tensor:
        """Return what the text encoder makes of texts, (texts, 77, width); what is over 77 tokens is cut off.

        `clip_skip` names the layer that is read, counted from the last, 1; it gets the last norm too.
        """
        tokens = self.tokenizer(
            texts, padding="max_length", max_length=MAX_TOKENS, truncation=True, return_tensors="pt"
        )
        ids = tokens.input_ids.to(self.device)
        if clip_skip is None or clip_skip == 1:
            embedded_texts: Tensor = self.text_encoder(ids)[0]
            return embedded_texts
        layers = self.text_encoder(ids, output_hidden_states=True).hidden_states
        inner = getattr(self.text_encoder, "text_model", self.text_encoder)
        normed: Tensor = inner.final_layer_norm(layers[-clip_skip])
        return normed

    def read_tokens(self, ids: Tensor) -> Tensor:
        """Return what the text encoder makes of token ids, (texts, 77) to (texts, 77, width)."""
        seen: Tensor = self.text_encoder(ids.to(self.device))[0]
        return seen

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Moments:
        """Return what the VAE sees in a picture of -1 .. 1, (3, height, width); NotFinite when no numbers."""
        spread = self.vae.encode(pixels[None].to(self.device, self.dtype)).latent_dist
        scale = float(self.vae.config.scaling_factor)
        seen = Moments(spread.mean[0].float().cpu() * scale, spread.std[0].float().cpu() * scale)
        if not bool(seen.mean.isfinite().all() and seen.std.isfinite().all()):
            raise NotFinite("what the VAE sees in a picture are no numbers")
        return seen

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Return pixels in -1 .. 1 as fp32 on the CPU; beyond the model's own size in tiles."""
        scaled = (latents / float(self.vae.config.scaling_factor)).to(self.dtype)
        self.vae.use_tiling = max(latents.shape[-2:]) > int(self.unet.config.sample_size)
        try:
            pixels: Tensor = self.vae.decode(scaled).sample
        finally:
            self.vae.use_tiling = False  # trainings encode whole pictures
        return pixels.float().clamp(-1, 1).cpu()

    @torch.no_grad()
    def encode_tiled(self, pixels: Tensor) -> Tensor:
        """Return the mean latents of a picture of -1 .. 1 that may be larger than the model's own size."""
        self.vae.use_tiling = max(pixels.shape[-2:]) > self.native_px
        try:
            return self.encode(pixels).mean
        finally:
            self.vae.use_tiling = False


def _placement(name: str, dtype: torch.dtype | None) -> Placement:
    placement = device_placement.choose(small_model=name in _SHIPPED, dtype=dtype)
    if placement.dtype is torch.float16 and placement.device.type == "cpu":
        raise BaseModelError("A CPU is far too slow in fp16; choose bf16 or full precision.")
    return placement


def _public_name(name: str) -> str:
    """Name a folder or file by its last part, so that no path gets into files people share."""
    path = Path(name)
    if path.is_dir():
        return path.resolve().name
    return path.stem if path.is_file() else name


def _keep_libraries_quiet() -> None:
    for libraries_log in (diffusers_logging, transformers_logging):
        libraries_log.set_verbosity_error()
        libraries_log.disable_progress_bar()
