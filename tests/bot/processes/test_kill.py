"""Whoever was killed is waited for, whoever holds its pipes, and its status is its own."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import pytest

from bot.processes.kill import kill_process, reap

pytestmark = pytest.mark.skipif(os.name != "posix", reason="of signals")


async def started(*command: str) -> Process:
    return await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=PIPE)


async def test_a_killed_process_is_said_to_be_killed(caplog: pytest.LogCaptureFixture) -> None:
    # One time in two hundred its status was lost, when it was asked after from two sides.
    caplog.set_level(logging.WARNING)
    for _ in range(100):
        process = await started("sleep", "100")
        process.kill()
        assert await reap(process) == -signal.SIGKILL
    assert caplog.records == []


async def test_a_process_that_ended_just_before_it_was_killed_keeps_its_own_status(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    for _ in range(300):
        process = await started("sh", "-c", "exit 7")
        while is_running(process.pid):  # and nobody is told of its end meanwhile
            pass
        kill_process(process)
        assert await reap(process) == 7
    assert caplog.records == []


def is_running(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


async def test_nobody_waits_for_a_child_of_it_that_holds_its_pipes() -> None:
    process = await started("sh", "-c", "sleep 100 & echo $!; wait")
    assert process.stdout is not None
    child = int(await process.stdout.readline())
    try:
        process.kill()
        async with asyncio.timeout(10):
            assert await reap(process) == -signal.SIGKILL
    finally:
        os.kill(child, signal.SIGKILL)


async def test_nobody_waits_for_an_answer_that_is_not_read() -> None:
    process = await started("sh", "-c", "yes")
    assert process.stdout is not None
    await process.stdout.readline()
    process.kill()
    async with asyncio.timeout(10):
        assert await reap(process) == -signal.SIGKILL
