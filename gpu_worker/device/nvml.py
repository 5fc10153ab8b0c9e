"""Metrics of the GPU from the driver (NVML). Torch-free."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import pynvml

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class DeviceMetrics:
    """Current metrics; None where the device has none."""

    name: str
    process_memory_bytes: int
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None
    temperature_c: int | None = None
    utilization_percent: int | None = None


def read_gpu(
    process_memory_bytes: int, visible_devices: str, uuid: str = "", nvml: Any = pynvml
) -> DeviceMetrics:
    """Ask the driver; what this card does not tell is left out, each figure by itself.

    Under WSL2 some questions end in errors without a name. `visible_devices` is CUDA_VISIBLE_DEVICES; `uuid`
    is the card's own name, where CUDA is awake and has said it. Raises NVMLError where there is no driver, or
    no such card.
    """
    nvml.nvmlInit()
    try:
        gpu = get_gpu_handle(visible_devices, uuid, nvml)
        memory = _read_supported(lambda: nvml.nvmlDeviceGetMemoryInfo(gpu), nvml)
        utilization = _read_supported(lambda: nvml.nvmlDeviceGetUtilizationRates(gpu), nvml)
        sensor = nvml.NVML_TEMPERATURE_GPU
        temperature = _read_supported(lambda: nvml.nvmlDeviceGetTemperature(gpu, sensor), nvml)
        return DeviceMetrics(
            name=str(_read_supported(lambda: nvml.nvmlDeviceGetName(gpu), nvml) or "cuda"),
            process_memory_bytes=process_memory_bytes,
            memory_used_bytes=None if memory is None else int(memory.used),
            memory_total_bytes=None if memory is None else int(memory.total),
            temperature_c=None if temperature is None else int(temperature),
            utilization_percent=None if utilization is None else int(utilization.gpu),
        )
    finally:
        nvml.nvmlShutdown()


def get_gpu_handle(visible_devices: str, uuid: str = "", nvml: Any = pynvml) -> Any:
    """Return the driver's handle of the first GPU that is visible to us.

    The driver counts all cards of a machine, also those that CUDA_VISIBLE_DEVICES keeps from us.
    """
    if uuid:
        return _find_by_bare_uuid(uuid, nvml)
    first_device = visible_devices.split(",")[0].strip() or "0"
    return (
        nvml.nvmlDeviceGetHandleByIndex(int(first_device))
        if first_device.isdigit()
        else _find_by_uuid(first_device, nvml)
    )


def _find_by_bare_uuid(uuid: str, nvml: Any) -> Any:
    """Find a GPU, or an instance of a divided one (MIG), by the UUID that CUDA gives without a prefix."""
    try:
        return nvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
    except nvml.NVMLError:
        return nvml.nvmlDeviceGetHandleByUUID(f"MIG-{uuid}")


def _find_by_uuid(uuid_prefix: str, nvml: Any) -> Any:
    """Find a GPU as CUDA does: a prefix of its UUID is enough."""
    gpus = map(nvml.nvmlDeviceGetHandleByIndex, range(nvml.nvmlDeviceGetCount()))
    matches = [card for card in gpus if str(nvml.nvmlDeviceGetUUID(card)).startswith(uuid_prefix)]
    return matches[0] if matches else nvml.nvmlDeviceGetHandleByUUID(uuid_prefix)


def _read_supported(query: Callable[[], T], nvml: Any) -> T | None:
    try:
        return query()
    except nvml.NVMLError:
        return None
