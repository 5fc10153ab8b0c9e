"""sd-scripts' rates of blocks: `down_lr_weight`, `mid_lr_weight` and `up_lr_weight` of `--network_args`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from gpu_worker.errors import BadInput
from gpu_worker.lora.config import BLOCKS_A_SIDE

_SHARES = [index / (BLOCKS_A_SIDE - 1) for index in range(BLOCKS_A_SIDE)]
#: A curve over one side's blocks by its name, from the first block to the last.
_CURVES: dict[str, Callable[[], list[float]]] = {
    "sine": lambda: [math.sin(math.pi * share / 2) for share in _SHARES],
    "cosine": lambda: [math.sin(math.pi * share / 2) for share in reversed(_SHARES)],
    "linear": lambda: list(_SHARES),
    "reverse_linear": lambda: list(reversed(_SHARES)),
    "zeros": lambda: [0.0] * BLOCKS_A_SIDE,
}


def parse_block_rates(values: Mapping[str, str]) -> tuple[float, ...]:
    """Return the weight of each of the 25 blocks, down, middle and up; empty if none is given."""
    if not any(values[name] for name in ("down_lr_weight", "mid_lr_weight", "up_lr_weight")):
        return ()
    threshold = _parse_number("block_lr_zero_threshold", values.get("block_lr_zero_threshold") or "0")
    weights = (
        *_parse_side("down_lr_weight", values["down_lr_weight"], BLOCKS_A_SIDE),
        *_parse_side("mid_lr_weight", values["mid_lr_weight"], 1),
        *_parse_side("up_lr_weight", values["up_lr_weight"], BLOCKS_A_SIDE),
    )
    return tuple(weight if weight > threshold else 0.0 for weight in weights)


def _parse_side(name: str, text: str, count: int) -> list[float]:
    """Return a side's weights: numbers, of which missing ones are 1 and empty ones 0, or a curve."""
    if not text:
        return [1.0] * count
    curve, _, offset = text.partition("+")
    if curve in _CURVES and count > 1:
        base = _parse_number(name, offset or "0")
        return [weight + base for weight in _CURVES[curve]()]
    weights = [_parse_number(name, part or "0") for part in text.split(",")]
    if len(weights) > count:
        raise BadInput(f"{name} in --network_args has {len(weights)} values for {count} blocks.")
    return weights + [1.0] * (count - len(weights))


def _parse_number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        curves = ", ".join(_CURVES)
        raise BadInput(f"{name} in --network_args takes numbers, or {curves}; not {text}.") from None
