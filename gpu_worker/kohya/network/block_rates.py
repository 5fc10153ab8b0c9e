"""sd-scripts' rates of blocks: `down_lr_weight`, `mid_lr_weight` and `up_lr_weight` of `--network_args`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from gpu_worker.errors import BadInput
from gpu_worker.lora.config import BlockLayout

#: A curve over one side's blocks by its name: the weight of a block by its place, from 0 (first) to 1 (last).
_CURVES: dict[str, Callable[[float], float]] = {
    "sine": lambda place: math.sin(math.pi * place / 2),
    "cosine": lambda place: math.sin(math.pi * (1 - place) / 2),
    "linear": lambda place: place,
    "reverse_linear": lambda place: 1 - place,
    "zeros": lambda place: 0.0,
}


def parse_block_rates(values: Mapping[str, str], layout: BlockLayout) -> tuple[float, ...]:
    """Return the weight of each block, down, middle and up; empty if none is given."""
    if not any(values[name] for name in ("down_lr_weight", "mid_lr_weight", "up_lr_weight")):
        return ()
    threshold = _parse_number("block_lr_zero_threshold", values.get("block_lr_zero_threshold") or "0")
    weights = (
        *_parse_side("down_lr_weight", values["down_lr_weight"], layout.per_side),
        *_parse_numbers("mid_lr_weight", values["mid_lr_weight"], layout.middle),
        *_parse_side("up_lr_weight", values["up_lr_weight"], layout.per_side),
    )
    ends = (1.0,) * layout.ends
    return (*ends, *(weight if weight > threshold else 0.0 for weight in weights), *ends)


def _parse_side(name: str, text: str, count: int) -> list[float]:
    """Return a side's weights: numbers, or a curve."""
    curve, _, offset = text.partition("+")
    if curve not in _CURVES:
        return _parse_numbers(name, text, count)
    base = _parse_number(name, offset or "0")
    return [_CURVES[curve](index / (count - 1)) + base for index in range(count)]


def _parse_numbers(name: str, text: str, count: int) -> list[float]:
    """Return weights, of which missing ones are 1 and empty ones 0."""
    weights = [_parse_number(name, part or "0") for part in text.split(",")] if text else []
    if len(weights) > count:
        raise BadInput(f"{name} in --network_args has {len(weights)} values for {count} blocks.")
    return weights + [1.0] * (count - len(weights))


def _parse_number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        curves = ", ".join(_CURVES)
        raise BadInput(f"{name} in --network_args takes numbers, or {curves}; not {text}.") from None
