"""What comes and goes beside a job's steps: samples, adjustments, photos sent ahead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path

import pytest
from PIL import Image

from bot.core.jobs import JobStatus
from bot.core.photos import StoredPhoto
from bot.jobs.backends.fake import FakeBackend
from bot.jobs.dispatcher import MAX_PREFETCH_PHOTOS, Dispatcher
from bot.jobs.styles import load_styles
from bot.media.training_strip import TILE_PX, pick_evenly
from bot.texts import translate
from gpu_worker.protocol import (
    FallbackCause,
    FallbackEvent,
    JobRequest,
    SampleEvent,
    StartedEvent,
    TrainRequest,
    WorkerEvent,
)
from tests.support.engine import PNG, EngineRoom, open_engine_room, until
from tests.support.services import ANNA


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[EngineRoom]:
    async with open_engine_room(tmp_path) as each:
        yield each


async def test_samples_come_as_one_picture_with_the_ready_message(room: EngineRoom) -> None:
    room.backend.sample_png, room.backend.steps = PNG, 3
    job = await room.trained()
    request = room.backend.requests[0]
    assert isinstance(request, TrainRequest)
    assert request.sample_prompt == "photo of sks person"
    [(_, reply, _)] = [sent for sent in room.chat.sent if "is ready," in sent[1].text]
    [path] = reply.pictures
    with Image.open(path) as strip:
        assert strip.width == 3 * TILE_PX
    assert await room.files.read_samples(job.id) == {}


async def test_the_card_of_a_training_shows_each_sample_once(room: EngineRoom) -> None:
    room.backend.sample_png, room.backend.steps = PNG, 10_000
    job = await room.desk.train(ANNA)
    await room.desk.studio.record_card(job.id, "card7")
    working = asyncio.create_task(room.dispatcher.drain())
    strip = room.files.preview_path(job.id)

    async def shows_the_strip() -> bool:
        await room.notifier.edit_cards()
        return any(reply.pictures == (strip,) for _, reply in room.chat.edits)

    async def went_on() -> bool:
        await room.notifier.edit_cards()
        return room.chat.edits[-1][1].pictures == ()

    await until(shows_the_strip)
    with Image.open(strip) as picture:
        assert picture.width % TILE_PX == 0
    room.backend.sample_png = None
    await until(went_on)
    assert room.chat.edits[-1][1].keeps_pictures
    await room.desk.studio.cancel_job(ANNA)
    await working
    await room.notifier.edit_cards()
    assert not room.chat.edits[-1][1].keeps_pictures
    assert not strip.exists()


async def test_the_card_of_a_finished_training_keeps_its_samples(room: EngineRoom) -> None:
    room.backend.sample_png, room.backend.steps = PNG, 3
    job = await room.desk.train(ANNA)
    await room.desk.studio.record_card(job.id, "card7")
    await room.dispatcher.drain()
    await room.notifier.edit_cards()
    [(_, card)] = room.chat.edits
    assert "100 %" in card.text
    assert card.keeps_pictures


async def test_samples_of_a_cancelled_training_are_deleted(room: EngineRoom) -> None:
    room.backend.sample_png, room.backend.steps = PNG, 10_000
    job = await room.desk.train(ANNA)
    working = asyncio.create_task(room.dispatcher.drain())

    async def has_sample() -> bool:
        return bool(await room.files.read_samples(job.id))

    await until(has_sample)
    await room.desk.studio.cancel_job(ANNA)
    await working
    assert await room.files.read_samples(job.id) == {}


async def test_samples_from_before_an_interruption_are_in_the_strip_too(room: EngineRoom) -> None:
    room.backend.sample_png, room.backend.steps, room.backend.lost_at_steps = PNG, 4, [3]
    await room.trained()
    [(_, reply, _)] = [sent for sent in room.chat.sent if "is ready," in sent[1].text]
    with Image.open(reply.pictures[0]) as strip:
        assert strip.width == 4 * TILE_PX


async def test_samples_that_are_no_pictures_do_not_cost_the_lora(
    room: EngineRoom, caplog: pytest.LogCaptureFixture
) -> None:
    room.backend.sample_png = b"not a picture"
    job = await room.trained()
    assert job.status is JobStatus.DONE
    [(_, reply, _)] = room.chat.sent
    assert reply.pictures == ()
    assert f"the training strip of job {job.id} could not be made" in caplog.text


async def test_an_adjusted_training_goes_on_and_is_logged(
    room: EngineRoom, caplog: pytest.LogCaptureFixture
) -> None:
    room.backend.emits_adjusted = True
    with caplog.at_level("WARNING"):
        job = await room.trained()
    assert job.status is JobStatus.DONE
    assert f"job {job.id}: out-of-memory; it goes on from step" in caplog.text


class Telling(FakeBackend):
    """Begins at step 5 of 10, tells `event` once its gate is open, and waits to be closed."""

    def __init__(self, event: Callable[[TrainRequest], WorkerEvent]) -> None:
        super().__init__()
        self.event = event
        self.proceed_event.clear()

    async def run(self, request: JobRequest) -> AsyncGenerator[WorkerEvent, None]:
        assert isinstance(request, TrainRequest)
        try:
            yield StartedEvent(job_id=request.job_id, attempt=request.attempt, step=5, steps=10)
            await self.proceed_event.wait()
            yield self.event(request)
            await asyncio.Event().wait()
        finally:
            self.cancelled_jobs.append(request.job_id)


def adjusted(request: TrainRequest) -> WorkerEvent:
    return FallbackEvent(
        job_id=request.job_id,
        attempt=request.attempt,
        step=2,
        cause=FallbackCause.OUT_OF_MEMORY,
        memory_mode="float32",
    )


def sample(request: TrainRequest) -> WorkerEvent:
    return SampleEvent(job_id=request.job_id, attempt=request.attempt, step=5, png=PNG)


async def test_the_card_of_an_adjusted_training_says_where_it_went_back_to(
    room: EngineRoom,
) -> None:
    backend = Telling(adjusted)
    dispatcher = Dispatcher(room.ledger, backend, room.files, room.notifier, load_styles())
    job = await room.desk.train(ANNA)
    await room.desk.studio.record_card(job.id, "card1")
    working = asyncio.create_task(dispatcher.drain())
    await until(lambda: room.has_step(job))
    backend.proceed_event.set()

    async def shown() -> bool:
        await room.notifier.edit_cards()
        return any(translate("fallback-out-of-memory") in reply.text for _, reply in room.chat.edits)

    await until(shown)
    assert "step 2 of 10" in room.chat.edits[-1][1].text
    working.cancel()
    await asyncio.wait([working])


@pytest.mark.parametrize("event", [adjusted, sample])
async def test_events_of_an_old_attempt_change_nothing(
    room: EngineRoom, event: Callable[[TrainRequest], WorkerEvent], caplog: pytest.LogCaptureFixture
) -> None:
    backend = Telling(event)
    dispatcher = Dispatcher(room.ledger, backend, room.files, room.notifier, load_styles())
    job = await room.desk.train(ANNA)
    working = asyncio.create_task(dispatcher.drain())
    await until(lambda: room.has_step(job))
    await room.ledger.jobs.cancel(job.id)  # as another hand would: the attempt is not told
    backend.proceed_event.set()
    await asyncio.wait_for(working, 100)
    assert (await room.job(job)).step == 5
    assert await room.files.read_samples(job.id) == {}
    assert "out-of-memory" not in caplog.text
    assert backend.cancelled_jobs == [job.id], "the attempt was closed"


async def test_a_training_that_failed_for_good_leaves_no_files(room: EngineRoom) -> None:
    job = await room.desk.train(ANNA)
    room.backend.crashing_jobs = {job.id}
    await room.files.write_checkpoint(job.id, b"0")
    await room.files.write_sample(job.id, 0, PNG)
    await room.dispatcher.drain()
    assert (await room.job(job)).status is JobStatus.FAILED
    assert await room.files.read_checkpoint(job.id) is None
    assert await room.files.read_samples(job.id) == {}


async def test_photos_are_sent_ahead_and_forgotten_by_a_running_dispatcher(room: EngineRoom) -> None:
    running = asyncio.create_task(room.dispatcher.run())
    room.dispatcher.prefetch([StoredPhoto.from_data(b"one"), StoredPhoto.from_data(b"two")])
    room.dispatcher.forget(["0" * 64])

    async def all_told() -> bool:
        return len(room.backend.forgotten_hashes) == 1

    await until(all_told)
    assert room.backend.prefetched_photos == [b"one", b"two"]
    running.cancel()
    await asyncio.wait([running])


async def test_a_flood_of_photos_is_not_kept_waiting_without_end(room: EngineRoom) -> None:
    room.dispatcher.prefetch(
        StoredPhoto.from_data(b"%d" % number) for number in range(MAX_PREFETCH_PHOTOS + 50)
    )
    running = asyncio.create_task(room.dispatcher.run())

    async def all_told() -> bool:
        return len(room.backend.prefetched_photos) >= MAX_PREFETCH_PHOTOS

    await until(all_told)
    assert len(room.backend.prefetched_photos) == MAX_PREFETCH_PHOTOS
    running.cancel()
    await asyncio.wait([running])


async def test_a_forget_request_arrives_also_after_a_flood_of_photos(room: EngineRoom) -> None:
    names = [f"{number:064x}" for number in range(MAX_PREFETCH_PHOTOS + 1)]
    for name in names:
        room.dispatcher.forget([name])
    room.dispatcher.prefetch([StoredPhoto.from_data(b"photo")] * MAX_PREFETCH_PHOTOS)
    room.dispatcher.forget(["f" * 64])
    running = asyncio.create_task(room.dispatcher.run())

    async def all_told() -> bool:
        return len(room.backend.forgotten_hashes) == len(names) + 1

    await until(all_told)
    assert sorted(room.backend.forgotten_hashes) == sorted([*names, "f" * 64])
    running.cancel()
    await asyncio.wait([running])


@pytest.mark.parametrize(
    ("steps", "chosen"),
    [([0, 250], [0, 250]), (list(range(0, 1501, 250)), [0, 250, 500, 1000, 1250, 1500])],
)
def test_the_strip_of_a_long_training_has_its_first_and_last_sample(
    steps: list[int], chosen: list[int]
) -> None:
    assert pick_evenly(steps) == chosen
