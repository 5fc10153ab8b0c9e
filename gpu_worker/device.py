"""Where the model lives and in which precision: chosen once, with the reason; and what the card reports."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import psutil
import pynvml
import torch

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Placement:
    """Device and precision of the frozen weights, and why."""

    device: torch.device
    dtype: torch.dtype
    reason: str


@dataclass(frozen=True)
class Readings:
    """What was measured now; None where there is nothing to measure."""

    name: str
    process_memory_bytes: int
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None
    temperature_c: int | None = None
    load_percent: int | None = None


def choose(small_model: bool) -> Placement:
    """Choose device and precision for the frozen weights; LoRA weights are always fp32."""
    if torch.cuda.is_available():
        return Placement(
            torch.device("cuda"),
            torch.float16,
            "a CUDA card is there: half precision halves the memory, and every card stores it",
        )
    cpu = torch.device("cpu")
    # fp16 is never chosen here: without a fast kernel it is 30 times slower than fp32 and more.
    if small_model:
        return Placement(cpu, torch.float32, "no CUDA card; a small model gains nothing from less precision")
    features = torch.cpu.get_capabilities()
    if features.get("avx512_bf16") or features.get("amx_bf16"):
        return Placement(cpu, torch.bfloat16, "no CUDA card; this CPU has fast bf16 instructions")
    return Placement(cpu, torch.float32, "no CUDA card; this CPU has no fast bf16 instructions")


def read(device: torch.device | None = None) -> Readings:
    """Measure the process and its card; never raises, a card that does not answer is left out.

    Without a device it looks whether there is a card but does not wake CUDA up.
    """
    memory_bytes = int(psutil.Process().memory_info().rss)
    on_card = torch.cuda.is_available() if device is None else device.type == "cuda"
    if not on_card:
        return Readings("cpu", memory_bytes)
    try:
        return _read_card(memory_bytes)
    except pynvml.NVMLError as error:
        log.warning("the card's driver does not answer: %s", error)
        return Readings("cuda", memory_bytes)


def _read_card(process_memory_bytes: int) -> Readings:
    pynvml.nvmlInit()
    try:
        card = pynvml.nvmlDeviceGetHandleByIndex(0)
        memory = pynvml.nvmlDeviceGetMemoryInfo(card)
        return Readings(
            name=str(pynvml.nvmlDeviceGetName(card)),
            process_memory_bytes=process_memory_bytes,
            memory_used_bytes=int(memory.used),
            memory_total_bytes=int(memory.total),
            temperature_c=int(pynvml.nvmlDeviceGetTemperature(card, pynvml.NVML_TEMPERATURE_GPU)),
            load_percent=int(pynvml.nvmlDeviceGetUtilizationRates(card).gpu),
        )
    finally:
        pynvml.nvmlShutdown()
