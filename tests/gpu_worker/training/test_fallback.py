"""A training whose memory is full or whose numbers go out of bounds: another memory mode, or a sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from gpu_worker.device import memory_modes
from gpu_worker.device.memory_modes import MemoryMode
from gpu_worker.errors import BadInput
from gpu_worker.lora import file as lora_file
from gpu_worker.models.base import BaseModel
from gpu_worker.models.registry import load_base_model
from gpu_worker.protocol import (
    DoneEvent,
    FallbackCause,
    FallbackEvent,
    ProgressEvent,
    WorkerEvent,
)
from gpu_worker.training.checkpoint import Checkpoint
from gpu_worker.training.config import TrainingConfig
from gpu_worker.training.trainer import train
from tests.gpu_worker.training.test_trainer import checkpoint_at, lora_of, request
from tests.support.generated_images import pictures, pixels_of, with_


class Trap(nn.Module):
    """Lets the UNet's forward passes through until one of them meets trouble, as a card does."""

    def __init__(self, fails_at: set[int], trouble: str) -> None:
        super().__init__()
        self.fails_at, self.trouble, self.passes = fails_at, trouble, 0

    def __call__(self, module: nn.Module, given: object, output: object) -> None:
        if not torch.is_grad_enabled():
            return
        self.passes += 1
        if self.passes in self.fails_at:
            if self.trouble == "memory":
                raise torch.OutOfMemoryError("CUDA out of memory")
            output.sample.mul_(float("nan"))  # type: ignore[attr-defined]


@contextmanager
def trapped(base: BaseModel, fails_at: set[int], trouble: str) -> Iterator[Trap]:
    memory_mode, trap = base.memory_mode, Trap(fails_at, trouble)
    handle = base.components["unet"].register_forward_hook(trap)
    try:
        yield trap
    finally:
        handle.remove()
        base.set_memory_mode(memory_mode)


def test_memory_that_runs_out_costs_a_memory_mode_and_not_the_training(
    tiny: BaseModel, photos: tuple[bytes, ...], quick: TrainingConfig
) -> None:
    config = replace(quick, steps=4, save_precision="float")
    with trapped(tiny, {3}, "memory"):
        events = list(train(tiny, request(photos), config))
        assert tiny.memory_mode == MemoryMode(torch.float32, gradient_checkpointing=True)
    [adjusted] = [event for event in events if isinstance(event, FallbackEvent)]
    assert adjusted.step == 2  # the checkpoint before the step that failed
    assert adjusted.cause is FallbackCause.OUT_OF_MEMORY
    assert "gradient checkpointing" in adjusted.memory_mode
    steps = [event.step for event in events if isinstance(event, ProgressEvent)]
    assert steps[-2:] == [3, 4]
    assert isinstance(events[-1], DoneEvent)
    # The same numbers, computed in another way.
    found, expected = (
        lora_file.read(lora_of(events)),
        lora_file.read(lora_of(train(tiny, request(photos), config))),
    )
    for name, matrices in expected.weights.items():
        assert torch.allclose(found.weights[name].up, matrices.up, rtol=1e-3, atol=1e-6)


def test_every_memory_mode_is_tried_before_a_training_fails_for_memory(
    tiny: BaseModel, photos: tuple[bytes, ...], quick: TrainingConfig
) -> None:
    events: list[WorkerEvent] = []
    with trapped(tiny, set(range(1, 99)), "memory"), pytest.raises(BadInput, match="too little memory"):
        events.extend(train(tiny, request(photos), quick))
    memory_modes = [event.memory_mode for event in events if isinstance(event, FallbackEvent)]
    assert len(memory_modes) == 2
    assert "VAE offload" in memory_modes[-1]


