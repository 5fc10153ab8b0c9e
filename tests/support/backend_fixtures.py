"""Three ways to have workers, of one shape: in this event loop, as processes here, on a Ray cluster."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, contextmanager
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import ClassVar

import pytest

from bot.jobs.backends.base import GpuBackend, WorkerSlot
from bot.jobs.backends.fake import FakeBackend
from bot.jobs.backends.local import POOL_TIMEOUTS, ProcessBackend
from bot.jobs.backends.pool import WorkerPool
from bot.jobs.backends.ray import RayBackend
from gpu_worker.cluster.admission import VERSION_LABEL
from gpu_worker.errors import BadInput
from gpu_worker.protocol import (
    DoneEvent,
    GenerateRequest,
    JobRequest,
    LoraUse,
    PrefetchRequest,
    PreviewEvent,
    SampleEvent,
    TrainRequest,
    WorkerEvent,
)
from gpu_worker.serve.loop import UNEXPECTED_ERROR, make_failed_event
from tests.support.fake_worker import FakePerformer
from tests.support.ray_cluster import START_TIMEOUT_S, RayCluster, walled_off

COMMAND = [sys.executable, str(Path(__file__).with_name("fake_worker.py"))]
#: What no worker may see.
TOKENS = {"TELEGRAM_BOT_TOKEN": "1:canary", "DISCORD_BOT_TOKEN": "a.b.c"}


def train(
    job_id: int, order: bytes = b"steps=3", *, attempt: int = 1, resume: bytes | None = None
) -> TrainRequest:
    """A training that does what its photos say (fake_worker.py)."""
    return TrainRequest(job_id=job_id, attempt=attempt, photos=(order,) * 5, resume_checkpoint=resume)


def generate(job_id: int, prompt: str = "x", lora: str = "") -> GenerateRequest:
    """A generation that does what its prompt says, with a LoRA if one is named."""
    use = LoraUse(data=b"lora", sha256=lora * 64, name=lora)
    return GenerateRequest(job_id=job_id, attempt=1, prompt=prompt, loras=(use,) if lora else ())


async def all_events(backend: GpuBackend, request: JobRequest) -> list[WorkerEvent]:
    """Carry out an attempt to its end."""
    async with asyncio.timeout(START_TIMEOUT_S):
        return [event async for event in backend.run(request)]


async def drawn_by(backend: GpuBackend, request: GenerateRequest) -> str:
    """Draw, and give the name of the worker that did."""
    done = (await all_events(backend, request))[-1]
    assert isinstance(done, DoneEvent)
    return done.pictures[0].decode()


class Running:
    """A job that goes on until it is cancelled or its worker is gone, and who does it."""

    def __init__(self, backend: GpuBackend, request: JobRequest) -> None:
        self.named: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.task = asyncio.create_task(self._follow(backend, request))

    async def name(self) -> str:
        """Return the name of its worker, once it has one."""
        async with asyncio.timeout(START_TIMEOUT_S):
            await asyncio.wait([self.named, self.task], return_when=asyncio.FIRST_COMPLETED)
        return self.named.result() if self.named.done() else await self.task  # which tells why there is none

    async def cancel(self) -> None:
        """Let it be."""
        self.task.cancel()
        await asyncio.wait([self.task])

    async def _follow(self, backend: GpuBackend, request: JobRequest) -> str:
        async with aclosing(backend.run(request)) as events:
            async for event in events:
                if isinstance(event, SampleEvent | PreviewEvent):
                    self.named.set_result(event.png.decode())
        raise AssertionError("it has ended")


class Misfit(StrEnum):
    """Why a worker cannot be one of ours."""

    TOKEN = "a wrong token"
    VERSION = "another version"
    UNREACHABLE = "cannot be reached back"


class Rig(ABC):
    """Some workers, and what may happen to them."""

    backend: WorkerPool
    #: Workers that are there, or come again.
    size = 0

    async def have(self, workers: int) -> None:
        """Have at least so many, and all that there are with their base model."""
        while self.size < workers:
            await self.add()
        async with asyncio.timeout(START_TIMEOUT_S):
            while self.backend.worker_count() != self.size or not self._is_loaded():
                await asyncio.sleep(0.02)

    def _is_loaded(self) -> bool:
        health = self.backend.health()
        return health is not None and health.base_model_loaded

    @abstractmethod
    async def add(self) -> None:
        """Have one more come; returns before it is there."""

    @abstractmethod
    async def kill(self, name: str) -> None:
        """`kill -9` the worker of this name."""

    @abstractmethod
    async def freeze(self, name: str) -> None:
        """Let it do nothing any more, and not say so."""

    @abstractmethod
    async def leave(self, name: str) -> None:
        """Take it away."""

    @abstractmethod
    def misfit(self, why: Misfit, log: pytest.LogCaptureFixture) -> AbstractAsyncContextManager[str]:
        """Have one come that cannot be let in; gives what is said of it."""

    async def close(self) -> None:
        """Leave nothing behind."""
        await self.backend.close()


async def told(log: pytest.LogCaptureFixture, words: str) -> str:
    """Wait for a line of the log with these words."""
    async with asyncio.timeout(START_TIMEOUT_S):
        while not (found := [line for line in log.messages if words in line]):
            await asyncio.sleep(0.02)
    return found[0]


@asynccontextmanager
async def _with_slot(pool: WorkerPool, slot: WorkerSlot) -> AsyncIterator[None]:
    await pool.add_slot(slot)
    try:
        yield
    finally:
        await pool.remove_slot(slot)


class _OrderedFake(FakeBackend):
    """The fake, which does what photos and prompts say."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self._performer = FakePerformer(name, die=self.crash, spoil=self.crash)

    def iter_events(self, request: JobRequest) -> Iterator[WorkerEvent]:
        performer, job, attempt = self._performer, request.job_id, request.attempt
        try:
            yield from (
                performer.train(request) if isinstance(request, TrainRequest) else performer.generate(request)
            )
        except BadInput as error:
            yield make_failed_event((job, attempt), error)
        except ZeroDivisionError:
            yield make_failed_event((job, attempt), UNEXPECTED_ERROR)

    async def prefetch(self, request: PrefetchRequest) -> None:
        self._performer.prefetch(request.photo, request.crop)

    async def forget(self, photo_hashes: Sequence[str]) -> None:
        self._performer.forget(tuple(photo_hashes))


