"""What tests of drawing share."""

from __future__ import annotations

import hashlib
import io

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from gpu_worker.generation import prompts
from gpu_worker.generation.context import GenerationContext
from gpu_worker.generation.denoiser import BatchSizeTuner, denoise_step
from gpu_worker.generation.generate import create_image, generate
from gpu_worker.generation.recipes import resolve_recipes
from gpu_worker.lora.config import NetworkConfig
from gpu_worker.lora.layers import Adapter, deactivate_all, write_lora
from gpu_worker.lora.network import init_weights
from gpu_worker.lora.weights import LoraWeights
from gpu_worker.models.base import BaseModel
from gpu_worker.protocol import DoneEvent, GenerateRequest, LoraUse, TrainRequest
from gpu_worker.training.config import TrainingConfig
from gpu_worker.training.trainer import train

ASKED = GenerateRequest(
    job_id=5,
    attempt=1,
    prompt="sks person, on the moon",
    seed=7,
    width_px=64,
    height_px=64,
    steps=2,
)


def with_(**changes: object) -> GenerateRequest:
    return msgspec.structs.replace(ASKED, **changes)


def use(data: bytes, name: str = "04071338", strength: float = 1.0) -> LoraUse:
    return LoraUse(data=data, sha256=hashlib.sha256(data).hexdigest(), name=name, strength=strength)


def alone(base: BaseModel) -> GenerationContext:
    """Return a room where no two pictures share a pass: bit by bit the same whoever else draws."""
    return GenerationContext(base, BatchSizeTuner(max_batch_size=1))


def lora_of(base: BaseModel, photos: tuple[bytes, ...], seed: int = 0) -> bytes:
    """Train a LoRA that leaves a mark."""
    config = TrainingConfig(steps=3, resolution_px=64, rank=4, unet_lr=5e-2, text_encoder_lr=5e-2)
    last = list(train(base, TrainRequest(job_id=1, attempt=1, photos=photos, seed=seed), config))[-1]
    assert isinstance(last, DoneEvent)
    assert last.lora is not None
    return last.lora


def done(base: BaseModel, request: GenerateRequest) -> DoneEvent:
    last = list(generate(alone(base), request))[-1]
    assert isinstance(last, DoneEvent)
    return last


def pictures(base: BaseModel, request: GenerateRequest) -> tuple[bytes, ...]:
    return done(base, request).pictures


def text_of(png: bytes) -> str:
    with Image.open(io.BytesIO(png)) as image:
        assert isinstance(image.info["parameters"], str)
        return image.info["parameters"]


def size_of(png: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(png)) as image:
        return image.size


def pixels_of(png: bytes) -> npt.NDArray[np.int16]:
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGB"), dtype=np.int16)


def make_random_lora(base: BaseModel, seed: int = 5) -> bytes:
    """Return a LoRA of every module that leaves a mark."""
    generator = torch.Generator().manual_seed(seed)
    weights = init_weights(list(base.targets_by_name.values()), NetworkConfig(), 4, 2.0, generator)
    marked = {
        name: LoraWeights(each.down, torch.randn(each.up.shape, generator=generator) * 0.3, each.alpha)
        for name, each in weights.items()
        if isinstance(each, LoraWeights)
    }
    return write_lora(base, marked, {}, "float")


def draw_latents(base: BaseModel, request: GenerateRequest, adapter: Adapter | None = None) -> torch.Tensor:
    """Return the latents of a request's first picture."""
    recipe = resolve_recipes(base, request)[0]
    conditioning = prompts.encode_recipe_prompts(base, recipe, adapter)
    image = create_image(base, recipe, adapter, conditioning)
    while not image.is_done:
        denoise_step(base, [image])
    deactivate_all(base)
    return image.latents
