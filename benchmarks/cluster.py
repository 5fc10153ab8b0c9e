"""What a cluster costs beside one process, on this machine alone: `python -m benchmarks.cluster`.

Several nodes are several groups of processes here, so overhead and recovery are measured, no networks. The
work is sleep. Needs the extra `ray`, and Linux.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from subprocess import Popen

import psutil

from benchmarks.modelless import as_lora
from benchmarks.ray_cluster import START_S, Cluster, running_cluster
from bot.core.errors import WorkerLost
from bot.jobs.backends.local import LocalBackend
from bot.jobs.backends.pool import Fleet
from bot.jobs.backends.ray import RayBackend
from gpu_worker.protocol import Done, Progress, Started, Train

SLEEPER = str(Path(__file__).with_name("sleeper.py"))
CARDS = (1, 2, 4)
JOBS = 50
STEP_S = 0.5
TRANSFER = 20 * 2**20


def main() -> int:
    """Measure, and print the tables of docs/scale.md."""
    # Workers and nodes are programs of their own, and this folder is not installed.
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])
    asyncio.run(_all())
    return 0


async def _all() -> None:
    """Measure one process, then a cluster of as many nodes."""
    _say("| | workers | begins after, median | longest of 50 | 20 MB, both ways | jobs a second | of ideal |")
    _say("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for cards in CARDS:
        async with local(cards) as fleet:
            await _row("local", fleet, cards)
    with running_cluster() as cluster:
        nodes: list[Popen[bytes]] = []
        async with on(cluster) as fleet:
            for cards in CARDS:
                # One after another: at the same time they may choose the same ports.
                while len(nodes) < cards:
                    nodes.append(cluster.node())
                    await _until_seats(fleet, len(nodes))
                await _row("Ray", fleet, cards)
            for node in nodes[2:]:
                cluster.kill(node)
            await _until_seats(fleet, 2)
            _say("\n| killed | noticed after | the next attempt has begun after |\n| --- | ---: | ---: |")
            await _recovery(cluster, fleet, nodes)
    async with local(1) as here:
        seen = await lost_after(here, _kill_children)
        _say(f"| worker, without a cluster | {seen[0]:.1f} s | {seen[1]:.1f} s |")


@asynccontextmanager
async def local(cards: int) -> AsyncIterator[Fleet]:
    """Give so many workers that are processes here."""
    seats = [LocalBackend([sys.executable, SLEEPER]) for _ in range(cards)]
    fleet = Fleet(seats)
    await fleet.start()
    await _until(fleet, lambda: all(seat.is_ready for seat in seats))
    yield fleet
    await fleet.close()


@asynccontextmanager
async def on(cluster: Cluster) -> AsyncIterator[RayBackend]:
    """Give the cards of a cluster."""
    backend = RayBackend(cluster.address, [SLEEPER], cluster.environ, room_grace_s=START_S)
    await backend.start()
    yield backend
    await backend.close()


def work(job: int, steps: int = 1, step_s: float = 0.0, size: int = 0, resume: bytes | None = None) -> Train:
    """Ask for so many steps of sleep, with so many bytes to carry."""
    photo = f"sleep {step_s} {steps} ".encode() + os.urandom(size)
    return Train(job_id=job, attempt=1 if resume is None else 2, photos=(photo,), resume=resume)


async def _row(name: str, fleet: Fleet, cards: int) -> None:
    started = sorted([await started_after_s(fleet, number) for number in range(JOBS)])
    carried = sorted([await took_s(fleet, work(1000 + number, size=TRANSFER)) for number in range(5)])
    count = 8 * cards
    began_s = time.perf_counter()
    await asyncio.gather(*(took_s(fleet, work(2000 + n, step_s=STEP_S)) for n in range(count)))
    rate = count / (time.perf_counter() - began_s)
    _say(
        f"| {name} | {cards} | {1000 * started[JOBS // 2]:.1f} ms | {1000 * started[-1]:.1f} ms"
        f" | {1000 * carried[2]:.0f} ms | {rate:.2f} | {rate * STEP_S / cards:.0%} |"
    )


async def started_after_s(fleet: Fleet, job: int) -> float:
    """Measure how long it takes until a job has begun."""
    began_s = time.perf_counter()
    after_s = 0.0
    async for event in fleet.run(work(job)):
        if isinstance(event, Started):
            after_s = time.perf_counter() - began_s
    return after_s


async def took_s(fleet: Fleet, request: Train) -> float:
    """Measure how long a job takes."""
    began_s = time.perf_counter()
    events = [event async for event in fleet.run(request)]
    took = time.perf_counter() - began_s
    done = [event for event in events if isinstance(event, Done)]
    assert all(each.lora == as_lora(request.photos[0]) for each in done)  # noqa: S101 - nothing is lost
    return took


async def lost_after(fleet: Fleet, kill: Callable[[], object]) -> tuple[float, float]:
    """Measure how long after a death below a job it is noticed, and its next attempt begins."""
    killed_s, step = 0.0, 0
    try:
        async for event in fleet.run(work(1, steps=100_000, step_s=0.05)):
            if isinstance(event, Progress) and not killed_s:
                step, killed_s = event.step, time.perf_counter()
                await asyncio.to_thread(kill)
    except WorkerLost:
        noticed_s = time.perf_counter() - killed_s
    while True:
        try:
            async with aclosing(fleet.run(work(1, 100_000, 0.05, resume=str(step).encode()))) as events:
                async for event in events:
                    if isinstance(event, Started):
                        return noticed_s, time.perf_counter() - killed_s
        except WorkerLost:
            await asyncio.sleep(0.2)


async def _recovery(cluster: Cluster, fleet: RayBackend, nodes: Sequence[Popen[bytes]]) -> None:
    seen = await lost_after(fleet, lambda: _kill_all(fleet.worker_pids()))
    _say(f"| worker | {seen[0]:.1f} s | {seen[1]:.1f} s |")
    await _until_seats(fleet, 2)
    cluster.kill(nodes[0])
    await _until_seats(fleet, 1)
    spare = cluster.node()
    await _until_seats(fleet, 2)
    seen = await lost_after(fleet, lambda: cluster.kill(nodes[1]))
    _say(f"| node, another is there | {seen[0]:.1f} s | {seen[1]:.1f} s |")

    def lose_head() -> None:
        cluster.kill(cluster.head)

    async def come_back() -> None:
        await asyncio.to_thread(spare.wait)
        await asyncio.to_thread(cluster.start_head)
        cluster.node()

    back = asyncio.create_task(come_back(), name="come-back")
    seen = await lost_after(fleet, lose_head)
    await back
    _say(f"| head; it and a node start when the last one ended | {seen[0]:.1f} s | {seen[1]:.1f} s |")


def _kill_children() -> None:
    _kill_all([child.pid for child in psutil.Process().children()])


def _kill_all(pids: Sequence[int]) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


async def _until_seats(fleet: Fleet, seats: int) -> None:
    await _until(fleet, lambda: fleet.seats() == seats)


async def _until(fleet: Fleet, is_so: Callable[[], bool]) -> None:
    """Wait until something is so of a fleet's workers."""
    changed = asyncio.Event()
    fleet.tell_changes(changed.set)
    async with asyncio.timeout(START_S):
        while not is_so():
            await changed.wait()
            changed.clear()


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
