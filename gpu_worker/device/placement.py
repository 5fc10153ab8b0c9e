"""Choose device and precision once, with a reason, and read the metrics of the device."""

from __future__ import annotations

import functools
import logging
import os
from dataclasses import dataclass

import psutil
import pynvml
import torch

from gpu_worker.device import benchmark, convolutions, cuda_graphs, inspect, kernels, memory_limit
from gpu_worker.device.memory_modes import MemoryMode
from gpu_worker.device.memory_profile import SD15_MEMORY, MemoryProfile, WeightStorage
from gpu_worker.device.nvml import DeviceMetrics, read_gpu

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DeviceConfig:
    """Device and memory mode of the frozen weights, and why they were chosen."""

    device: torch.device
    memory_mode: MemoryMode
    reason: str
    #: What replaces fp16 after NaN.
    fallback_dtype: torch.dtype = torch.float32
    #: What was free on the card when it was chosen, and its speed; None: it was not measured.
    free_bytes: float | None = None
    tflops: float | None = None
    uses_cuda_graphs: bool = False
    #: How weights may be stored when memory runs out; none: as they are.
    storages: tuple[WeightStorage, ...] = ()

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the frozen weights."""
        return self.memory_mode.dtype


def select_device(
    is_small_model: bool,
    dtype: torch.dtype | None = None,
    profile: MemoryProfile = SD15_MEMORY,
    slice_side: int | None = None,
) -> DeviceConfig:
    """Choose the device and the memory mode; measure precisions unless `dtype` is given.

    `slice_side` is the side in latents of what is measured; None: what suits the device.
    Raises BaseModelError, which says what to install, if torch has no kernels for the card.
    """
    if torch.cuda.is_available():
        device = torch.device("cuda", torch.cuda.current_device())
        _ensure_kernels()
        convolutions.set_default_search(torch.cuda.get_device_name())
        convolutions.set_tf32(torch.cuda.get_device_capability())
        _limit_memory()
    else:
        device = torch.device("cpu")
        if (warning := inspect.find_unused_gpu()) is not None:
            log.warning("%s", warning)
    if dtype is not None:
        return DeviceConfig(device, MemoryMode(dtype), "this precision was asked for")
    if is_small_model:
        return DeviceConfig(
            device, MemoryMode(torch.float32), "a small model gains nothing from less precision"
        )
    timings = benchmark.benchmark_dtypes(device, benchmark.candidate_dtypes(device), slice_side)
    empty_cache()  # what the benchmark left there is free
    free_bytes = measure_free_bytes() if device.type == "cuda" else None
    memory_mode, reason = benchmark.choose_memory_mode(timings, free_bytes, profile)
    bf16 = timings.get(torch.bfloat16)
    fallback_dtype = (
        torch.bfloat16 if bf16 and bf16.is_finite and memory_mode.dtype is torch.float16 else torch.float32
    )
    tflops = benchmark.GPU_SLICE_TFLOP / timings[memory_mode.dtype].seconds if free_bytes else None
    uses_cuda_graphs = device.type == "cuda" and cuda_graphs.are_enabled()
    uses_cuda_graphs = uses_cuda_graphs and timings[memory_mode.dtype].is_launch_bound(profile.teraflops)
    return DeviceConfig(device, memory_mode, reason, fallback_dtype, free_bytes, tflops, uses_cuda_graphs)


def measure_free_bytes() -> int:
    """Return what a plan may count on of the card."""
    reserve_bytes = memory_limit.RESERVE_BYTES if memory_limit.spills() else 0
    return int(torch.cuda.mem_get_info()[0]) - reserve_bytes


def _ensure_kernels() -> None:
    error = kernels.find_error(
        torch.cuda.get_device_name(),
        torch.cuda.get_device_capability(),
        torch.cuda.get_arch_list(),
        str(torch.__version__),
    )
    if error is not None:
        raise error


@functools.cache
def _warn_once(reason: str) -> None:
    """Log why there are no metrics; they are asked for every second."""
    log.warning("could not read the metrics of the GPU: %s", reason)


def _limit_memory() -> None:
    """Keep torch below what is free now, where the driver would give system memory instead of an error."""
    if memory_limit.spills():
        free_bytes, total_bytes = torch.cuda.mem_get_info()
        torch.cuda.set_per_process_memory_fraction(memory_limit.compute_fraction(free_bytes, total_bytes))


def empty_cache() -> None:
    """Give memory of the GPU that torch keeps for later back to the driver."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def read_usable_memory(device: torch.device) -> int | None:
    """Return the bytes that torch could still take on a GPU, its own cache included; None on a CPU."""
    if device.type != "cuda":
        return None
    cached_bytes = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(torch.cuda.mem_get_info()[0]) + cached_bytes


def read_free_memory() -> tuple[str, int]:
    """Return the name of the device that would be used and its free bytes; 0 if it does not answer."""
    if not torch.cuda.is_available():
        return "cpu", int(psutil.virtual_memory().available)
    try:
        return str(torch.cuda.get_device_name()), int(torch.cuda.mem_get_info()[0])
    except RuntimeError as error:
        log.warning("the GPU does not say how much memory is free: %s", error)
        return "cuda", 0


def read_metrics(device: torch.device | None = None) -> DeviceMetrics:
    """Return the memory of the process, and the metrics of the GPU. Never raises: failures are logged.

    Without a device it detects a GPU without initialising CUDA.
    """
    process_memory_bytes = int(psutil.Process().memory_info().rss)
    is_cuda = torch.cuda.is_available() if device is None else device.type == "cuda"
    if not is_cuda:
        return DeviceMetrics("cpu", process_memory_bytes)
    try:
        # Without a device, the name must not be read from CUDA: that would initialise it.
        uuid = "" if device is None else str(torch.cuda.get_device_properties(device).uuid)
        return read_gpu(process_memory_bytes, os.environ.get("CUDA_VISIBLE_DEVICES", ""), uuid)
    except pynvml.NVMLError as error:
        _warn_once(str(error))
        return DeviceMetrics("cuda", process_memory_bytes)
