"""What the driver says of the card that is computed on, as far as it says it. Torch-free."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import pynvml

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class Readings:
    """What was measured now; None where there is nothing to measure."""

    name: str
    process_memory_bytes: int
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None
    temperature_c: int | None = None
    load_percent: int | None = None


def read_card(process_memory_bytes: int, visible: str, uuid: str = "", nvml: Any = pynvml) -> Readings:
    """Ask the driver; what this card does not tell, as some do not under WSL, is left out.

    `visible` is CUDA_VISIBLE_DEVICES; `uuid` is the card's own name, where CUDA is awake and has said it.
    Raises NVMLError where there is no driver, or no such card.
    """
    nvml.nvmlInit()
    try:
        card = handle_of(visible, uuid, nvml)
        memory = _if_told(lambda: nvml.nvmlDeviceGetMemoryInfo(card), nvml)
        load = _if_told(lambda: nvml.nvmlDeviceGetUtilizationRates(card), nvml)
        celsius = nvml.NVML_TEMPERATURE_GPU
        temperature = _if_told(lambda: nvml.nvmlDeviceGetTemperature(card, celsius), nvml)
        return Readings(
            name=str(nvml.nvmlDeviceGetName(card)),
            process_memory_bytes=process_memory_bytes,
            memory_used_bytes=None if memory is None else int(memory.used),
            memory_total_bytes=None if memory is None else int(memory.total),
            temperature_c=None if temperature is None else int(temperature),
            load_percent=None if load is None else int(load.gpu),
        )
    finally:
        nvml.nvmlShutdown()


def handle_of(visible: str, uuid: str = "", nvml: Any = pynvml) -> Any:
    """Give the driver's handle of the first card that we may see.

    The driver counts all cards of a machine, also those that CUDA_VISIBLE_DEVICES keeps from us.
    """
    if uuid:
        return nvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
    first = visible.split(",")[0].strip() or "0"
    return nvml.nvmlDeviceGetHandleByIndex(int(first)) if first.isdigit() else _by_uuid(first, nvml)


def _by_uuid(beginning: str, nvml: Any) -> Any:
    """Find a card as CUDA does: a beginning of its UUID is enough."""
    cards = map(nvml.nvmlDeviceGetHandleByIndex, range(nvml.nvmlDeviceGetCount()))
    found = [card for card in cards if str(nvml.nvmlDeviceGetUUID(card)).startswith(beginning)]
    return found[0] if found else nvml.nvmlDeviceGetHandleByUUID(beginning)


def _if_told(ask: Callable[[], T], nvml: Any) -> T | None:
    try:
        return ask()
    except nvml.NVMLError_NotSupported:
        return None