def test_numbers_out_of_bounds_in_half_precision_go_on_in_a_wider_one(
    tiny: BaseModel, photos: tuple[bytes, ...], quick: TrainingConfig
) -> None:
    precise = tiny.memory_mode
    weights = {name: value.clone() for name, value in tiny.components["unet"].state_dict().items()}
    others = [
        {n: v.clone() for n, v in part.state_dict().items()}
        for part in (tiny.components["vae"], tiny.components["text_encoder"])
    ]
    try:
        tiny.set_memory_mode(replace(precise, dtype=torch.bfloat16))
        with trapped(tiny, {2}, "NaN"):
            events = list(train(tiny, request(photos), replace(quick, steps=3)))
            assert tiny.memory_mode.dtype is torch.float32
        [adjusted] = [event for event in events if isinstance(event, FallbackEvent)]
        assert adjusted.step == 1
        assert (adjusted.cause, adjusted.memory_mode) == (FallbackCause.NOT_FINITE, "float32")
        assert isinstance(events[-1], DoneEvent)
    finally:
        tiny.set_memory_mode(precise)
        for part, saved in zip(
            (tiny.components["unet"], tiny.components["vae"], tiny.components["text_encoder"]),
            (weights, *others),
            strict=True,
        ):
            part.load_state_dict(saved)


@pytest.mark.parametrize("checkpoint_every", [3, pytest.param(99, marks=pytest.mark.soak)])
def test_gradients_that_are_never_numbers_in_fp16_go_on_in_a_wider_precision(
    photos: tuple[bytes, ...], quick: TrainingConfig, checkpoint_every: int
) -> None:
    base = load_base_model("tiny")
    base.set_memory_mode(MemoryMode(torch.float16))

    def overflow(_: object, __: object, output: Any) -> None:
        if torch.is_grad_enabled() and base.dtype is torch.float16:
            output.sample.register_hook(lambda gradient: gradient * float("nan"))

    config = replace(quick, steps=4, checkpoint_every_s=3600, train_text_encoder=False)
    checkpoint = Checkpoint.decode(checkpoint_at(1, train(base, request(photos[:1]), config)))
    # The scale is halved with each step that has no numbers, and 1 is the last one.
    resume = replace(checkpoint, scaler={**checkpoint.scaler, "scale": 2.0}).encode()
    base.unet.register_forward_hook(overflow)
    config = replace(config, checkpoint_every_steps=checkpoint_every)
    events = list(train(base, request(photos[:1], resume), config))
    assert [event.step for event in events if isinstance(event, FallbackEvent)] == [1]
    assert base.dtype is torch.float32
    learnt = lora_file.read(lora_of(events)).weights.values()
    assert all(matrices.up.any() for matrices in learnt)


def test_last_gradients_that_are_no_numbers_in_bf16_cost_a_wider_precision_and_not_the_training(
    photos: tuple[bytes, ...], quick: TrainingConfig
) -> None:
    base = load_base_model("tiny")
    base.set_memory_mode(MemoryMode(torch.bfloat16))
    forward_passes: list[torch.dtype] = []

    def overflow(_: object, __: object, output: Any) -> None:
        if torch.is_grad_enabled():
            forward_passes.append(base.dtype)
            if len(forward_passes) == 3:
                output.sample.register_hook(lambda gradient: gradient * float("nan"))

    base.components["unet"].register_forward_hook(overflow)
    config = replace(quick, steps=3, checkpoint_every_steps=2)
    events = list(train(base, request(photos), config))
    assert forward_passes == [torch.bfloat16] * 3 + [torch.float32]
    assert [event.step for event in events if isinstance(event, FallbackEvent)] == [2]
    assert isinstance(events[-1], DoneEvent)


