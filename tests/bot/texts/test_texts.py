from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from bot.chats.commands import COMMAND_NAMES
from bot.core.accounts import AccountId, ChatAddress, Platform
from bot.core.jobs import (
    Estimate,
    GenerationParams,
    Job,
    JobFailure,
    JobId,
    JobKind,
    JobStatus,
    LatencyStats,
    Picture,
    TrainingParams,
)
from bot.core.loras import Lora, LoraCode, LoraState, Trigger
from bot.core.outbox import Notice, NoticeId, NoticeKind
from bot.texts import languages, translate, use_language
from bot.texts.admin.status import ErrorEntry, StatusReport, status_card
from bot.texts.cards import job_card, notice_reply
from bot.texts.commands import help_text
from bot.texts.loras import lora_list
from bot.texts.photo_sets import photo_set_status, training_started, welcome
from bot.texts.results import recipe_card, result_card
from bot.texts.words import example_command, format_duration
from gpu_worker.protocol import FallbackCause, WorkerHealth

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
CODE = LoraCode("40713386")
CAPTION_CHARS = 1024
TRAINING = Job(
    id=JobId(7),
    kind=JobKind.TRAIN,
    status=JobStatus.RUNNING,
    account=AccountId(1),
    code=CODE,
    params=TrainingParams(),
    address=ChatAddress(Platform.TELEGRAM, "1", "1"),
    attempt=1,
    lost_attempts=0,
    step=570,
    steps=1500,
    card_message_id=None,
    error=None,
    created_at=NOW,
    started_at=NOW,
    finished_at=None,
)
DRAWING = replace(TRAINING, kind=JobKind.GENERATE, params=GenerationParams("sks person on a boat", count=2))


def owed(kind: NoticeKind, job: Job) -> Notice:
    return Notice(NoticeId(1), kind, job, (), 0, NOW)


def lora(state: LoraState, **other: object) -> Lora:
    made = Lora(CODE, AccountId(1), Trigger(), state, None, None, NOW - timedelta(hours=3), None)
    return replace(made, **other)  # type: ignore[arg-type]


def test_a_running_card_shows_bar_share_step_and_time_left() -> None:
    card = job_card(TRAINING, 720.0, 1)
    assert card.text == "Training 4071 3386\n▓▓▓░░░░░░░ 38 % · step 570 of 1500 · about 12 min left"
    assert card.card_job_id == TRAINING.id
    assert [button.action for button in card.buttons] == ["cancel:7"]


def test_a_running_card_without_an_estimate_promises_nothing() -> None:
    assert "left" not in job_card(TRAINING, None, 1).text


def test_a_fallback_is_a_line_of_its_own_under_the_progress() -> None:
    plain, told = job_card(TRAINING, 720.0, 1), job_card(TRAINING, 720.0, 1, FallbackCause.OUT_OF_MEMORY)
    assert told == replace(plain, text=f"{plain.text}\n{translate('fallback-out-of-memory')}")


@pytest.mark.parametrize("language", languages())
def test_a_fallback_leaves_the_card_within_a_caption(language: str) -> None:
    with use_language(language):
        cards = [job_card(TRAINING, 720.0, 1, cause).text for cause in FallbackCause]
    assert max(map(len, cards)) < CAPTION_CHARS


@pytest.mark.parametrize("status", [status for status in JobStatus if status is not JobStatus.RUNNING])
def test_a_fallback_is_shown_on_a_running_card_alone(status: JobStatus) -> None:
    job = replace(TRAINING, status=status)
    assert job_card(job, 720.0, 1, FallbackCause.NOT_FINITE) == job_card(job, 720.0, 1)


def test_a_queued_card_shows_the_place_in_line_and_the_time() -> None:
    card = job_card(replace(TRAINING, status=JobStatus.QUEUED, step=0, steps=None), 1500.0, 2)
    assert card.text == "Training 4071 3386\nIn line: number 2 · about 25 min left"
    unknown = job_card(replace(TRAINING, status=JobStatus.QUEUED), None, 1)
    assert "no estimate until the first job here has finished" in unknown.text


