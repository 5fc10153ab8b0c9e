"""Which modules a new LoRA adapts, of which kind, and its initial weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from gpu_worker.lora.config import NetworkConfig, get_block_lr_weight
from gpu_worker.lora.weights import HadamardWeights, KroneckerWeights, LoraWeights, ModuleWeights
from gpu_worker.models.base import BaseModel
from gpu_worker.models.family import LoraGroup
from gpu_worker.models.lora_hooks import LoraTarget, Reach


def select_targets(
    base: BaseModel, config: NetworkConfig, is_trained: Callable[[LoraGroup], bool]
) -> list[LoraTarget]:
    """Return the modules that are adapted in the groups that are trained."""
    return [
        target
        for target in base.targets_by_name.values()
        if is_trained(target.group) and _is_adapted(target, config)
    ]


def _is_adapted(target: LoraTarget, config: NetworkConfig) -> bool:
    if target.group.is_text_encoder:
        return True
    is_reached = {
        Reach.BLOCK: True,
        Reach.CONV_BLOCK: config.conv_rank is not None or config.adapts_resnets,
        Reach.END: config.adapts_ends,
    }[target.reach]
    has_rank = config.conv_rank is not None or not _is_wide_convolution(target)
    return is_reached and has_rank and get_block_lr_weight(config, target.kohya_name) != 0


def init_weights(
    targets: Sequence[LoraTarget],
    config: NetworkConfig,
    rank: int,
    alpha: float,
    generator: torch.Generator,
) -> dict[str, ModuleWeights]:
    """Return the initial weights by kohya's name, as kohya and LyCORIS draw them: they have no effect yet."""
    weights: dict[str, ModuleWeights] = {}
    for target in targets:
        shape, target_rank, target_alpha = target.weight_shape, rank, alpha
        if _is_wide_convolution(target) and config.conv_rank is not None:
            target_rank, target_alpha = config.conv_rank, config.conv_alpha
        match config.algorithm:
            case "lora":
                weights[target.kohya_name] = _init_lora(shape, target_rank, target_alpha, generator)
            case "loha":
                weights[target.kohya_name] = _init_hadamard(shape, target_rank, target_alpha, generator)
            case "lokr":
                factors = _init_kronecker_factors(shape, target_rank, config, generator)
                # Without a rank the alpha has no effect; LyCORIS then writes the rank that was asked for.
                has_rank = not {"lokr_w1", "lokr_w2"} <= factors.keys()
                weights[target.kohya_name] = KroneckerWeights(
                    factors, target_alpha if has_rank else float(target_rank)
                )
    return weights


def _is_wide_convolution(target: LoraTarget) -> bool:
    return math.prod(target.weight_shape[2:]) > 1


def _init_lora(shape: tuple[int, ...], rank: int, alpha: float, generator: torch.Generator) -> LoraWeights:
    out_features, in_features, *kernel_size = shape
    down = _draw_uniform((rank, in_features, *kernel_size), generator)
    return LoraWeights(down, torch.zeros(out_features, rank, *(1 for _ in kernel_size)), alpha)


def _init_hadamard(
    shape: tuple[int, ...], rank: int, alpha: float, generator: torch.Generator
) -> HadamardWeights:
    rows, columns = shape[0], math.prod(shape[1:])
    factors = {
        "hada_w1_a": torch.empty(rows, rank).normal_(std=0.1, generator=generator),
        "hada_w1_b": torch.empty(rank, columns).normal_(std=1.0, generator=generator),
        "hada_w2_a": torch.zeros(rows, rank),
        "hada_w2_b": torch.empty(rank, columns).normal_(std=1.0, generator=generator),
    }
    return HadamardWeights(factors, alpha)


def _init_kronecker_factors(
    shape: tuple[int, ...], rank: int, config: NetworkConfig, generator: torch.Generator
) -> dict[str, Tensor]:
    (out_1, out_2), (in_1, in_2) = (split_side(side, config.factor) for side in shape[:2])
    kernel_size = shape[2:]
    factors: dict[str, Tensor] = {}
    if config.decompose_both and not config.full_matrix and rank < max(out_1, in_1) / 2:
        factors["lokr_w1_a"] = _draw_uniform((out_1, rank), generator)
        factors["lokr_w1_b"] = _draw_uniform((rank, in_1), generator)
    else:
        factors["lokr_w1"] = _draw_uniform((out_1, in_1), generator)
    if config.full_matrix or rank >= max(out_2, in_2) / 2:
        factors["lokr_w2"] = torch.zeros(out_2, in_2, *kernel_size)
    else:
        factors["lokr_w2_a"] = _draw_uniform((out_2, rank), generator)
        factors["lokr_w2_b"] = torch.zeros(rank, in_2 * math.prod(kernel_size))
    return factors


def split_side(side: int, factor: int) -> tuple[int, int]:
    """Return two numbers whose product is a weight's side, the smaller first.

    The smaller is the factor if that divides the side, otherwise the largest divisor up to it. -1: as near to
    each other as possible.
    """
    if factor > 0 and side % factor == 0:
        return min(factor, side // factor), max(factor, side // factor)
    limit = side if factor < 0 else factor
    divisors = [number for number in range(1, math.isqrt(side) + 1) if side % number == 0 and number <= limit]
    return divisors[-1], side // divisors[-1]


def _draw_uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Draw as torch's kaiming_uniform_(a=sqrt(5)) does."""
    bound = 1 / math.sqrt(math.prod(shape[1:]))
    return torch.empty(shape).uniform_(-bound, bound, generator=generator)
