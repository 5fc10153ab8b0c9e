"""Where the model lives and in which precision: chosen once, with the reason; and what the card reports."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass

import psutil
import pynvml
import torch

from gpu_worker.device import benchmark, inspect, kernels
from gpu_worker.device.memory_modes import Gear
from gpu_worker.device.nvml import Readings, read_card
from gpu_worker.errors import BaseModelError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Placement:
    """Where the frozen weights live, how the card is used, and why."""

    device: torch.device
    gear: Gear
    reason: str
    #: What half precision falls back to when its numbers go out of bounds.
    wide_dtype: torch.dtype = torch.float32

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the frozen weights."""
        return self.gear.dtype


def choose(small_model: bool, dtype: torch.dtype | None = None) -> Placement:
    """Choose device and gear, measured unless a precision is asked for; LoRA weights are always fp32.

    BaseModelError says what to install where torch has no kernels for the card.
    """
    if torch.cuda.is_available():
        device = torch.device("cuda")
        _make_sure_of_kernels()
        # Training pictures have one size, so the search for the fastest convolution pays off.
        torch.backends.cudnn.benchmark = True
    else:
        device = torch.device("cpu")
        if (unused := inspect.unused_card()) is not None:
            log.warning("%s", unused)
    if dtype is not None:
        return Placement(device, Gear(dtype), "this precision was asked for")
    if small_model:
        return Placement(device, Gear(torch.float32), "a small model gains nothing from less precision")
    measures = benchmark.measure(device, benchmark.candidates(device))
    free_bytes = torch.cuda.mem_get_info()[0] if device.type == "cuda" else None
    gear, reason = benchmark.pick(measures, free_bytes)
    bf16 = measures.get(torch.bfloat16)
    wide = torch.bfloat16 if bf16 and bf16.is_finite and gear.dtype is torch.float16 else torch.float32
    return Placement(device, gear, reason, wide)


def _make_sure_of_kernels() -> None:
    complaint = kernels.complaint(
        torch.cuda.get_device_name(),
        torch.cuda.get_device_capability(),
        torch.cuda.get_arch_list(),
        str(torch.__version__),
    )
    if complaint is not None:
        raise BaseModelError(complaint)


def read(device: torch.device | None = None) -> Readings:
    """Measure the process and its card; never raises, a card that does not answer is left out.

    Without a device it looks whether there is a card but does not wake CUDA up.
    """
    memory_bytes = int(psutil.Process().memory_info().rss)
    on_card = torch.cuda.is_available() if device is None else device.type == "cuda"
    if not on_card:
        return Readings("cpu", memory_bytes)
    try:
        # To ask for the card's own name would wake CUDA up, which nobody may do who only looks.
        uuid = "" if device is None else str(torch.cuda.get_device_properties(device).uuid)
        return read_card(memory_bytes, os.environ.get("CUDA_VISIBLE_DEVICES", ""), uuid)
    except pynvml.NVMLError as error:
        log.warning("the card's driver does not answer: %s", error)
        return Readings("cuda", memory_bytes)