def test_the_bar_is_full_only_at_the_end() -> None:
    almost = job_card(replace(TRAINING, step=1499), 1.0, 1).text
    assert "▓▓▓▓▓▓▓▓▓░ 99 %" in almost
    assert "▓▓▓▓▓▓▓▓▓▓ 100 %" in job_card(replace(TRAINING, step=1500), 0.0, 1).text


@pytest.mark.parametrize("status", [JobStatus.DONE, JobStatus.FAILED, JobStatus.CANCELLED])
@pytest.mark.parametrize("job", [TRAINING, DRAWING])
def test_the_card_of_an_ended_job_is_no_longer_edited_and_has_nothing_to_press(
    job: Job, status: JobStatus
) -> None:
    card = job_card(replace(job, status=status), None, None)
    assert card.card_job_id is None
    assert card.buttons == ()


def test_a_drawing_card_counts_its_pictures() -> None:
    assert job_card(DRAWING, 10.0, 1).text.startswith("Drawing 2 pictures with 4071 3386\n")


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0, "half a minute"),
        (29, "half a minute"),
        (31, "1 min"),
        (720, "12 min"),
        (3600, "1 h"),
        (4800, "1 h 20 min"),
        (86400 + 7200 + 300, "1 d 2 h"),
    ],
)
def test_times_are_written_as_people_say_them(seconds: float, written: str) -> None:
    assert format_duration(seconds) == written


def test_a_finished_training_brings_the_command_to_draw_with_it() -> None:
    wish = TrainingParams(trigger=Trigger("sks", "dog"))
    reply = notice_reply(owed(NoticeKind.TRAIN_DONE, replace(TRAINING, params=wish)), [])
    assert "4071 3386 is ready" in reply.text
    assert reply.text.endswith("/generate 40713386 sks dog as an astronaut")


def test_a_finished_training_shows_the_strip_of_its_samples_where_there_is_one() -> None:
    strip = Path("7-0.png")
    notice = owed(NoticeKind.TRAIN_DONE, TRAINING)
    assert notice_reply(notice, [strip]).pictures == (strip,)
    assert notice_reply(notice, [strip]).text == notice_reply(notice, []).text
    assert notice_reply(notice, []).pictures == ()


def test_the_example_is_written_as_its_platform_takes_it() -> None:
    assert example_command(Platform.DISCORD) == "/generate code:40713386 prompt:sks person as an astronaut"
    assert example_command(Platform.TELEGRAM) == "/generate 40713386 sks person as an astronaut"


def test_pictures_come_with_their_number_and_prompt() -> None:
    paths = (Path("7-0.png"), Path("7-1.png"))
    reply = notice_reply(owed(NoticeKind.GENERATE_DONE, DRAWING), paths)
    assert reply.pictures == paths
    assert reply.text == "#7 · 4071 3386: sks person on a boat"


def test_pictures_that_are_gone_can_be_drawn_again() -> None:
    reply = notice_reply(owed(NoticeKind.GENERATE_DONE, DRAWING), [])
    assert "no longer here" in reply.text
    assert [button.action for button in reply.buttons] == ["again:7"]


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_result_s_buttons_fit_a_phone_and_discord(count: int) -> None:
    reply = result_card(DRAWING, [Path(f"{number}.png") for number in range(count)])
    rows = [button.row for button in reply.buttons]
    assert rows == sorted(rows, key=lambda row: -1 if row is None else row), "neighbours share a row"
    assert len(set(rows)) <= 5
    assert max(rows.count(row) for row in rows) <= 4
    labels = [button.label for button in reply.buttons]
    assert len(set(labels)) == len(labels), "each says what it is for"
    assert ("Larger" in labels) == (count == 1)
    assert (f"Larger {count}" in labels) == (count > 1)


