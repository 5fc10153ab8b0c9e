"""Measures a card before a base model is put on it, and picks precision and memory settings with a reason."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gpu_worker.device.memory_modes import Gear

_GIB = 2**30
#: SD 1.5: parameters of UNet, VAE and text encoder together.
_PARAMETERS = 1.066e9
#: Saved activations of a training step at 512 px, batch 1, without checkpointing, measured in bf16 and fp32;
#: and what LoRA, optimizer, CUDA context and libraries take.
_ACTIVATIONS_BYTES = {2: 0.9 * _GIB, 4: 1.6 * _GIB}
_REST_BYTES = 0.9 * _GIB
#: bf16 needs no loss scaling, so it may be this much slower than fp16 and is still chosen; and half the
#: memory of fp32, so it may be as much slower than that, which also hides the noise of a busy machine.
_BF16_TOLERANCE = 1.15
#: Computing activations again makes a step this much longer (measured at 256 px in fp32).
_CHECKPOINTING_COST = 1.4
_REPEATS = 5


@dataclass(frozen=True)
class Measure:
    """One precision on this card."""

    seconds: float  #: of a slice of a training step, forward and backward
    is_finite: bool


def candidates(device: torch.device) -> list[torch.dtype]:
    """Return the precisions that may be fast here. fp16 on a CPU is 30 times slower than fp32 and more."""
    if device.type == "cuda":
        bf16 = [torch.bfloat16] if torch.cuda.is_bf16_supported(False) else []
        return [torch.float16, torch.float32, *bf16]
    features = torch.cpu.get_capabilities()
    has_bf16 = features.get("avx512_bf16") or features.get("amx_bf16") or features.get("bf16")
    return [torch.float32, *([torch.bfloat16] if has_bf16 else [])]


def measure(device: torch.device, dtypes: list[torch.dtype]) -> dict[torch.dtype, Measure]:
    """Run a slice of SD 1.5's training step in each precision."""
    return {dtype: _measure(device, dtype) for dtype in dtypes}


def _measure(device: torch.device, dtype: torch.dtype) -> Measure:
    piece = _Slice().to(device, dtype).requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    seconds = []
    finite = True
    for _ in range(_REPEATS):
        given = torch.randn(1, 320, 32, 32, generator=generator).to(device, dtype).requires_grad_()
        began = time.perf_counter()
        answer = piece(given)
        answer.float().square().mean().backward()
        finite = finite and given.grad is not None and bool(given.grad.isfinite().all())  # waits for the card
        seconds.append(time.perf_counter() - began)
    return Measure(min(seconds), finite)


class _Slice(nn.Module):
    """A convolution, an attention and a feed-forward layer of SD 1.5's first level, at a quarter the area."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.convolution = nn.Conv2d(320, 320, 3, padding=1)
            self.question = nn.Linear(320, 960)
            self.wide, self.narrow = nn.Linear(320, 1280), nn.Linear(1280, 320)

    def forward(self, given: Tensor) -> Tensor:
        rows = self.convolution(given).flatten(2).transpose(1, 2)
        heads = self.question(rows).view(1, -1, 3, 8, 40).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(heads[0], heads[1], heads[2]).transpose(1, 2).flatten(2)
        answer: Tensor = self.narrow(F.gelu(self.wide(seen)))
        return answer


def pick(measures: Mapping[torch.dtype, Measure], memory_bytes: float | None) -> tuple[Gear, str]:
    """Pick the fastest precision that stays finite and fits, and checkpointing where memory is short.

    `memory_bytes` is what is free on the card; None where it is not the limit (a CPU).
    """
    usable = {dtype: found for dtype, found in measures.items() if found.is_finite}
    if not usable:
        return Gear(torch.float32), "no precision gave finite numbers in a trial; trying full precision"
    fitting = {d: m for d, m in usable.items() if memory_bytes is None or need_bytes(d, True) <= memory_bytes}
    choice = fitting or {min(usable, key=lambda dtype: dtype.itemsize): Measure(0.0, True)}

    def seconds(dtype: torch.dtype) -> float:
        twice = memory_bytes is not None and need_bytes(dtype, False) > memory_bytes
        return choice[dtype].seconds * (_CHECKPOINTING_COST if twice else 1.0)

    best = min(choice, key=seconds)
    if (
        best is not torch.bfloat16
        and torch.bfloat16 in choice
        and seconds(torch.bfloat16) <= seconds(best) * _BF16_TOLERANCE
    ):
        best = torch.bfloat16
    checkpointing = memory_bytes is not None and need_bytes(best, False) > memory_bytes
    told = ", ".join(f"{_name(dtype)} {found.seconds * 1000:.1f} ms" for dtype, found in measures.items())
    reason = f"{_name(best)} suits best ({told} for a slice of a step)"
    if memory_bytes is not None:
        reason += (
            f"; {memory_bytes / _GIB:.1f} GiB free, a training needs {need_bytes(best, False) / _GIB:.1f}"
        )
        reason += ", so activations are computed twice" if checkpointing else ", so nothing is computed twice"
    return Gear(best, checkpointing=checkpointing), reason


def need_bytes(dtype: torch.dtype, checkpointing: bool) -> float:
    """Return what SD 1.5 at 512 px needs to train; checkpointing keeps about a fifth of the activations."""
    activations = _ACTIVATIONS_BYTES[dtype.itemsize]
    return _PARAMETERS * dtype.itemsize + (0.2 * activations if checkpointing else activations) + _REST_BYTES


def _name(dtype: torch.dtype) -> str:
    return {"float16": "fp16", "bfloat16": "bf16", "float32": "fp32"}[str(dtype).removeprefix("torch.")]
