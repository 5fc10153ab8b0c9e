"""When administrators are woken: each rule at both of its limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bot.core.jobs import JobKind
from bot.core.monitoring import AlertKind, MonitorSample, MonitorSnapshot, evaluate_alerts
from bot.texts.admin.alerts import alert_raised, alert_resolved

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
CARD = "NVIDIA GeForce GTX 1060 6GB"
FINE = MonitorSample(NOW, dict.fromkeys(JobKind, 0), CARD, temperature_c=60)
GONE = replace(FINE, device=None, temperature_c=None)


def minutes(*samples: MonitorSample) -> list[MonitorSample]:
    """Samples one minute apart, the last one now."""
    count = len(samples) - 1
    return [replace(each, at=NOW - timedelta(minutes=count - at)) for at, each in enumerate(samples)]


def deaths(*counts: int) -> list[MonitorSample]:
    return minutes(*(replace(FINE, worker_crashes=count) for count in counts))


def view(samples: Sequence[MonitorSample] = (FINE,)) -> MonitorSnapshot:
    return MonitorSnapshot(samples, 0.5, None, is_paused=False, backup_error="")


def said(of: AlertKind, seen: MonitorSnapshot) -> bool | None:
    (finding,) = (each for each in evaluate_alerts(seen) if each.kind is of)
    assert alert_raised(finding).startswith("Alert: ")
    assert alert_resolved(finding).startswith("Resolved: ")
    return finding.is_bad


def test_every_rule_is_asked_and_all_is_well_where_it_is() -> None:
    findings = evaluate_alerts(view())
    assert {each.kind for each in findings} == set(AlertKind)
    assert [each.is_bad for each in findings] == [False] * len(AlertKind)


@pytest.mark.parametrize(
    ("samples", "is_bad"),
    [
        (deaths(0, 0, 0), False),
        (deaths(0, 1, 2), None),
        (deaths(0, 1, 3), True),
        (deaths(7, 7, 7), False),
        (deaths(7, 0, 3), True),  # the bot was started anew between them
        (deaths(0, 3, *[3] * 9), True),
        (deaths(0, 3, *[3] * 10), False),  # eleven minutes ago
        (minutes(FINE, *[GONE] * 5), None),
        (minutes(FINE, *[GONE] * 6), True),
        (minutes(*[GONE] * 6), True),
        (minutes(*[GONE] * 4), None),
        (minutes(GONE, FINE), False),
        # The bot did not run for an hour, and its worker is starting.
        ([replace(GONE, at=NOW - timedelta(hours=1)), GONE], None),
    ],
)
def test_a_worker_that_keeps_dying_or_does_not_come(
    samples: list[MonitorSample], is_bad: bool | None
) -> None:
    assert said(AlertKind.WORKER, view(samples)) is is_bad


@pytest.mark.parametrize(
    ("samples", "is_bad"),
    [
        (minutes(FINE, replace(FINE, temperature_c=None)), None),
        (minutes(FINE, replace(FINE, temperature_c=None), replace(FINE, temperature_c=None)), True),
        (minutes(FINE, *[replace(GONE, device="cpu")] * 2), True),
        (minutes(FINE, *[replace(GONE, device="cpu")] * 600), True),
        (minutes(FINE, GONE, GONE), None),  # a worker that is not there says nothing of its card
        (minutes(replace(GONE, device="cpu"), FINE), False),
        (minutes(*[replace(GONE, device="cpu")] * 9), False),  # there never was one
    ],
)
def test_a_card_that_was_there_is_missed(samples: list[MonitorSample], is_bad: bool | None) -> None:
    assert said(AlertKind.GPU_LOST, view(samples)) is is_bad


@pytest.mark.parametrize(
    ("temperature_c", "is_bad"), [(84, False), (85, None), (90, None), (91, True), (None, None)]
)
def test_a_card_over_90_degrees(temperature_c: int | None, is_bad: bool | None) -> None:
    assert said(AlertKind.GPU_HOT, view([replace(FINE, temperature_c=temperature_c)])) is is_bad


@pytest.mark.parametrize(("share", "is_bad"), [(0.049, True), (0.05, None), (0.06, None), (0.061, False)])
def test_a_disk_under_5_percent(share: float, is_bad: bool | None) -> None:
    assert said(AlertKind.DISK, replace(view(), disk_free_share=share)) is is_bad


@pytest.mark.parametrize(
    ("waited_min", "is_bad"), [(0, False), (44, False), (50, None), (60, None), (61, True)]
)
def test_a_queue_older_than_an_hour(waited_min: int, is_bad: bool | None) -> None:
    waits = replace(view(), oldest_queued_at=NOW - timedelta(minutes=waited_min))
    assert said(AlertKind.QUEUE, waits) is is_bad
    paused = replace(waits, is_paused=True)
    assert said(AlertKind.QUEUE, paused) is (None if is_bad else is_bad), "an administrator wants it so"


@pytest.mark.parametrize(("trouble", "is_bad"), [("", False), ("no room", True), (None, None)])
def test_a_backup_that_failed(trouble: str | None, is_bad: bool | None) -> None:
    assert said(AlertKind.BACKUP, replace(view(), backup_error=trouble)) is is_bad


def test_an_alert_message_names_the_figure_and_what_to_do() -> None:
    hot = [replace(FINE, temperature_c=93)]
    letters = [alert_raised(each) for each in evaluate_alerts(view(hot)) if each.is_bad]
    assert letters == ["Alert: the graphics card is at 93 °C. Look at its fan; /pause lets it cool."]
    dying = [alert_raised(each) for each in evaluate_alerts(view(deaths(0, 4))) if each.is_bad]
    assert dying == [
        "Alert: the worker keeps dying, 4 times in ten minutes. /logs and the bot's log say why."
    ]
