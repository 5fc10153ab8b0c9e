"""Whoever was killed is waited for, whoever holds its pipes, and its status is its own."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from asyncio.subprocess import PIPE, Process

import pytest

from bot.child.ending import gone

pytestmark = pytest.mark.skipif(os.name != "posix", reason="of signals")


async def started(*command: str) -> Process:
    return await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=PIPE)


async def test_a_killed_process_is_said_to_be_killed(caplog: pytest.LogCaptureFixture) -> None:
    # One time in two hundred its status was lost, when it was asked after from two sides.
    caplog.set_level(logging.WARNING)
    for _ in range(100):
        process = await started("sleep", "100")
        process.kill()
        assert await gone(process) == -signal.SIGKILL
    assert caplog.records == []


async def test_nobody_waits_for_a_child_of_it_that_holds_its_pipes() -> None:
    process = await started("sh", "-c", "sleep 100 & echo $!; wait")
    assert process.stdout is not None
    child = int(await process.stdout.readline())
    try:
        process.kill()
        async with asyncio.timeout(10):
            assert await gone(process) == -signal.SIGKILL
    finally:
        os.kill(child, signal.SIGKILL)


async def test_nobody_waits_for_an_answer_that_is_not_read() -> None:
    process = await started("sh", "-c", "yes")
    assert process.stdout is not None
    await process.stdout.readline()
    process.kill()
    async with asyncio.timeout(10):
        assert await gone(process) == -signal.SIGKILL
