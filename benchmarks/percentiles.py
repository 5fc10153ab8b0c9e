"""Percentiles that are one of the values: how slow it gets, beside how slow it is."""

from __future__ import annotations

from collections.abc import Sequence


def percentile(values: Sequence[float], percent: int) -> float:
    """Give the smallest value that at least so many of 100 do not exceed; 0 of none."""
    return sorted(values)[-(-len(values) * percent // 100) - 1] if values else 0.0


def strict_percentile(values: Sequence[float], percent: int) -> float:
    """Give the smallest value that more than so many of 100 do not exceed; 0 of none.

    The longest of a hundred is their 99th: whoever answers thousands of people is judged by this one.
    """
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] if ordered else 0.0
