"""Which of several workers takes a job, and how many jobs are taken at all."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import aclosing
from pathlib import Path

import pytest

from bot.app.factories import make_backend
from bot.app.settings import Settings
from bot.core.errors import SettingsError, WorkerLost
from bot.core.jobs import MAX_CONCURRENT_GENERATIONS
from bot.jobs.backends.fake import FakeBackend
from bot.jobs.backends.local import POOL_TIMEOUTS, ProcessBackend
from bot.jobs.backends.pool import WorkerPool, merge_health
from gpu_worker.protocol import (
    DoneEvent,
    GenerateRequest,
    JobRequest,
    LoraUse,
    TrainRequest,
    WorkerEvent,
    WorkerHealth,
)
from tests.support.fake_worker import prefetch_request


def generate(job_id: int, lora: str = "a") -> GenerateRequest:
    use = LoraUse(data=b"lora", sha256=lora * 64, name=lora)
    return GenerateRequest(job_id=job_id, attempt=1, prompt="x", loras=(use,))


def train(job_id: int, *photos: bytes) -> TrainRequest:
    photos = photos or (b"1", b"2", b"3", b"4", b"5")
    photo_hashes = tuple(hashlib.sha256(photo).hexdigest() for photo in photos)
    return TrainRequest(job_id=job_id, attempt=1, photos=photos, photo_hashes=photo_hashes)


async def events_of(backend: WorkerPool, request: JobRequest) -> list[WorkerEvent]:
    return [event async for event in backend.run(request)]


def jobs_of(seat: FakeBackend) -> list[int]:
    return [request.job_id for request in seat.requests]


def held(seats: list[FakeBackend]) -> None:
    """Let jobs begin on these seats, and not end."""
    for seat in seats:
        seat.proceed_event.clear()


async def until(is_so: object) -> None:
    async with asyncio.timeout(10):
        while not is_so():  # type: ignore[operator]
            await asyncio.sleep(0)


async def test_a_lora_goes_back_to_the_worker_that_holds_it() -> None:
    seats = [FakeBackend(), FakeBackend()]
    fleet = WorkerPool(seats)
    held([seats[0]])
    first = asyncio.create_task(events_of(fleet, generate(0, "a")))
    await until(lambda: seats[0].requests)
    assert isinstance((await events_of(fleet, generate(1, "b")))[-1], DoneEvent)
    seats[0].proceed_event.set()
    await first
    for number in range(20):
        await events_of(fleet, generate(100 + number, "ab"[number % 2]))
    assert jobs_of(seats[0])[1:] == [100 + number for number in range(0, 20, 2)]
    assert jobs_of(seats[1])[1:] == [100 + number for number in range(1, 20, 2)]


async def test_a_worker_that_has_the_lora_but_is_crowded_is_passed_by() -> None:
    seats = [FakeBackend(), FakeBackend()]
    fleet = WorkerPool(seats)
    held(seats)
    tasks = [asyncio.create_task(events_of(fleet, generate(number))) for number in range(4)]
    await until(lambda: sum(len(seat.requests) for seat in seats) == 4)
    assert len(seats[0].requests) == len(seats[1].requests) == 2
    for seat in seats:
        seat.proceed_event.set()
    await asyncio.gather(*tasks)


async def test_a_training_goes_to_the_worker_that_was_sent_its_photos() -> None:
    seats = [FakeBackend(), FakeBackend()]
    fleet = WorkerPool(seats)
    held([seats[0]])
    other = asyncio.create_task(events_of(fleet, train(1, b"other")))
    await until(lambda: seats[0].requests)
    for number in range(5):
        await fleet.prefetch(prefetch_request(b"%d" % number))
    assert seats[1].prefetched_photos == [b"0", b"1", b"2", b"3", b"4"]
    seats[0].proceed_event.set()
    await other
    await events_of(fleet, train(2, *seats[1].prefetched_photos))
    assert jobs_of(seats[1]) == [2]
    gone = hashlib.sha256(b"0").hexdigest()
    await fleet.forget([gone])
    assert seats[0].forgotten_hashes == seats[1].forgotten_hashes == [gone]


async def test_each_worker_has_one_training_and_a_few_generations() -> None:
    seats = [FakeBackend(), FakeBackend()]
    fleet = WorkerPool(seats)
    held(seats)
    requests: list[JobRequest] = [train(1), train(2), train(3)]
    requests += [generate(10 + number) for number in range(2 * MAX_CONCURRENT_GENERATIONS + 1)]
    tasks = [asyncio.create_task(events_of(fleet, request)) for request in requests]
    most = 2 * (1 + MAX_CONCURRENT_GENERATIONS)
    await until(lambda: sum(seat.max_concurrency for seat in seats) == most)
    for seat in seats:
        seat.proceed_event.set()
    await asyncio.gather(*tasks)
    assert sorted(jobs_of(seats[0]) + jobs_of(seats[1])) == sorted(request.job_id for request in requests)
    assert [seat.max_concurrency for seat in seats] == [most // 2, most // 2]


async def test_a_worker_that_comes_late_is_given_what_waits() -> None:
    first, late = FakeBackend(), FakeBackend()
    changes: list[int] = []
    fleet = WorkerPool([first])
    fleet.subscribe(lambda: changes.append(fleet.worker_count()))
    held([first])
    waiting = [asyncio.create_task(events_of(fleet, train(number))) for number in (1, 2)]
    await until(lambda: first.requests)
    late.set_workers(workers=0)
    await fleet.add_slot(late)
    assert fleet.worker_count() == 1
    late.set_workers(workers=1)
    await until(lambda: late.requests)
    assert (fleet.worker_count(), changes[-1]) == (2, 2)
    first.proceed_event.set()
    await asyncio.gather(*waiting)


async def test_an_attempt_is_lost_where_no_worker_becomes_ready() -> None:
    seat = FakeBackend()
    seat.set_workers(workers=0)
    with pytest.raises(WorkerLost, match="no worker became ready"):
        await events_of(WorkerPool([seat], slot_timeout_s=0.01), generate(1))


async def test_a_new_life_of_a_worker_knows_no_lora() -> None:
    seats = [FakeBackend(), FakeBackend()]
    fleet = WorkerPool(seats)
    await events_of(fleet, generate(1, "a"))
    seats[0].set_workers(workers=0)
    await events_of(fleet, generate(2, "a"))
    seats[0].set_workers(workers=1)
    await events_of(fleet, generate(3, "a"))
    assert jobs_of(seats[1]) == [2, 3]


async def test_deaths_are_counted_of_all_and_of_those_that_left() -> None:
    seats = [FakeBackend(), FakeBackend()]
    fleet = WorkerPool(seats)
    for job_id, seat in enumerate(seats, start=1):
        seat.crashing_jobs = {job_id}
        with pytest.raises(WorkerLost):
            _ = [event async for event in seat.run(generate(job_id))]
    assert fleet.crash_count() == 2
    await fleet.remove_slot(seats[0])
    assert fleet.crash_count() == 2


async def test_a_cancelled_attempt_makes_room() -> None:
    seat = FakeBackend(steps=1000)
    fleet = WorkerPool([seat])
    async with aclosing(fleet.run(train(1))) as events:
        async for _event in events:
            break
    assert seat.cancelled_jobs == [1]
    seat.steps = 1
    assert isinstance((await events_of(fleet, train(2)))[-1], DoneEvent)


def health(**changes: int | str | bool) -> WorkerHealth:
    usual = {"device": "card", "base_model": "m", "base_model_loaded": True, "process_memory_bytes": 10}
    return WorkerHealth(**{**usual, **changes})  # type: ignore[arg-type]


def test_several_workers_are_told_as_one() -> None:
    assert merge_health([]) is None
    hot = health(device_temperature_c=80, device_load_percent=50, device_memory_used_bytes=1)
    both = merge_health([hot, health(device="cpu", base_model_loaded=False, loading="10 %"), hot])
    assert both is not None
    assert both.device == "2 x card, 1 x cpu"
    assert (both.process_memory_bytes, both.base_model_loaded, both.loading) == (30, False, "10 %")
    assert (both.device_temperature_c, both.device_load_percent, both.device_memory_used_bytes) == (80, 50, 2)


async def test_each_local_worker_sees_one_card(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, workers=2)
    fleet = make_backend(settings, {"CUDA_VISIBLE_DEVICES": "4, 7,9"})
    assert isinstance(fleet, WorkerPool)
    seats = [place.slot for place in fleet._slot_states if isinstance(place.slot, ProcessBackend)]
    assert [seat._environ["CUDA_VISIBLE_DEVICES"] for seat in seats] == ["4", "7"]
    assert {seat._environ["CUDA_DEVICE_ORDER"] for seat in seats} == {"PCI_BUS_ID"}
    assert {seat._timeouts for seat in seats} == {POOL_TIMEOUTS}
    with pytest.raises(SettingsError, match="CUDA_VISIBLE_DEVICES names 1"):
        make_backend(settings, {"CUDA_VISIBLE_DEVICES": "4"})
    assert isinstance(make_backend(Settings(data_dir=tmp_path), {}), ProcessBackend)
