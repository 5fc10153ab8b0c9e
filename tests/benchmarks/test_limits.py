"""Which part breaks first, and the plots of it."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from benchmarks import plot
from benchmarks.limits import DailyDemand, list_bottlenecks, round_people


def test_the_tightest_part_comes_first_and_twice_the_requests_halve_its_people() -> None:
    once = list_bottlenecks(DailyDemand(0.2, 3.0, 900.0, 15.0), cards_per_person=0.004, peak_factor=1.6)
    twice = list_bottlenecks(DailyDemand(0.4, 6.0, 900.0, 15.0), cards_per_person=0.008, peak_factor=1.6)
    assert [part.people for part in once] == sorted(part.people for part in once)
    assert [part.people for part in twice] == pytest.approx([part.people / 2 for part in once])


def test_component_is_saturated_when_its_requests_of_the_busiest_hour_fill_it() -> None:
    # One picture of 4 s each: its three messages and one edit, so four requests a person.
    found = {
        part.name: part for part in list_bottlenecks(DailyDemand(0.0001, 1.0, 1.0, 4.0), 1.0, peak_factor=1.0)
    }
    assert found["Telegram"].people == pytest.approx(30 * 86_400 / 4, rel=0.001)


@pytest.mark.parametrize(("people", "told"), [(24_107.0, 24_000), (1_080_000.0, 1_100_000), (7.2, 7)])
def test_people_are_rounded_to_two_digits(people: float, told: int) -> None:
    assert round_people(people) == told


def test_plots_are_drawn_with_their_numbers() -> None:
    for svg in (plot.line("people", "cards", [(100, 2), (1000, 6)]), plot.bars("people", [("a <b>", 1200)])):
        tree = ElementTree.fromstring(svg)  # noqa: S314 - ours
        words = [each.text for each in tree.iter("{http://www.w3.org/2000/svg}text")]
        assert "people" in words
        assert ("6" in words) or ("1,200" in words and "a <b>" in words)
