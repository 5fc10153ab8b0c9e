"""Nearest-rank percentiles: each is one of the values, so nothing is interpolated."""

from __future__ import annotations

from collections.abc import Sequence


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the smallest value that at least `percent` of the values do not exceed; 0 for no values."""
    return sorted(values)[-(-len(values) * percent // 100) - 1] if values else 0.0


def strict_percentile(values: Sequence[float], percent: int) -> float:
    """Return the smallest value that more than `percent` of the values do not exceed; 0 for no values.

    It is the stricter one: the 99th percentile of a hundred values is the largest.
    """
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] if ordered else 0.0
