"""The work that cards are asked to do, what it takes as counted, and which cards that fits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from benchmarks.card.counts import (
    FAMILIES,
    CardCount,
    count_decode,
    count_denoising_step,
    count_training_step,
)
from benchmarks.rows import FigureRow, Goal
from gpu_worker.device.memory_modes import MemoryMode

GIB = 2**30
CARD_SIZES_GB = (6, 8, 12, 16, 24)
#: What no count knows: the CUDA context (0.15 to 0.45 GiB), cuBLAS' and cuDNN's workspaces, a desktop.
UNCOUNTED_GIB = 0.9
#: Rows of `--n 4` with guidance, which is what a card draws at once at most.
PICTURE_ROWS = 8
MAX_KERNELS = 4300
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
    family: str = "sd15"

    @property
    def row_name(self) -> str:
        """Return what its figures are called."""
        return self.name if self.family == "sd15" else f"{self.family}-{self.name}"


SD15_WORKS = (
    CardWork("512", "512 px", MemoryMode(FP16)),
    CardWork("512-checkpointing", "512 px, gradient checkpointing", MemoryMode(FP16, True)),
    CardWork("512-offload", "512 px, VAE offload too", MemoryMode(FP16, True, True)),
    CardWork("768", "768 px", MemoryMode(FP16), side_px=768),
    CardWork("768-checkpointing", "768 px, gradient checkpointing", MemoryMode(FP16, True), side_px=768),
    CardWork("512-batch-5", "512 px, batch of 5", MemoryMode(FP16), batch_size=5, card_gb=12),
    CardWork("512-fp32", "512 px, full precision", MemoryMode(FP32), card_gb=8),
    CardWork("768-fp32", "768 px, full precision", MemoryMode(FP32), side_px=768, card_gb=12),
)
#: The UNet learns; the text encoders are not on the card.
SDXL_WORKS = tuple(
    CardWork(
        f"{side_px}{'-checkpointing' * is_checkpointed}",
        f"{side_px} px{', gradient checkpointing' * is_checkpointed}",
        MemoryMode(FP16, is_checkpointed),
        side_px=side_px,
        card_gb=16,
        family="sdxl",
    )
    for side_px in (512, 768, 1024)
    for is_checkpointed in (False, True)
)
WORKS = {"sd15": SD15_WORKS, "sdxl": SDXL_WORKS}


@dataclass(frozen=True)
class CountedWork:
    """A work and what it takes."""

    work: CardWork
    training: CardCount
    picture_bytes: int  #: reserved while `--n 4` is drawn and decoded at the native size beside it

    @property
    def total_gib(self) -> float:
        """Return what torch reserves at most."""
        return max(self.training.reserved_bytes, self.picture_bytes) / GIB

    def describe_fit(self, card_gb: int) -> str:
        """Return whether a card of this size holds it, and what is not counted."""
        if self.total_gib + UNCOUNTED_GIB <= card_gb:
            return "yes"
        alone_gib = self.training.reserved_bytes / GIB
        return "one by one" if alone_gib + UNCOUNTED_GIB <= card_gb else "no"


def count_works(works: Sequence[CardWork]) -> list[CountedWork]:
    """Count each; takes some seconds a work."""
    kinds = {(work.family, work.memory_mode.dtype) for work in works}
    picture_bytes = {kind: count_pictures(*kind) for kind in kinds}
    return [
        CountedWork(
            work,
            count_training_step(work.family, work.memory_mode, work.side_px, work.batch_size),
            picture_bytes[work.family, work.memory_mode.dtype],
        )
        for work in works
    ]


def count_pictures(family: str, dtype: torch.dtype) -> int:
    """Return the bytes that are reserved while four pictures are drawn at the native size."""
    side_px = FAMILIES[family].native_px
    counts = (
        count_denoising_step(family, MemoryMode(dtype), side_px, PICTURE_ROWS),
        count_decode(family, MemoryMode(dtype), side_px),
    )
    return max(count.reserved_bytes for count in counts)


def build_rows(counted: Iterable[CountedWork]) -> list[FigureRow]:
    """Return the counted figures beside their goals."""
    rows = []
    for each in counted:
        work, training = each.work, each.training
        goal = Goal("<=", work.card_gb - UNCOUNTED_GIB)
        what, note = f"{work.title}, --n 4 beside it", f"live at most {training.peak_bytes / GIB:.2f} GiB"
        rows.append(FigureRow(f"card-{work.row_name}", what, "GiB", goal, each.total_gib, note))
        is_native = work.side_px == FAMILIES[work.family].native_px
        if is_native and work.batch_size == 1 and not work.memory_mode.vae_offload:
            goal = Goal("<=", MAX_NEED_ERROR)
            what = "expected need, off the count by"
            rows.append(FigureRow(f"card-need-{work.row_name}", what, "of 1", goal, find_need_error(each)))
    plain = next((each for each in counted if each.work.row_name == "512"), None)
    if plain is not None:
        goal = Goal("<=", MAX_KERNELS)
        rows.append(FigureRow("card-kernels", "kernels of a step", "kernels", goal, plain.training.kernels))
    return rows


def find_need_error(counted: CountedWork) -> float:
    """Return by how much the need that the worker expects is off the count, as a share."""
    mode = counted.work.memory_mode
    expected_bytes = FAMILIES[counted.work.family].memory.required_bytes(
        mode.dtype.itemsize, mode.gradient_checkpointing
    )
    return abs(expected_bytes / counted.training.reserved_bytes - 1)


def format_markdown(counted: Sequence[CountedWork]) -> str:
    """Return the page's table: what torch reserves in GiB, and which cards hold it."""
    head = [
        f"{FAMILIES[counted[0].work.family].title}, training",
        "alone",
        "with `--n 4`",
        *(f"{size} GB" for size in CARD_SIZES_GB),
    ]
    lines = [head, ["---"] * len(head)]
    for each in counted:
        fits = [each.describe_fit(size) for size in CARD_SIZES_GB]
        alone = f"{each.training.reserved_bytes / GIB:.1f}"
        lines.append([each.work.title, alone, f"{each.total_gib:.1f}", *fits])
    return "\n".join("|" + "|".join(line) + "|" for line in lines)
