"""Jobs go from the database to the card and come back whole, whatever dies on the way."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.core.jobs import MAX_ATTEMPTS, FailureReason, Job, JobFailure, JobKind, JobStatus
from bot.core.loras import LoraState
from bot.core.outbox import NoticeKind
from bot.core.photos import StoredPhoto
from gpu_worker.protocol import GenerateRequest, JobProblem, TrainRequest
from tests.support.engine import EngineRoom, open_engine_room, until
from tests.support.services import ANNA, BERT


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[EngineRoom]:
    async with open_engine_room(tmp_path) as each:
        yield each


async def _has_checkpoint(room: EngineRoom, job: Job) -> bool:
    return await room.files.read_checkpoint(job.id) is not None


async def test_a_training_becomes_a_file_a_ready_lora_and_an_owed_notice(room: EngineRoom) -> None:
    job = await room.desk.train(ANNA)
    await room.dispatcher.drain()
    lora = await room.ledger.loras.get_by_code(job.code)
    assert lora is not None
    assert lora.state is LoraState.READY
    assert lora.file is not None
    assert await room.files.read_lora(lora.file) == b"lora"
    assert await room.owed() == [NoticeKind.TRAIN_DONE]


async def test_the_photos_go_to_the_worker_in_order_and_are_gone_afterwards(room: EngineRoom) -> None:
    job = await room.desk.train(ANNA)
    photos = await room.ledger.photos.get_job_photos(job.id)
    assert len(photos) == 5
    await room.dispatcher.drain()
    request = room.backend.requests[0]
    assert isinstance(request, TrainRequest)
    sent = map(StoredPhoto, request.photo_hashes, request.photos)
    assert tuple(sent) == photos
    assert await room.ledger.photos.get_job_photos(job.id) == ()


async def test_a_lost_worker_costs_only_the_steps_since_the_checkpoint(room: EngineRoom) -> None:
    room.backend.steps = 9
    room.backend.lost_at_steps = [5]
    job = await room.desk.train(ANNA)
    await room.dispatcher.drain()
    first, second = room.backend.requests
    assert isinstance(first, TrainRequest)
    assert isinstance(second, TrainRequest)
    assert (first.attempt, first.resume_checkpoint) == (1, None)
    assert (second.attempt, second.resume_checkpoint) == (2, b"4")
    assert (await room.job(job)).status is JobStatus.DONE


async def test_the_person_is_told_once_that_a_training_was_interrupted(room: EngineRoom) -> None:
    room.backend.steps = 9
    room.backend.lost_at_steps = [3, 5, 7]
    await room.desk.train(ANNA)
    await room.dispatcher.drain()
    assert await room.owed() == [NoticeKind.TRAIN_RESUMED, NoticeKind.TRAIN_DONE]


async def test_a_job_that_always_kills_its_worker_fails_and_the_next_runs(room: EngineRoom) -> None:
    poison = await room.desk.train(ANNA)
    room.backend.crashing_jobs = {poison.id}
    fine = await room.desk.train(BERT, 6)
    await room.dispatcher.drain()
    failed = await room.job(poison)
    assert (failed.status, failed.lost_attempts) == (JobStatus.FAILED, MAX_ATTEMPTS)
    assert failed.error is not None
    assert (await room.job(fine)).status is JobStatus.DONE


async def test_losses_before_a_new_checkpoint_do_not_count_for_ever(room: EngineRoom) -> None:
    room.backend.steps = 20
    room.backend.lost_at_steps = [3, 5, 7, 9, 11, 13, 15]
    job = await room.desk.train(ANNA)
    await room.dispatcher.drain()
    assert (await room.job(job)).status is JobStatus.DONE


async def test_a_failure_of_the_worker_is_kept_as_its_reason(room: EngineRoom) -> None:
    room.backend.fail_with = JobProblem.PHOTO_UNREADABLE
    job = await room.desk.train(ANNA)
    await room.dispatcher.drain()
    assert (await room.job(job)).error == JobFailure(JobProblem.PHOTO_UNREADABLE)
    assert await room.owed() == [NoticeKind.TRAIN_FAILED]


async def test_a_generation_gets_lora_and_trigger_and_stores_each_picture(room: EngineRoom) -> None:
    job = await room.trained()
    drawing = await room.draws(job.code, "on the moon --n 2")
    await room.dispatcher.drain()
    request = room.backend.requests[-1]
    assert isinstance(request, GenerateRequest)
    [lora] = request.loras
    assert (lora.data, lora.name, lora.strength) == (b"lora", job.code, 1.0)
    assert lora.sha256 == hashlib.sha256(b"lora").hexdigest()
    assert (request.prompt, request.count) == ("sks person, on the moon", 2)
    (notice,) = await room.ledger.outbox.list_due_notices(10)
    assert [room.files.picture_path(name).read_bytes() for name in notice.files] == [b"picture"] * 2
    assert notice.job.id == drawing.id


async def test_a_lora_whose_file_is_missing_fails_with_a_sentence(room: EngineRoom) -> None:
    job = await room.trained()
    room.files.lora_path(f"{job.code}.safetensors").unlink()
    drawing = await room.draws(job.code)
    await room.dispatcher.drain()
    failed = await room.job(drawing)
    assert failed.status is JobStatus.FAILED
    assert failed.error == JobFailure(FailureReason.LORA_FILE_GONE)


async def test_a_cancelled_job_stops_at_once_and_is_no_loss(room: EngineRoom) -> None:
    room.backend.proceed_event.clear()
    job = await room.desk.train(ANNA)
    drain = asyncio.create_task(room.dispatcher.drain())
    await until(lambda: room.has_step(job))
    await room.desk.studio.cancel_job(ANNA)
    await asyncio.wait_for(drain, 10)
    ended = await room.job(job)
    assert (ended.status, ended.lost_attempts) == (JobStatus.CANCELLED, 0)
    assert room.backend.cancelled_jobs == [job.id]
    assert await room.files.read_checkpoint(job.id) is None


async def test_a_write_that_is_cancelled_has_ended_when_its_caller_has(room: EngineRoom) -> None:
    job = await room.desk.train(ANNA)
    write = asyncio.create_task(room.files.write_checkpoint(job.id, bytes(10**7)))
    await asyncio.sleep(0)  # it has begun
    write.cancel()
    await asyncio.wait([write])
    assert write.cancelled()
    assert await room.files.read_checkpoint(job.id) == bytes(10**7), "so a clean-up after it finds it"


async def test_a_running_job_resumes_from_its_checkpoint_after_a_restart(room: EngineRoom) -> None:
    room.backend.proceed_event.clear()
    job = await room.desk.train(ANNA)
    run = asyncio.create_task(room.dispatcher.run())
    await until(lambda: _has_checkpoint(room, job))
    run.cancel()
    await asyncio.wait([run])
    assert (await room.job(job)).status is JobStatus.RUNNING
    room.backend.proceed_event.set()
    again = asyncio.create_task(room.dispatcher.run())
    await until(lambda: room.is_done(job))
    again.cancel()
    await asyncio.wait([again])
    last = room.backend.requests[-1]
    assert isinstance(last, TrainRequest)
    assert (last.attempt, last.resume_checkpoint) == (2, b"1")
    assert (await room.job(job)).lost_attempts == 0


async def test_a_generation_runs_beside_a_training(room: EngineRoom) -> None:
    job = await room.trained()
    room.backend.proceed_event.clear()
    training = await room.desk.train(BERT, 6)
    run = asyncio.create_task(room.dispatcher.run())
    await until(lambda: room.has_step(training))
    drawing = await room.draws(job.code)
    await until(lambda: room.has_step(drawing))
    assert (await room.job(training)).status is JobStatus.RUNNING
    room.backend.proceed_event.set()
    await until(lambda: room.is_done(drawing))
    run.cancel()
    await asyncio.wait([run])


async def test_accounts_share_the_card_fairly(room: EngineRoom) -> None:
    first = await room.desk.train(ANNA, 1)
    second = await room.desk.train(ANNA, 6)
    third = await room.desk.train(BERT, 11)
    order = [(await room.desk.claim(JobKind.TRAIN)).id for _ in range(3)]
    assert order == [first.id, third.id, second.id]


async def test_jobs_are_taken_as_workers_have_room_and_the_rest_waits(room: EngineRoom) -> None:
    room.backend.proceed_event.clear()
    room.backend.set_workers(workers=0)
    jobs = [await room.desk.train(person) for person in (ANNA, BERT)]
    running = asyncio.create_task(room.dispatcher.run())
    try:
        room.backend.set_workers(workers=1)
        await until(lambda: room.has_step(jobs[0]))
        assert [(await room.job(job)).status for job in jobs] == [JobStatus.RUNNING, JobStatus.QUEUED]
        room.backend.set_workers(workers=2)  # one joins
        await until(lambda: room.has_step(jobs[1]))
        room.backend.set_workers(workers=0)  # all leave, after what they have
        room.backend.proceed_event.set()
        for job in jobs:
            await until(lambda job=job: room.is_done(job))
        last = await room.desk.train(ANNA)
        room.dispatcher.wake()
        assert (await room.job(last)).status is JobStatus.QUEUED
        room.backend.set_workers(workers=1)
        await until(lambda: room.is_done(last))
    finally:
        running.cancel()
        await asyncio.wait([running])
