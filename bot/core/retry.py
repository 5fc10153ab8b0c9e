"""How long what failed rests before it is tried again, and how whoever works off a queue waits and stops."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

MAX_BACK_OFF_S = 3600.0
_FIRST_BACK_OFF_S = 5.0
#: What was begun is given so long when everything is to stop; to tell somebody something takes less than one.
_LAST_S = 3.0
#: Twice as long each time, until it is the longest anyway: a number that went on growing would be too large.
_MAX_DOUBLINGS = 10


def back_off_s(tries: int) -> float:
    """Give the rest, in seconds, after so many tries before this one."""
    return min(MAX_BACK_OFF_S, _FIRST_BACK_OFF_S * 2.0 ** min(tries, _MAX_DOUBLINGS))


async def ring(bell: asyncio.Event, wait_s: float | None) -> None:
    """Wait for a bell, at most so long; None: until it rings."""
    try:
        async with asyncio.timeout(wait_s):
            await bell.wait()
    except TimeoutError:
        return


async def finished(doing: Coroutine[Any, Any, T], last_s: float = _LAST_S) -> T:
    """Do something to its end, though we are cancelled meanwhile, unless that takes much longer.

    So an ordered stop comes between two messages and not between the sending of one and its being noted,
    which would send it again at the next start.
    """
    task = asyncio.create_task(doing)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=last_s)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise
