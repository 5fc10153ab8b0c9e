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

from benchmarks.modelless import make_lora_file
from benchmarks.ray_cluster import START_TIMEOUT_S, RayCluster, running_cluster
from bot.core.errors import WorkerLost
from bot.jobs.backends.local import ProcessBackend
from bot.jobs.backends.pool import WorkerPool
from bot.jobs.backends.ray import RayBackend
from gpu_worker.protocol import DoneEvent, ProgressEvent, StartedEvent, TrainRequest

SLEEPER = str(Path(__file__).with_name("sleeper.py"))
CARDS = (1, 2, 4)
JOBS = 50
STEP_S = 0.5
TRANSFER = 20 * 2**20


def main() -> int:
    """Measure, and print the tables. docs/scale.md has their main rows."""
    # Workers and nodes are programs of their own, and this folder is not installed.
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])
    asyncio.run(_measure_all())
    return 0


async def _measure_all() -> None:
    """Measure one process, then a cluster of as many nodes."""
    _print_line(
        "| | workers | begins after, median | longest of 50 | 20 MB, both ways | jobs a second | of ideal |"
    )
    _print_line("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for cards in CARDS:
        async with local_workers(cards) as pool:
            await _print_row("local", pool, cards)
    with running_cluster() as cluster:
        nodes: list[Popen[bytes]] = []
        async with cluster_workers(cluster) as pool:
            for cards in CARDS:
                # One after another: at the same time they may choose the same ports.
                while len(nodes) < cards:
                    nodes.append(cluster.start_node())
                    await _wait_for_slots(pool, len(nodes))
                await _print_row("Ray", pool, cards)
            for node in nodes[2:]:
                cluster.kill_node(node)
            await _wait_for_slots(pool, 2)
            _print_line(
                "\n| killed | noticed after | the next attempt has begun after |\n| --- | ---: | ---: |"
            )
            await _print_recovery(cluster, pool, nodes)
    async with local_workers(1) as local_pool:
        recovery_s = await measure_recovery(local_pool, _kill_children)
        _print_line(f"| worker, without a cluster | {recovery_s[0]:.1f} s | {recovery_s[1]:.1f} s |")


@asynccontextmanager
async def local_workers(cards: int) -> AsyncIterator[WorkerPool]:
    """Yield this many workers that are processes of this machine."""
    backends = [ProcessBackend([sys.executable, SLEEPER]) for _ in range(cards)]
    pool = WorkerPool(backends)
    await pool.start()
    await _wait_until(pool, lambda: all(backend.is_ready for backend in backends))
    yield pool
    await pool.close()


@asynccontextmanager
async def cluster_workers(cluster: RayCluster) -> AsyncIterator[RayBackend]:
    """Yield the GPUs of a cluster."""
    backend = RayBackend(cluster.address, [SLEEPER], cluster.environ, slot_timeout_s=START_TIMEOUT_S)
    await backend.start()
    yield backend
    await backend.close()


def make_request(
    job_id: int, steps: int = 1, step_s: float = 0.0, size: int = 0, resume: bytes | None = None
) -> TrainRequest:
    """Ask for so many steps of sleep, with so many bytes to carry."""
    photo = f"sleep {step_s} {steps} ".encode() + os.urandom(size)
    return TrainRequest(
        job_id=job_id, attempt=1 if resume is None else 2, photos=(photo,), resume_checkpoint=resume
    )


async def _print_row(name: str, pool: WorkerPool, cards: int) -> None:
    start_times_s = sorted([await measure_start_s(pool, number) for number in range(JOBS)])
    transfer_times_s = sorted(
        [await measure_job_s(pool, make_request(1000 + number, size=TRANSFER)) for number in range(5)]
    )
    count = 8 * cards
    began_s = time.perf_counter()
    await asyncio.gather(*(measure_job_s(pool, make_request(2000 + n, step_s=STEP_S)) for n in range(count)))
    rate = count / (time.perf_counter() - began_s)
    _print_line(
        f"| {name} | {cards} | {1000 * start_times_s[JOBS // 2]:.1f} ms | {1000 * start_times_s[-1]:.1f} ms"
        f" | {1000 * transfer_times_s[2]:.0f} ms | {rate:.2f} | {rate * STEP_S / cards:.0%} |"
    )


async def measure_start_s(pool: WorkerPool, job_id: int) -> float:
    """Measure how long it takes until a job has begun."""
    began_s = time.perf_counter()
    after_s = 0.0
    async for event in pool.run(make_request(job_id)):
        if isinstance(event, StartedEvent):
            after_s = time.perf_counter() - began_s
    return after_s


async def measure_job_s(pool: WorkerPool, request: TrainRequest) -> float:
    """Measure how long a job takes."""
    began_s = time.perf_counter()
    events = [event async for event in pool.run(request)]
    elapsed_s = time.perf_counter() - began_s
    done_events = [event for event in events if isinstance(event, DoneEvent)]
    assert all(each.lora == make_lora_file(request.photos[0]) for each in done_events)  # noqa: S101 - nothing is lost
    return elapsed_s


async def measure_recovery(pool: WorkerPool, kill: Callable[[], object]) -> tuple[float, float]:
    """Measure how long after a death below a job it is noticed, and its next attempt begins."""
    killed_s, step = 0.0, 0
    try:
        async for event in pool.run(make_request(1, steps=100_000, step_s=0.05)):
            if isinstance(event, ProgressEvent) and not killed_s:
                step, killed_s = event.step, time.perf_counter()
                await asyncio.to_thread(kill)
    except WorkerLost:
        noticed_s = time.perf_counter() - killed_s
    while True:
        try:
            async with aclosing(
                pool.run(make_request(1, 100_000, 0.05, resume=str(step).encode()))
            ) as events:
                async for event in events:
                    if isinstance(event, StartedEvent):
                        return noticed_s, time.perf_counter() - killed_s
        except WorkerLost:
            await asyncio.sleep(0.2)


async def _print_recovery(cluster: RayCluster, pool: RayBackend, nodes: Sequence[Popen[bytes]]) -> None:
    recovery_s = await measure_recovery(pool, lambda: _kill_all(pool.worker_pids()))
    _print_line(f"| worker | {recovery_s[0]:.1f} s | {recovery_s[1]:.1f} s |")
    await _wait_for_slots(pool, 2)
    cluster.kill_node(nodes[0])
    await _wait_for_slots(pool, 1)
    spare_node = cluster.start_node()
    await _wait_for_slots(pool, 2)
    recovery_s = await measure_recovery(pool, lambda: cluster.kill_node(nodes[1]))
    _print_line(f"| node, another is there | {recovery_s[0]:.1f} s | {recovery_s[1]:.1f} s |")

    def lose_head() -> None:
        cluster.kill_node(cluster.head)

    async def come_back() -> None:
        await asyncio.to_thread(spare_node.wait)
        await asyncio.to_thread(cluster.start_head)
        cluster.start_node()

    restart_task = asyncio.create_task(come_back(), name="come-back")
    recovery_s = await measure_recovery(pool, lose_head)
    await restart_task
    _print_line(
        f"| head; it and a node start when the last ended | {recovery_s[0]:.1f} s | {recovery_s[1]:.1f} s |"
    )


def _kill_children() -> None:
    _kill_all([child.pid for child in psutil.Process().children()])


def _kill_all(pids: Sequence[int]) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


async def _wait_for_slots(pool: WorkerPool, slot_count: int) -> None:
    await _wait_until(pool, lambda: pool.worker_count() == slot_count)


async def _wait_until(pool: WorkerPool, is_met: Callable[[], bool]) -> None:
    """Wait until something is so of a fleet's workers."""
    changed = asyncio.Event()
    pool.subscribe(changed.set)
    async with asyncio.timeout(START_TIMEOUT_S):
        while not is_met():
            await changed.wait()
            changed.clear()


def _print_line(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
