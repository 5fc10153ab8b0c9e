"""How long what failed rests before it is tried again, and how whoever works off a queue waits and stops."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeAlias, TypeVar

T = TypeVar("T")
#: Waits so many seconds; `asyncio.sleep`, but where a test has the time pass.
Sleep: TypeAlias = Callable[[float], Awaitable[None]]

MAX_BACKOFF_S = 3600.0
_INITIAL_BACKOFF_S = 5.0
#: What was begun is given so long when everything is to stop; to tell somebody something takes less than one.
SHUTDOWN_GRACE_S = 3.0
#: Twice as long each time, until it is the longest anyway: a number that went on growing would be too large.
_MAX_DOUBLINGS = 10


def backoff_s(attempts: int) -> float:
    """Return the rest, in seconds, after so many tries before this one."""
    return min(MAX_BACKOFF_S, _INITIAL_BACKOFF_S * 2.0 ** min(attempts, _MAX_DOUBLINGS))


async def wait_for_event(event: asyncio.Event, timeout_s: float | None) -> None:
    """Wait for a bell, at most so long; None: until it rings."""
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return


async def run_to_completion(coroutine: Coroutine[Any, Any, T], grace_s: float = SHUTDOWN_GRACE_S) -> T:
    """Do something to its end, though we are cancelled meanwhile, unless that takes much longer.

    So an ordered stop comes between two messages and not between the sending of one and its being noted,
    which would send it again at the next start.
    """
    task = asyncio.create_task(coroutine)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=grace_s)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise
