"""Memory that runs out again and again: weights are stored smaller, the training goes on, and says so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from gpu_worker.device import memory_modes
from gpu_worker.device.memory_modes import MemoryMode, OutOfMemory
from gpu_worker.device.memory_profile import BlockGroup, WeightStorage
from gpu_worker.errors import BadInput
from gpu_worker.lora import file as lora_file
from gpu_worker.memory.quantized_layers import QuantizedLayer
from gpu_worker.models.base import BaseModel
from gpu_worker.models.registry import load_base_model
from gpu_worker.protocol import CheckpointEvent, DoneEvent, FallbackEvent, WorkerEvent
from gpu_worker.training.checkpoint import Checkpoint
from gpu_worker.training.config import TrainingConfig
from gpu_worker.training.trainer import train
from tests.gpu_worker.training.test_fallback import Trap
from tests.gpu_worker.training.test_trainer import request
from tests.support.card.cuda import play
from tests.support.card.tensors import PlayedCard

WHOLE, INT8, NF4 = WeightStorage
CONFIG = TrainingConfig(
    steps=2,
    resolution_px=64,
    rank=2,
    train_text_encoder=False,
    sample_every_steps=None,
    checkpoint_every_steps=1,
)
BLOCKS = (BlockGroup("BasicTransformerBlock", 2, 1e4),)


@pytest.fixture
def card() -> Iterator[PlayedCard]:
    with play(PlayedCard()) as card:
        yield card


def load(memory: str = "auto") -> BaseModel:
    base = load_base_model("tiny", torch.bfloat16, memory=memory)
    base.family = replace(base.family, memory=replace(base.family.memory, blocks=BLOCKS))
    base.weight_store._block_classes = base.family.memory.block_classes
    return base


def run(
    base: BaseModel, photos: tuple[bytes, ...], failures: int, resume: bytes | None = None
) -> list[WorkerEvent]:
    hook = base.denoiser.register_forward_hook(Trap(set(range(1, failures + 1)), "memory"))
    try:
        return list(train(base, request(photos[:1], resume), CONFIG))
    finally:
        hook.remove()


def list_modes(events: list[WorkerEvent]) -> list[str]:
    return [event.memory_mode for event in events if isinstance(event, FallbackEvent)]


def test_weights_are_stored_smaller_after_all_that_costs_time_alone(
    card: PlayedCard, photos: tuple[bytes, ...], caplog: pytest.LogCaptureFixture
) -> None:
    base = load()
    weights_bytes = card.live_bytes
    events = run(base, photos, failures=5)
    start = "bfloat16, gradient checkpointing"
    assert list_modes(events) == [
        start,
        f"{start}, VAE offload",
        f"{start}, VAE offload, weights in int8",
        f"{start}, VAE offload, weights in int8, 2 blocks streamed",
        f"{start}, VAE offload, weights in nf4, 2 blocks streamed",
    ]
    lines = [line for line in caplog.messages if "going on from step" in line]
    assert len(lines) == 5
    assert ["until the base model is loaded again" in line for line in lines] == [
        False,
        False,
        True,
        False,
        True,
    ]
    assert isinstance(events[-1], DoneEvent)
    assert lora_file.read(events[-1].lora).metadata["ss_base_storage"] == "nf4"
    saved = next(event.data for event in events if isinstance(event, CheckpointEvent))
    assert Checkpoint.decode(saved).storage is NF4
    assert card.live_bytes < weights_bytes
    streamed = [
        layer for layer in base.denoiser.modules() if isinstance(layer, QuantizedLayer) and layer.stream
    ]
    assert streamed
    assert {layer.weight_codes.device.type for layer in streamed} == {"cpu"}
    assert {layer.weight_pairs.device.type for layer in streamed} == {"cuda"}


def test_a_training_that_is_resumed_takes_its_storage_if_it_may(
    photos: tuple[bytes, ...],
) -> None:
    base = load_base_model("tiny")
    events = run(base, photos, failures=0)
    saved = next(event.data for event in events if isinstance(event, CheckpointEvent))
    assert b"storage" not in saved  # checkpoints of whole weights are as before
    assert isinstance(events[-1], DoneEvent)
    assert "ss_base_storage" not in lora_file.read(events[-1].lora).metadata
    resume = replace(Checkpoint.decode(saved), storage=INT8).encode()
    for storages, expected in (((WHOLE,), WHOLE), (tuple(WeightStorage), INT8)):
        base.device_config = replace(base.device_config, storages=storages)
        events = run(base, photos, 0, resume)
        assert isinstance(events[-1], DoneEvent)
        assert base.memory_mode.storage is expected
    assert lora_file.read(events[-1].lora).metadata["ss_base_storage"] == "int8"


def test_whole_weights_that_the_operator_asks_for_are_never_rounded(
    card: PlayedCard, photos: tuple[bytes, ...]
) -> None:
    base = load("whole")
    with pytest.raises(BadInput, match="too little memory"):
        run(base, photos, failures=99)
    assert base.memory_mode == MemoryMode(torch.bfloat16, True, True)


def test_memory_that_runs_out_while_weights_are_rounded_ends_in_a_sentence(
    card: PlayedCard, photos: tuple[bytes, ...]
) -> None:
    base = load()
    modes = []
    with pytest.raises(BadInput, match="too little memory"):
        for event in train(base, request(photos[:1]), CONFIG):
            modes += [event.memory_mode] if isinstance(event, FallbackEvent) else []
            card.capacity_bytes = card.live_bytes + 1
    assert len(modes) == 2  # those of rounded weights were not reached
    assert base.memory_mode.storage is NF4  # what was rounded stays so


@pytest.mark.parametrize(
    ("storage", "streamed", "storages", "expected"),
    [
        (WHOLE, 0, (WHOLE, INT8, NF4), (INT8, 0)),
        (INT8, 0, (WHOLE, INT8, NF4), (INT8, 4)),
        (INT8, 2, (INT8,), (INT8, 4)),
        (INT8, 4, (INT8,), None),
        (INT8, 4, (WHOLE, INT8, NF4), (NF4, 4)),
        (NF4, 4, (WHOLE, INT8, NF4), None),
        (WHOLE, 0, (WHOLE,), None),
        (WHOLE, 0, (), None),
    ],
)
def test_each_way_to_store_weights_is_tried_once_and_only_if_it_may(
    storage: WeightStorage,
    streamed: int,
    storages: tuple[WeightStorage, ...],
    expected: tuple[WeightStorage, int] | None,
) -> None:
    mode = MemoryMode(torch.bfloat16, True, True, storage, streamed)
    lower = memory_modes.fall_back(mode, OutOfMemory(), torch.float32, storages, block_count=4)
    assert (lower and (lower.storage, lower.streamed_blocks)) == expected
