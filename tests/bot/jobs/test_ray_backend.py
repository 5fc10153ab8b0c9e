"""What only a cluster can show beside the contract of all backends: a lost head, a bot or actor that dies."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from bot.core.errors import WorkerLost
from bot.jobs.backends.local import POOL_TIMEOUTS
from bot.jobs.backends.ray import RayBackend
from gpu_worker.protocol import DoneEvent, ProgressEvent
from tests.support.backend_fixtures import COMMAND, all_events, told, train
from tests.support.fake_worker import as_lora
from tests.support.processes import living_children
from tests.support.ray_cluster import START_TIMEOUT_S, RayCluster, needs_ray, running_cluster

# One cluster, one loop and one bot for all of them: each is seconds of starting Python.
pytestmark = [
    needs_ray,
    pytest.mark.cluster,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(300),
]
#: A head is waited for as long as in no real cluster.
HEAD_GONE_S = 5
#: Where Ray would show itself.
DASHBOARD = 8265


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with running_cluster(head_lost_timeout_s=HEAD_GONE_S) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def stranger(
    cluster: RayCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[subprocess.Popen[str]]:
    """A program with another token: Ray lets it try for 20 s, while other tests run."""
    token = tmp_path_factory.mktemp("other") / "token"
    token.touch(mode=0o600)
    token.write_text("0" * 64)
    with subprocess.Popen(
        [sys.executable, "-m", "gpu_worker.cluster.nodes", "--address", cluster.address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**cluster.environ, "RAY_AUTH_TOKEN_PATH": str(token)},
        text=True,
    ) as program:
        yield program
        program.kill()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def backend(cluster: RayCluster, stranger: subprocess.Popen[str]) -> AsyncIterator[RayBackend]:
    backend = RayBackend(cluster.address, COMMAND[1:], cluster.environ, slot_timeout_s=START_TIMEOUT_S)
    await backend.start()
    yield backend
    await backend.close()


async def test_a_worker_ends_with_the_bot_that_owns_it(cluster: RayCluster, backend: RayBackend) -> None:
    node = cluster.start_node(is_restarted=True)
    try:
        await all_events(backend, train(1))
        [pid] = backend.worker_pids()
        relays = running_relays()
        assert relays
        for relay in relays:
            relay.kill()
        async with asyncio.timeout(30):
            while Path(f"/proc/{pid}").exists():
                await asyncio.sleep(0.05)
    finally:
        cluster.kill_node(node)


async def test_a_killed_actor_is_lost_at_once_and_not_restarted_by_ray(
    cluster: RayCluster, backend: RayBackend, caplog: pytest.LogCaptureFixture
) -> None:
    node = cluster.start_node(is_restarted=True)
    actor: psutil.Process | None = None
    try:
        async with asyncio.timeout(90):
            with pytest.raises(WorkerLost):
                async for event in backend.run(train(1, b"steps=1000000")):
                    if isinstance(event, ProgressEvent) and actor is None:
                        [pid] = backend.worker_pids()
                        actor = psutil.Process(pid).parent()
                        assert actor is not None
                        actor.kill()
        # Run again by Ray, it would drop as much as the first had delivered, and be silent meanwhile.
        assert not [line for line in caplog.messages if "silent" in line]
        last = (await all_events(backend, train(1, b"steps=9", attempt=2, resume=b"7")))[-1]
        assert isinstance(last, DoneEvent)
        assert last.lora == as_lora(b"lora of 7")
    finally:
        cluster.kill_node(node)


def running_relays() -> list[psutil.Process]:
    return [each for each in living_children() if "gpu_worker.cluster.relay" in each.cmdline()]


async def test_a_head_shows_no_page_of_itself(cluster: RayCluster) -> None:
    ports = await asyncio.to_thread(cluster.listening_ports)
    assert cluster.port in ports
    assert DASHBOARD not in ports


async def test_a_wrong_token_is_one_line(cluster: RayCluster, stranger: subprocess.Popen[str]) -> None:
    told, words = await asyncio.to_thread(stranger.communicate)
    assert told == ""
    assert stranger.returncode == 69
    assert (
        words.strip().splitlines()[-1]
        == f"The cluster at {cluster.address} refused our token, or only starts;"
        " give all machines the same token file"
    )


async def test_a_head_that_hangs_is_told_of(cluster: RayCluster, caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:  # who calls is put through, and nobody speaks
        patience = replace(POOL_TIMEOUTS, start_timeout_s=0.5)
        address = f"127.0.0.1:{mute.getsockname()[1]}"
        backend = RayBackend(address, COMMAND[1:], cluster.environ, timeouts=patience)
        await backend.start()
        try:
            await told(caplog, "the cluster has not answered for")
        finally:
            await backend.close()


async def test_nodes_of_a_lost_head_end_and_work_goes_on_at_the_next(
    cluster: RayCluster, backend: RayBackend
) -> None:
    node = cluster.start_node(is_restarted=True)
    lost, resumed = False, b"0"
    while not lost:
        try:
            async for event in backend.run(train(1, b"steps=1000000")):
                if isinstance(event, ProgressEvent) and cluster.head.poll() is None:
                    cluster.kill_node(cluster.head)
                    resumed = str(event.step).encode()
        except WorkerLost:  # also with what is left of a node of the tests before: then the head still lives
            lost = cluster.head.poll() is not None
    async with asyncio.timeout(START_TIMEOUT_S):
        # Said by what starts it again once it has ended.
        while "No head answers" not in cluster.read_log(node):
            await asyncio.sleep(0.05)
    await asyncio.to_thread(cluster.start_head)
    try:
        steps = int(resumed) + 5
        last = (await all_events(backend, train(1, b"steps=%d" % steps, attempt=2, resume=resumed)))[-1]
        assert isinstance(last, DoneEvent)
    finally:
        cluster.kill_node(node)