def test_a_recipe_of_the_longest_request_fits_into_a_message() -> None:
    wish = GenerationParams("ü" * 1000, "x" * 1000, 7, codes=(LoraCode("00000001"), LoraCode("00000002")))
    pictures = [Picture(JobId(7), 1, "7-1.png", "a boat\nSteps: 25, Sampler: UniPC, Size: 8x8", False)]
    reply = recipe_card(replace(DRAWING, params=wish), pictures, "Oil painting", 1500)
    assert len(reply.text) < 2000
    assert "ü" * 1000 in reply.text
    assert "Size: 8x8 · Steps: 25 · Sampler: UniPC" in reply.text


def test_recipe_of_an_old_result_tells_its_request() -> None:
    pictures = [Picture(JobId(7), 1, "7-1.png", "", False)]
    text = recipe_card(replace(DRAWING, params=GenerationParams("a boat", seed=7)), pictures, "", None).text
    assert text == "#7\nPrompt: a boat\nSeed: 7\nLoRA: 4071 3386\nSee it again: /show 7"


def test_a_preview_is_shown_while_it_runs_and_never_afterwards() -> None:
    preview = Path("7.png")
    for status in JobStatus:
        shown = job_card(replace(DRAWING, status=status), None, None, preview=preview).pictures
        assert shown == ((preview,) if status is JobStatus.RUNNING else ())


@pytest.mark.parametrize("platform", list(Platform))
def test_help_names_every_command_and_option(platform: Platform) -> None:
    said = help_text(platform, COMMAND_NAMES, is_admin=False).text
    for command in ("/train", "/generate", "/show", "/codes", "/export", "/cancel", "/help"):
        assert f"{command} - " in said
    for option in ("size", "style", "seed", "strength", "steps", "guidance", "sampler"):
        assert option in said


@pytest.mark.parametrize("kind", list(NoticeKind))
@pytest.mark.parametrize("job", [TRAINING, DRAWING])
def test_every_notice_has_words_and_fits_under_a_picture(kind: NoticeKind, job: Job) -> None:
    wish = GenerationParams("ü" * 1000) if job is DRAWING else job.params
    long = replace(job, params=wish, error=JobFailure(sentence="x" * 5000), status=JobStatus.FAILED)
    for reply in (notice_reply(owed(kind, long), [Path("a.png")]), job_card(long, None, None)):
        assert 0 < len(reply.text) < CAPTION_CHARS
        assert all(len(button.action.encode()) <= 64 for button in reply.buttons)


def test_a_failed_training_says_why_and_what_to_do() -> None:
    failed = replace(
        TRAINING, status=JobStatus.FAILED, error=JobFailure(sentence="The card ran out of memory.")
    )
    reply = notice_reply(owed(NoticeKind.TRAIN_FAILED, failed), [])
    assert "The card ran out of memory." in reply.text
    assert "/train" in reply.text


def test_a_first_lora_code_is_told_with_its_place_and_time() -> None:
    queued = replace(TRAINING, status=JobStatus.QUEUED, step=0, steps=None)
    reply = training_started(queued, Estimate(2, 1500.0))
    assert "all five" in reply.text
    assert "Your LoraCode is 4071 3386" in reply.text
    assert "number 2 · about 25 min" in reply.text
    assert reply.card_job_id == queued.id


@pytest.mark.parametrize("platform", list(Platform))
def test_start_is_three_lines_on_each_platform(platform: Platform) -> None:
    lines = welcome(platform, needs_consent=False).text.splitlines()
    assert len(lines) == 3
    assert "five photos" in lines[0]
    assert "7 days" in lines[1]
    assert "Only you" in lines[2]


def test_help_shows_status_to_administrators_only() -> None:
    assert "/status" in help_text(Platform.TELEGRAM, COMMAND_NAMES, is_admin=True).text
    assert "/status" not in help_text(Platform.TELEGRAM, COMMAND_NAMES, is_admin=False).text


def test_a_set_says_what_is_missing() -> None:
    assert photo_set_status(AccountId(1), 4, Platform.TELEGRAM).text == "You have 4 of 5; send 1 more."
    too_many = photo_set_status(AccountId(1), 6, Platform.TELEGRAM)
    assert "Nothing has started" in too_many.text
    assert [button.action for button in too_many.buttons] == ["first5:1", "restart:1"]


