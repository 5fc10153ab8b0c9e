"""What the bot believes of a worker, and what it does not."""

from __future__ import annotations

import random
from typing import Any

import pytest

from bot.jobs.backends.local._attempt import MAX_QUEUED_EVENTS, AttemptEvents
from bot.jobs.backends.local._validator import MAX_ADJUSTMENTS, MAX_STEPS, AttemptValidator
from gpu_worker.errors import ProtocolError
from gpu_worker.protocol import (
    CheckpointEvent,
    DoneEvent,
    FailedEvent,
    FallbackCause,
    FallbackEvent,
    GenerateRequest,
    ProgressEvent,
    ReadyMessage,
    StartedEvent,
    TrainRequest,
    WorkerEvent,
    WorkerHealth,
    decode_message,
    encode_frame,
)
from tests.support.fake_worker import as_lora

LORA = as_lora(b"numbers")
JOB = {"job_id": 1, "attempt": 1}
SLOWER: dict[str, Any] = {"cause": FallbackCause.OUT_OF_MEMORY, "memory_mode": "VAE offload"}
TRAIN = TrainRequest(**JOB, photos=(b"photo",) * 5)
GENERATE = GenerateRequest(**JOB, prompt="a boat", count=2)


def progress(step: int, steps: int = 9) -> ProgressEvent:
    return ProgressEvent(**JOB, step=step, steps=steps)


def test_the_events_of_an_honest_worker_are_accepted() -> None:
    watch = AttemptValidator(TRAIN, 0.0)
    story: list[WorkerEvent] = [
        StartedEvent(**JOB, step=3, steps=9),
        progress(4),
        progress(4),
        CheckpointEvent(**JOB, step=4, data=b"state"),
        FallbackEvent(**JOB, step=4, **SLOWER),
        progress(9),
        DoneEvent(**JOB, lora=LORA),
    ]
    for event in story:
        watch.validate(event, 1.0)
    AttemptValidator(GENERATE, 0.0).validate(
        DoneEvent(**JOB, pictures=(b"one", b"two"), recipes=("a", "b")), 1.0
    )


@pytest.mark.parametrize(
    "event",
    [
        progress(10),
        progress(-1),
        progress(2**63, 2**63),
        StartedEvent(**JOB, step=0, steps=MAX_STEPS + 1),
        CheckpointEvent(**JOB, step=-1, data=b""),
        FailedEvent(**JOB, values={"name": "x" * 10_000}),
        FallbackEvent(**JOB, step=0, cause=FallbackCause.NOT_FINITE, memory_mode="x" * 10_000),
        DoneEvent(**JOB),
        DoneEvent(**JOB, lora=b""),
        DoneEvent(**JOB, lora=b"\x80\x04\x95 a pickle."),
        DoneEvent(**JOB, lora=LORA + b"PK and something behind it"),
        DoneEvent(**JOB, lora=LORA, recipes=("of what?",)),
    ],
)
def test_impossible_training_parameters_are_refused(event: WorkerEvent) -> None:
    with pytest.raises(ProtocolError):
        AttemptValidator(TRAIN, 0.0).validate(event, 1.0)


@pytest.mark.parametrize("pictures", [(), (b"1", b"2", b"3")])
def test_pictures_are_refused_when_more_or_fewer_than_asked_for(pictures: tuple[bytes, ...]) -> None:
    with pytest.raises(ProtocolError):
        AttemptValidator(GENERATE, 0.0).validate(DoneEvent(**JOB, pictures=pictures), 1.0)


def test_a_worker_that_goes_back_again_and_again_is_refused() -> None:
    watch, back = AttemptValidator(TRAIN, 0.0), FallbackEvent(**JOB, step=0, **SLOWER)
    for _ in range(MAX_ADJUSTMENTS):
        watch.validate(back, 1.0)
    with pytest.raises(ProtocolError):
        watch.validate(back, 1.0)


def test_progress_is_a_further_step_only() -> None:
    watch = AttemptValidator(TRAIN, 100.0)
    watch.validate(progress(1), 110.0)
    for now_s in range(111, 200):
        watch.validate(progress(1), float(now_s))
        watch.validate(CheckpointEvent(**JOB, step=1, data=b"state"), float(now_s))
    assert watch.stalled_for_s(200.0) == 90.0
    watch.validate(progress(2), 200.0)
    assert watch.stalled_for_s(200.0) == 0.0


def test_a_step_repeated_in_a_lower_memory_mode_counts_as_progress() -> None:
    watch = AttemptValidator(TRAIN, 0.0)
    watch.validate(progress(5), 10.0)
    watch.validate(FallbackEvent(**JOB, step=0, **SLOWER), 20.0)
    watch.validate(progress(1), 30.0)
    assert watch.stalled_for_s(30.0) == 0.0


async def test_events_come_out_as_they_went_in_and_end() -> None:
    attempt = AttemptEvents(AttemptValidator(TRAIN, 0.0))
    await attempt.put(progress(1))
    await attempt.put(progress(2))
    attempt.close()
    assert [await attempt.get() for _ in range(3)] == [progress(1), progress(2), None]


async def test_a_person_with_too_many_stored_requests_has_to_wait() -> None:
    import asyncio

    attempt = AttemptEvents(AttemptValidator(TRAIN, 0.0))
    for _ in range(MAX_QUEUED_EVENTS):
        await attempt.put(progress(1))
    waiting = asyncio.create_task(attempt.put(progress(2)))
    await asyncio.sleep(0)
    assert not waiting.done()
    await attempt.get()
    await waiting
    last = asyncio.create_task(attempt.put(progress(3)))
    await asyncio.sleep(0)
    attempt.close()
    await last  # nobody takes any more, so nobody is kept waiting


def test_any_bytes_are_a_message_or_a_protocol_error() -> None:
    health = WorkerHealth(device="cpu", base_model="tiny", base_model_loaded=True, process_memory_bytes=1)
    honest = [
        ReadyMessage(version=3, pid=1, health=health),
        FailedEvent(**JOB, values={"name": "No."}),
        DoneEvent(**JOB, lora=b"lora"),
    ]
    refused = 0
    for number in range(5000):
        chance = random.Random(number)
        body = bytearray(encode_frame(chance.choice(honest))[4:])
        for _ in range(chance.choice((1, 2, 5))):
            body[chance.randrange(len(body))] = chance.randrange(256)
        try:
            decode_message(bytes(body))
        except ProtocolError:
            refused += 1
    assert refused > 2500
