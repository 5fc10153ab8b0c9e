"""How often one message asks the database."""

from __future__ import annotations

from pathlib import Path

from benchmarks.calls import GOALS, measure_calls


async def test_messages_of_a_known_person_stay_within_their_database_calls(tmp_path: Path) -> None:
    figures = await measure_calls(tmp_path)
    assert figures.keys() == GOALS.keys()
    assert {name: sum(counts) for name, counts in figures.items() if sum(counts) > GOALS[name]} == {}
    assert figures["/help"] == (1, 0), "to know who somebody is nothing is written"
