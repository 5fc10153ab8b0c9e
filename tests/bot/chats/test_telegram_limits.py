"""Telegram's limits are kept whatever is to be sent, and answers to people go first."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable

import pytest

from bot.chats.telegram.limits import ApiCall, Priority, RateLimit, RateLimits, SendQueue

ANNA, BERT, GROUP = 1, 2, -3
FEW = RateLimits(RateLimit(4, 1.0, 2), RateLimit(3, 3.0, 1), RateLimit(5, 60.0, 4))


def joined(line: SendQueue, calls: Iterable[ApiCall]) -> list[ApiCall]:
    """Let calls wait, in their order."""
    waiting = list(calls)
    for call in waiting:
        line.add(call)
    return waiting


def gone(line: SendQueue, now_s: float) -> list[ApiCall]:
    """Those whose turn it is; each is answered at once."""
    calls = list(line.pop_ready(now_s))
    for call in calls:
        line.complete(call, now_s)
    return calls


def test_answers_go_before_notices_and_notices_before_progress_cards() -> None:
    line = SendQueue(FEW)
    card, notice, answer = joined(
        line, (ApiCall(number, rank) for number, rank in enumerate(reversed(Priority), 1))
    )
    assert gone(line, 0.0) == [answer, notice]
    assert gone(line, 1.0) == [card]


def test_calls_of_one_chat_keep_their_order() -> None:
    line = SendQueue(FEW)
    calls = joined(line, (ApiCall(ANNA, Priority.ANSWER) for _ in range(5)))
    assert gone(line, 0.0) == calls[:3]
    assert gone(line, line.wait_s(0.0)) == calls[3:]


def test_a_chat_that_must_wait_holds_up_no_other() -> None:
    line = SendQueue(FEW)
    first = joined(line, (ApiCall(ANNA, Priority.ANSWER) for _ in range(4)))
    (other,) = joined(line, [ApiCall(BERT, Priority.NOTICE)])
    assert gone(line, 0.0) == [*first[:3], other]


def test_a_call_counts_until_a_period_after_it_was_answered() -> None:
    line = SendQueue(FEW)
    slow = [*joined(line, (ApiCall(number, Priority.ANSWER) for number in range(1, 5)))]
    assert list(line.pop_ready(0.0)) == slow
    (late,) = joined(line, [ApiCall(9, Priority.ANSWER)])
    assert list(line.pop_ready(100.0)) == []
    assert math.isinf(line.wait_s(100.0))
    line.complete(slow[0], 100.0)
    assert line.wait_s(100.0) == 1.0
    assert list(line.pop_ready(101.0)) == [late]


def test_an_album_counts_as_many_as_it_has_pictures_and_a_large_one_goes_alone() -> None:
    line = SendQueue(FEW)
    one, album = joined(line, (ApiCall(number, Priority.ANSWER, number) for number in (1, 10)))
    assert gone(line, 0.0) == [one]
    assert gone(line, 1.0) == [album]
    joined(line, [ApiCall(BERT, Priority.ANSWER)])
    assert gone(line, 1.5) == []


@pytest.mark.parametrize(("earlier", "wait_s"), [((ANNA,), 3.0), ((4, 5), 1.0)], ids=["its chat", "all"])
def test_a_call_behind_a_waiting_album_waits_with_it(earlier: tuple[int, ...], wait_s: float) -> None:
    line = SendQueue(FEW)
    before = joined(line, (ApiCall(chat, Priority.ANSWER) for chat in earlier))
    assert gone(line, 0.0) == before
    joined(line, (ApiCall(ANNA, Priority.ANSWER, weight) for weight in (3, 1)))
    assert gone(line, 0.0) == []
    assert line.wait_s(0.0) == wait_s


def test_a_chat_in_which_telegram_wants_peace_waits_alone() -> None:
    line = SendQueue(FEW)
    (refused,) = joined(line, [ApiCall(ANNA, Priority.ANSWER)])
    assert list(line.pop_ready(0.0)) == [refused]
    line.complete(refused, 0.0, pause_s=7.0)
    again, other = joined(line, (ApiCall(chat, Priority.ANSWER) for chat in (ANNA, BERT)))
    assert gone(line, 6.9) == [other]
    assert gone(line, 7.0) == [again]


def test_a_cancelled_waiter_is_not_waited_for() -> None:
    line = SendQueue(FEW)
    calls = joined(line, (ApiCall(ANNA, Priority.ANSWER) for _ in range(2)))
    line.remove(calls[0])
    assert gone(line, 0.0) == calls[1:]


def test_quiet_chats_are_forgotten() -> None:
    line = SendQueue(FEW)
    joined(line, [ApiCall(ANNA, Priority.ANSWER)])
    line.drop_idle_chats(0.0)
    assert len(line) == 1
    gone(line, 0.0)
    line.drop_idle_chats(2.9)
    assert len(line) == 1
    line.drop_idle_chats(3.0)
    assert len(line) == 0


def test_no_limit_is_ever_crossed_however_long_messages_are_on_their_way() -> None:
    luck, line, limits = random.Random(7), SendQueue(RateLimits()), RateLimits()
    chats = [*range(1, 20), GROUP]
    now_s, arrivals, under_way = 0.0, list[tuple[float, int]](), list[tuple[float, ApiCall]]()
    for _ in range(600):
        now_s += luck.expovariate(40.0)
        for end_s, call in [each for each in under_way if each[0] <= now_s]:
            under_way.remove((end_s, call))
            line.complete(call, now_s)
        line.add(ApiCall(luck.choice(chats), luck.choice(list(Priority))))
        for call in line.pop_ready(now_s):
            on_its_way_s = luck.expovariate(5.0)
            arrivals.append((now_s + luck.uniform(0.0, on_its_way_s), call.chat_id))
            under_way.append((now_s + on_its_way_s, call))
    arrivals.sort()
    assert len(arrivals) > 200
    assert most_within(limits.overall, arrivals) <= limits.overall.count
    for chat in chats:
        assert most_within(limits.chat, [each for each in arrivals if each[1] == chat]) <= limits.chat.count
    group = [each for each in arrivals if each[1] == GROUP]
    assert most_within(limits.group, group) <= limits.group.count


def most_within(limit: RateLimit, arrivals: list[tuple[float, int]]) -> int:
    """The most that arrived within any period."""
    times = [at for at, _ in arrivals]
    return max(sum(1 for at in times if first <= at < first + limit.period_s) for first in times)
