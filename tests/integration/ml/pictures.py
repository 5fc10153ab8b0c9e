"""What tests of drawing share."""

from __future__ import annotations

import hashlib
import io

import msgspec
import numpy as np
import numpy.typing as npt
from PIL import Image

from gpu_worker.generation.denoiser import Measured
from gpu_worker.generation.generate import Room, generate
from gpu_worker.models.base import BaseModel
from gpu_worker.protocol import Done, Generate, LoraUse, Train
from gpu_worker.training.config import Dials
from gpu_worker.training.trainer import train

ASKED = Generate(
    job_id=5,
    attempt=1,
    prompt="sks person, on the moon",
    seed=7,
    width_px=64,
    height_px=64,
    steps=2,
)


def with_(**changes: object) -> Generate:
    return msgspec.structs.replace(ASKED, **changes)


def use(data: bytes, name: str = "04071338", strength: float = 1.0) -> LoraUse:
    return LoraUse(data=data, sha256=hashlib.sha256(data).hexdigest(), name=name, strength=strength)


def alone(base: BaseModel) -> Room:
    """Give a room where no two pictures share a pass: bit by bit the same whoever else draws."""
    return Room(base, Measured(most=1))


def lora_of(base: BaseModel, photos: tuple[bytes, ...], seed: int = 0) -> bytes:
    """Train a LoRA that leaves a mark."""
    dials = Dials(steps=3, resolution_px=64, rank=4, unet_rate=5e-2, text_rate=5e-2)
    last = list(train(base, Train(job_id=1, attempt=1, photos=photos, seed=seed), dials))[-1]
    assert isinstance(last, Done)
    assert last.lora is not None
    return last.lora


def done(base: BaseModel, asked: Generate) -> Done:
    last = list(generate(alone(base), asked))[-1]
    assert isinstance(last, Done)
    return last


def pictures(base: BaseModel, asked: Generate) -> tuple[bytes, ...]:
    return done(base, asked).pictures


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
