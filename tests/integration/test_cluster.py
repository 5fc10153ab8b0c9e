"""What only a cluster can show: nodes that come, go, freeze or do not fit, a lost head, a bot that dies."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from bot.backends.ray import RayBackend
from bot.errors import WorkerLost
from gpu_worker.cluster.gate import LABEL
from gpu_worker.protocol import Done, Progress
from tests.integration.fake_worker import as_lora
from tests.integration.processes import living_children
from tests.integration.ray_cluster import START_S, Cluster, Wall, needs_ray, needs_wall, running_cluster
from tests.integration.test_backends import COMMAND, all_events, train

# One cluster, one loop and one bot for all of them: each is seconds of starting Python.
pytestmark = [needs_ray, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]
#: A frozen worker's job is free to go on elsewhere after so long; its silence is noticed before.
MOVED_WITHIN_S = 15.0
#: Where Ray would show itself.
DASHBOARD = 8265


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def stranger(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
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
async def backend(cluster: Cluster, stranger: subprocess.Popen[str]) -> AsyncIterator[RayBackend]:
    backend = RayBackend(cluster.address, COMMAND[1:], cluster.environ, room_grace_s=START_S)
    await backend.start()
    yield backend
    await backend.close()


async def until_logged(caplog: pytest.LogCaptureFixture, words: str) -> str:
    """Wait for a line of the log with these words."""
    async with asyncio.timeout(120):
        while not (found := [line for line in caplog.messages if words in line]):
            await asyncio.sleep(0.05)
    return found[0]


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


async def test_a_node_of_another_version_is_refused(
    cluster: Cluster, backend: RayBackend, caplog: pytest.LogCaptureFixture
) -> None:
    node = cluster.node(f"--labels={LABEL}=0.0.1-1")
    try:
        said = await until_logged(caplog, "0.0.1-1")
        assert "is refused: it runs LoraCode 0.0.1-1 and we" in said
        assert backend.seats() == 0
    finally:
        cluster.kill(node)


@needs_wall
async def test_a_node_that_cannot_be_reached_back_is_refused(
    cluster: Cluster, backend: RayBackend, caplog: pytest.LogCaptureFixture
) -> None:
    wall = Wall()
    wall.build()
    try:
        node = wall.node_inside(cluster)
        said = await until_logged(caplog, wall.INSIDE)
        assert "is refused" in said and "cannot be reached from here; open the way to it" in said
        assert backend.seats() == 0
        cluster.kill(node)
    finally:
        wall.pull_down()


async def test_a_worker_ends_with_the_bot_that_owns_it(cluster: Cluster, backend: RayBackend) -> None:
    node = cluster.node()
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
        cluster.kill(node)


async def test_an_actor_that_is_killed_is_lost_at_once_and_not_run_again_by_ray(
    cluster: Cluster, backend: RayBackend, caplog: pytest.LogCaptureFixture
) -> None:
    node = cluster.node()
    actor: psutil.Process | None = None
    try:
        async with asyncio.timeout(90):
            with pytest.raises(WorkerLost):
                async for event in backend.run(train(1, b"steps=1000000")):
                    if isinstance(event, Progress) and actor is None:
                        [pid] = backend.worker_pids()
                        actor = psutil.Process(pid).parent()
                        assert actor is not None
                        actor.kill()
        # Run again by Ray, it would drop as much as the first had delivered, and be silent meanwhile.
        assert not [line for line in caplog.messages if "silent" in line]
        last = (await all_events(backend, train(1, b"steps=9", attempt=2, resume=b"7")))[-1]
        assert isinstance(last, Done)
        assert last.lora == as_lora(b"lora of 7")
    finally:
        cluster.kill(node)


def running_relays() -> list[psutil.Process]:
    return [each for each in living_children() if "gpu_worker.cluster.relay" in each.cmdline()]


async def test_a_head_shows_no_page_of_itself(cluster: Cluster) -> None:
    ports = await asyncio.to_thread(cluster.listens_at)
    assert cluster.port in ports
    assert DASHBOARD not in ports


async def test_a_wrong_token_is_one_line(cluster: Cluster, stranger: subprocess.Popen[str]) -> None:
    told, words = await asyncio.to_thread(stranger.communicate)
    assert told == ""
    assert stranger.returncode == 69
    assert (
        words.strip().splitlines()[-1]
        == f"The cluster at {cluster.address} refused our token, or only starts;"
        " give all machines the same token file"
    )


async def test_after_the_loss_of_a_head_nodes_end_by_themselves_and_work_goes_on_at_the_next(
    cluster: Cluster, backend: RayBackend
) -> None:
    node = cluster.node()
    lost, resumed = False, b"0"
    while not lost:
        try:
            async for event in backend.run(train(1, b"steps=1000000")):
                if isinstance(event, Progress) and cluster.head.poll() is None:
                    cluster.kill(cluster.head)
                    resumed = str(event.step).encode()
        except WorkerLost:  # also with what is left of a node of the tests before: then the head still lives
            lost = cluster.head.poll() is not None
    # Ray gives its head 30 s; on a busy machine the rest takes its time.
    await asyncio.to_thread(node.wait, 120)
    cluster.start_head()
    node = cluster.node()
    try:
        steps = int(resumed) + 5
        last = (await all_events(backend, train(1, b"steps=%d" % steps, attempt=2, resume=resumed)))[-1]
        assert isinstance(last, Done)
    finally:
        cluster.kill(node)
