"""What a training lives through: kills at any step, full memory, numbers out of bounds."""

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
    CheckpointEvent,
    DoneEvent,
    FallbackCause,
    FallbackEvent,
    ProgressEvent,
    SampleEvent,
    StartedEvent,
    WorkerEvent,
)
from gpu_worker.training.config import SamplePrompt, TrainingConfig
from gpu_worker.training.data import TrainingImage
from gpu_worker.training.trainer import StepReport, TrainingTask, train, train_photos
from tests.gpu_worker.training.test_trainer import (
    all_checkpoints,
    checkpoint_at,
    lora_of,
    request,
    same_weights,
)
from tests.support.generated_images import pictures, pixels_of, with_

OPTIMIZERS = {
    "AdamW": (),
    "Prodigy": (("safeguard_warmup", "True"),),
    "Lion": (("weight_decay", "0.01"),),
    "Adafactor": (("relative_step", "False"), ("scale_parameter", "False")),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_training_killed_at_any_step_gives_the_same_lora_bit_for_bit(
    tiny: BaseModel, photos: tuple[bytes, ...], quick: TrainingConfig, optimizer: str
) -> None:
    config = replace(
        quick,
        steps=3,
        optimizer_type=optimizer,
        optimizer_args=OPTIMIZERS[optimizer],
        lr_scheduler="cosine",
        lr_warmup_steps=1,
        save_precision="float",
        dropout=0.1,
        module_dropout=0.1,
        gradient_accumulation_steps=2,
        unet_lr=1.0 if optimizer == "Prodigy" else 1e-3,
        text_encoder_lr=1.0 if optimizer == "Prodigy" else 1e-3,
        noise_offset=0.05,
        multires_noise_iterations=3,
    )
    whole, checkpoints = all_checkpoints(train(tiny, request(photos), config))
    assert checkpoints.keys() == {1, 2}
    for step, data in checkpoints.items():
        resumed = list(train(tiny, request(photos, data), config))
        assert resumed[0] == StartedEvent(job_id=7, attempt=2, step=step, steps=3)
        assert same_weights(lora_of(resumed), whole)


def test_a_training_killed_again_and_again_counts_its_steps_right(
    tiny: BaseModel, photos: tuple[bytes, ...], quick: TrainingConfig
) -> None:
    config = replace(quick, steps=4, save_precision="float")
    data = None
    for step in (1, 2, 3):
        events = train(tiny, request(photos, data), config)
        assert next(events) == StartedEvent(job_id=7, attempt=2, step=step - 1, steps=4)
        data = checkpoint_at(step, events)
    last = list(train(tiny, request(photos, data), config))
    assert [e.step for e in last if isinstance(e, ProgressEvent)] == [4]
    assert lora_file.read(lora_of(last)).metadata["ss_steps"] == "4"
    assert same_weights(lora_of(last), lora_of(train(tiny, request(photos), config)))


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
    assert "sliced attention" in memory_modes[-1]


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


# The scale is halved with each step, from 65,536 to less than 1.
@pytest.mark.parametrize("checkpoint_every", [17, 99])
def test_gradients_that_are_never_numbers_in_fp16_go_on_in_a_wider_precision(
    photos: tuple[bytes, ...], quick: TrainingConfig, checkpoint_every: int
) -> None:
    base = load_base_model("tiny")
    base.set_memory_mode(MemoryMode(torch.float16))

    def overflow(_: object, __: object, output: Any) -> None:
        if torch.is_grad_enabled() and base.dtype is torch.float16:
            output.sample.register_hook(lambda gradient: gradient * float("nan"))

    base.unet.register_forward_hook(overflow)
    config = replace(
        quick,
        steps=18,
        checkpoint_every_steps=checkpoint_every,
        checkpoint_every_s=3600,
        train_text_encoder=False,
    )
    events = list(train(base, request(photos[:1]), config))
    assert [event.step for event in events if isinstance(event, FallbackEvent)] == [0]
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


def test_photo_whose_latents_overflow_fp16_is_trained_in_a_wider_precision(
    photos: tuple[bytes, ...], quick: TrainingConfig
) -> None:
    base = load_base_model("tiny")
    base.set_memory_mode(MemoryMode(torch.float16))
    dtypes: list[torch.dtype] = []

    def overflow(_: object, __: object, output: torch.Tensor) -> torch.Tensor:
        dtypes.append(output.dtype)
        return output * float("nan") if len(dtypes) == 3 else output

    base.components["vae"].encoder.conv_out.register_forward_hook(overflow)
    events = list(train(base, request(photos), replace(quick, steps=5)))
    assert dtypes == [torch.float16] * 3 + [torch.float32] * 3  # it, and the two that come after it
    assert [type(event) for event in events].count(FallbackEvent) == 1
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
        pictures(base, with_())
    hook.remove()
    assert pixels_of(pictures(base, with_())[0]).std() > 1


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
            MemoryMode(torch.float16, True, sliced_attention=True),
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


def test_prodigy_refuses_two_learning_rates(
    tiny: BaseModel, photos: tuple[bytes, ...], quick: TrainingConfig
) -> None:
    with pytest.raises(BadInput, match="one learning rate"):
        list(train(tiny, request(photos), replace(quick, optimizer_type="Prodigy")))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"optimizer_type": "Sophia"}, "no optimizer Sophia here; choose AdamW"),
        ({"optimizer_args": (("wieght_decay", "1"),)}, "does not take these settings"),
        ({"lr_scheduler": "sawtooth"}, "no schedule sawtooth here; choose"),
        ({"train_unet": False, "train_text_encoder": False}, "something to train"),
    ],
)
def test_settings_that_do_not_exist_are_named(
    tiny: BaseModel, photos: tuple[bytes, ...], quick: TrainingConfig, changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(BadInput, match=sentence):
        list(train(tiny, request(photos), replace(quick, **changes)))


def test_a_finished_lora_can_be_trained_on(
    tiny: BaseModel, photos: tuple[bytes, ...], quick: TrainingConfig
) -> None:
    config = replace(quick, save_precision="float")
    first = lora_of(train(tiny, request(photos), config))
    task = task_of(photos, replace(config, steps=1, unet_lr=0.0, text_encoder_lr=0.0), initial_lora=first)
    assert same_weights(lora_of(train_photos(tiny, task)), first)


def test_a_lora_of_another_rank_cannot_be_trained_on(
    tiny: BaseModel, photos: tuple[bytes, ...], quick: TrainingConfig
) -> None:
    first = lora_of(train(tiny, request(photos), quick))
    with pytest.raises(BadInput, match="another rank"):
        list(train_photos(tiny, task_of(photos, replace(quick, rank=8), initial_lora=first)))


def test_samples_show_the_same_words_from_the_bare_model_on(
    tiny: BaseModel, photos: tuple[bytes, ...], quick: TrainingConfig
) -> None:
    shown = (SamplePrompt("sks person", steps=2, width_px=64, height_px=64, seed=4),)
    config = replace(quick, steps=4, sample_every_steps=2, sample_prompts=shown, unet_lr=0.05)
    events = list(train_photos(tiny, task_of(photos, config)))
    sample_events = [event for event in events if isinstance(event, SampleEvent)]
    assert [sample.step for sample in sample_events] == [0, 2, 4]
    assert len({sample.png for sample in sample_events}) == 3
    without = list(train_photos(tiny, task_of(photos, replace(config, sample_every_steps=None))))
    assert same_weights(lora_of(events), lora_of(without))


def test_every_step_reports_its_loss_and_rates(
    tiny: BaseModel, photos: tuple[bytes, ...], quick: TrainingConfig
) -> None:
    reports: list[StepReport] = []
    config = replace(quick, steps=4, lr_scheduler="linear", unet_lr=1e-3, text_encoder_lr=1e-4)
    list(train_photos(tiny, task_of(photos, config, on_step=reports.append)))
    assert [report.step for report in reports] == [1, 2, 3, 4]
    # As in sd-scripts, the rate that the next step has.
    rates = [report.learning_rates for report in reports]
    assert [round(rate["unet"], 9) for rate in rates] == [7.5e-4, 5e-4, 2.5e-4, 0.0]
    assert all(rate["textencoder"] == pytest.approx(rate["unet"] / 10) for rate in rates)
    assert all(0 < loss < 10 for report in reports for loss in report.batch_losses)


def test_checkpoints_hold_no_pickle(
    tiny: BaseModel, photos: tuple[bytes, ...], quick: TrainingConfig
) -> None:
    [first, *_] = [
        event for event in train(tiny, request(photos), quick) if isinstance(event, CheckpointEvent)
    ]
    header = int.from_bytes(first.data[:8], "little")
    assert first.data[8 : 8 + header].startswith(b"{")
    assert b"\x80\x04" not in first.data[: 8 + header]


def task_of(photos: tuple[bytes, ...], config: TrainingConfig, **more: Any) -> TrainingTask:
    shown = tuple(TrainingImage(photo, "sks person") for photo in photos)
    return TrainingTask(shown, config, **more)
