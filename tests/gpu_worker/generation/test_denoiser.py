"""Pictures of several people that are drawn at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from gpu_worker.generation import generate
from gpu_worker.generation.context import GenerationContext
from gpu_worker.generation.denoiser import BatchSizeTuner
from gpu_worker.lora import file as lora_file
from gpu_worker.lora.weights import LoraWeights
from gpu_worker.models.base import BaseModel
from gpu_worker.protocol import DoneEvent, GenerateRequest, ProgressEvent, TrainRequest, WorkerEvent
from gpu_worker.training.config import TrainingConfig
from gpu_worker.training.trainer import train
from tests.support.generated_images import ASKED, lora_of, pixels_of, use, with_


class Always(BatchSizeTuner):
    """Share passes whenever pictures wait."""

    def choose_batch_size(self, batch_key: object, num_waiting: int) -> int:
        return min(num_waiting, self.max_batch_size)


@pytest.fixture(scope="module")
def two_loras(loaded_tiny: BaseModel, photos: tuple[bytes, ...]) -> tuple[bytes, bytes]:
    return lora_of(loaded_tiny, photos[:2], seed=1), lora_of(loaded_tiny, photos[2:4], seed=2)


def in_turn(context: GenerationContext, requests: list[GenerateRequest]) -> list[tuple[bytes, ...]]:
    """Draw requests as the worker does: each has a turn after the other."""
    streams: dict[int, Iterator[WorkerEvent]] = {
        n: generate.generate(context, r) for n, r in enumerate(requests)
    }
    pictures_by_number: dict[int, tuple[bytes, ...]] = {}
    while streams:
        for number, stream in list(streams.items()):
            event = next(stream)
            if isinstance(event, DoneEvent):
                pictures_by_number[number] = event.pictures
                del streams[number]
    return [pictures_by_number[number] for number in sorted(pictures_by_number)]


def test_batched_pictures_equal_those_drawn_alone(tiny: BaseModel, two_loras: tuple[bytes, bytes]) -> None:
    requests = [
        with_(loras=(use(two_loras[0]),), steps=4),
        with_(loras=(use(two_loras[1]),), steps=3, seed=8, prompt="sks person in a boat"),
        with_(steps=4, seed=9, guidance_scale=1.0),
        with_(steps=2, seed=10, sampler="euler a", negative_prompt="dark"),
    ]
    passes: list[int] = []
    shared = GenerationContext(tiny, Always())
    shared.base.components["unet"].register_forward_pre_hook(lambda _, inputs: passes.append(len(inputs[0])))
    try:
        together = in_turn(shared, requests)
    finally:
        tiny.components["unet"]._forward_pre_hooks.clear()
    assert max(passes) == 7  # three with guidance, one without
    alone = [
        in_turn(GenerationContext(tiny, BatchSizeTuner(max_batch_size=1)), [request])[0]
        for request in requests
    ]
    for one, other in zip(together, alone, strict=True):
        assert np.abs(pixels_of(one[0]) - pixels_of(other[0])).max() <= 2


def test_pictures_of_one_size_share_a_pass_and_others_do_not(tiny: BaseModel) -> None:
    passes: list[int] = []
    context = GenerationContext(tiny, Always())
    hook = tiny.components["unet"].register_forward_pre_hook(lambda _, inputs: passes.append(len(inputs[0])))
    in_turn(context, [with_(width_px=64), with_(width_px=128), with_(width_px=64, prompt="word " * 100)])
    hook.remove()
    assert set(passes) == {2}


def test_late_picture_joins_the_batch_at_the_next_step(tiny: BaseModel) -> None:
    context = GenerationContext(tiny, Always())
    first = generate.generate(context, with_(steps=6))
    for _ in range(3):
        next(first)
    second = generate.generate(context, with_(steps=6, seed=8))
    next(second)
    passes: list[int] = []
    hook = tiny.components["unet"].register_forward_pre_hook(lambda _, inputs: passes.append(len(inputs[0])))
    next(second)
    hook.remove()
    assert passes == [4]
    told = [next(first) for _ in range(1)]
    assert [event.step for event in told if isinstance(event, ProgressEvent)] == [3]  # a step that was given
    first.close()
    second.close()


def test_removed_pictures_leave_the_others_in_place(tiny: BaseModel) -> None:
    context = GenerationContext(tiny, Always())
    expected = in_turn(context, [with_(steps=3)])
    stays, leaves = generate.generate(context, with_(steps=3)), generate.generate(context, with_(seed=1))
    for stream in (stays, leaves, stays, leaves):
        next(stream)
    leaves.close()
    last = list(stays)[-1]
    assert isinstance(last, DoneEvent)
    assert np.abs(pixels_of(last.pictures[0]) - pixels_of(expected[0][0])).max() <= 2


def test_four_pictures_of_one_person_and_a_training_give_the_same_lora_as_without_them(
    tiny: BaseModel, photos: tuple[bytes, ...], quick: TrainingConfig, two_loras: tuple[bytes, bytes]
) -> None:
    def trained(drawing: Iterator[WorkerEvent] | None) -> dict[str, LoraWeights]:
        events: Any = train(tiny, TrainRequest(job_id=1, attempt=1, photos=photos), quick)
        last: WorkerEvent | None = None
        for last in events:  # noqa: B007 - the last one is wanted
            if drawing is not None:
                next(drawing, None)
        assert isinstance(last, DoneEvent)
        assert last.lora is not None
        return lora_file.read(last.lora).weights

    drawing = generate.generate(
        GenerationContext(tiny, Always()), with_(count=4, steps=4, loras=(use(two_loras[0]),))
    )
    beside, alone = trained(drawing), trained(None)
    drawing.close()
    for name, each in alone.items():
        assert torch.equal(each.down, beside[name].down)
        assert torch.equal(each.up, beside[name].up)


class TestMeasured:
    """How many pictures share a pass is decided by what was measured."""

    def test_each_number_is_tried_before_one_is_believed(self) -> None:
        measured = BatchSizeTuner(max_batch_size=3)
        tried = []
        for _ in range(6):
            number = measured.choose_batch_size("kind", num_waiting=3)
            tried.append(number)
            measured.record_time("kind", number, float(number))
        assert sorted(tried) == [1, 1, 2, 2, 3, 3]

    @pytest.mark.parametrize(
        ("seconds", "best"),
        [
            ({1: 1.0, 2: 1.2, 3: 1.5}, 3),  # a GPU that is not full
            ({1: 1.0, 2: 2.0, 3: 3.0}, 1),  # a CPU that is
            ({1: 1.0, 2: 1.95, 3: 2.95}, 1),  # less than it takes to give up equality
            ({1: 1.0, 2: 1.4, 3: 3.0}, 2),
        ],
    )
    def test_the_fastest_a_picture_wins_if_it_wins_clearly(
        self, seconds: dict[int, float], best: int
    ) -> None:
        measured = BatchSizeTuner(max_batch_size=3)
        for number, taken in seconds.items():
            for extra_s in (5.0, 0.0, 0.0):  # the first pass of anything is slow
                measured.record_time("kind", number, taken + extra_s)
        assert measured.choose_batch_size("kind", num_waiting=3) == best
        assert measured.choose_batch_size("kind", num_waiting=1) == 1

    def test_sizes_are_measured_apart(self) -> None:
        measured = BatchSizeTuner(max_batch_size=2)
        for _ in range(2):
            measured.record_time("small", 1, 1.0)
            measured.record_time("small", 2, 1.0)
        assert measured.choose_batch_size("small", 2) == 2
        assert measured.choose_batch_size("large", 2) == 2  # a trial
        for _ in range(2):
            measured.record_time("large", 2, 9.0)
            measured.record_time("large", 1, 1.0)
        assert measured.choose_batch_size("large", 2) == 1


def test_cache_holds_few_of_many_loras(tiny: BaseModel, two_loras: tuple[bytes, bytes]) -> None:
    context = GenerationContext(tiny)
    for number in range(20):
        context.adapter_cache.get(tiny, (use(two_loras[number % 2], strength=1 + number / 100),))
    assert len(context.adapter_cache) == 8
    adapter, _ = context.adapter_cache.get(tiny, (use(two_loras[1], strength=1.19),))
    assert context.adapter_cache.get(tiny, (use(two_loras[1], strength=1.19),))[0] is adapter


def test_the_frozen_weights_are_untouched_by_any_of_this(
    tiny: BaseModel, two_loras: tuple[bytes, bytes]
) -> None:
    # The fixture compares every weight bit by bit afterwards.
    in_turn(GenerationContext(tiny, Always()), [with_(loras=(use(each),)) for each in two_loras] + [ASKED])
    assert torch.is_grad_enabled()
