"""The kind of a new LoRA, which modules it adapts, and at what rate each learns. Torch-free."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Algorithm = Literal["lora", "loha", "lokr"]


@dataclass(frozen=True)
class BlockLayout:
    """How many blocks of a UNet sd-scripts numbers, in the order down, middle, up."""

    per_side: int
    middle: int
    ends: int = 0  #: blocks before the first and after the last, which have no LoRA


SD15_BLOCKS, SDXL_BLOCKS = BlockLayout(per_side=12, middle=1), BlockLayout(per_side=9, middle=3, ends=1)
_BLOCK_NAME = re.compile(r"(up|down)_blocks_(\d+)_(resnets|upsamplers|downsamplers|attentions)_(\d+)_")
#: The original code's names, which SDXL's files have, and the number of the first of them.
_SDXL_BLOCK_NAME = re.compile(r"(input_blocks|middle_block|output_blocks)_(\d+)_")
_SDXL_FIRST_BLOCKS = {"input_blocks": 1, "middle_block": 10, "output_blocks": 13}


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
    if (match := _SDXL_BLOCK_NAME.search(kohya_name)) is not None:
        return _SDXL_FIRST_BLOCKS[match[1]] + int(match[2])
    if "mid_block_" in kohya_name:
        return SD15_BLOCKS.per_side
    match = _BLOCK_NAME.search(kohya_name)
    if match is None:
        return None
    side, level, kind, place = match[1], int(match[2]), match[3], int(match[4])
    index = 3 * level + (2 if kind.endswith("samplers") else place)
    return SD15_BLOCKS.per_side + 1 + index if side == "up" else 1 + index


def get_block_lr_weight(config: NetworkConfig, kohya_name: str) -> float:
    """Return the learning rate of a module relative to that of its component."""
    index = get_block_index(kohya_name)
    return 1.0 if index is None or not config.block_lr_weights else config.block_lr_weights[index]
