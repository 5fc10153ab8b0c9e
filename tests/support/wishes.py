"""Wishes as they are read from what people write."""

from __future__ import annotations

from typing import Any

from bot.core.jobs import GenerationParams


def typed_params(*values: Any, **options: Any) -> GenerationParams:
    """Return the wish of a person who says these things: fast, unless its steps or its sampler are said."""
    is_fast = not {"steps", "sampler"} & options.keys()
    return GenerationParams(*values, **{"is_fast": is_fast, **options})
