"""The rows of pictures of two people."""

from __future__ import annotations

from benchmarks.together import LAYOUTS, LayoutScore, build_rows, list_pairs, list_tokens


def score(*in_place: int, time_s: float = 1.0) -> LayoutScore:
    return LayoutScore(list(in_place), [0.5] * len(in_place), [time_s] * len(in_place))


def test_rows_hold_where_regions_keep_people_apart_and_fall_short_where_they_do_not() -> None:
    scores = {name: score(2, 2, 2, 1, 2) for name in LAYOUTS}
    scores |= {"mixture": score(1, 1, 2, 1, 0), "regions": score(2, 2, 2, 1, 2, time_s=1.3)}
    lines = {line.split()[1]: line.split()[2:] for line in (row.format_line() for row in build_rows(scores))}
    assert lines["together-both"] == ["value=0.8", "goal=>=0.8", "holds"]
    assert lines["together-mixture"] == ["value=0.2", "goal=<=0.2", "holds"]
    assert lines["together-cost"] == ["value=1.3", "goal=<=1.25", "short"]
    assert lines["together-both-where-two-are-drawn"] == ["value=1", "goal=>=0.8", "holds"]


def test_people_of_a_pair_have_two_triggers_where_they_are_asked_for() -> None:
    tokens = list_tokens(4, are_different=True)
    pairs = list_pairs(tokens, are_different=True)
    assert len(set(pairs)) == 8
    assert all(tokens[one] != tokens[other] for one, other in pairs)
    same = list_tokens(4, are_different=False)
    assert len(set(same)) == 1
    assert len(list_pairs(same, are_different=False)) == 12
