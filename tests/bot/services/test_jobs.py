"""Codes, cancelling, buttons and the administrator's status."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.core.errors import UserError
from bot.core.jobs import JobKind, JobStatus
from bot.core.likeness import LikenessReport
from bot.core.loras import format_code
from bot.texts import translate
from gpu_worker.protocol import WorkerHealth
from tests.support.services import ADMIN, ANNA, ANNAS, BERT, BERTS, Desk, open_desk


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as desk:
        yield desk


async def status_of(desk: Desk, job_id: int) -> JobStatus:
    job = await desk.ledger.jobs.get(job_id)  # type: ignore[arg-type]
    assert job is not None
    return job.status


async def test_codes_are_listed_newest_first_with_state_and_age(desk: Desk) -> None:
    old = (await desk.ready(ANNA)).code
    desk.clock.forward(hours=3)
    new = (await desk.train(ANNA, first=11)).code
    lines = (await desk.studio.list_loras(ANNA, ANNAS)).text.splitlines()
    assert lines[0] == f"{new[:4]} {new[4:]} · training · just now"
    assert lines[1] == f"{old[:4]} {old[4:]} · ready · 3 hours ago"
    assert lines[2].endswith(f"/generate {old} sks person as an astronaut")


async def test_someone_without_codes_is_told_how_to_get_one(desk: Desk) -> None:
    await desk.ready(BERT)
    assert "no LoraCode yet" in (await desk.studio.list_loras(ANNA, ANNAS)).text


async def test_cancel_stops_the_newest_open_job(desk: Desk) -> None:
    first, second = await desk.train(ANNA), await desk.train(ANNA, first=11)
    reply = await desk.studio.cancel_job(ANNA)
    assert "photos have been deleted" in reply.text
    assert desk.queue.aborted_jobs == [second.id]
    assert await status_of(desk, first.id) is JobStatus.QUEUED
    assert await status_of(desk, second.id) is JobStatus.CANCELLED
    assert await desk.ledger.photos.get_job_photos(second.id) == ()


async def test_photos_of_a_cancelled_training_are_forgotten_by_the_worker(desk: Desk) -> None:
    await desk.train(ANNA)
    await desk.studio.cancel_job(ANNA)
    assert desk.queue.forgotten_hashes == [
        hashlib.sha256(photo).hexdigest() for photo in desk.queue.prefetched_photos
    ]
    assert len(desk.queue.forgotten_hashes) == 5


async def test_cancel_with_a_code_stops_the_job_of_that_code(desk: Desk) -> None:
    first, second = await desk.train(ANNA), await desk.train(ANNA, first=11)
    await desk.studio.cancel_job(ANNA, f"{first.code[:4]} {first.code[4:]}")
    assert desk.queue.aborted_jobs == [first.id]
    assert await status_of(desk, second.id) is JobStatus.QUEUED
    with pytest.raises(UserError, match="Nothing is running"):
        await desk.studio.cancel_job(ANNA, first.code)


async def test_a_cancelled_generation_keeps_the_code(desk: Desk) -> None:
    code = (await desk.ready(ANNA)).code
    await desk.studio.generate_from_text(ANNA, ANNAS, f"{code} a boat")
    assert "is unchanged" in (await desk.studio.cancel_job(ANNA)).text
    assert "ready" in (await desk.studio.list_loras(ANNA, ANNAS)).text


async def test_cancel_with_nothing_open_or_a_wrong_code_is_answered(desk: Desk) -> None:
    with pytest.raises(UserError, match="You have nothing"):
        await desk.studio.cancel_job(ANNA)
    with pytest.raises(UserError, match="eight digits"):
        await desk.studio.cancel_job(ANNA, "4071")


async def test_the_cancel_button_works_once_and_then_answers_kindly(desk: Desk) -> None:
    job = await desk.train(ANNA)
    assert "Cancelled" in (await desk.studio.handle_button(ANNA, ANNAS, f"cancel:{job.id}")).text
    with pytest.raises(UserError, match="already ended"):
        await desk.studio.handle_button(ANNA, ANNAS, f"cancel:{job.id}")
    assert desk.queue.aborted_jobs == [job.id]


async def test_a_job_is_cancelled_by_its_owner_only_and_hidden_from_others(desk: Desk) -> None:
    job = await desk.train(ANNA)
    answers = set()
    for action in (f"cancel:{job.id}", "cancel:999999"):
        with pytest.raises(UserError) as caught:
            await desk.studio.handle_button(BERT, BERTS, action)
        answers.add(caught.value.message)
    assert answers == {translate("stale-button")}
    assert await status_of(desk, job.id) is JobStatus.QUEUED
    assert desk.queue.aborted_jobs == []


@pytest.mark.parametrize(
    "action",
    [
        "",
        "cancel",
        "cancel:",
        "cancel:-1",
        "cancel:1 ",
        "cancel:1\n",
        "cancel:\u0667",
        "CANCEL:1",
        "first5:x",
        "x" * 64,
        "cancel:" + "9" * 40,
        "cancel:1; drop table jobs",
    ],
)
async def test_an_unknown_button_is_answered_and_does_nothing(desk: Desk, action: str) -> None:
    job = await desk.train(ANNA)
    with pytest.raises(UserError) as caught:
        await desk.studio.handle_button(ANNA, ANNAS, action)
    assert caught.value.message == translate("stale-button")
    assert await status_of(desk, job.id) is JobStatus.QUEUED


async def test_the_codes_button_lists_codes(desk: Desk) -> None:
    assert (await desk.studio.handle_button(ANNA, ANNAS, "codes")).text == (
        await desk.studio.list_loras(ANNA, ANNAS)
    ).text


async def test_the_message_that_shows_a_job_is_remembered(desk: Desk) -> None:
    job = await desk.train(ANNA)
    await desk.studio.record_card(job.id, "555")
    shown = await desk.ledger.jobs.get(job.id)
    assert shown is not None
    assert shown.card_message_id == "555"


async def test_status_is_an_unknown_command_but_for_administrators(desk: Desk) -> None:
    with pytest.raises(UserError) as caught:
        await desk.studio.run_admin_command(ANNA, "status")
    assert caught.value.message == translate("unknown-command")


async def test_status_tells_of_worker_jobs_notices_and_disk(desk: Desk) -> None:
    assert "Worker: down" in (await desk.studio.run_admin_command(ADMIN, "status")).text
    desk.queue.current_health = WorkerHealth(
        device="cpu", base_model="tiny", base_model_loaded=False, process_memory_bytes=2**30
    )
    await desk.ready(ANNA, seconds=1500)
    running = await desk.train(ANNA, first=11)
    await desk.train(BERT)
    job = await desk.claim(JobKind.TRAIN)
    assert job.id == running.id or job.address == BERTS
    assert await desk.ledger.jobs.record_progress(job.id, job.attempt, 300, 1500)
    desk.clock.forward(minutes=5)
    text = (await desk.studio.run_admin_command(ADMIN, "status")).text
    assert "up for 30 min" in text
    assert "tiny (not loaded yet)" in text
    assert f"Running: train {job.code[:4]} {job.code[4:]}, step 300 of 1500, about 20 min left" in text
    assert "Waiting: 1 train, 0 generate" in text
    assert "Last 24 hours: 1 done, 0 failed" in text
    assert "Notices to send: 1" in text
    assert "Disk free:" in text


async def test_queue_lists_one_s_own_jobs_with_places_and_buttons(desk: Desk) -> None:
    assert (await desk.studio.show_queue(ANNA)).text == translate("nothing-waits")
    code = (await desk.ready(ANNA)).code
    await desk.train(BERT)
    training = await desk.train(ANNA, first=11)
    await desk.studio.generate_from_text(ANNA, ANNAS, f"{code} a boat")
    drawing = (await desk.jobs(ANNA))[-1]
    reply = await desk.studio.show_queue(ANNA)
    first, second = reply.text.splitlines()
    assert first.startswith(f"{format_code(training.code)}: training, in line: number ")
    assert second.startswith(f"#{drawing.id}: drawing, in line: number 1")
    assert [each.action for each in reply.buttons] == [f"cancel:{training.id}", f"cancel:{drawing.id}"]


async def test_a_training_that_ended_early_does_not_make_steps_seem_shorter(desk: Desk) -> None:
    await desk.train(ANNA)
    job = await desk.claim(JobKind.TRAIN)
    assert await desk.ledger.jobs.record_start(job.id, job.attempt, 0, 800)
    assert await desk.ledger.jobs.record_progress(job.id, job.attempt, 400, 800)
    assert await desk.ledger.jobs.save_likeness(job.id, job.attempt, LikenessReport((), saved_s=400.0))
    desk.clock.forward(seconds=400)
    assert await desk.ledger.jobs.finish_training(job.id, job.attempt, (f"{job.code}.safetensors", "0" * 64))
    assert (await desk.ledger.jobs.read_queue_state(job.id)).throughput.step_s == 1.0
