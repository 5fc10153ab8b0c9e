"""Count what the worker's own steps take on a card, at the true shape of a model."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from diffusers import AutoencoderKL, DDPMScheduler, FlowMatchEulerDiscreteScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from benchmarks.card.fake_card import CARD, fake_card, on_host
from benchmarks.card.flow_models import build_flow_base
from benchmarks.card.meter import CardMeter
from gpu_worker.device.memory_modes import MemoryMode
from gpu_worker.device.placement import DeviceConfig
from gpu_worker.models.base import BaseModel
from gpu_worker.models.flow.klein.family import KLEIN
from gpu_worker.models.flow.z_image.family import Z_IMAGE
from gpu_worker.models.inputs import latents as model_latents
from gpu_worker.models.inputs.conditioning import ImageSize
from gpu_worker.models.sd15.config import (
    SCHEDULER_CONFIG,
    Widths,
    text_encoder_config,
    unet_config,
)
from gpu_worker.models.sd15.family import SD15
from gpu_worker.models.sd15.loading import ModelComponents
from gpu_worker.models.sd15.model import Sd15Model
from gpu_worker.models.sdxl import config as sdxl_config
from gpu_worker.models.sdxl.family import SDXL
from gpu_worker.models.sdxl.loading import SdxlComponents, vae_dtype
from gpu_worker.models.sdxl.model import SdxlModel
from gpu_worker.models.sources.components import fill_buffers
from gpu_worker.models.sources.vae import vae_config
from gpu_worker.models.text.clip.tokenizer import load_clip_tokenizer
from gpu_worker.training.checkpoint import TrainingState
from gpu_worker.training.config import TrainingConfig, default_training_config
from gpu_worker.training.data import BatchSampler, TrainingImage
from gpu_worker.training.latents import EncodedSample
from gpu_worker.training.step import TrainStep

FAMILIES = {"sd15": SD15, "sdxl": SDXL}
FLOW_FAMILIES = {"klein": KLEIN, "z-image": Z_IMAGE}
ALL_FAMILIES = FAMILIES | FLOW_FAMILIES


@dataclass(frozen=True)
class CardCount:
    """What a step takes; bytes are what is alive in torch, and what torch's allocator reserves for it."""

    weights_bytes: int
    kept_bytes: int  #: between two steps: weights, LoRA, optimizer
    peak_bytes: int
    reserved_bytes: int
    kernels: int
    flops: int
    moved_bytes: int


def count_training_step(family: str, memory_mode: MemoryMode, side_px: int, batch_size: int = 1) -> CardCount:
    """Count an optimizer step of a training with the default settings."""
    config = replace(default_training_config(ALL_FAMILIES[family], side_px), batch_size=batch_size)
    with _counted_card() as meter:
        base = build_base(family, memory_mode)
        weights_bytes = meter.live_bytes
        state = TrainingState(base, config)
        train_step = TrainStep(base, config, _ZeroDataset(base, side_px))
        _create_optimizer_state(state)
        kept_bytes = meter.live_bytes
        if base.family.parks_text_encoders:
            train_step.run(state)  # captions are encoded in the first step
            meter.allocator.empty_cache()  # torch takes what that left when it needs it
        meter.reset()
        train_step.run(state)
        return _build_count(meter, weights_bytes, kept_bytes)


def count_denoising_step(family: str, memory_mode: MemoryMode, side_px: int, rows: int) -> CardCount:
    """Count a pass of a picture through the UNet with a LoRA, beside what a training keeps."""
    with _counted_card() as meter, torch.no_grad():
        base = build_base(family, memory_mode)
        weights_bytes = meter.live_bytes
        state = TrainingState(base, TrainingConfig())
        state.adapter.activate()
        latents = torch.zeros(rows, *base.latent_shape((side_px, side_px)), device=CARD, dtype=base.dtype)
        timesteps = torch.zeros(rows, device=CARD, dtype=torch.int64)
        size = ImageSize((side_px, side_px), (0, 0), (side_px, side_px))
        conditioning = base.add_sizes(base.encode_weighted_prompts(["a person"] * rows), [size] * rows)
        kept_bytes = meter.live_bytes
        meter.reset()
        base.predict(latents, timesteps, conditioning)
        return _build_count(meter, weights_bytes, kept_bytes)


