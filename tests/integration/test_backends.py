"""One contract for every backend, and what only a real process can show."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest
import pytest_asyncio

from bot.backends.base import GpuBackend
from bot.backends.fake import FakeBackend
from bot.backends.local import LocalBackend, Patience
from bot.backends.ray import RayBackend
from bot.errors import WorkerLost
from gpu_worker.protocol import (
    Done,
    Event,
    Failed,
    Generate,
    LoraUse,
    Preview,
    Progress,
    Start,
    Started,
    Train,
)
from tests.integration.fake_worker import as_lora
from tests.integration.ray_cluster import START_S, Cluster, needs_ray, running_cluster

# One loop, so that tests can have the same workers: contracts hold whatever was done before.
pytestmark = pytest.mark.asyncio(loop_scope="module")
COMMAND = [sys.executable, str(Path(__file__).with_name("fake_worker.py"))]
TOKENS = {"TELEGRAM_BOT_TOKEN": "1:canary", "DISCORD_BOT_TOKEN": "a.b.c"}


def train(job_id: int, order: bytes = b"steps=3", *, attempt: int = 1, resume: bytes | None = None) -> Train:
    return Train(job_id=job_id, attempt=attempt, photos=(order,) * 5, resume=resume)


def generate(job_id: int) -> Generate:
    return Generate(job_id=job_id, attempt=1, prompt="x")


async def all_events(backend: GpuBackend, request: Train | Generate) -> list[Event]:
    async with asyncio.timeout(200):
        return [event async for event in backend.run(request)]


@pytest_asyncio.fixture(loop_scope="module")
async def local() -> AsyncIterator[LocalBackend]:
    backend = LocalBackend(COMMAND)
    await backend.start()
    yield backend
    await backend.close()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with running_cluster() as cluster:
        cluster.node()
        yield cluster


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def on_local() -> AsyncIterator[LocalBackend]:
    """A worker that is a process here."""
    worker = LocalBackend(COMMAND, {**os.environ, **TOKENS})
    await worker.start()
    yield worker
    await worker.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def on_ray(cluster: Cluster) -> AsyncIterator[RayBackend]:
    """A worker on a cluster's only card. It takes seconds to come up, so all tests have the same."""
    worker = RayBackend(cluster.address, COMMAND[1:], {**cluster.environ, **TOKENS}, room_grace_s=START_S)
    await worker.start()
    # Whatever waits for it after this has a worker that was up already.
    await all_events(worker, generate(0))
    yield worker
    await worker.close()


@pytest.fixture(params=["local", pytest.param("ray", marks=needs_ray)])
def worker(request: pytest.FixtureRequest) -> LocalBackend | RayBackend:
    return request.getfixturevalue(f"on_{request.param}")  # type: ignore[no-any-return]


@pytest.fixture(params=["fake", "local", pytest.param("ray", marks=needs_ray)])
def backend(request: pytest.FixtureRequest) -> GpuBackend:
    if request.param == "fake":
        return FakeBackend()
    return request.getfixturevalue(f"on_{request.param}")  # type: ignore[no-any-return]


def worker_pid(worker: LocalBackend | RayBackend) -> int | None:
    """Give the pid of the process that does the work, wherever it is on this machine."""
    if isinstance(worker, LocalBackend):
        return worker.pid
    pids = worker.worker_pids()
    return pids[0] if pids else None


async def test_events_come_in_order_and_end_with_one_terminal_event(backend: GpuBackend) -> None:
    events = await all_events(backend, train(1))
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Done)
    assert sum(isinstance(event, Done | Failed) for event in events) == 1
    steps = [event.step for event in events if isinstance(event, Progress)]
    assert steps == sorted(steps)
    assert steps[-1] == 3


async def test_photos_sent_ahead_to_nobody_are_no_error() -> None:
    for backend in (LocalBackend(COMMAND), FakeBackend()):
        await backend.prepare(b"photo")
        await backend.forget(["0" * 64])


async def test_photos_sent_before_the_worker_is_up_are_not_kept_for_it() -> None:
    backend = LocalBackend(COMMAND)
    await backend.prepare(b"early")
    await backend.start()
    try:
        done = (await all_events(backend, train(1, b"prepared?")))[-1]
    finally:
        await backend.close()
    assert isinstance(done, Done)
    assert done.lora == as_lora(b"prepared: ")


async def test_photos_sent_ahead_to_a_worker_that_was_closed_are_no_error(local: LocalBackend) -> None:
    await all_events(local, train(1))
    await local.close()
    await local.prepare(b"late")
    await local.forget(["0" * 64])


async def test_a_training_goes_on_as_ever_after_its_photos_were_sent_ahead(backend: GpuBackend) -> None:
    await all_events(backend, train(1))  # it is up
    await backend.prepare(b"steps=3")
    assert isinstance((await all_events(backend, train(2)))[-1], Done)
    await backend.forget([hashlib.sha256(b"steps=3").hexdigest()])
    assert isinstance((await all_events(backend, train(3)))[-1], Done)


async def test_photos_may_be_sent_ahead_while_a_training_runs(backend: GpuBackend) -> None:
    if isinstance(backend, FakeBackend):
        backend.steps = 50
    steps = []
    async with asyncio.timeout(200), aclosing(backend.run(train(1, b"steps=50"))) as events:
        async for event in events:
            if isinstance(event, Progress):
                steps.append(event.step)
                photo = os.urandom(1000)
                await backend.prepare(photo)
                await backend.forget(["0" * 64, hashlib.sha256(photo).hexdigest()])
    assert steps[-1] == 50


