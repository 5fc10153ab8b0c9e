"""The model of a day: what can be worked out by hand comes out of it."""

from __future__ import annotations

import pytest

from benchmarks.simulate import DAY_S, DailyLoad, draw_arrivals, find_card_count, p95, simulate_waits_s


def test_jobs_wait_for_those_before_them() -> None:
    assert simulate_waits_s([(0.0, 10.0), (1.0, 10.0), (30.0, 10.0)], cards=1) == [0.0, 9.0, 0.0]


def test_a_second_card_takes_the_second_job() -> None:
    assert simulate_waits_s([(0.0, 10.0), (1.0, 10.0), (2.0, 10.0)], cards=2) == [0.0, 0.0, 8.0]


def test_ninety_five_of_a_hundred_do_not_exceed_p95() -> None:
    assert p95([float(number) for number in range(1, 101)]) == 95.0
    assert p95([]) == 0.0


@pytest.mark.parametrize("people", [100, 1000])
def test_the_number_of_cards_is_the_smallest_that_suffices(people: int) -> None:
    jobs = draw_arrivals(DailyLoad(people, 1.0, 1.0, train_s=600.0, generate_s=10.0), seed=1)
    cards = find_card_count(jobs, limit_s=300.0)
    assert p95(simulate_waits_s(jobs, cards)) < 300.0
    assert cards == 1 or p95(simulate_waits_s(jobs, cards - 1)) >= 300.0


def test_a_day_has_everybodys_jobs_in_order_and_more_in_the_evening() -> None:
    load = DailyLoad(2000, 1.0, 2.0, train_s=600.0, generate_s=10.0)
    jobs = draw_arrivals(load, seed=2)
    moments = [came_at_s for came_at_s, _ in jobs]
    assert len(jobs) == 6000
    assert moments == sorted(moments)
    assert sum(took_s for _, took_s in jobs) == load.busy_s
    evening = sum(18 / 24 * DAY_S <= moment < 22 / 24 * DAY_S for moment in moments)
    morning = sum(6 / 24 * DAY_S <= moment < 10 / 24 * DAY_S for moment in moments)
    assert evening > 2 * morning