def count_decode(family: str, memory_mode: MemoryMode, side_px: int) -> CardCount:
    """Count the decoding of a picture."""
    with _counted_card() as meter, torch.no_grad():
        base = build_base(family, memory_mode)
        weights_bytes = meter.live_bytes
        latents = torch.zeros(1, *base.latent_shape((side_px, side_px)), device=CARD)
        meter.reset()
        vae = base.components["vae"]  # by itself: `base.decode` looks at numbers, of which there are none
        with model_latents.on_device(vae, base.device, memory_mode.vae_offload):
            model_latents.decode(vae, latents.to(vae.dtype), base.native_px // base.vae_scale_factor)
        return _build_count(meter, weights_bytes, weights_bytes)


def build_base(family: str, memory_mode: MemoryMode) -> BaseModel:
    """Return a base model at its true shape, placed as a file's weights are."""
    device_config = DeviceConfig(CARD, memory_mode, "counted")
    match family:
        case "sd15":
            unet, vae, text_encoder = (_place(part, memory_mode.dtype) for part in _build_sd15())
            sd15_parts = ModelComponents(unet, vae, text_encoder, load_clip_tokenizer(), SCHEDULER_CONFIG)
            return Sd15Model("counted", SD15, sd15_parts, device_config)
        case "sdxl":
            unet, vae, text_encoder, text_encoder_2 = _build_sdxl()
            sdxl_parts = SdxlComponents(
                _place(unet, memory_mode.dtype),
                _place(vae, vae_dtype(memory_mode.dtype)),
                _place(text_encoder, memory_mode.dtype),
                _place(text_encoder_2, memory_mode.dtype),
                tokenizer=load_clip_tokenizer(),
                tokenizer_2=load_clip_tokenizer(sdxl_config.PAD_TOKEN_2),
                scheduler_config=sdxl_config.SCHEDULER_CONFIG,
            )
            return SdxlModel("counted", SDXL, sdxl_parts, device_config)
        case "klein" | "z-image":
            return build_flow_base(family, memory_mode, _place)
    raise ValueError(f"{family!r} cannot be counted; families are {', '.join(FAMILIES)}")


def _place(component: Any, dtype: torch.dtype) -> Any:
    """Fill a component of the meta device with weights on the card."""
    weights = {
        name: torch.empty(tuple(tensor.shape), dtype=dtype, device=CARD)
        for name, tensor in component.state_dict().items()
    }
    component.load_state_dict(weights, strict=False, assign=True)
    fill_buffers(component, CARD)
    return component


@on_host
def _build_sd15() -> tuple[Any, Any, Any]:
    widths = Widths()
    with torch.device("meta"):
        return (
            UNet2DConditionModel(**unet_config(widths)),
            AutoencoderKL(**vae_config(widths)),
            CLIPTextModel(CLIPTextConfig(**text_encoder_config(widths))),
        )


@on_host
def _build_sdxl() -> tuple[Any, Any, Any, Any]:
    widths = sdxl_config.SdxlWidths()
    with torch.device("meta"):
        return (
            UNet2DConditionModel(**sdxl_config.unet_config(widths)),
            AutoencoderKL(**vae_config(widths)),
            CLIPTextModel(CLIPTextConfig(**sdxl_config.text_encoder_config(widths))),
            CLIPTextModelWithProjection(CLIPTextConfig(**sdxl_config.text_encoder_2_config(widths))),
        )


@contextlib.contextmanager
def _counted_card() -> Iterator[CardMeter]:
    """Count on fake tensors; what needs real numbers, the noise schedule and the shuffle, has them."""
    meter = CardMeter()
    schedulers = (DDPMScheduler, FlowMatchEulerDiscreteScheduler)
    replaced: list[tuple[Any, str]] = [
        *((each, "from_config") for each in schedulers),
        (BatchSampler, "get_batch"),
    ]
    originals = [getattr(owner, name) for owner, name in replaced]
    for (owner, name), original in zip(replaced, originals, strict=True):
        setattr(owner, name, on_host(original))
    try:
        with fake_card(meter):
            yield meter
    finally:
        for (owner, name), original in zip(replaced, originals, strict=True):
            setattr(owner, name, original)


class _ZeroDataset:
    """Five photos that are black."""

    def __init__(self, base: BaseModel, side_px: int) -> None:
        self.images = tuple(TrainingImage(bytes([number]), "sks person", 300) for number in range(5))
        self._size = ImageSize((side_px, side_px), (0, 0), (side_px, side_px))
        self._latent_shape = base.latent_shape((side_px, side_px))

    def __getitem__(self, index: int) -> EncodedSample:
        return EncodedSample(self.images[index], self._size, torch.zeros(self._latent_shape))


def _create_optimizer_state(state: TrainingState) -> None:
    """Let the optimizer create its moments, which it does in its first step."""
    for parameter in state.parameters:
        parameter.grad = torch.zeros_like(parameter)
    state.optimizer.step()
    state.optimizer.zero_grad(set_to_none=True)


def _build_count(meter: CardMeter, weights_bytes: int, kept_bytes: int) -> CardCount:
    return CardCount(
        weights_bytes=weights_bytes,
        kept_bytes=kept_bytes,
        peak_bytes=meter.peak_bytes,
        reserved_bytes=meter.allocator.peak_reserved_bytes,
        kernels=meter.kernels,
        flops=meter.flops,
        moved_bytes=meter.moved_bytes,
    )
