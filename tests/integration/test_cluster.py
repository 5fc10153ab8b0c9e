"""What only a cluster can show: nodes that come, go and freeze, wrong tokens, a bot that dies."""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest

from bot.backends.ray import RayBackend
from bot.errors import WorkerLost
from gpu_worker.protocol import Done, Progress
from tests.integration.ray_cluster import Cluster, needs_ray, running_cluster
from tests.integration.test_backends import COMMAND, all_events, train

pytestmark = needs_ray
#: A frozen worker's job is free to go on elsewhere after so long; its silence is noticed before.
MOVED_WITHIN_S = 15.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture
async def backend(cluster: Cluster) -> AsyncIterator[RayBackend]:
    backend = RayBackend(cluster.address, COMMAND[1:], cluster.environ)
    await backend.start()
    yield backend
    await backend.close()


async def test_a_job_waits_for_a_node_that_joins_late_and_is_lost_with_one_that_leaves(
    cluster: Cluster, backend: RayBackend
) -> None:
    waiting = asyncio.create_task(all_events(backend, train(1)))
    node = cluster.node()
    assert isinstance((await waiting)[-1], Done)
    with pytest.raises(WorkerLost):
        async for event in backend.run(train(2, b"steps=100000")):
            if isinstance(event, Progress) and node.poll() is None:
                cluster.kill(node)


async def test_a_frozen_node_gives_its_job_free_within_15_s(cluster: Cluster, backend: RayBackend) -> None:
    node = cluster.node()
    clock = asyncio.get_running_loop()
    frozen_at_s: float | None = None
    try:
        with pytest.raises(WorkerLost):
            async for event in backend.run(train(1, b"steps=1000000")):
                if isinstance(event, Progress) and frozen_at_s is None:
                    cluster.signal(node, signal.SIGSTOP)
                    frozen_at_s = clock.time()
        assert frozen_at_s is not None
        assert clock.time() - frozen_at_s < MOVED_WITHIN_S
    finally:
        cluster.kill(node)


async def test_a_worker_ends_with_the_bot_that_owns_it(cluster: Cluster, backend: RayBackend) -> None:
    node = cluster.node()
    try:
        await all_events(backend, train(1))
        [pid] = backend.worker_pids()
        relays = [
            child for child in psutil.Process().children() if "gpu_worker.cluster.relay" in child.cmdline()
        ]
        assert relays
        for relay in relays:
            relay.kill()
        async with asyncio.timeout(30):
            while Path(f"/proc/{pid}").exists():
                await asyncio.sleep(0.05)
    finally:
        cluster.kill(node)


async def test_a_wrong_token_is_one_line(cluster: Cluster, tmp_path: Path) -> None:
    other = tmp_path / "token"
    other.touch(mode=0o600)
    other.write_text("0" * 64)
    scout = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gpu_worker.cluster.nodes", "--address", cluster.address),
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env={**cluster.environ, "RAY_AUTH_TOKEN_PATH": str(other)},
    )
    told, words = await scout.communicate()
    assert told == b""
    assert scout.returncode == 69
    last = words.decode().strip().splitlines()[-1]
    assert (
        last == f"The cluster at {cluster.address} refused our token; give all machines the same token file"
    )