async def test_a_worker_has_the_photos_sent_ahead_but_not_the_forgotten(
    worker: LocalBackend | RayBackend,
) -> None:
    await all_events(worker, train(1))  # it is up
    for photo in (b"one", b"two", b"three"):
        await worker.prepare(photo)
    await worker.forget([hashlib.sha256(b"two").hexdigest()])
    done = (await all_events(worker, train(2, b"prepared?")))[-1]
    assert isinstance(done, Done)
    assert done.lora == as_lora(b"prepared: one,three")


async def test_after_a_cancel_the_next_job_is_right(backend: GpuBackend) -> None:
    if isinstance(backend, FakeBackend):
        backend.steps = 10_000
    async with aclosing(backend.run(train(1, b"steps=10000"))) as events:
        async for event in events:
            if isinstance(event, Progress):
                break
    if isinstance(backend, FakeBackend):
        backend.steps = 3
    assert isinstance((await all_events(backend, train(2)))[-1], Done)


async def test_twenty_cancelled_waiters_leave_the_next_job_right(backend: GpuBackend) -> None:
    if isinstance(backend, FakeBackend):
        backend.steps = 10_000
    for number in range(20):
        task = asyncio.create_task(all_events(backend, train(number, b"steps=10000")))
        await asyncio.sleep(0.001 * number)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    if isinstance(backend, FakeBackend):
        backend.steps = 3
    assert isinstance((await all_events(backend, train(99)))[-1], Done)


async def test_a_generation_does_not_wait_for_a_training_to_end(backend: GpuBackend) -> None:
    if isinstance(backend, FakeBackend):
        backend.gate.clear()
    training = asyncio.create_task(all_events(backend, train(1, b"steps=2000")))
    if isinstance(backend, FakeBackend):
        backend.gate.set()
        backend.steps = 1
    assert isinstance((await all_events(backend, generate(2)))[-1], Done)
    if not isinstance(backend, FakeBackend):
        assert not training.done()
    training.cancel()
    await asyncio.wait([training])


async def test_twenty_megabytes_travel_both_ways(worker: LocalBackend | RayBackend) -> None:
    data = os.urandom(1024) * 20_480
    request = Train(job_id=1, attempt=1, photos=(data,))
    last = (await all_events(worker, request))[-1]
    assert isinstance(last, Done)
    assert last.lora == as_lora(data)


async def test_deaths_of_the_worker_are_counted(worker: LocalBackend | RayBackend) -> None:
    await all_events(worker, train(1))
    before = worker.deaths()
    with pytest.raises(WorkerLost):
        await all_events(worker, train(2, b"poison"))
    await all_events(worker, train(3))
    assert worker.deaths() == before + 1


async def test_an_ordered_end_is_no_death(local: LocalBackend) -> None:
    await all_events(local, train(1))
    await local.close()
    assert local.deaths() == 0


async def test_a_killed_worker_is_a_lost_attempt_and_the_next_goes_on_from_its_checkpoint(
    worker: LocalBackend | RayBackend,
) -> None:
    with pytest.raises(WorkerLost):
        async for event in worker.run(train(1, b"steps=10000")):
            if isinstance(event, Progress) and (pid := worker_pid(worker)) is not None:
                os.kill(pid, signal.SIGKILL)
    last = (await all_events(worker, train(1, b"steps=9", attempt=2, resume=b"7")))[-1]
    assert isinstance(last, Done)
    assert last.lora == as_lora(b"lora of 7")


@pytest.mark.parametrize("order", [b"poison", b"garbage"])
async def test_a_job_that_breaks_its_worker_is_lost_and_the_next_one_runs(
    worker: LocalBackend | RayBackend, order: bytes
) -> None:
    with pytest.raises(WorkerLost):
        await all_events(worker, train(1, order))
    assert isinstance((await all_events(worker, train(2)))[-1], Done)


async def test_bad_input_and_a_bug_end_one_job_and_not_the_worker(worker: LocalBackend | RayBackend) -> None:
    assert (await all_events(worker, train(1)))[-1]
    pid = worker_pid(worker)
    refused = (await all_events(worker, train(2, b"refuse")))[-1]
    assert isinstance(refused, Failed)
    assert refused.reason == "These photos cannot be used."
    broken = (await all_events(worker, train(3, b"bug")))[-1]
    assert isinstance(broken, Failed)
    assert "Please try again" in broken.reason
    assert worker_pid(worker) == pid


async def test_tokens_never_reach_the_worker(worker: LocalBackend | RayBackend) -> None:
    last = (await all_events(worker, generate(1)))[-1]
    assert isinstance(last, Done)
    assert b"BOT_TOKEN" not in last.pictures[0]


async def test_a_silent_worker_is_replaced() -> None:
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    backend = LocalBackend(command, patience=Patience(silence_s=0.2, cancel_grace_s=0.2))
    await backend.start()
    try:
        pids = set()
        async with asyncio.timeout(200):
            while len(pids) < 2:
                process = backend._process
                if process is not None:
                    pids.add(process.pid)
                await asyncio.sleep(0.01)
    finally:
        await backend.close()


async def test_previews_and_recipes_come_through_the_pipe(worker: LocalBackend | RayBackend) -> None:
    lora = LoraUse(data=b"lora", sha256="0" * 64, name="40713386", strength=0.5)
    start = Start(picture=b"picture", redraw=0.35)
    request = Generate(
        job_id=1,
        attempt=1,
        prompt="a boat",
        loras=(lora,),
        start=start,
        shape="portrait",
        preview_every_s=4.0,
    )
    *_, preview, done = await all_events(worker, request)
    assert preview == Preview(job_id=1, attempt=1, png=b"preview")
    assert isinstance(done, Done)
    assert done.recipes == ("a boat 40713386:0.5",)
