"""A pool of child processes that handle people's pictures: limited, without secrets, replaced when they die.

Requests and replies are plain bytes, never pickles: somebody who breaks into a child must not get further.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from bot.processes.sandbox import SandboxLost, SandboxProcess
from bot.processes.sandboxed import ReplyKind

log = logging.getLogger(__name__)

#: A cold disk has to read Python, libraries and networks first.
START_TIMEOUT_S = 60.0

ResultT = TypeVar("ResultT")


class SandboxUnavailable(Exception):
    """No child could be started, or a start is not tried now."""


@dataclass(frozen=True, slots=True)
class SandboxLimits:
    """The limits of one child, and of how it is restarted.

    `memory_limit` counts all mapped memory, or only the data, for libraries that map far more than they use.
    After a failed start none is tried for `restart_delay_s`; after `max_failed_starts` in a row none ever is.
    """

    memory_bytes: int
    max_reply_bytes: int
    timeout_s: float
    memory_limit: Literal["address-space", "data"] = "address-space"
    restart_delay_s: float = 0.0
    max_failed_starts: int | None = None


class SandboxPool(Generic[ResultT]):
    """At most `workers` children that run `module`, each with one request at a time.

    So a picture that kills its child takes no other one with it. `decode_reply` turns the body of a reply
    (RESULT or REFUSED) into a result, and raises ValueError for one that no sound child sends.
    """

    def __init__(
        self,
        module: str,
        decode_reply: Callable[[ReplyKind, bytes], ResultT],
        workers: int,
        limits: SandboxLimits,
        arguments: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._module = module
        self._decode_reply = decode_reply
        self._workers = workers
        self._limits = limits
        self._arguments = (str(limits.memory_bytes), limits.memory_limit, *arguments)
        self._environ = environ
        self._semaphore = asyncio.Semaphore(workers)
        self._children: set[SandboxProcess] = set()
        self._idle_children: list[SandboxProcess] = []
        self._end_tasks: set[asyncio.Task[None]] = set()
        self._warm_up_task: asyncio.Task[None] | None = None
        self._failed_starts = 0
        self._next_start_s = 0.0

    @property
    def pids(self) -> list[int]:
        """The process ids of the children."""
        return [child.pid for child in self._children]

    async def request(self, data: bytes) -> ResultT:
        """Have a child handle data, and return what it made of it.

        Raise SandboxLost when the child died or sent nonsense, TimeoutError when it took too long (either
        way it is replaced), and SandboxUnavailable when none can be started.
        """
        async with self._semaphore:
            # The start does not count as the request's time: a cold machine needs seconds for it.
            child = self._idle_children.pop() if self._idle_children else await self._start_child()
            try:
                async with asyncio.timeout(self._limits.timeout_s):
                    result = await self._exchange(child, data)
            except (SandboxLost, TimeoutError) as error:
                reason = str(error) or "it took too long"
                log.warning("%s: child lost on a request of %d bytes: %s", self._module, len(data), reason)
                self._end_child(child)
                raise
            except BaseException:  # cancelled while the child works on: its reply would be the next one's
                self._end_child(child)
                raise
            if child in self._children:  # else the pool was closed meanwhile
                self._idle_children.append(child)
            return result

    async def _exchange(self, child: SandboxProcess, data: bytes) -> ResultT:
        await child.send(data)
        kind, body = await child.read_reply(self._limits.max_reply_bytes)
        try:
            return self._decode_reply(kind, body)
        except ValueError as error:
            raise SandboxLost("it sent a reply that makes no sense") from error

    def warm_up(self) -> None:
        """Start all children now, so that the first requests need not wait for them."""
        self._warm_up_task = asyncio.create_task(self._start_all())

    async def close(self) -> None:
        """End all children."""
        if self._warm_up_task is not None:
            self._warm_up_task.cancel()
            await asyncio.wait([self._warm_up_task])
        for child in list(self._children):
            self._end_child(child)
        await asyncio.gather(*self._end_tasks)

    async def _start_all(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._workers):
                    group.create_task(self._add_idle())
        except* SandboxUnavailable:
            log.warning("%s: no child to warm up; the next request tries again", self._module)

    async def _add_idle(self) -> None:
        async with self._semaphore:
            self._idle_children.append(await self._start_child())

    async def _start_child(self) -> SandboxProcess:
        limits = self._limits
        if limits.max_failed_starts is not None and self._failed_starts >= limits.max_failed_starts:
            raise SandboxUnavailable(f"{self._failed_starts} starts failed")
        if time.monotonic() < self._next_start_s:
            raise SandboxUnavailable("the last start failed just now")
        try:
            child = await self._start_ready_child()
        except (SandboxLost, TimeoutError) as error:
            self._failed_starts += 1
            self._next_start_s = time.monotonic() + limits.restart_delay_s
            reason = str(error) or "it took too long"
            log.error("%s: no child could be started (%d): %s", self._module, self._failed_starts, reason)
            raise SandboxUnavailable(reason) from error
        self._failed_starts = 0
        log.info("%s: child %d started (%s)", self._module, child.pid, " ".join(self._arguments))
        return child

    async def _start_ready_child(self) -> SandboxProcess:
        child = await SandboxProcess.start(self._module, *self._arguments, environ=self._environ)
        self._children.add(child)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                reply = await child.read_reply(self._limits.max_reply_bytes)
            if reply != (ReplyKind.READY, b""):
                raise SandboxLost("it did not send READY")
        except BaseException:
            self._end_child(child)
            raise
        return child

    def _end_child(self, child: SandboxProcess) -> None:
        if child not in self._children:
            return
        self._children.discard(child)
        if child in self._idle_children:
            self._idle_children.remove(child)
        task = asyncio.create_task(child.end())
        self._end_tasks.add(task)
        task.add_done_callback(self._end_tasks.discard)
