"""The embedded base model, loaded once for all tests of the models; they must leave it as it was."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import nn

import drawn
from gpu_worker.models.base import BaseModel
from gpu_worker.models.registry import load_base_model
from gpu_worker.models.sd15.family import TINY
from gpu_worker.training import config
from gpu_worker.training.config import TrainingConfig
from tests.support import diffusers_sdxl


def parts(base: BaseModel) -> tuple[nn.Module, ...]:
    return tuple(base.components.values())


def weights_hash(base: BaseModel) -> str:
    """Name the exact weights of a base model, with the names of all its modules."""
    digest = hashlib.sha256()
    for part in parts(base):
        for name, value in sorted(part.state_dict().items()):
            digest.update(name.encode())
            digest.update(value.reshape(-1).contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def has_adapters(base: BaseModel) -> bool:
    """Return True if any LoRA, or a trace of one, is left on the base model."""
    filled = [slot for slot in base.lora_hooks.by_name.values() if slot.active_delta is not None]
    return bool(filled) or base.lora_hooks.active_adapter is not None


def load_for_one_thread(name: str) -> Iterator[BaseModel]:
    """Yield a base model; until it is given back torch computes with one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield load_base_model(name)
    torch.set_num_threads(threads)


def lend_unchanged(base: BaseModel) -> Iterator[BaseModel]:
    """Yield a shared base model; check that its weights and modules are as before the test."""
    before = weights_hash(base)
    yield base
    assert not has_adapters(base)
    assert weights_hash(base) == before


@pytest.fixture(scope="session")
def loaded_tiny() -> Iterator[BaseModel]:
    yield from load_for_one_thread("tiny")


Weights = list[dict[str, torch.Tensor]]


def copy_weights(base: BaseModel) -> Weights:
    """Return a copy of all weights; to compare is faster than to hash."""
    return [{name: value.clone() for name, value in part.state_dict().items()} for part in parts(base)]


def assert_untouched(base: BaseModel, weights: Weights) -> None:
    """Check that weights and modules are as they were loaded, and no LoRA is left."""
    assert not has_adapters(base)
    for part, expected in zip(parts(base), weights, strict=True):
        found = part.state_dict()
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], value) for name, value in expected.items())


@pytest.fixture(scope="session")
def tiny_weights(loaded_tiny: BaseModel) -> Weights:
    return copy_weights(loaded_tiny)


@pytest.fixture
def tiny(loaded_tiny: BaseModel, tiny_weights: Weights) -> Iterator[BaseModel]:
    """Yield the shared base model; check that it was left as it was loaded."""
    yield loaded_tiny
    assert_untouched(loaded_tiny, tiny_weights)


@pytest.fixture(scope="session")
def loaded_tiny_xl() -> Iterator[BaseModel]:
    yield from load_for_one_thread("tiny-xl")


@pytest.fixture(scope="session")
def tiny_xl_weights(loaded_tiny_xl: BaseModel) -> Weights:
    return copy_weights(loaded_tiny_xl)


@pytest.fixture
def tiny_xl(loaded_tiny_xl: BaseModel, tiny_xl_weights: Weights) -> Iterator[BaseModel]:
    """Yield the shared small SDXL; check that it was left as it was loaded."""
    yield loaded_tiny_xl
    assert_untouched(loaded_tiny_xl, tiny_xl_weights)


@pytest.fixture(scope="session")
def diffusers_xl() -> BaseModel:
    """Return the SDXL of diffusers' own tests, in which everything is quick."""
    return diffusers_sdxl.build_model()


@pytest.fixture(scope="session")
def loaded_tiny_klein() -> Iterator[BaseModel]:
    yield from load_for_one_thread("tiny-klein")


@pytest.fixture
def tiny_klein(loaded_tiny_klein: BaseModel) -> Iterator[BaseModel]:
    """Yield the shared small klein; check that its weights and modules are as before the test."""
    yield from lend_unchanged(loaded_tiny_klein)


@pytest.fixture(scope="session")
def loaded_tiny_z_image() -> Iterator[BaseModel]:
    yield from load_for_one_thread("tiny-zimage")


@pytest.fixture
def tiny_z_image(loaded_tiny_z_image: BaseModel) -> Iterator[BaseModel]:
    """Yield the shared small Z-Image; check that its weights and modules are as before the test."""
    yield from lend_unchanged(loaded_tiny_z_image)


@pytest.fixture(scope="session")
def photos() -> tuple[bytes, ...]:
    return tuple(drawn.sample_photos(seed=5, count=5, side_px=96))


@pytest.fixture(scope="session")
def quick() -> TrainingConfig:
    """Return settings of a training that is done in a second."""
    usual = config.default_training_config(TINY, native_px=128)
    return replace(usual, steps=3, resolution_px=64, rank=4, checkpoint_every_steps=1)
