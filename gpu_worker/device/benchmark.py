"""Benchmark precisions on the device, and choose precision and memory mode with a reason."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gpu_worker.device.memory_modes import MemoryMode
from gpu_worker.device.memory_profile import SD15_MEMORY, MemoryProfile

_GIB = 2**30
#: Half precision is chosen up to this factor in time over fp32, as it takes half the memory, and bf16 also
#: over fp16, as it needs no loss scaling. The factor also covers the noise of a busy machine.
_HALF_TOLERANCE = 1.15
#: Gradient checkpointing makes a step this much longer (measured at 256 px in fp32).
_CHECKPOINTING_COST = 1.4
_REPEATS = 5
#: Side in latents and number of layers: on a fast GPU so much that its work takes longer than starting it.
_GPU_SLICE, _CPU_SLICE = (64, 3), (32, 1)
#: Work of the GPU's slice, forward and backward.
GPU_SLICE_TFLOP = 0.33
#: Kernels of that slice and of a training step, as `benchmarks.card` counts them.
_GPU_SLICE_KERNELS, _STEP_KERNELS = 93, 4_250


@dataclass(frozen=True)
class DtypeTiming:
    """The result of one precision."""

    seconds: float  #: forward and backward of a slice of the UNet
    is_finite: bool
    queue_seconds: float = 0.0  #: the program's own time for starting it

    def is_launch_bound(self, step_teraflops: float) -> bool:
        """Return whether starting a GPU's kernels for a step of this size takes longer than their work."""
        queue_s = self.queue_seconds / _GPU_SLICE_KERNELS * _STEP_KERNELS
        return queue_s > self.seconds / GPU_SLICE_TFLOP * step_teraflops


def candidate_dtypes(device: torch.device) -> list[torch.dtype]:
    """Return the precisions that may be fast here. On a CPU, fp16 is 30 times slower than fp32."""
    if device.type == "cuda":
        bf16 = [torch.bfloat16] if torch.cuda.is_bf16_supported(False) else []
        return [torch.float16, torch.float32, *bf16]
    features = torch.cpu.get_capabilities()
    has_bf16 = features.get("avx512_bf16") or features.get("amx_bf16") or features.get("bf16")
    return [torch.float32, *([torch.bfloat16] if has_bf16 else [])]


def benchmark_dtypes(
    device: torch.device, dtypes: list[torch.dtype], slice_side: int | None = None
) -> dict[torch.dtype, DtypeTiming]:
    """Time a slice of SD 1.5's UNet, forward and backward, in each precision.

    `slice_side` is in latents; None: what suits the device.
    """
    return {dtype: _benchmark_dtype(device, dtype, slice_side) for dtype in dtypes}


def _benchmark_dtype(device: torch.device, dtype: torch.dtype, slice_side: int | None) -> DtypeTiming:
    default_side, num_layers = _GPU_SLICE if device.type == "cuda" else _CPU_SLICE
    side = default_side if slice_side is None else slice_side
    layers = nn.Sequential(*(_UNetSlice() for _ in range(num_layers)))
    layers = layers.to(device, dtype).requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    seconds, queue_seconds = [], []
    is_finite = True
    for _ in range(_REPEATS):
        hidden_states = torch.randn(1, 320, side, side, generator=generator).to(device, dtype)
        hidden_states.requires_grad_()
        with _time_work(device) as elapsed_s:
            started_at = time.perf_counter()
            layers(hidden_states).float().square().mean().backward()
            queue_seconds.append(time.perf_counter() - started_at)
        seconds.append(elapsed_s[0])
        grad = hidden_states.grad
        is_finite = is_finite and grad is not None and bool(grad.isfinite().all())
    return DtypeTiming(min(seconds), is_finite, min(queue_seconds))


