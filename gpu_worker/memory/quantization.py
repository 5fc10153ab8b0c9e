"""Weights rounded to 8 or 4 bits, and widened again.

Own code: bitsandbytes and torchao round no convolutions, and optimum-quanto keeps their wide copy for the
backward pass.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import torch
import torch.nn.functional as F
from torch import Tensor

from gpu_worker.device.memory_profile import NF4_BLOCK, WeightStorage

_INT8_MAX = 127
_TINY = torch.finfo(torch.float32).tiny


def _list_nf4_levels() -> list[float]:
    """Return the 16 levels of NF4: quantiles of a normal distribution, -1 .. 1 (Dettmers et al. 2023)."""
    offset, inverse = (1 - 1 / (2 * 15) + 1 - 1 / (2 * 16)) / 2, NormalDist().inv_cdf
    above = [inverse(offset + (0.5 - offset) * number / 8) for number in range(8)]
    below = [-inverse(offset + (0.5 - offset) * number / 7) for number in range(7)]
    return [level / above[0] for level in sorted([*below, 0.0, *above])]


NF4_LEVELS = _list_nf4_levels()


def quantize(weight: Tensor, storage: WeightStorage) -> tuple[Tensor, Tensor]:
    """Return codes and scales. Scales are kept as bits in integers, which no cast of a module touches."""
    match storage:
        case WeightStorage.INT8:
            return _quantize_int8(weight.float())
        case WeightStorage.NF4:
            return _quantize_nf4(weight.float())
    raise ValueError(f"weights are not rounded for {storage}")


def dequantize(codes: Tensor, scales: Tensor, pairs: Tensor, shape: torch.Size, dtype: torch.dtype) -> Tensor:
    """Return a wide weight: the products are those of fp32, rounded once. `pairs` is of `nf4_pairs`."""
    if codes.dtype is torch.int8:
        factors = scales.view(torch.float32).view(-1, *[1] * (len(shape) - 1))
        if codes.device.type == "cpu":  # a cast by itself is vectorised there: a third less time in all
            return codes.to(torch.float32, memory_format=torch.contiguous_format).mul_(factors).to(dtype)
        wide = torch.empty(shape, dtype=dtype, device=codes.device)
        return torch.mul(codes, factors, out=wide)
    levels = F.embedding(codes.int(), pairs.view(torch.float32)).view(-1, NF4_BLOCK)
    wide = levels.mul_(scales.view(torch.bfloat16).float()[:, None]).to(dtype)
    return wide.view(-1)[: math.prod(shape)].view(shape)


def nf4_pairs(device: torch.device) -> Tensor:
    """Return the two levels of each byte, (256, 2), as bits."""
    levels = torch.tensor(NF4_LEVELS, dtype=torch.float32, device=device)
    pairs = torch.stack([levels.repeat_interleave(16), levels.repeat(16)], dim=1)
    return pairs.view(torch.int32)


def _quantize_int8(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Round with one scale for each output channel."""
    rows = weight.flatten(1)
    scales = (rows.abs().amax(1) / _INT8_MAX).clamp(min=_TINY)
    codes = (rows / scales[:, None]).round_().clamp_(-_INT8_MAX, _INT8_MAX).to(torch.int8)
    return codes.view(weight.shape), scales.view(torch.int32)


def _quantize_nf4(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Round with one scale for each block, two codes to a byte; bf16 is fine enough for it."""
    flat = weight.flatten()
    blocks = F.pad(flat, (0, -flat.numel() % NF4_BLOCK)).view(-1, NF4_BLOCK)
    scales = blocks.abs().amax(1).clamp(min=_TINY).bfloat16()
    levels = torch.tensor(NF4_LEVELS, device=weight.device)
    borders = (levels[1:] + levels[:-1]) / 2
    codes = torch.bucketize(blocks / scales.float()[:, None], borders, out_int32=True).to(torch.uint8)
    packed = codes[:, 0::2] * 16 + codes[:, 1::2]
    return packed.flatten(), scales.view(torch.int16)
