"""One contract, unchanged for workers in this event loop, as processes here and on a cluster.

Each holds whatever was done before: the workers are the same for all of them, as to start some takes seconds.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, nullcontext

import pytest
import pytest_asyncio

from bot.core.errors import WorkerLost
from gpu_worker.protocol import (
    CancelledEvent,
    DoneEvent,
    FailedEvent,
    GenerateRequest,
    InitImage,
    JobProblem,
    LoraUse,
    PreviewEvent,
    ProgressEvent,
    StartedEvent,
    TrainRequest,
)
from tests.support.backend_fixtures import (
    FakeRig,
    LocalRig,
    Misfit,
    RayRig,
    Rig,
    Running,
    all_events,
    drawn_by,
    generate,
    train,
)
from tests.support.fake_worker import as_lora, prefetch_request
from tests.support.ray_cluster import needs_ray, running_cluster

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]
ENDLESS = b"steps=1000000 who"
#: A frozen worker's job has begun elsewhere after so long.
MOVED_WITHIN_S = 15.0


@pytest_asyncio.fixture(
    scope="module",
    loop_scope="module",
    params=["fake", "local", pytest.param("ray", marks=[needs_ray, pytest.mark.cluster])],
)
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    with running_cluster() if request.param == "ray" else nullcontext() as cluster:
        made = RayRig(cluster) if cluster else FakeRig() if request.param == "fake" else LocalRig()
        await made.backend.start()
        yield made
        await made.close()


async def test_events_come_in_order_and_end_with_one_terminal_event(rig: Rig) -> None:
    await rig.have(1)
    events = await all_events(rig.backend, train(1))
    assert isinstance(events[0], StartedEvent)
    assert isinstance(events[-1], DoneEvent)
    assert sum(isinstance(event, DoneEvent | FailedEvent | CancelledEvent) for event in events) == 1
    steps = [event.step for event in events if isinstance(event, ProgressEvent)]
    assert steps == sorted(steps)
    assert steps[-1] == 3
    assert {(event.job_id, event.attempt) for event in events} == {(1, 1)}


async def test_a_job_after_a_cancelled_one_is_right(rig: Rig) -> None:
    await rig.have(1)
    async with aclosing(rig.backend.run(train(1, ENDLESS))) as events:
        async for event in events:
            if isinstance(event, ProgressEvent):
                break
    assert isinstance((await all_events(rig.backend, train(2)))[-1], DoneEvent)


async def test_twenty_cancelled_waiters_leave_the_next_job_right(rig: Rig) -> None:
    await rig.have(1)
    for number in range(20):
        task = asyncio.create_task(all_events(rig.backend, train(number, ENDLESS)))
        await asyncio.sleep(0.001 * number)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert isinstance((await all_events(rig.backend, train(99)))[-1], DoneEvent)


async def test_a_worker_draws_while_it_trains(rig: Rig) -> None:
    await rig.have(1)
    trainings = [Running(rig.backend, train(number, ENDLESS)) for number in range(rig.size)]
    names = {await training.name() for training in trainings}
    assert await drawn_by(rig.backend, generate(100, "who")) in names
    assert len(names) == rig.size
    assert not any(training.task.done() for training in trainings)
    for training in trainings:
        await training.cancel()


async def test_twenty_megabytes_travel_both_ways(rig: Rig) -> None:
    await rig.have(1)
    data = os.urandom(1024) * 20_480
    done = (await all_events(rig.backend, TrainRequest(job_id=1, attempt=1, photos=(data,))))[-1]
    assert isinstance(done, DoneEvent)
    assert (done.lora == as_lora(data)) is True, "what came back is not what was sent"


async def test_previews_and_recipes_come_with_pictures(rig: Rig) -> None:
    await rig.have(1)
    request = GenerateRequest(
        job_id=1,
        attempt=1,
        prompt="a boat",
        loras=(LoraUse(data=b"lora", sha256="0" * 64, name="40713386", strength=0.5),),
        init_image=InitImage(data=b"picture", denoising_strength=0.35),
        shape="portrait",
        preview_interval_s=4.0,
    )
    *_, preview, done = await all_events(rig.backend, request)
    assert preview == PreviewEvent(job_id=1, attempt=1, png=b"preview")
    assert isinstance(done, DoneEvent)
    assert done.recipes == ("a boat 40713386:0.5",)


async def test_tokens_never_reach_a_worker(rig: Rig) -> None:
    await rig.have(1)
    done = (await all_events(rig.backend, generate(1)))[-1]
    assert isinstance(done, DoneEvent)
    assert b"BOT_TOKEN" not in done.pictures[0]


async def test_a_training_goes_on_as_ever_after_its_photos_were_sent_ahead(rig: Rig) -> None:
    await rig.have(1)
    await rig.backend.prefetch(prefetch_request(b"steps=3"))
    assert isinstance((await all_events(rig.backend, train(2)))[-1], DoneEvent)
    await rig.backend.forget([hashlib.sha256(b"steps=3").hexdigest()])
    assert isinstance((await all_events(rig.backend, train(3)))[-1], DoneEvent)


async def test_photos_may_be_sent_ahead_while_a_training_runs(rig: Rig) -> None:
    await rig.have(1)
    steps = []
    async for event in rig.backend.run(train(1, b"steps=50")):
        if isinstance(event, ProgressEvent):
            steps.append(event.step)
            photo = os.urandom(1000)
            await rig.backend.prefetch(prefetch_request(photo))
            await rig.backend.forget(["0" * 64, hashlib.sha256(photo).hexdigest()])
    assert steps[-1] == 50


async def test_a_training_finds_the_photos_sent_ahead_but_not_the_forgotten(rig: Rig) -> None:
    await rig.have(1)
    photos = [os.urandom(8).hex().encode() for _photo in range(3)]
    for photo in photos:
        await rig.backend.prefetch(prefetch_request(photo))
    await rig.backend.forget([hashlib.sha256(photos[1]).hexdigest()])
    done = (await all_events(rig.backend, train(1, b"prepared?")))[-1]
    assert isinstance(done, DoneEvent)
    assert done.lora is not None
    assert [photo in done.lora for photo in photos] == [True, False, True]


async def test_a_lora_goes_back_to_the_worker_that_holds_it(rig: Rig) -> None:
    await rig.have(2)
    first = Running(rig.backend, generate(1, "who steps=1000000", "a"))
    holds_a = await first.name()
    holds_b = await drawn_by(rig.backend, generate(2, "who", "b"))
    await first.cancel()
    assert holds_b != holds_a
    for number in range(5):
        assert await drawn_by(rig.backend, generate(10 + number, "who", "a")) == holds_a
        assert await drawn_by(rig.backend, generate(20 + number, "who", "b")) == holds_b


async def test_an_attempt_of_a_killed_worker_is_lost_and_the_next_resumes(rig: Rig) -> None:
    await rig.have(1)
    before = rig.backend.crash_count()
    running = Running(rig.backend, train(1, ENDLESS))
    await rig.kill(await running.name())
    with pytest.raises(WorkerLost):
        await running.task
    done = (await all_events(rig.backend, train(1, b"steps=9", attempt=2, resume=b"7")))[-1]
    assert isinstance(done, DoneEvent)
    assert done.lora == as_lora(b"lora of 7")
    assert rig.backend.crash_count() == before + 1


@pytest.mark.parametrize("order", [b"poison", b"garbage"])
async def test_a_job_that_breaks_its_worker_is_lost_and_the_next_one_runs(rig: Rig, order: bytes) -> None:
    await rig.have(1)
    before = rig.backend.crash_count()
    with pytest.raises(WorkerLost):
        await all_events(rig.backend, train(1, order))
    assert rig.backend.crash_count() == before + 1
    assert isinstance((await all_events(rig.backend, train(2)))[-1], DoneEvent)


@pytest.mark.parametrize(
    ("order", "problem"), [(b"refuse", JobProblem.PHOTO_UNREADABLE), (b"bug", JobProblem.UNEXPECTED)]
)
async def test_bad_input_and_a_bug_end_one_job_and_not_the_worker(
    rig: Rig, order: bytes, problem: JobProblem
) -> None:
    await rig.have(1)
    before = rig.backend.crash_count()
    failed = (await all_events(rig.backend, train(2, order)))[-1]
    assert failed == FailedEvent(job_id=2, attempt=1, problem=problem)
    assert isinstance((await all_events(rig.backend, train(3)))[-1], DoneEvent)
    assert rig.backend.crash_count() == before


async def test_a_worker_that_joins_late_is_given_what_waits(rig: Rig) -> None:
    await rig.have(1)
    early = [Running(rig.backend, train(number, ENDLESS)) for number in range(rig.size)]
    busy = [await training.name() for training in early]
    waiting = Running(rig.backend, train(100, ENDLESS))
    await rig.add()
    assert await waiting.name() not in busy
    for training in (*early, waiting):
        await training.cancel()


async def test_the_job_of_a_worker_that_leaves_goes_on_elsewhere(rig: Rig) -> None:
    await rig.have(2)
    running = Running(rig.backend, train(1, ENDLESS))
    left = await running.name()
    await rig.leave(left)
    with pytest.raises(WorkerLost):
        await running.task
    again = Running(rig.backend, train(1, ENDLESS, attempt=2, resume=b"7"))
    assert await again.name() != left
    await again.cancel()


async def test_the_job_of_a_frozen_worker_has_begun_elsewhere_within_15_s(rig: Rig) -> None:
    await rig.have(2)
    running = Running(rig.backend, train(1, ENDLESS))
    frozen = await running.name()
    await rig.freeze(frozen)
    began = time.monotonic()
    with pytest.raises(WorkerLost):
        await running.task
    again = Running(rig.backend, train(1, ENDLESS, attempt=2, resume=b"7"))
    assert await again.name() != frozen
    assert time.monotonic() - began < MOVED_WITHIN_S
    await again.cancel()


@pytest.mark.parametrize("why", Misfit)
async def test_a_worker_that_does_not_fit_is_told_of_and_given_nothing(
    rig: Rig, why: Misfit, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await rig.have(1)
    async with rig.misfit(why, caplog):
        jobs = [Running(rig.backend, train(number, ENDLESS)) for number in range(rig.size)]
        names = {await job.name() for job in jobs}
        assert len(names) == rig.backend.worker_count() == rig.size
        for job in jobs:
            await job.cancel()
