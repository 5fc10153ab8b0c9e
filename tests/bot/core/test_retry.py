"""What fails rests longer each time, up to an hour; a bell ends a rest; what was begun may end."""

from __future__ import annotations

import asyncio

import pytest

from bot.core.retry import backoff_s, run_to_completion, wait_for_event


def test_the_rest_doubles_up_to_an_hour_however_often_it_was_tried() -> None:
    assert [backoff_s(tries) for tries in (0, 1, 2, 9, 10)] == [5.0, 10.0, 20.0, 2560.0, 3600.0]
    assert backoff_s(2000) == 3600.0  # of 2 ** 2000 there is no number of seconds


async def test_an_event_that_is_never_set_is_waited_for_until_the_timeout() -> None:
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    waiting = asyncio.create_task(wait_for_event(asyncio.Event(), 0.05))
    await asyncio.sleep(0)
    assert not waiting.done()
    await waiting
    assert loop.time() - began_s >= 0.05


async def test_an_event_ends_the_wait() -> None:
    bell = asyncio.Event()
    waiting = asyncio.create_task(wait_for_event(bell, None))
    await asyncio.sleep(0)
    assert not waiting.done()
    bell.set()
    await waiting


async def test_a_started_call_finishes_though_its_caller_is_cancelled() -> None:
    line, did = asyncio.Event(), []

    async def tell() -> None:
        await line.wait()
        did.append("told")

    telling = asyncio.create_task(run_to_completion(tell(), grace_s=60.0))
    await asyncio.sleep(0)
    telling.cancel()
    await asyncio.sleep(0)
    line.set()
    with pytest.raises(asyncio.CancelledError):
        await telling
    assert did == ["told"]


async def test_a_scan_that_takes_much_longer_is_stopped() -> None:
    ended = asyncio.Event()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    hanging = asyncio.create_task(run_to_completion(hang(), grace_s=0.01))
    await asyncio.sleep(0)
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging
    assert ended.is_set()
