from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from bot.domain import (
    AccountId,
    Job,
    JobId,
    JobKind,
    JobStatus,
    LoraCode,
    Place,
    Platform,
    TrainWish,
)
from bot.eta import Pace, seconds_left

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
UNKNOWN = Pace(None, None)
QUEUED = Job(
    id=JobId(1),
    kind=JobKind.TRAIN,
    status=JobStatus.QUEUED,
    account=AccountId(1),
    code=LoraCode("40713386"),
    wish=TrainWish(),
    place=Place(Platform.CONSOLE, "me", "me"),
    attempt=0,
    losses=0,
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
    started_at=NOW - timedelta(seconds=600),
)


def test_nothing_is_promised_before_the_first_job_has_run() -> None:
    assert seconds_left(QUEUED, [], UNKNOWN, NOW) is None


def test_a_running_job_goes_on_as_fast_as_so_far() -> None:
    assert seconds_left(RUNNING, [], UNKNOWN, NOW) == 1200 * 2


def test_a_resumed_attempt_is_not_measured_by_steps_it_did_not_do() -> None:
    assert seconds_left(replace(RUNNING, attempt=2), [], UNKNOWN, NOW) is None


def test_history_counts_more_than_the_first_steps() -> None:
    assert seconds_left(RUNNING, [], Pace(1.0, 1500.0), NOW) == 1200


def test_a_waiting_job_waits_for_those_ahead_and_takes_its_own_time() -> None:
    wish = TrainWish(steps=1000)
    assert seconds_left(replace(QUEUED, wish=wish), [RUNNING], Pace(1.0, 1500.0), NOW) == 1200 + 1000


def test_a_job_of_unknown_length_takes_as_long_as_jobs_do() -> None:
    assert seconds_left(QUEUED, [QUEUED], Pace(1.0, 1500.0), NOW) == 3000


def test_a_job_that_started_without_a_word_is_already_partly_over() -> None:
    starting = replace(RUNNING, step=0, steps=None)
    assert seconds_left(starting, [], Pace(None, 700.0), NOW) == 100
    assert seconds_left(starting, [], Pace(None, 500.0), NOW) == 0


def test_one_unknown_job_ahead_makes_the_whole_unknown() -> None:
    slow_unknown = replace(RUNNING, attempt=2)
    assert seconds_left(RUNNING, [slow_unknown], UNKNOWN, NOW) is None
