"""The kind of a new LoRA, which modules it adapts, and at what rate each learns. Torch-free."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Algorithm = Literal["lora", "loha", "lokr"]
#: sd-scripts numbers the UNet's blocks as the original code does: 12 down, 1 middle, 12 up.
BLOCKS_A_SIDE = 12
BLOCKS = 2 * BLOCKS_A_SIDE + 1
_BLOCK_NAME = re.compile(r"(up|down)_blocks_(\d+)_(resnets|upsamplers|downsamplers|attentions)_(\d+)_")


@dataclass(frozen=True)
class NetworkConfig:
    """The kind and reach of a LoRA; the defaults are those of sd-scripts' `networks.lora`."""

    algorithm: Algorithm = "lora"
    #: Rank of the 3 x 3 convolutions; None: they and the rest of their blocks are not adapted (LoCon is).
    conv_rank: int | None = None
    conv_alpha: float = 1.0
    #: Whether the UNet's blocks of convolutions are adapted without their 3 x 3 ones, as LyCORIS can.
    adapts_resnets: bool = False
    #: Whether the time embedding is adapted, and the first and last convolution if `conv_rank` is set.
    adapts_ends: bool = False
    #: Learning rate of each UNet block relative to the UNet's; a block of 0 is not adapted. Empty: all 1.
    block_lr_weights: tuple[float, ...] = ()
    #: LoKr: how the sides of a weight are divided; -1: as evenly as possible.
    factor: int = -1
    #: LoKr: whether w1 is a product of two thin matrices too.
    decompose_both: bool = False
    #: LoKr: whether neither is.
    full_matrix: bool = False


def get_block_index(kohya_name: str) -> int | None:
    """Return the number of a UNet module's block; None outside of the blocks."""
    if "mid_block_" in kohya_name:
        return BLOCKS_A_SIDE
    match = _BLOCK_NAME.search(kohya_name)
    if match is None:
        return None
    side, level, kind, place = match[1], int(match[2]), match[3], int(match[4])
    index = 3 * level + (2 if kind.endswith("samplers") else place)
    return BLOCKS_A_SIDE + 1 + index if side == "up" else 1 + index


def get_block_lr_weight(config: NetworkConfig, kohya_name: str) -> float:
    """Return the learning rate of a module relative to that of its component."""
    index = get_block_index(kohya_name)
    return 1.0 if index is None or not config.block_lr_weights else config.block_lr_weights[index]
