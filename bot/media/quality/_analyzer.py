"""Measures photos in a child process, which may die without harm."""

from __future__ import annotations

import importlib.util
from typing import Protocol

from bot.media.quality._codec import MAX_REPLY_BYTES, WITH_FACES, WITHOUT_FACES, decode_reply
from bot.media.quality._types import PhotoMeasurements
from bot.processes.sandbox import SINGLE_THREAD_ENV, SandboxLost
from bot.processes.sandbox_pool import SandboxLimits, SandboxPool, SandboxUnavailable

MEMORY_BYTES = 250 * 10**6
TIMEOUT_S = 10.0
#: After so many failed starts in a row no photo is measured any more: the machine lacks something.
MAX_FAILED_STARTS = 3
#: The extra `faces`.
_FACE_MODULES = ("ai_edge_litert", "dlib", "face_recognition_models", "numpy")


class PhotoAnalyzer(Protocol):
    """Measures photos and pictures."""

    async def analyze(self, photo: bytes) -> PhotoMeasurements | None:
        """Return the measurements of a photo that our decoder made, or of a picture; None on failure."""

    async def close(self) -> None:
        """Release everything."""


def is_face_detection_installed() -> bool:
    """Check whether the extra `faces` is installed."""
    return all(importlib.util.find_spec(name) is not None for name in _FACE_MODULES)


class SandboxedPhotoAnalyzer:
    """Measures photos one at a time. Its child starts with the first photo and stays.

    Without `detect_faces`, or without the extra `faces`, it measures photos as a whole.
    """

    def __init__(
        self, timeout_s: float = TIMEOUT_S, memory_bytes: int = MEMORY_BYTES, *, detect_faces: bool = True
    ) -> None:
        detect_faces = detect_faces and is_face_detection_installed()
        self._pool = SandboxPool(
            "bot.media.quality._child",
            decode_reply,
            workers=1,
            limits=SandboxLimits(
                memory_bytes, MAX_REPLY_BYTES, timeout_s, "data", max_failed_starts=MAX_FAILED_STARTS
            ),
            arguments=(WITH_FACES if detect_faces else WITHOUT_FACES,),
            environ=SINGLE_THREAD_ENV,
        )

    @property
    def pid(self) -> int | None:
        """The child's process id, or None."""
        return next(iter(self._pool.pids), None)

    async def analyze(self, photo: bytes) -> PhotoMeasurements | None:
        """Return the measurements of a photo, or None on failure."""
        try:
            return await self._pool.request(photo)
        except (SandboxLost, SandboxUnavailable, TimeoutError):
            return None

    async def close(self) -> None:
        """End the child."""
        await self._pool.close()
