"""The comparison of LoRAs with the peer's: norms as means over seeds, rates step by step."""

from __future__ import annotations

import math

import pytest

from benchmarks.figures import select_figures
from benchmarks.same_lora import FLAG_SETS, PARTS, TrainedLora, compare_sides

CURVE = [(1, 1e-3), (2, 5e-4)]


def trained(unet: float, text_encoder: float, curve: list[tuple[int, float]] = CURVE) -> TrainedLora:
    return TrainedLora(dict(zip(PARTS, (unet, text_encoder), strict=True)), {"lr/unet": curve})


def test_the_row_is_the_worst_ratio_of_mean_norms_either_way() -> None:
    ours = {"plain": [trained(1.0, 1.0), trained(3.0, 1.0)], "dropout": [trained(1.0, 0.8)]}
    theirs = {"plain": [trained(2.0, 1.0), trained(2.0, 1.0)], "dropout": [trained(1.0, 1.0)]}
    measurement = compare_sides(ours, theirs)
    assert measurement.value == pytest.approx(1.25)
    assert "plain 1.000 and 1.000; dropout 1.000 and 0.800" in measurement.note


@pytest.mark.parametrize("curve", [CURVE[:1], [(1, 1e-3), (2, 6e-4)], [(0, 1e-3), (2, 5e-4)]])
def test_a_rate_that_differs_at_any_step_cannot_hold(curve: list[tuple[int, float]]) -> None:
    measurement = compare_sides({"plain": [trained(1.0, 1.0, curve)]}, {"plain": [trained(1.0, 1.0)]})
    assert math.isinf(measurement.value)
    assert "plain 1.000 and 1.000, other rates" in measurement.note


def test_the_row_trains_eight_sets_of_flags_without_the_large_model() -> None:
    [figure] = select_figures("same-lora")
    assert not figure.needs_model
    assert len(FLAG_SETS) == 8
