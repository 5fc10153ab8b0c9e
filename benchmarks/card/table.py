"""The work that cards are asked to do, what it takes as counted, and which cards that fits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from benchmarks.card.counts import CardCount, count_decode, count_denoising_step, count_training_step
from benchmarks.rows import FigureRow, Goal
from gpu_worker.device.memory_modes import MemoryMode
from gpu_worker.device.memory_profile import SD15_MEMORY

GIB = 2**30
CARD_SIZES_GB = (6, 8, 12, 16, 24)
#: What no count knows: the CUDA context (0.15 to 0.45 GiB), cuBLAS' and cuDNN's workspaces, a desktop.
UNCOUNTED_GIB = 0.9
#: Rows of `--n 4` with guidance, which is what a card draws at once at most.
PICTURE_ROWS = 8
MAX_KERNELS = 6000
#: By how much the need that the worker expects may differ from the count.
MAX_NEED_ERROR = 0.1

FP16, FP32 = torch.float16, torch.float32


@dataclass(frozen=True)
class CardWork:
    """A training, with pictures drawn between its steps."""

    name: str
    title: str
    memory_mode: MemoryMode
    side_px: int = 512
    batch_size: int = 1
    card_gb: int = 6  #: the smallest card that it should fit


WORKS = (
    CardWork("512", "512 px", MemoryMode(FP16)),
    CardWork("512-checkpointing", "512 px, gradient checkpointing", MemoryMode(FP16, True)),
    CardWork("512-offload", "512 px, VAE offload too", MemoryMode(FP16, True, True)),
    CardWork("768", "768 px", MemoryMode(FP16), side_px=768),
    CardWork("768-checkpointing", "768 px, gradient checkpointing", MemoryMode(FP16, True), side_px=768),
    CardWork("512-batch-5", "512 px, batch of 5", MemoryMode(FP16), batch_size=5, card_gb=12),
    CardWork("512-fp32", "512 px, full precision", MemoryMode(FP32), card_gb=8),
    CardWork("768-fp32", "768 px, full precision", MemoryMode(FP32), side_px=768, card_gb=12),
)


@dataclass(frozen=True)
class CountedWork:
    """A work and what it takes."""

    work: CardWork
    training: CardCount
    picture_bytes: int  #: reserved while `--n 4` is drawn and decoded at 512 px beside it

    @property
    def total_gib(self) -> float:
        """Return what torch reserves at most."""
        return max(self.training.reserved_bytes, self.picture_bytes) / GIB

    def fits(self, card_gb: int) -> bool:
        """Return whether a card of this size holds it, and what is not counted."""
        return self.total_gib + UNCOUNTED_GIB <= card_gb


def count_works(family: str, works: Sequence[CardWork] = WORKS) -> list[CountedWork]:
    """Count each; takes some seconds a work."""
    picture_bytes = {
        dtype: count_pictures(family, dtype) for dtype in {work.memory_mode.dtype for work in works}
    }
    return [
        CountedWork(
            work,
            count_training_step(family, work.memory_mode, work.side_px, work.batch_size),
            picture_bytes[work.memory_mode.dtype],
        )
        for work in works
    ]


def count_pictures(family: str, dtype: torch.dtype) -> int:
    """Return the bytes that are reserved while four pictures are drawn at 512 px."""
    counts = (
        count_denoising_step(family, MemoryMode(dtype), 512, PICTURE_ROWS),
        count_decode(family, MemoryMode(dtype), 512),
    )
    return max(count.reserved_bytes for count in counts)


def build_rows(counted: Iterable[CountedWork]) -> list[FigureRow]:
    """Return the counted figures beside their goals."""
    rows = []
    for each in counted:
        work, training = each.work, each.training
        goal = Goal("<=", work.card_gb - UNCOUNTED_GIB)
        what, note = f"{work.title}, --n 4 beside it", f"live at most {training.peak_bytes / GIB:.2f} GiB"
        rows.append(FigureRow(f"card-{work.name}", what, "GiB", goal, each.total_gib, note))
        if work.side_px == 512 and work.batch_size == 1 and not work.memory_mode.vae_offload:
            goal = Goal("<=", MAX_NEED_ERROR)
            what = "expected need, off the count by"
            rows.append(FigureRow(f"card-need-{work.name}", what, "of 1", goal, find_need_error(each)))
    plain = next((each for each in counted if each.work.name == "512"), None)
    if plain is not None:
        goal = Goal("<=", MAX_KERNELS)
        rows.append(FigureRow("card-kernels", "kernels of a step", "kernels", goal, plain.training.kernels))
    return rows


def find_need_error(counted: CountedWork) -> float:
    """Return by how much the need that the worker expects is off the count, as a share."""
    mode = counted.work.memory_mode
    expected_bytes = SD15_MEMORY.required_bytes(mode.dtype.itemsize, mode.gradient_checkpointing)
    return abs(expected_bytes / counted.training.reserved_bytes - 1)


def format_markdown(counted: Sequence[CountedWork]) -> str:
    """Return the page's table: what torch reserves in GiB, and which cards hold it."""
    head = ["training", "alone", "with `--n 4`", *(f"{size} GB" for size in CARD_SIZES_GB)]
    lines = [head, ["---"] * len(head)]
    for each in counted:
        fits = ["yes" if each.fits(size) else "no" for size in CARD_SIZES_GB]
        alone = f"{each.training.reserved_bytes / GIB:.1f}"
        lines.append([each.work.title, alone, f"{each.total_gib:.1f}", *fits])
    return "\n".join("|" + "|".join(line) + "|" for line in lines)
