"""What the bot believes of a worker, and what it does not."""

from __future__ import annotations

import random

import pytest

from bot.jobs.backends.local._attempt import MAX_WAITING, Attempt
from bot.jobs.backends.local._validator import MAX_ADJUSTED, MAX_STEPS, Watch
from gpu_worker.errors import ProtocolError
from gpu_worker.protocol import (
    Adjusted,
    Checkpoint,
    Done,
    Event,
    Failed,
    Generate,
    Health,
    Progress,
    Ready,
    Started,
    Train,
    decode_answer,
    encode,
)
from tests.integration.fake_worker import as_lora

LORA = as_lora(b"numbers")
JOB = {"job_id": 1, "attempt": 1}
TRAIN = Train(**JOB, photos=(b"photo",) * 5)
GENERATE = Generate(**JOB, prompt="a boat", count=2)


def progress(step: int, steps: int = 9) -> Progress:
    return Progress(**JOB, step=step, steps=steps)


def test_what_an_honest_worker_says_is_believed() -> None:
    watch = Watch(TRAIN, 0.0)
    story: list[Event] = [
        Started(**JOB, step=3, steps=9),
        progress(4),
        progress(4),
        Checkpoint(**JOB, step=4, data=b"state"),
        Adjusted(**JOB, step=4, reason="There was too little memory."),
        progress(9),
        Done(**JOB, lora=LORA),
    ]
    for event in story:
        watch.hear(event, 1.0)
    Watch(GENERATE, 0.0).hear(Done(**JOB, pictures=(b"one", b"two"), recipes=("a", "b")), 1.0)


@pytest.mark.parametrize(
    "event",
    [
        progress(10),
        progress(-1),
        progress(2**63, 2**63),
        Started(**JOB, step=0, steps=MAX_STEPS + 1),
        Checkpoint(**JOB, step=-1, data=b""),
        Failed(**JOB, reason="x" * 10_000),
        Done(**JOB),
        Done(**JOB, lora=b""),
        Done(**JOB, lora=b"\x80\x04\x95 a pickle."),
        Done(**JOB, lora=LORA + b"PK and something behind it"),
        Done(**JOB, lora=LORA, recipes=("of what?",)),
    ],
)
def test_what_no_training_can_be_is_refused(event: Event) -> None:
    with pytest.raises(ProtocolError):
        Watch(TRAIN, 0.0).hear(event, 1.0)


@pytest.mark.parametrize("pictures", [(), (b"1", b"2", b"3")])
def test_more_or_fewer_pictures_than_asked_for_are_refused(pictures: tuple[bytes, ...]) -> None:
    with pytest.raises(ProtocolError):
        Watch(GENERATE, 0.0).hear(Done(**JOB, pictures=pictures), 1.0)


def test_a_worker_that_goes_back_again_and_again_is_refused() -> None:
    watch, back = Watch(TRAIN, 0.0), Adjusted(**JOB, step=0, reason="Once more.")
    for _ in range(MAX_ADJUSTED):
        watch.hear(back, 1.0)
    with pytest.raises(ProtocolError):
        watch.hear(back, 1.0)


def test_only_a_further_step_counts_as_getting_on() -> None:
    watch = Watch(TRAIN, 100.0)
    watch.hear(progress(1), 110.0)
    for now_s in range(111, 200):
        watch.hear(progress(1), float(now_s))
        watch.hear(Checkpoint(**JOB, step=1, data=b"state"), float(now_s))
    assert watch.stands_still_s(200.0) == 90.0
    watch.hear(progress(2), 200.0)
    assert watch.stands_still_s(200.0) == 0.0


def test_a_step_that_is_done_again_in_a_lower_gear_counts_as_getting_on() -> None:
    watch = Watch(TRAIN, 0.0)
    watch.hear(progress(5), 10.0)
    watch.hear(Adjusted(**JOB, step=0, reason="Slower."), 20.0)
    watch.hear(progress(1), 30.0)
    assert watch.stands_still_s(30.0) == 0.0


async def test_events_come_out_as_they_went_in_and_end() -> None:
    attempt = Attempt(Watch(TRAIN, 0.0))
    await attempt.put(progress(1))
    await attempt.put(progress(2))
    attempt.end()
    assert [await attempt.take() for _ in range(3)] == [progress(1), progress(2), None]


async def test_who_says_more_than_is_written_down_has_to_wait() -> None:
    import asyncio

    attempt = Attempt(Watch(TRAIN, 0.0))
    for _ in range(MAX_WAITING):
        await attempt.put(progress(1))
    waiting = asyncio.create_task(attempt.put(progress(2)))
    await asyncio.sleep(0)
    assert not waiting.done()
    await attempt.take()
    await waiting
    last = asyncio.create_task(attempt.put(progress(3)))
    await asyncio.sleep(0)
    attempt.end()
    await last  # nobody takes any more, so nobody is kept waiting


def test_any_bytes_are_a_message_or_a_protocol_error() -> None:
    health = Health(device="cpu", base_model="tiny", base_model_loaded=True, process_memory_bytes=1)
    honest = [Ready(version=3, pid=1, health=health), Failed(**JOB, reason="No."), Done(**JOB, lora=b"lora")]
    refused = 0
    for number in range(5000):
        chance = random.Random(number)
        body = bytearray(encode(chance.choice(honest))[4:])
        for _ in range(chance.choice((1, 2, 5))):
            body[chance.randrange(len(body))] = chance.randrange(256)
        try:
            decode_answer(bytes(body))
        except ProtocolError:
            refused += 1
    assert refused > 2500
