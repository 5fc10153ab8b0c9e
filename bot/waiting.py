"""How long what failed rests before it is tried again, and how whoever works off a queue waits."""

from __future__ import annotations

import asyncio

MAX_BACK_OFF_S = 3600.0
_FIRST_BACK_OFF_S = 5.0
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