def test_codes_come_with_state_and_age_and_what_to_type() -> None:
    listed = lora_list([lora(LoraState.TRAINING), lora(LoraState.READY)], NOW, Platform.TELEGRAM).text
    assert listed.splitlines()[0] == "4071 3386 · training · 3 hours ago"
    assert "/generate 40713386" in listed
    assert "no LoraCode yet" in lora_list([], NOW, Platform.TELEGRAM).text


def test_a_long_list_of_codes_is_bounded_and_says_so() -> None:
    reply = lora_list([lora(LoraState.READY)] * 500, NOW, Platform.TELEGRAM)
    assert len(reply.text) < CAPTION_CHARS
    assert "and 480 older ones" in reply.text


def test_status_tells_all_that_was_measured() -> None:
    health = WorkerHealth(
        device="NVIDIA GeForce GTX 1060 6GB",
        base_model="tiny",
        base_model_loaded=True,
        process_memory_bytes=3 * 2**30,
        device_memory_used_bytes=4 * 2**30,
        device_memory_total_bytes=6 * 2**30,
        device_temperature_c=71,
        device_load_percent=98,
    )
    report = StatusReport(
        version="0.1.0",
        uptime=timedelta(hours=5),
        health=health,
        running_jobs=[(TRAINING, 720.0)],
        queued_counts={JobKind.TRAIN: 3, JobKind.GENERATE: 0},
        done_count=15,
        failed_count=2,
        latencies={JobKind.TRAIN: LatencyStats((40.0, 3700.0), (900.0, 1200.0)), JobKind.GENERATE: None},
        pending_notices=4,
        disk_free_bytes=50 * 2**30,
        disk_total_bytes=100 * 2**30,
        errors=[ErrorEntry(NOW, "the worker was silent")],
    )
    reply = status_card(report, b"chart")
    text = reply.text
    assert reply.pictures == (b"chart",)
    for said in (
        "LoraCode 0.1.0, up for 5 h",
        "tiny (loaded)",
        "GTX 1060",
        "3.0 GB",
        "4.0 GB of 6.0 GB",
        "71 °C",
        "98 %",
        "Running: train 4071 3386, step 570 of 1500, about 12 min left",
        "Waiting: 3 train, 0 generate",
        "Last 24 hours: 15 done, 2 failed",
        "train, median / 95 %: waited 40 s / 1 h 2 min, ran 15 min / 20 min",
        "Notices to send: 4",
        "Disk free: 50.0 GB (50 %)",
        "Last errors:\n01-01 12:00 the worker was silent",
    ):
        assert said in text
    assert "generate, median" not in text
    assert "Paused" not in text
    assert "Paused" in status_card(replace(report, is_paused=True), b"").text
    assert "Worker: down" in status_card(replace(report, health=None, running_jobs=[]), b"").text
    line = "downloading, 35 % of 2.0 GB"
    loading = msgspec.structs.replace(health, base_model_loaded=False, loading=line)
    assert f"Base model: tiny ({line})" in status_card(replace(report, health=loading), b"").text


def test_a_status_with_everything_in_it_fits_below_a_picture() -> None:
    health = WorkerHealth("NVIDIA " + "G" * 60, "a/" + "b" * 60, True, 2**34, 2**34, 2**34, 71, 98)
    times = LatencyStats((99999.0, 99999.0), (99999.0, 99999.0))
    report = StatusReport(
        version="0.1.0",
        uptime=timedelta(days=500, hours=5),
        health=health,
        running_jobs=[(TRAINING, 720.0)] * 9,
        queued_counts=dict.fromkeys(JobKind, 99999),
        done_count=99999,
        failed_count=99999,
        latencies=dict.fromkeys(JobKind, times),
        pending_notices=99999,
        disk_free_bytes=2**40,
        disk_total_bytes=2**42,
        errors=[ErrorEntry(NOW, "e" * 500)] * 9,
        is_paused=True,
    )
    reply = status_card(report, b"chart")
    assert len(reply.text) <= CAPTION_CHARS
    assert "Disk free" in reply.text
