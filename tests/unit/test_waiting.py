"""What fails rests longer each time, up to an hour; a bell ends a rest."""

from __future__ import annotations

import asyncio

from bot.waiting import back_off_s, ring


def test_the_rest_doubles_up_to_an_hour_however_often_it_was_tried() -> None:
    assert [back_off_s(tries) for tries in (0, 1, 2, 9, 10)] == [5.0, 10.0, 20.0, 2560.0, 3600.0]
    assert back_off_s(2000) == 3600.0  # of 2 ** 2000 there is no number of seconds


async def test_a_bell_that_nobody_rings_is_not_waited_for_longer_than_was_said() -> None:
    await ring(asyncio.Event(), 0.0)


async def test_a_bell_ends_the_wait() -> None:
    bell = asyncio.Event()
    waiting = asyncio.create_task(ring(bell, None))
    await asyncio.sleep(0)
    assert not waiting.done()
    bell.set()
    await waiting