@contextmanager
def _time_work(device: torch.device) -> Iterator[list[float]]:
    """Time what is done inside, on a GPU by its own clock; afterwards the list has the seconds."""
    elapsed_s: list[float] = []
    if device.type != "cuda":
        start_time = time.perf_counter()
        yield elapsed_s
        elapsed_s.append(time.perf_counter() - start_time)
        return
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    start.record()
    yield elapsed_s
    end.record()
    end.synchronize()
    elapsed_s.append(start.elapsed_time(end) / 1000)


class _UNetSlice(nn.Module):
    """A convolution, an attention and a feed-forward layer of SD 1.5's first level."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.conv = nn.Conv2d(320, 320, 3, padding=1)
            self.qkv = nn.Linear(320, 960)
            self.ff_in, self.ff_out = nn.Linear(320, 1280), nn.Linear(1280, 320)

    def forward(self, hidden_states: Tensor) -> Tensor:
        tokens = self.conv(hidden_states).flatten(2).transpose(1, 2)
        qkv_heads = self.qkv(tokens).view(1, -1, 3, 8, 40).permute(2, 0, 3, 1, 4)
        attention_output = (
            F.scaled_dot_product_attention(qkv_heads[0], qkv_heads[1], qkv_heads[2])
            .transpose(1, 2)
            .flatten(2)
        )
        output: Tensor = self.ff_out(F.gelu(self.ff_in(attention_output)))
        return output.transpose(1, 2).view(hidden_states.shape)


def choose_memory_mode(
    timings: Mapping[torch.dtype, DtypeTiming],
    free_bytes: float | None,
    profile: MemoryProfile = SD15_MEMORY,
) -> tuple[MemoryMode, str]:
    """Return the fastest memory mode that is finite and fits, and the reason in one sentence.

    `free_bytes` is the free memory of the GPU; None where memory is not the limit (a CPU). `profile` says
    what a training takes.
    """

    def required_bytes(dtype: torch.dtype, gradient_checkpointing: bool) -> float:
        return profile.required_bytes(dtype.itemsize, gradient_checkpointing)

    usable = {dtype: timing for dtype, timing in timings.items() if timing.is_finite}
    if not usable:
        return MemoryMode(torch.float32), "no precision gave finite numbers in a trial; trying full precision"
    fitting = {d: m for d, m in usable.items() if free_bytes is None or required_bytes(d, True) <= free_bytes}
    eligible = fitting or {min(usable, key=lambda dtype: dtype.itemsize): DtypeTiming(0.0, True)}

    def step_seconds(dtype: torch.dtype) -> float:
        needs_checkpointing = free_bytes is not None and required_bytes(dtype, False) > free_bytes
        return eligible[dtype].seconds * (_CHECKPOINTING_COST if needs_checkpointing else 1.0)

    best_dtype = min(eligible, key=step_seconds)
    limit_s = step_seconds(best_dtype) * _HALF_TOLERANCE
    for dtype in (torch.float16, torch.bfloat16):  # the later the better
        if dtype in eligible and step_seconds(dtype) <= limit_s:
            best_dtype = dtype
    gradient_checkpointing = free_bytes is not None and required_bytes(best_dtype, False) > free_bytes
    summary = ", ".join(
        f"{_format_dtype(dtype)} {timing.seconds * 1000:.1f} ms" for dtype, timing in timings.items()
    )
    reason = f"{_format_dtype(best_dtype)} suits best ({summary} for a slice of a step)"
    if free_bytes is not None:
        required_gib = required_bytes(best_dtype, False) / _GIB
        reason += f"; {free_bytes / _GIB:.1f} GiB free, a training needs {required_gib:.1f}"
        reason += (
            ", so activations are computed twice"
            if gradient_checkpointing
            else ", so nothing is computed twice"
        )
    return MemoryMode(best_dtype, gradient_checkpointing=gradient_checkpointing), reason


def _format_dtype(dtype: torch.dtype) -> str:
    return {"float16": "fp16", "bfloat16": "bf16", "float32": "fp32"}[str(dtype).removeprefix("torch.")]
