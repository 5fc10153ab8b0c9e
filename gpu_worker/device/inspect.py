"""What driver and torch report about the GPU, and whether they fit each other."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from gpu_worker.device import kernels
from gpu_worker.device.torch_index import Capability

GIB = 2**30


#: Memory of a GPU that a training needs in the mode that saves most.
MIN_GPU_BYTES = 4 * GIB
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True)
class WorkerDiagnosis:
    """One line of the doctor's table; `advice` says what to do, if anything."""

    name: str
    verdict: Literal["ok", "warn", "bad"]
    detail: str
    advice: str = ""


@dataclass(frozen=True)
class GpuInfo:
    """What the driver reports about a GPU."""

    name: str
    memory_bytes: int
    capability: Capability
    driver_version: str
    driver_cuda_version: int  #: the newest CUDA it knows: 12060 for 12.6


@dataclass(frozen=True)
class TorchInfo:
    """What the installed torch was built for, and whether it sees a GPU."""

    version: str
    cuda_version: str | None
    arch_list: tuple[str, ...]
    sees_gpu: bool


def diagnose_torch(torch_info: TorchInfo | None, reason: str) -> WorkerDiagnosis:
    """Diagnose the installed torch; `reason` is why it could not be loaded."""
    if torch_info is None:
        advice = "pip install --constraint requirements.lock --editable '.[worker]'"
        return WorkerDiagnosis("torch", "bad", f"cannot be loaded ({reason})", advice)
    build_target = f"for CUDA {torch_info.cuda_version}" if torch_info.cuda_version else "for processors only"
    return WorkerDiagnosis("torch", "ok", f"{torch_info.version}, built {build_target}")


def diagnose_gpu(gpu: GpuInfo | None, torch_info: TorchInfo | None) -> WorkerDiagnosis:
    """Diagnose whether GPU and torch fit each other."""
    if gpu is None:
        advice = "Trainings on a processor are for the demo; in Docker the card needs `gpus: all`."
        return WorkerDiagnosis("card", "warn", "no NVIDIA card answers", advice)
    detail = f"{gpu.name}, {gpu.memory_bytes / GIB:.1f} GB, sm_{gpu.capability[0]}{gpu.capability[1]}"
    if torch_info is None:
        return WorkerDiagnosis("card", "warn", detail, "See torch.")
    if torch_info.cuda_version is None:
        advice = f"This torch cannot use cards. {kernels.suggest_fix(gpu.capability, torch_info.version)}"
        return WorkerDiagnosis("card", "bad", detail, advice)
    if not torch_info.sees_gpu:
        required_cuda = int(torch_info.cuda_version.split(".")[0])
        if gpu.driver_cuda_version // 1000 < required_cuda:
            advice = (
                f"The driver {gpu.driver_version} knows CUDA {gpu.driver_cuda_version // 1000}; "
                f"torch wants {required_cuda}. "
                f"{kernels.suggest_driver_fix(gpu.capability, torch_info.version, required_cuda)}"
            )
        else:
            advice = "torch does not see it: is CUDA_VISIBLE_DEVICES set, or `gpus: all` missing?"
        return WorkerDiagnosis("card", "bad", detail, advice)
    error = kernels.find_error(gpu.name, gpu.capability, torch_info.arch_list, torch_info.version)
    if error is not None:
        return WorkerDiagnosis("card", "bad", detail, str(error))
    if gpu.memory_bytes < MIN_GPU_BYTES:
        return WorkerDiagnosis("card", "warn", detail, "Less than 4 GB: trainings may not fit.")
    return WorkerDiagnosis("card", "ok", detail)


def find_unused_gpu() -> str | None:
    """Return why torch does not see a GPU that is there, and what to do; None if there is none."""
    gpu = inspect_gpu()
    if gpu is None or os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):  # hidden on purpose
        return None
    diagnosis = diagnose_gpu(gpu, inspect_torch()[0])
    return f"The card is not used ({diagnosis.detail}). {diagnosis.advice}"


def inspect_torch() -> tuple[TorchInfo | None, str]:
    """Return what torch reports, and an empty reason; or None and why it cannot be loaded."""
    try:
        import torch
    except Exception as error:  # a broken library can fail with nearly anything
        return None, (str(error).splitlines() or [type(error).__name__])[0]
    torch_info = TorchInfo(
        str(torch.__version__),
        torch.version.cuda,
        tuple(torch.cuda.get_arch_list()),
        torch.cuda.is_available(),
    )
    return torch_info, ""


def inspect_gpu() -> GpuInfo | None:
    """Return the first GPU that is visible to us; None if no driver answers."""
    import pynvml

    from gpu_worker.device.nvml import get_gpu_handle

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    try:
        gpu = get_gpu_handle(os.environ.get("CUDA_VISIBLE_DEVICES", ""))
        major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(gpu)
        return GpuInfo(
            str(pynvml.nvmlDeviceGetName(gpu)),
            int(pynvml.nvmlDeviceGetMemoryInfo(gpu).total),
            (int(major), int(minor)),
            str(pynvml.nvmlSystemGetDriverVersion()),
            int(pynvml.nvmlSystemGetCudaDriverVersion_v2()),
        )
    except pynvml.NVMLError:
        return None
    finally:
        pynvml.nvmlShutdown()


def read_memory_bytes() -> tuple[int, int]:
    """Return total and free memory in bytes; a container's limit counts as the machine's."""
    memory = psutil.virtual_memory()
    total, free = int(memory.total), int(memory.available)
    text = _CGROUP_LIMIT.read_text("utf-8").strip() if _CGROUP_LIMIT.is_file() else "max"
    if text.isdecimal():
        total = min(total, int(text))
    return total, min(free, total)
