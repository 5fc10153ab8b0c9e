"""Telegram's limits are kept whatever is to be sent, and answers to people go first."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable

import pytest

from bot.chats.telegram.limits import Call, Limit, Limits, Line, Rank

ANNA, BERT, GROUP = 1, 2, -3
FEW = Limits(Limit(4, 1.0, 2), Limit(3, 3.0, 1), Limit(5, 60.0, 4))


def joined(line: Line, calls: Iterable[Call]) -> list[Call]:
    """Let calls wait, in their order."""
    waiting = list(calls)
    for call in waiting:
        line.join(call)
    return waiting


def gone(line: Line, now_s: float) -> list[Call]:
    """Those whose turn it is; each is answered at once."""
    calls = list(line.go(now_s))
    for call in calls:
        line.end(call, now_s)
    return calls


def test_answers_go_before_notices_and_notices_before_progress_cards() -> None:
    line = Line(FEW)
    card, notice, answer = joined(line, (Call(number, rank) for number, rank in enumerate(reversed(Rank), 1)))
    assert gone(line, 0.0) == [answer, notice]
    assert gone(line, 1.0) == [card]


def test_calls_of_one_chat_keep_their_order() -> None:
    line = Line(FEW)
    calls = joined(line, (Call(ANNA, Rank.ANSWER) for _ in range(5)))
    assert gone(line, 0.0) == calls[:3]
    assert gone(line, line.wait_s(0.0)) == calls[3:]


def test_a_chat_that_must_wait_holds_up_no_other() -> None:
    line = Line(FEW)
    first = joined(line, (Call(ANNA, Rank.ANSWER) for _ in range(4)))
    (other,) = joined(line, [Call(BERT, Rank.NOTICE)])
    assert gone(line, 0.0) == [*first[:3], other]


def test_a_call_counts_until_a_period_after_it_was_answered() -> None:
    line = Line(FEW)
    slow = [*joined(line, (Call(number, Rank.ANSWER) for number in range(1, 5)))]
    assert list(line.go(0.0)) == slow
    (late,) = joined(line, [Call(9, Rank.ANSWER)])
    assert list(line.go(100.0)) == []
    assert math.isinf(line.wait_s(100.0))
    line.end(slow[0], 100.0)
    assert line.wait_s(100.0) == 1.0
    assert list(line.go(101.0)) == [late]


def test_an_album_counts_as_many_as_it_has_pictures_and_a_large_one_goes_alone() -> None:
    line = Line(FEW)
    one, album = joined(line, (Call(number, Rank.ANSWER, number) for number in (1, 10)))
    assert gone(line, 0.0) == [one]
    assert gone(line, 1.0) == [album]
    joined(line, [Call(BERT, Rank.ANSWER)])
    assert gone(line, 1.5) == []


@pytest.mark.parametrize(("earlier", "wait_s"), [((ANNA,), 3.0), ((4, 5), 1.0)], ids=["its chat", "all"])
def test_who_stands_behind_an_album_is_not_looked_at_before_it_may_go(
    earlier: tuple[int, ...], wait_s: float
) -> None:
    line = Line(FEW)
    before = joined(line, (Call(chat, Rank.ANSWER) for chat in earlier))
    assert gone(line, 0.0) == before
    joined(line, (Call(ANNA, Rank.ANSWER, weight) for weight in (3, 1)))
    assert gone(line, 0.0) == []
    assert line.wait_s(0.0) == wait_s


def test_a_chat_in_which_telegram_wants_peace_waits_alone() -> None:
    line = Line(FEW)
    (refused,) = joined(line, [Call(ANNA, Rank.ANSWER)])
    assert list(line.go(0.0)) == [refused]
    line.end(refused, 0.0, hold_s=7.0)
    again, other = joined(line, (Call(chat, Rank.ANSWER) for chat in (ANNA, BERT)))
    assert gone(line, 6.9) == [other]
    assert gone(line, 7.0) == [again]


def test_who_gives_up_is_not_waited_for() -> None:
    line = Line(FEW)
    calls = joined(line, (Call(ANNA, Rank.ANSWER) for _ in range(2)))
    line.leave(calls[0])
    assert gone(line, 0.0) == calls[1:]


def test_quiet_chats_are_forgotten() -> None:
    line = Line(FEW)
    joined(line, [Call(ANNA, Rank.ANSWER)])
    line.tidy(0.0)
    assert len(line) == 1
    gone(line, 0.0)
    line.tidy(2.9)
    assert len(line) == 1
    line.tidy(3.0)
    assert len(line) == 0


def test_no_limit_is_ever_crossed_however_long_messages_are_on_their_way() -> None:
    luck, line, limits = random.Random(7), Line(Limits()), Limits()
    chats = [*range(1, 20), GROUP]
    now_s, arrivals, under_way = 0.0, list[tuple[float, int]](), list[tuple[float, Call]]()
    for _ in range(600):
        now_s += luck.expovariate(40.0)
        for end_s, call in [each for each in under_way if each[0] <= now_s]:
            under_way.remove((end_s, call))
            line.end(call, now_s)
        line.join(Call(luck.choice(chats), luck.choice(list(Rank))))
        for call in line.go(now_s):
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


def most_within(limit: Limit, arrivals: list[tuple[float, int]]) -> int:
    """The most that arrived within any period."""
    times = [at for at, _ in arrivals]
    return max(sum(1 for at in times if first <= at < first + limit.period_s) for first in times)
