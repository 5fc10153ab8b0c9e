from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from bot.core.accounts import AccountId, ChatAddress, Platform
from bot.core.jobs import (
    MIN_MEASURED_STEPS,
    GenerationParams,
    Job,
    JobId,
    JobKind,
    JobStatus,
    QueueState,
    Throughput,
    TrainingParams,
    estimate_from_queue,
    estimate_remaining_s,
)
from bot.core.loras import LoraCode
from bot.texts.words import format_time_left

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
UNKNOWN = Throughput(None, None)
QUEUED = Job(
    id=JobId(1),
    kind=JobKind.TRAIN,
    status=JobStatus.QUEUED,
    account=AccountId(1),
    code=LoraCode("40713386"),
    params=TrainingParams(),
    address=ChatAddress(Platform.CONSOLE, "me", "me"),
    attempt=0,
    lost_attempts=0,
    step=0,
    steps=None,
    card_message_id=None,
    error=None,
    created_at=NOW,
    started_at=None,
    finished_at=None,
)
RUNNING = replace(
    QUEUED,
    status=JobStatus.RUNNING,
    attempt=1,
    step=300,
    steps=1500,
    started_at=NOW - timedelta(seconds=660),
    attempt_started_at=NOW - timedelta(seconds=600),
)


def test_an_estimate_needs_a_job_that_has_run() -> None:
    assert estimate_remaining_s(QUEUED, [], UNKNOWN, NOW) is None


def test_a_running_job_goes_on_as_fast_as_so_far() -> None:
    assert estimate_remaining_s(RUNNING, [], UNKNOWN, NOW) == 1200 * 2


def test_a_resumed_attempt_is_measured_by_its_own_steps_only() -> None:
    resumed = replace(RUNNING, attempt=2, attempt_start_step=200)
    assert estimate_remaining_s(resumed, [], Throughput(1.0, 1500.0), NOW) == 1200 * 6


def test_an_attempt_that_has_not_begun_yet_goes_by_history() -> None:
    claimed = replace(RUNNING, attempt=2, attempt_started_at=None)
    assert estimate_remaining_s(claimed, [], UNKNOWN, NOW) is None
    assert estimate_remaining_s(claimed, [], Throughput(1.0, 1500.0), NOW) == 1200


def test_a_training_beside_pictures_is_estimated_slower() -> None:
    assert estimate_remaining_s(RUNNING, [], Throughput(1.0, 1500.0), NOW) == 1200 * 2, (
        "history knew an idle card"
    )


def test_history_counts_more_than_the_first_few_steps() -> None:
    first_steps = replace(RUNNING, step=MIN_MEASURED_STEPS - 1)
    assert estimate_remaining_s(first_steps, [], Throughput(1.0, 1500.0), NOW) == 1500 - (
        MIN_MEASURED_STEPS - 1
    )


def test_a_waiting_training_does_not_take_an_earlier_attempt_s_pace() -> None:
    lost = replace(RUNNING, status=JobStatus.QUEUED)
    assert estimate_remaining_s(lost, [], Throughput(1.0, 1500.0), NOW) == 1200


def test_a_waiting_job_waits_for_those_ahead_and_takes_its_own_time() -> None:
    wish = TrainingParams(steps=1000)
    assert (
        estimate_remaining_s(replace(QUEUED, params=wish), [RUNNING], Throughput(1.0, 1500.0), NOW)
        == 2400 + 1000
    )


def test_a_job_waits_only_when_all_lanes_are_taken() -> None:
    pace, jobs = Throughput(None, 100.0), [QUEUED] * 4
    assert estimate_remaining_s(QUEUED, jobs[:3], pace, NOW, concurrency=4) == 100
    assert estimate_remaining_s(QUEUED, jobs, pace, NOW, concurrency=4) == 400 / 4 + 100


def test_trainings_that_run_side_by_side_are_waited_for_side_by_side() -> None:
    pace = Throughput(1.0, 1500.0)
    running = replace(RUNNING, attempt_started_at=None)  # 1200 s each
    assert estimate_remaining_s(QUEUED, [running], pace, NOW) == 1200 + 1500
    assert estimate_remaining_s(QUEUED, [running] * 2, pace, NOW) == 1200 + 1500, "two workers"
    assert estimate_remaining_s(QUEUED, [running, running, QUEUED], pace, NOW) == (2400 + 1500) / 2 + 1500


def test_waiting_generations_run_beside_a_training() -> None:
    drawing = replace(QUEUED, kind=JobKind.GENERATE, params=GenerationParams("a boat"))
    queue = QueueState(1, open_generations=(drawing,) * 3, generation_throughput=Throughput(None, 10.0))
    assert estimate_from_queue(queue, RUNNING, NOW).remaining_s == 2400 + 3 * 10
    unknown = replace(queue, generation_throughput=UNKNOWN)
    assert estimate_from_queue(unknown, RUNNING, NOW).remaining_s == 2400, "unknown is little"


def test_an_estimate_is_not_given_while_the_bot_is_paused() -> None:
    queue = QueueState(1, is_paused=True, throughput=Throughput(None, 600.0))
    assert (
        format_time_left(estimate_from_queue(queue, QUEUED, NOW).remaining_s)
        == "the bot is paused; it starts when the bot resumes"
    )
    assert estimate_from_queue(queue, RUNNING, NOW).remaining_s == 2400, "what runs goes on"


def test_a_job_of_unknown_length_takes_as_long_as_jobs_do() -> None:
    assert estimate_remaining_s(QUEUED, [QUEUED], Throughput(1.0, 1500.0), NOW) == 3000


def test_a_job_that_started_without_a_word_is_already_partly_over() -> None:
    starting = replace(RUNNING, step=0, steps=None, attempt_started_at=None)
    assert estimate_remaining_s(starting, [], Throughput(None, 700.0), NOW) == 40
    assert estimate_remaining_s(starting, [], Throughput(None, 500.0), NOW) == 0


def test_one_unknown_job_ahead_makes_the_whole_unknown() -> None:
    slow_unknown = replace(RUNNING, attempt=2, attempt_started_at=None)
    assert estimate_remaining_s(RUNNING, [slow_unknown], UNKNOWN, NOW) is None