class FakeRig(Rig):
    """Workers in this event loop."""

    def __init__(self) -> None:
        self.backend = WorkerPool(slot_timeout_s=START_TIMEOUT_S)
        self._slots: dict[str, _OrderedFake] = {}
        self._names = (f"fake {number}" for number in itertools.count(1))

    async def add(self) -> None:
        name = next(self._names)
        self.size += 1
        self._slots[name] = _OrderedFake(name)
        await self.backend.add_slot(self._slots[name])

    async def kill(self, name: str) -> None:
        self._slots[name].crash()

    async def freeze(self, name: str) -> None:
        await self.leave(name)  # the fake is back at once, where a real worker takes its time to start again

    async def leave(self, name: str) -> None:
        self.size -= 1
        await self.backend.remove_slot(self._slots.pop(name))

    @asynccontextmanager
    async def misfit(self, why: Misfit, log: pytest.LogCaptureFixture) -> AsyncIterator[str]:
        slot = FakeBackend()
        slot.refusal_reason = str(why)
        async with _with_slot(self.backend, slot):
            yield await told(log, str(why))


class LocalRig(Rig):
    """Workers that are processes here."""

    #: What stands for each misfit here: one that ends as the way to a cluster with another token does, one
    #: that speaks otherwise, one that is never heard; and what is said of it.
    _COMMANDS: ClassVar[Mapping[Misfit, tuple[list[str], str]]] = {
        Misfit.TOKEN: ([sys.executable, "-c", "exit('it refused our token')"], "it refused our token"),
        Misfit.VERSION: ([*COMMAND, "0"], "it speaks version 0"),
        Misfit.UNREACHABLE: ([sys.executable, "-c", "import time; time.sleep(600)"], "has been silent for"),
    }

    def __init__(self) -> None:
        self.backend = WorkerPool(slot_timeout_s=START_TIMEOUT_S)
        self._environ = {**os.environ, **TOKENS}
        self._slots: list[ProcessBackend] = []

    async def add(self) -> None:
        self.size += 1
        slot = ProcessBackend(COMMAND, self._environ, POOL_TIMEOUTS)
        self._slots.append(slot)
        await self.backend.add_slot(slot)

    async def kill(self, name: str) -> None:
        os.kill(int(name), signal.SIGKILL)

    async def freeze(self, name: str) -> None:
        os.kill(int(name), signal.SIGSTOP)

    async def leave(self, name: str) -> None:
        [slot] = [slot for slot in self._slots if slot.worker_pid == int(name)]
        self.size -= 1
        self._slots.remove(slot)
        await self.backend.remove_slot(slot)

    @asynccontextmanager
    async def misfit(self, why: Misfit, log: pytest.LogCaptureFixture) -> AsyncIterator[str]:
        command, words = self._COMMANDS[why]
        timeouts = replace(POOL_TIMEOUTS, start_timeout_s=0.5, cancel_timeout_s=0.5)
        async with _with_slot(self.backend, ProcessBackend(command, self._environ, timeouts)):
            yield await told(log, words)


class RayRig(Rig):
    """Workers on the nodes of a cluster, which are processes here too."""

    def __init__(self, cluster: RayCluster) -> None:
        self.cluster = cluster
        self.backend = RayBackend(
            cluster.address, COMMAND[1:], {**cluster.environ, **TOKENS}, slot_timeout_s=START_TIMEOUT_S
        )
        # Ray lets it try for 20 s, while other tests run.
        self._stranger = cluster.start_foreign_node()

    async def add(self) -> None:
        self.size += 1
        self.cluster.start_node(is_restarted=True)

    async def kill(self, name: str) -> None:
        os.kill(int(name), signal.SIGKILL)

    async def freeze(self, name: str) -> None:
        self.size -= 1
        self.cluster.signal_node(self.cluster.find_node(int(name)), signal.SIGSTOP)

    async def leave(self, name: str) -> None:
        self.size -= 1
        self.cluster.kill_node(self.cluster.find_node(int(name)))

    @asynccontextmanager
    async def misfit(self, why: Misfit, log: pytest.LogCaptureFixture) -> AsyncIterator[str]:
        if why is Misfit.TOKEN:
            assert await asyncio.to_thread(self._stranger.wait, START_TIMEOUT_S) != 0
            words = self.cluster.read_log(self._stranger)
            assert "Authentication token is missing or incorrect" in words
            yield words
        elif why is Misfit.VERSION:
            with self._node(self.cluster.start_node(f"--labels={VERSION_LABEL}=0.0.1-1")):
                yield await told(log, "it runs LoraCode 0.0.1-1 and we")
        else:
            with walled_off() as wall, self._node(wall.node_inside(self.cluster)):
                yield await told(log, "cannot be reached from here; open the way to it")

    @contextmanager
    def _node(self, node: subprocess.Popen[bytes]) -> Iterator[None]:
        try:
            yield
        finally:
            self.cluster.kill_node(node)
