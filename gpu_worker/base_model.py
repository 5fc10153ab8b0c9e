"""The base model: loaded once, frozen, shared by training and generation."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers.utils import logging as diffusers_logging
from torch import Tensor, nn
from transformers.utils import logging as transformers_logging

from gpu_worker import device, embedded, stable_diffusion_files
from gpu_worker.device import Placement
from gpu_worker.errors import BaseModelError
from gpu_worker.sd15_shape import MAX_TOKENS, SCHEDULER, clip_tokenizer

log = logging.getLogger(__name__)

SD15 = "stable-diffusion-v1-5/stable-diffusion-v1-5"


@dataclass(frozen=True)
class Target:
    """One module that a LoRA adapts."""

    kohya_name: str  #: `lora_unet_down_blocks_0_attentions_0_proj_in`
    path: str  #: where it lies in its part: `down_blocks.0.attentions.0.proj_in`
    weight_shape: tuple[int, ...]


@dataclass
class Turn:
    """Which adapter has effect now, so that it is switched on only when it is not."""

    holder: tuple[str, bool] | None = None  #: its name and whether it learns; None: not known


@dataclass(frozen=True, eq=False)
class BaseModel:
    """The frozen parts of one Stable Diffusion model and where they live."""

    name: str  #: as people may see it: never a path of this machine
    unet: Any
    vae: Any
    text_encoder: Any
    tokenizer: Any
    scheduler_config: dict[str, Any]
    placement: Placement
    is_embedded: bool
    unet_targets: tuple[Target, ...] = field(repr=False)
    text_targets: tuple[Target, ...] = field(repr=False)
    turn: Turn = field(default_factory=Turn, repr=False)

    @classmethod
    def load(cls, name: str = "", dtype: torch.dtype | None = None) -> BaseModel:
        """Load `tiny`, a diffusers folder, a `.safetensors` file or a hub id; BaseModelError if it cannot.

        An empty name means SD 1.5 where there is a CUDA card, and the embedded model elsewhere.
        """
        _keep_libraries_quiet()
        name = name or (SD15 if torch.cuda.is_available() else embedded.NAME)
        placement = _placement(name, dtype)
        if name == embedded.NAME:
            parts = stable_diffusion_files.Parts(*embedded.build_parts(), clip_tokenizer(), SCHEDULER)
        else:
            parts = stable_diffusion_files.read(name, placement.dtype)
        log.info("base model %s on %s: %s", _public_name(name), placement.device, placement.reason)
        return cls._frozen(name, parts, placement)

    @classmethod
    def _frozen(cls, name: str, parts: stable_diffusion_files.Parts, placement: Placement) -> BaseModel:
        for part in (parts.unet, parts.vae, parts.text_encoder):
            part.requires_grad_(False).eval().to(device=placement.device, dtype=placement.dtype)
        return cls(
            name=_public_name(name),
            is_embedded=name == embedded.NAME,
            unet=parts.unet,
            vae=parts.vae,
            text_encoder=parts.text_encoder,
            tokenizer=parts.tokenizer,
            scheduler_config=dict(parts.scheduler_config),
            placement=placement,
            # Found before any adapter wraps the modules, as sd-scripts finds them.
            unet_targets=tuple(_targets(parts.unet, ("Transformer2DModel",), "lora_unet_")),
            text_targets=tuple(_targets(parts.text_encoder, _TEXT_BLOCKS, "lora_te_text_model_")),
        )

    @property
    def native_px(self) -> int:
        """The side of the pictures it was made for, in pixels."""
        return int(self.unet.config.sample_size) * 8

    @property
    def device(self) -> torch.device:
        """Where the weights live."""
        return self.placement.device

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the frozen weights."""
        return self.placement.dtype

    def embed(self, texts: list[str]) -> Tensor:
        """Return the text encoder's last layer, (texts, 77, width); what is over 77 tokens is cut off."""
        tokens = self.tokenizer(
            texts, padding="max_length", max_length=MAX_TOKENS, truncation=True, return_tensors="pt"
        )
        embedded_texts: Tensor = self.text_encoder(tokens.input_ids.to(self.device))[0]
        return embedded_texts

    @torch.no_grad()
    def encode(self, pixels: Tensor, generator: torch.Generator) -> Tensor:
        """Return fp32 latents of pixels in -1 .. 1, (n, 3, height, width), drawn from their distribution."""
        spread = self.vae.encode(pixels.to(self.device, self.dtype)).latent_dist
        # Drawn on the CPU in fp32, so that the same seed means the same latents on every card.
        noise = torch.randn(spread.mean.shape, generator=generator).to(self.device)
        latents: Tensor = spread.mean.float() + spread.std.float() * noise
        return latents * float(self.vae.config.scaling_factor)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Return pixels in -1 .. 1 as fp32 on the CPU."""
        scaled = (latents / float(self.vae.config.scaling_factor)).to(self.dtype)
        pixels: Tensor = self.vae.decode(scaled).sample
        return pixels.float().clamp(-1, 1).cpu()


_TEXT_BLOCKS = ("CLIPAttention", "CLIPSdpaAttention", "CLIPMLP")


def _targets(part: nn.Module, block_classes: tuple[str, ...], prefix: str) -> Iterator[Target]:
    """Yield every linear layer and convolution inside blocks of these classes, in the model's order."""
    for block_path, block in part.named_modules():
        if type(block).__name__ not in block_classes:
            continue
        for path, module in block.named_modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                full = f"{block_path}.{path}"
                # transformers 5 dropped the `text_model.` level that kohya's names still have.
                bare = full.removeprefix("text_model.").replace(".", "_")
                yield Target(prefix + bare, full, tuple(module.weight.shape))


def _placement(name: str, dtype: torch.dtype | None) -> Placement:
    chosen = device.choose(small_model=name == embedded.NAME)
    if dtype is None:
        return chosen
    if dtype is torch.float16 and chosen.device.type == "cpu":
        raise BaseModelError("A CPU is far too slow in fp16; choose bf16 or full precision.")
    return Placement(chosen.device, dtype, "this precision was asked for")


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