def test_photo_whose_latents_overflow_fp16_is_encoded_in_full_precision(
    photos: tuple[bytes, ...], quick: TrainingConfig
) -> None:
    base = load_base_model("tiny")
    base.set_memory_mode(MemoryMode(torch.float16))
    dtypes: list[torch.dtype] = []

    def overflow(_: object, __: object, output: torch.Tensor) -> torch.Tensor:
        dtypes.append(output.dtype)
        return output * float("nan") if len(dtypes) == 3 else output

    base.components["vae"].encoder.conv_out.register_forward_hook(overflow)
    events = list(train(base, request(photos), replace(quick, steps=5, train_text_encoder=False)))
    assert dtypes == [torch.float16] * 3 + [torch.float32] + [torch.float16] * 2
    assert not [event for event in events if isinstance(event, FallbackEvent)]
    assert isinstance(events[-1], DoneEvent)


class Wall(nn.Module):
    """A part of a base model in bf16 that finds no room on the card in full precision."""

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Wall:
        if fn(torch.zeros((), dtype=torch.bfloat16)).dtype is torch.float32:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self


def test_a_wider_precision_that_finds_no_room_leaves_the_base_model_whole(
    photos: tuple[bytes, ...], quick: TrainingConfig
) -> None:
    base = load_base_model("tiny")
    base.set_memory_mode(MemoryMode(torch.bfloat16))
    base.components["text_encoder"].add_module("wall", Wall())
    config = replace(quick, steps=1)
    with trapped(base, set(range(1, 99)), "NaN"), pytest.raises(BadInput, match="too little memory"):
        list(train(base, request(photos[:1]), config))
    with pytest.raises(torch.OutOfMemoryError):
        base.set_memory_mode(MemoryMode(torch.float32))
    assert base.memory_mode == MemoryMode(torch.bfloat16)
    assert isinstance(list(train(base, request(photos[:1]), config))[-1], DoneEvent)
    hook = base.components["vae"].decoder.conv_out.register_forward_hook(
        lambda _, __, output: output * float("nan")
    )
    with pytest.raises(BadInput, match="out of bounds"):
        pictures(base, with_(steps=1))
    hook.remove()
    assert pixels_of(pictures(base, with_(steps=1))[0]).std() > 1


def test_nan_in_full_precision_fails_in_one_sentence(
    tiny: BaseModel, photos: tuple[bytes, ...], quick: TrainingConfig
) -> None:
    with trapped(tiny, {2}, "NaN"), pytest.raises(BadInput, match="smaller learning rate"):
        list(train(tiny, request(photos), quick))
    assert tiny.lora_hooks.active_adapter is None


@pytest.mark.parametrize(
    ("memory_mode", "trouble", "expected"),
    [
        (MemoryMode(torch.float16), memory_modes.NotFinite(), MemoryMode(torch.bfloat16)),
        (
            MemoryMode(torch.bfloat16, gradient_checkpointing=True),
            memory_modes.NotFinite(),
            MemoryMode(torch.float32, gradient_checkpointing=True),
        ),
        (MemoryMode(torch.float32), memory_modes.NotFinite(), None),
        (
            MemoryMode(torch.float16),
            memory_modes.OutOfMemory(),
            MemoryMode(torch.float16, gradient_checkpointing=True),
        ),
        (
            MemoryMode(torch.float16, True),
            memory_modes.OutOfMemory(),
            MemoryMode(torch.float16, True, vae_offload=True),
        ),
        (MemoryMode(torch.float16, True, True), memory_modes.OutOfMemory(), None),
    ],
)
def test_each_trouble_has_its_own_way_down(
    memory_mode: MemoryMode, trouble: memory_modes.ComputeError, expected: MemoryMode | None
) -> None:
    assert memory_modes.fall_back(memory_mode, trouble, torch.bfloat16) == expected


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
        torch.AcceleratorError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("FIND was unable to find an engine to execute this computation"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."),
    ],
)
def test_too_little_memory_is_known_in_all_its_words(error: Exception) -> None:
    assert isinstance(memory_modes.as_compute_error(error), memory_modes.OutOfMemory)


def test_a_lost_card_is_not_answered_by_a_lower_memory_mode() -> None:
    assert (
        memory_modes.as_compute_error(torch.AcceleratorError("CUDA error: an illegal memory access")) is None
    )
