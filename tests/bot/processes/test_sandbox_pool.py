"""The pool of child processes: a child that dies, hangs, lies or is killed costs its own request alone."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import pytest

from bot.processes.sandbox import SandboxLost
from bot.processes.sandbox_pool import SandboxLimits, SandboxPool, SandboxUnavailable
from bot.processes.sandboxed import REPLY_HEADER, ReplyKind
from tests.support.sandbox_child import CHILD, LIMITS, lying_pool


def decode_text(kind: ReplyKind, body: bytes) -> str:
    if kind is not ReplyKind.RESULT:
        raise ValueError("no text")
    return body.decode("ascii")


@pytest.fixture
async def pool() -> AsyncIterator[SandboxPool[str]]:
    pool = SandboxPool(CHILD, decode_text, 1, LIMITS)
    yield pool
    await pool.close()


async def test_a_child_answers_one_request_after_another(pool: SandboxPool[str]) -> None:
    assert await pool.request(b"one") == "ONE"
    pids = pool.pids
    assert await asyncio.gather(pool.request(b"two"), pool.request(b"three")) == ["TWO", "THREE"]
    assert pool.pids == pids
    assert len(pids) == 1


async def test_workers_answer_side_by_side() -> None:
    pool = SandboxPool(CHILD, decode_text, 2, LIMITS)
    assert await asyncio.gather(pool.request(b"one"), pool.request(b"two")) == ["ONE", "TWO"]
    assert len(pool.pids) == 2
    hanging = asyncio.create_task(pool.request(b"hang"))
    assert await pool.request(b"meanwhile") == "MEANWHILE"
    assert not hanging.done()
    await pool.close()
    with pytest.raises(SandboxLost):
        await hanging
    assert pool.pids == []


async def test_a_child_that_dies_costs_its_own_request_alone(pool: SandboxPool[str]) -> None:
    await pool.request(b"before")
    before = pool.pids
    with pytest.raises(SandboxLost, match="ended"):
        await pool.request(b"die")
    assert await pool.request(b"after") == "AFTER"
    assert pool.pids != before


async def test_a_child_that_hangs_is_replaced() -> None:
    pool = SandboxPool(CHILD, decode_text, 1, SandboxLimits(2**30, 2**22, timeout_s=1.0))
    with pytest.raises(TimeoutError):
        await pool.request(b"hang")
    assert pool.pids == []
    await pool.close()


async def test_a_cancelled_request_leaves_no_reply_for_the_next(pool: SandboxPool[str]) -> None:
    await pool.request(b"before")
    request = asyncio.create_task(pool.request(b"cancelled"))
    await asyncio.sleep(0)
    request.cancel()
    await asyncio.wait([request])
    assert request.cancelled()
    assert await pool.request(b"after") == "AFTER"


async def test_a_reply_that_makes_no_sense_ends_the_child(pool: SandboxPool[str]) -> None:
    await pool.request(b"before")
    with pytest.raises(SandboxLost, match="no sense"):
        await pool.request(b"refuse")
    assert pool.pids == []


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (REPLY_HEADER.pack(9, 2) + b"hi", "kind 9"),
        (REPLY_HEADER.pack(ReplyKind.RESULT, 2**32 - 1) + b"hi", "announced 4294967295 bytes"),
        (REPLY_HEADER.pack(ReplyKind.READY, 0), "no sense"),
    ],
)
async def test_a_lying_child_is_ended(reply: bytes, reason: str) -> None:
    pool = lying_pool(reply, decode_text)
    with pytest.raises(SandboxLost, match=reason):
        await pool.request(b"anything")
    assert pool.pids == []
    await pool.close()


async def test_a_child_whose_reply_nobody_reads_can_be_ended() -> None:
    reply = REPLY_HEADER.pack(ReplyKind.RESULT, 3_000_000) + bytes(2_999_999)
    pool = lying_pool(reply, decode_text, SandboxLimits(2**30, 2**22, timeout_s=0.5))
    with pytest.raises(TimeoutError):
        await pool.request(b"anything")
    await asyncio.wait_for(pool.close(), 20)


async def test_a_closed_pool_leaves_no_process(pool: SandboxPool[str]) -> None:
    pool.warm_up()
    await pool.request(b"one")
    [pid] = pool.pids
    await pool.close()
    assert pool.pids == []
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_child_that_was_killed_while_idle_costs_one_request(pool: SandboxPool[str]) -> None:
    await pool.request(b"before")
    [pid] = pool.pids
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(SandboxLost):
        await pool.request(b"lost")
    assert await pool.request(b"after") == "AFTER"


async def test_a_failed_start_is_not_repeated_before_its_delay() -> None:
    limits = SandboxLimits(2**30, 2**22, timeout_s=60.0, restart_delay_s=600.0)
    pool = SandboxPool("tests.support.no_such_module", decode_text, 1, limits)
    with pytest.raises(SandboxUnavailable, match="it ended"):
        await pool.request(b"one")
    with pytest.raises(SandboxUnavailable, match="failed just now"):
        await pool.request(b"two")
    await pool.close()


async def test_a_pool_stops_starting_children_after_too_many_failures() -> None:
    limits = SandboxLimits(2**30, 2**22, timeout_s=60.0, max_failed_starts=2)
    pool = SandboxPool("tests.support.no_such_module", decode_text, 1, limits)
    for _ in range(2):
        with pytest.raises(SandboxUnavailable, match="it ended"):
            await pool.request(b"one")
    with pytest.raises(SandboxUnavailable, match="2 starts failed"):
        await pool.request(b"three")
    await pool.close()
