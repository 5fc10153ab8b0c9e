"""The eye: a child process that looks at photos, one at a time; it may die without harm."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Protocol

import msgspec

from bot.coach._pipe import (
    ANSWER,
    FACES,
    MAX_ANSWER_BYTES,
    NO_FACES,
    NOT_SEEN,
    READY,
    REQUEST,
    SIGHT,
    decoder,
)
from bot.coach._sight import Sight

log = logging.getLogger(__name__)

MEMORY_BYTES = 250 * 10**6
TIMEOUT_S = 10.0
START_TIMEOUT_S = 60.0  # a cold disk reads Python and the networks first
#: After so many starts in a row that failed nobody looks any more: the machine lacks something.
MAX_FAILED_STARTS = 3
#: All that the child is told of its surroundings: whoever breaks it finds no token there.
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "VIRTUAL_ENV")
#: One core is what a photo may take; each thread more would also take memory.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
_CODE = Path(__file__).parents[2]


class Eye(Protocol):
    """Measures photos."""

    async def see(self, photo: bytes) -> Sight | None:
        """Measure a photo as our gate keeps it; None when that was not possible."""

    async def close(self) -> None:
        """Let go of all that it holds."""


class ChildLost(Exception):
    """The child ended, or said what no child says."""


class ChildEye:
    """The eye that is used: its child starts with the first photo and stays.

    Without `faces`, or without the extra of that name, it looks at photos as a whole.
    """

    def __init__(
        self, timeout_s: float = TIMEOUT_S, memory_bytes: int = MEMORY_BYTES, *, faces: bool = True
    ) -> None:
        self._timeout_s = timeout_s
        self._command = ("-m", "bot.coach._child", str(memory_bytes), FACES if faces else NO_FACES)
        self._one_at_a_time = asyncio.Lock()
        self._child: Process | None = None
        self._failed_starts = 0

    @property
    def pid(self) -> int | None:
        """The child's process id while there is one."""
        return None if self._child is None else self._child.pid

    async def see(self, photo: bytes) -> Sight | None:
        """Measure a photo as our gate keeps it; None when that was not possible."""
        async with self._one_at_a_time:
            child = self._child or await self._start()
            if child is None:
                return None
            try:
                async with asyncio.timeout(self._timeout_s):
                    kind, body = await _ask(child, photo)
                    if kind == SIGHT:
                        return decoder.decode(body)
                    if kind != NOT_SEEN:
                        raise ChildLost("it gave no answer to a photo")
            except (ChildLost, TimeoutError, msgspec.DecodeError) as error:
                log.warning(
                    "a photo of %d bytes ended the coach's child: %s", len(photo), type(error).__name__
                )
                await self._end()
            except BaseException:  # cancelled while the child goes on: its answer would be taken for the next
                await self._end()
                raise
            else:
                log.warning("the coach could not read a photo of %d bytes", len(photo))
            return None

    async def close(self) -> None:
        """End the child."""
        await self._end()

    async def _start(self) -> Process | None:
        if self._failed_starts >= MAX_FAILED_STARTS:
            return None
        environ = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        child = self._child = await asyncio.create_subprocess_exec(
            *(sys.executable, *self._command),
            stdin=PIPE,
            stdout=PIPE,
            env=environ | _ONE_THREAD | {"PYTHONPATH": str(_CODE)},
            start_new_session=True,  # deaf to Ctrl-C: its parent ends it
        )
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                kind, body = await _answer(child)
            if kind != READY or body not in (b"\0", b"\1"):
                raise ChildLost("it did not say that it is ready")
        except (ChildLost, TimeoutError) as error:
            self._failed_starts += 1
            log.warning("the coach's child did not start (%d): %s", self._failed_starts, error)
            await self._end()
            return None
        except BaseException:
            await self._end()
            raise
        self._failed_starts = 0
        log.info(
            "the coach looks at photos, %s", "faces too" if body == b"\1" else "without the extra `faces`"
        )
        return child

    async def _end(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        if child.returncode is None:
            try:
                child.kill()
            except ProcessLookupError:
                log.debug("child %d was gone already", child.pid)
        # An answer that nobody reads keeps its pipe open, and asyncio waits for that end too; there is no
        # other door to close it.
        child._transport.close()  # type: ignore[attr-defined]
        await child.wait()


async def _ask(child: Process, photo: bytes) -> tuple[int, bytes]:
    assert child.stdin is not None  # noqa: S101 - it was asked for as a pipe
    try:
        child.stdin.write(REQUEST.pack(len(photo)) + photo)
        await child.stdin.drain()
    except OSError as error:
        raise ChildLost("it does not listen") from error
    return await _answer(child)


async def _answer(child: Process) -> tuple[int, bytes]:
    assert child.stdout is not None  # noqa: S101
    try:
        kind, length = ANSWER.unpack(await child.stdout.readexactly(ANSWER.size))
        if length > MAX_ANSWER_BYTES:
            raise ChildLost(f"it announced {length} bytes")
        return kind, await child.stdout.readexactly(length)
    except asyncio.IncompleteReadError as error:
        raise ChildLost("it ended") from error
