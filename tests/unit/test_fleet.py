"""Which of several workers takes a job, and how many jobs are taken at all."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import aclosing
from pathlib import Path

import pytest

from bot.app.root import workers
from bot.app.settings import Settings
from bot.core.errors import SettingsError, WorkerLost
from bot.core.jobs import MAX_GENERATIONS_AT_ONCE
from bot.jobs.backends.fake import FakeBackend
from bot.jobs.backends.local import AMONG_OTHERS, LocalBackend
from bot.jobs.backends.pool import Fleet, together
from gpu_worker.protocol import Done, Event, Generate, Health, JobRequest, LoraUse, Train


def generate(job_id: int, lora: str = "a") -> Generate:
    use = LoraUse(data=b"lora", sha256=lora * 64, name=lora)
    return Generate(job_id=job_id, attempt=1, prompt="x", loras=(use,))


def train(job_id: int, *photos: bytes) -> Train:
    return Train(job_id=job_id, attempt=1, photos=photos or (b"1", b"2", b"3", b"4", b"5"))


async def events_of(backend: Fleet, request: JobRequest) -> list[Event]:
    return [event async for event in backend.run(request)]


def jobs_of(seat: FakeBackend) -> list[int]:
    return [request.job_id for request in seat.requests]


def held(seats: list[FakeBackend]) -> None:
    """Let jobs begin on these seats, and not end."""
    for seat in seats:
        seat.gate.clear()


async def until(is_so: object) -> None:
    async with asyncio.timeout(10):
        while not is_so():  # type: ignore[operator]
            await asyncio.sleep(0)


async def test_a_lora_goes_back_to_the_worker_that_holds_it() -> None:
    seats = [FakeBackend(), FakeBackend()]
    fleet = Fleet(seats)
    held([seats[0]])
    first = asyncio.create_task(events_of(fleet, generate(0, "a")))
    await until(lambda: seats[0].requests)
    assert isinstance((await events_of(fleet, generate(1, "b")))[-1], Done)
    seats[0].gate.set()
    await first
    for number in range(20):
        await events_of(fleet, generate(100 + number, "ab"[number % 2]))
    assert jobs_of(seats[0])[1:] == [100 + number for number in range(0, 20, 2)]
    assert jobs_of(seats[1])[1:] == [100 + number for number in range(1, 20, 2)]


async def test_a_worker_that_has_the_lora_but_is_crowded_is_passed_by() -> None:
    seats = [FakeBackend(), FakeBackend()]
    fleet = Fleet(seats)
    held(seats)
    tasks = [asyncio.create_task(events_of(fleet, generate(number))) for number in range(4)]
    await until(lambda: sum(len(seat.requests) for seat in seats) == 4)
    assert len(seats[0].requests) == len(seats[1].requests) == 2
    for seat in seats:
        seat.gate.set()
    await asyncio.gather(*tasks)


async def test_a_training_goes_to_the_worker_that_was_sent_its_photos() -> None:
    seats = [FakeBackend(), FakeBackend()]
    fleet = Fleet(seats)
    held([seats[0]])
    other = asyncio.create_task(events_of(fleet, train(1, b"other")))
    await until(lambda: seats[0].requests)
    for number in range(5):
        await fleet.prepare(b"%d" % number)
    assert seats[1].prepared == [b"0", b"1", b"2", b"3", b"4"]
    seats[0].gate.set()
    await other
    await events_of(fleet, train(2, *seats[1].prepared))
    assert jobs_of(seats[1]) == [2]
    gone = hashlib.sha256(b"0").hexdigest()
    await fleet.forget([gone])
    assert seats[0].forgotten == seats[1].forgotten == [gone]


async def test_each_worker_has_one_training_and_a_few_generations() -> None:
    seats = [FakeBackend(), FakeBackend()]
    fleet = Fleet(seats)
    held(seats)
    requests: list[JobRequest] = [train(1), train(2), train(3)]
    requests += [generate(10 + number) for number in range(2 * MAX_GENERATIONS_AT_ONCE + 1)]
    tasks = [asyncio.create_task(events_of(fleet, request)) for request in requests]
    most = 2 * (1 + MAX_GENERATIONS_AT_ONCE)
    await until(lambda: sum(seat.at_once for seat in seats) == most)
    for seat in seats:
        seat.gate.set()
    await asyncio.gather(*tasks)
    assert sorted(jobs_of(seats[0]) + jobs_of(seats[1])) == sorted(request.job_id for request in requests)
    assert [seat.at_once for seat in seats] == [most // 2, most // 2]


async def test_a_worker_that_comes_late_is_given_what_waits() -> None:
    first, late = FakeBackend(), FakeBackend()
    changes: list[int] = []
    fleet = Fleet([first])
    fleet.tell_changes(lambda: changes.append(fleet.seats()))
    held([first])
    waiting = [asyncio.create_task(events_of(fleet, train(number))) for number in (1, 2)]
    await until(lambda: first.requests)
    late.play(workers=0)
    await fleet.join(late)
    assert fleet.seats() == 1
    late.play(workers=1)
    await until(lambda: late.requests)
    assert (fleet.seats(), changes[-1]) == (2, 2)
    first.gate.set()
    await asyncio.gather(*waiting)


async def test_where_no_worker_becomes_ready_the_attempt_is_lost() -> None:
    seat = FakeBackend()
    seat.play(workers=0)
    with pytest.raises(WorkerLost, match="no worker became ready"):
        await events_of(Fleet([seat], room_grace_s=0.01), generate(1))


async def test_a_new_life_of_a_worker_knows_no_lora() -> None:
    seats = [FakeBackend(), FakeBackend()]
    fleet = Fleet(seats)
    await events_of(fleet, generate(1, "a"))
    seats[0].play(workers=0)
    await events_of(fleet, generate(2, "a"))
    seats[0].play(workers=1)
    await events_of(fleet, generate(3, "a"))
    assert jobs_of(seats[1]) == [2, 3]


async def test_deaths_are_counted_of_all_and_of_those_that_left() -> None:
    seats = [FakeBackend(), FakeBackend()]
    fleet = Fleet(seats)
    for job_id, seat in enumerate(seats, start=1):
        seat.poison = {job_id}
        with pytest.raises(WorkerLost):
            _ = [event async for event in seat.run(generate(job_id))]
    assert fleet.deaths() == 2
    await fleet.leave(seats[0])
    assert fleet.deaths() == 2


async def test_a_cancelled_attempt_makes_room() -> None:
    seat = FakeBackend(steps=1000)
    fleet = Fleet([seat])
    async with aclosing(fleet.run(train(1))) as events:
        async for _event in events:
            break
    assert seat.cancelled == [1]
    seat.steps = 1
    assert isinstance((await events_of(fleet, train(2)))[-1], Done)


def health(**changes: int | str | bool) -> Health:
    usual = {"device": "card", "base_model": "m", "base_model_loaded": True, "process_memory_bytes": 10}
    return Health(**{**usual, **changes})  # type: ignore[arg-type]


def test_several_workers_are_told_as_one() -> None:
    assert together([]) is None
    hot = health(device_temperature_c=80, device_load_percent=50, device_memory_used_bytes=1)
    both = together([hot, health(device="cpu", base_model_loaded=False, loading="10 %"), hot])
    assert both is not None
    assert both.device == "2 x card, 1 x cpu"
    assert (both.process_memory_bytes, both.base_model_loaded, both.loading) == (30, False, "10 %")
    assert (both.device_temperature_c, both.device_load_percent, both.device_memory_used_bytes) == (80, 50, 2)


async def test_each_local_worker_sees_one_card(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, workers=2)
    fleet = workers(settings, {"CUDA_VISIBLE_DEVICES": "4, 7,9"})
    assert isinstance(fleet, Fleet)
    seats = [place.seat for place in fleet._places if isinstance(place.seat, LocalBackend)]
    assert [seat._environ["CUDA_VISIBLE_DEVICES"] for seat in seats] == ["4", "7"]
    assert {seat._patience for seat in seats} == {AMONG_OTHERS}
    with pytest.raises(SettingsError, match="CUDA_VISIBLE_DEVICES names 1"):
        workers(settings, {"CUDA_VISIBLE_DEVICES": "4"})
    assert isinstance(workers(Settings(data_dir=tmp_path), {}), LocalBackend)
