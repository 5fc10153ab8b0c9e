"""What the load benchmark says can be believed: its limits, its slope, and what counts as an answer."""

from __future__ import annotations

import pytest

from benchmarks.feel import make_rows
from benchmarks.load.limits import FloodControl
from benchmarks.load.telegram import PendingRequest, SentMessage
from benchmarks.load.watch import LoopSample, median_slope
from benchmarks.percentiles import percentile, strict_percentile
from benchmarks.rows import GoalVerdict


def test_telegram_limits_refuse_more_with_the_time_to_wait() -> None:
    flood = FloodControl()
    assert [flood.wait_s(7, 1, 0.0) for _ in range(3)] == [0.0] * 3
    assert flood.wait_s(7, 1, 1.0) == 2.0
    assert flood.wait_s(7, 1, 3.0) == 0.0
    assert flood.violations == ["more than 3 in 3 s to chat 7"]


def test_a_group_has_a_limit_of_its_own_and_all_chats_have_one_together() -> None:
    group, all_chats = FloodControl(), FloodControl()
    assert not any(group.wait_s(-5, 1, 3.0 * number) for number in range(19))
    assert group.wait_s(-5, 2, 57.0) > 0
    assert not any(all_chats.wait_s(chat, 1, 0.5) for chat in range(30))
    assert all_chats.wait_s(99, 1, 0.6) == pytest.approx(0.9)


def test_a_slope_is_that_of_the_whole_and_not_of_its_peaks() -> None:
    times_s = [float(second) for second in range(100)]
    flat = [50.0 + (500.0 if second % 10 == 0 else 0.0) for second in range(100)]
    assert median_slope(times_s, flat) == 0.0
    assert median_slope(times_s, [50.0 + second / 4 for second in range(100)]) == pytest.approx(0.25)


def test_a_percentile_is_one_of_the_values() -> None:
    for each, of_a_hundred in ((percentile, 99), (strict_percentile, 100)):
        assert each(list(range(1, 101)), 99) == of_a_hundred
        assert each([1, 2, 3], 50) == 2
        assert each([], 99) == 0


def test_edit_of_a_progress_card_is_no_answer() -> None:
    assert SentMessage("editMessageText", 7, "half", ["cancel:1"], 1).is_card
    assert SentMessage("editMessageText", 7, "100 %", [], 1).is_card
    assert not SentMessage("editMessageMedia", 7, "3 of 5", ["5:drop=1"], 1).is_card
    assert not SentMessage("sendMessage", 7, "the training begins", ["cancel:1"], 1).is_card


def test_a_welcome_is_an_answer_and_a_notice_tells_of_a_code() -> None:
    assert SentMessage("sendMessage", 7, "4071 3386 is ready, 5 photos.", [], 1).is_ready
    assert not SentMessage("sendMessage", 7, "You get a message when it is ready.", [], 1).is_ready


def test_an_answer_that_never_came_is_no_good_figure() -> None:
    told = [
        PendingRequest("photo", 0.0, 1.0, 1.1),
        PendingRequest("album", 1.0, 1.0),
        PendingRequest("press", 0.0, 1.0, 1.2),
        PendingRequest("/help", 0.0, 1.0, 1.3),
    ]
    look = LoopSample(
        at_s=0, late_s=0.06, busy_s=0.02, memory_bytes=1, descriptors=1, tasks=1, threads=1, wal_bytes=1
    )
    verdicts = {row.name: row.verdict for row in make_rows(told, [look], 0.05)}
    assert (
        verdicts["answer-photo-p99"] is verdicts["loop-busy"] is verdicts["cpu-a-photo"] is GoalVerdict.HOLDS
    )
    assert verdicts["answer-album-p99"] is verdicts["loop-late"] is GoalVerdict.SHORT
