"""Variants of a long test: a few in `make test`, the others in `make soak`."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from _pytest.mark import ParameterSet


def with_soak(variants: Iterable[str], kept: tuple[str, ...]) -> list[ParameterSet]:
    """Return all variants as parameters; those that are not `kept` are marked as long."""
    all_variants = list(variants)
    assert set(kept) <= set(all_variants)
    return [
        pytest.param(variant, marks=() if variant in kept else pytest.mark.soak) for variant in all_variants
    ]
