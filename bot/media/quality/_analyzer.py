"""The eye: a child process that looks at photos, one at a time; it may die without harm."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

import msgspec

from bot.media.quality._codec import (
    MAX_REPLY_BYTES,
    MEASUREMENTS_REPLY,
    READY_REPLY,
    REPLY_HEADER,
    UNREADABLE_REPLY,
    WITH_FACES,
    WITHOUT_FACES,
    decoder,
)
from bot.media.quality._types import PhotoMeasurements
from bot.processes.sandbox import SINGLE_THREAD_ENV, START_TIMEOUT_S, SandboxLost, SandboxProcess

log = logging.getLogger(__name__)

MEMORY_BYTES = 250 * 10**6
TIMEOUT_S = 10.0
#: After so many starts in a row that failed nobody looks any more: the machine lacks something.
MAX_FAILED_STARTS = 3


class PhotoAnalyzer(Protocol):
    """Measures photos."""

    async def analyze(self, photo: bytes) -> PhotoMeasurements | None:
        """Measure a photo as our gate keeps it; None when that was not possible."""

    async def close(self) -> None:
        """Let go of all that it holds."""


class SandboxedPhotoAnalyzer:
    """The eye that is used: its child starts with the first photo and stays.

    Without `faces`, or without the extra of that name, it looks at photos as a whole.
    """

    def __init__(
        self, timeout_s: float = TIMEOUT_S, memory_bytes: int = MEMORY_BYTES, *, detect_faces: bool = True
    ) -> None:
        self._timeout_s = timeout_s
        self._command = (
            "bot.media.quality._child",
            str(memory_bytes),
            WITH_FACES if detect_faces else WITHOUT_FACES,
        )
        self._lock = asyncio.Lock()
        self._child: SandboxProcess | None = None
        self._failed_starts = 0

    @property
    def pid(self) -> int | None:
        """The child's process id while there is one."""
        return None if self._child is None else self._child.pid

    async def analyze(self, photo: bytes) -> PhotoMeasurements | None:
        """Measure a photo as our gate keeps it; None when that was not possible."""
        async with self._lock:
            child = self._child or await self._start()
            if child is None:
                return None
            try:
                async with asyncio.timeout(self._timeout_s):
                    kind, body = await _request_measurements(child, photo)
                    if kind == MEASUREMENTS_REPLY:
                        return decoder.decode(body)
                    if kind != UNREADABLE_REPLY:
                        raise SandboxLost("it gave no answer to a photo")
            except (SandboxLost, TimeoutError, msgspec.DecodeError) as error:
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

    async def _start(self) -> SandboxProcess | None:
        if self._failed_starts >= MAX_FAILED_STARTS:
            return None
        try:
            child = self._child = await SandboxProcess.start(*self._command, environ=SINGLE_THREAD_ENV)
            async with asyncio.timeout(START_TIMEOUT_S):
                kind, body = await _read_reply(child)
            if kind != READY_REPLY or body not in (b"\0", b"\1"):
                raise SandboxLost("it did not say that it is ready")
        except (SandboxLost, TimeoutError) as error:
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
        if child is not None:
            await child.end()


async def _request_measurements(child: SandboxProcess, photo: bytes) -> tuple[int, bytes]:
    await child.send(photo)
    return await _read_reply(child)


async def _read_reply(child: SandboxProcess) -> tuple[int, bytes]:
    kind, size_bytes = REPLY_HEADER.unpack(await child.read(REPLY_HEADER.size))
    if size_bytes > MAX_REPLY_BYTES:
        raise SandboxLost(f"it announced {size_bytes} bytes")
    return kind, await child.read(size_bytes)
