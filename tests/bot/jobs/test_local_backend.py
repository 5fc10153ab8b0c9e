"""What holds for a worker process here beside the contract of all backends (test_backend_contract.py)."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio

from bot.core.errors import WorkerLost
from bot.jobs.backends.fake import FakeBackend
from bot.jobs.backends.local import ProcessBackend, WorkerTimeouts
from gpu_worker.protocol import VERSION, DoneEvent
from tests.support.backend_fixtures import COMMAND, all_events, told, train
from tests.support.fake_worker import as_lora, prefetch_request

#: What the log says of a photo that is sent ahead, and of one that is to be forgotten, where no worker is up.
NOBODY_HEARD = [f"no worker is up to hear {name}" for name in ("PrefetchRequest", "ForgetRequest")]
#: Says that it is there, and then nothing for ever, or where it still loads, what it did.
QUIET = """
import sys
from gpu_worker.protocol import DoneEvent, ReadyMessage, StartedEvent, WorkerHealth
from gpu_worker.protocol import decode_request, encode_frame, read_frame
from tests.support.fake_worker import as_lora
def say(message):
    sys.stdout.buffer.write(encode_frame(message))
    sys.stdout.buffer.flush()
is_loaded = sys.argv[1] == "loaded"
say(ReadyMessage(version={version}, pid=1, health=WorkerHealth("quiet", "quiet", is_loaded, 1)))
job = decode_request(read_frame(sys.stdin.buffer))
if is_loaded:
    sys.stdin.read()
say(StartedEvent(job_id=job.job_id, attempt=job.attempt, step=0, steps=1))
say(DoneEvent(job_id=job.job_id, attempt=job.attempt, lora=as_lora(b"quiet")))
sys.stdin.read()
"""


@asynccontextmanager
async def running(
    command: Sequence[str], patience: WorkerTimeouts | None = None
) -> AsyncIterator[ProcessBackend]:
    backend = ProcessBackend(command, timeouts=patience)
    await backend.start()
    try:
        yield backend
    finally:
        await backend.close()


@pytest_asyncio.fixture
async def local() -> AsyncIterator[ProcessBackend]:
    async with running(COMMAND) as backend:
        yield backend


async def test_photos_sent_ahead_to_nobody_are_no_error(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "bot.jobs.backends.local")
    backend = ProcessBackend(COMMAND)
    await backend.prefetch(prefetch_request(b"photo"))
    await backend.forget(["0" * 64])
    assert caplog.messages == NOBODY_HEARD
    assert backend.pid is None, "none is started for them"
    fake = FakeBackend()
    await fake.prefetch(prefetch_request(b"photo"))
    await fake.forget(["0" * 64])
    assert (fake.prefetched_photos, fake.forgotten_hashes) == ([b"photo"], ["0" * 64])


async def test_photos_sent_before_the_worker_is_up_are_not_kept_for_it() -> None:
    backend = ProcessBackend(COMMAND)
    await backend.prefetch(prefetch_request(b"early"))
    await backend.start()
    try:
        done = (await all_events(backend, train(1, b"prepared?")))[-1]
    finally:
        await backend.close()
    assert isinstance(done, DoneEvent)
    assert done.lora == as_lora(b"prepared: ")


async def test_photos_sent_ahead_to_a_worker_that_was_closed_are_no_error(
    local: ProcessBackend, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "bot.jobs.backends.local")
    await all_events(local, train(1))
    await local.prefetch(prefetch_request(b"in time"))
    assert not set(NOBODY_HEARD) & set(caplog.messages)
    await local.close()
    await local.prefetch(prefetch_request(b"late"))
    await local.forget(["0" * 64])
    assert caplog.messages[-2:] == NOBODY_HEARD


async def test_an_ordered_end_is_no_death(local: ProcessBackend) -> None:
    await all_events(local, train(1))
    await local.close()
    assert local.crash_count() == 0


async def test_bad_input_and_a_bug_leave_the_process_as_it_is(local: ProcessBackend) -> None:
    await all_events(local, train(1))
    pid = local.pid
    for job_id, order in enumerate((b"refuse", b"bug"), start=2):
        await all_events(local, train(job_id, order))
    assert local.pid == pid is not None


async def test_a_worker_that_never_speaks_is_replaced() -> None:
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    async with (
        running(command, WorkerTimeouts(start_timeout_s=0.2, cancel_timeout_s=0.2)) as backend,
        asyncio.timeout(200),
    ):
        pids = set()
        while len(pids) < 2:
            process = backend._process
            if process is not None:
                pids.add(process.pid)
            await asyncio.sleep(0.01)


def quiet(state: str) -> list[str]:
    return [sys.executable, "-c", QUIET.format(version=VERSION), state]


async def test_a_worker_may_be_quiet_until_its_base_model_is_there() -> None:
    async with running(
        quiet("loading"), WorkerTimeouts(silence_timeout_s=0.0, start_timeout_s=60.0)
    ) as backend:
        assert isinstance((await all_events(backend, train(1)))[-1], DoneEvent)
        assert backend.crash_count() == 0


async def test_a_worker_that_is_quiet_after_that_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    async with running(
        quiet("loaded"), WorkerTimeouts(silence_timeout_s=0.1, start_timeout_s=60.0)
    ) as backend:
        with pytest.raises(WorkerLost):
            await all_events(backend, train(1))
        await told(caplog, "has been silent for 0 s")
