"""Whether a build of torch has kernels for a card, and what to install where it has none. Torch-free."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping

from gpu_worker.device.torch_index import (
    CUDA_12_6_INDEX,
    FIRST_IN_CUDA_12,
    FIRST_IN_CUDA_13,
    FIRST_WITHOUT_CUDA_12,
    Capability,
    choose_index,
)
from gpu_worker.errors import BaseModelError, JobProblem

#: The Dockerfile sets it: what is installed there is read-only, and built anew by one setting.
_IN_IMAGE = "LORACODE_IMAGE"
_ARCH = re.compile(r"(sm|compute)_([0-9]+)([0-9])([af]?)")


def has_kernels(capability: Capability, arch_list: Iterable[str]) -> bool:
    """Return True if code for these architectures (`sm_60`, `compute_90`) runs on a GPU."""
    return any(_runs_arch(capability, arch) for arch in arch_list)


def _runs_arch(capability: Capability, arch: str) -> bool:
    match = _ARCH.fullmatch(arch)
    if match is None:
        return False
    arch_capability = (int(match[2]), int(match[3]))
    if match[4] == "a":  # for exactly this architecture
        return capability == arch_capability
    if match[1] == "compute" and not match[4]:  # PTX: compiled for any newer card when it is loaded
        return capability >= arch_capability
    # Machine code runs on later cards of its own generation: a GTX 1060 (6.1) takes sm_60.
    return capability[0] == arch_capability[0] and capability[1] >= arch_capability[1]


def find_error(
    gpu_name: str,
    capability: Capability,
    arch_list: Iterable[str],
    torch_version: str,
    environ: Mapping[str, str] = os.environ,
) -> BaseModelError | None:
    """Return the error that says what to install; None if this torch can use the GPU."""
    if has_kernels(capability, arch_list):
        return None
    architecture = f"sm_{capability[0]}{capability[1]}"
    if capability < FIRST_IN_CUDA_12:
        return BaseModelError(JobProblem.GPU_TOO_OLD, gpu=gpu_name, architecture=architecture)
    return BaseModelError(
        JobProblem.GPU_NEEDS_OTHER_TORCH,
        gpu=gpu_name,
        architecture=architecture,
        torch=torch_version,
        command=_install_command(capability, torch_version, environ),
    )


def suggest_fix(capability: Capability, torch_version: str, environ: Mapping[str, str] = os.environ) -> str:
    """Return which torch to install for a GPU."""
    if capability < FIRST_IN_CUDA_12:
        return "No current torch has; hide the card with CUDA_VISIBLE_DEVICES=-1 to run on the processor."
    build_name = "a build for CUDA 12.6" if capability < FIRST_IN_CUDA_13 else "the usual build"
    return f"Install {build_name}: {_install_command(capability, torch_version, environ)}"


def suggest_driver_fix(
    capability: Capability,
    torch_version: str,
    torch_cuda: int,
    environ: Mapping[str, str] = os.environ,
) -> str:
    """Return what to install if the driver is too old for the CUDA (12 or 13) that torch was built for."""
    driver_advice = "Install a newer NVIDIA driver."
    if torch_cuda < 13 or capability >= FIRST_WITHOUT_CUDA_12:
        return driver_advice
    if capability < FIRST_IN_CUDA_13:  # with a newer driver there would still be no kernels
        return suggest_fix(capability, torch_version, environ)
    command = _format_command(CUDA_12_6_INDEX, torch_version, environ)
    return f"{driver_advice} Or install a build for CUDA 12.6: {command}"


def _install_command(capability: Capability, torch_version: str, environ: Mapping[str, str]) -> str:
    return _format_command(choose_index(capability) or CUDA_12_6_INDEX, torch_version, environ)


def _format_command(index: str, torch_version: str, environ: Mapping[str, str]) -> str:
    """Return what to do: one setting where this is an image, else one line of pip."""
    if environ.get(_IN_IMAGE):
        return f"TORCH_INDEX={index} in .env, then docker compose up --detach --build"
    if index != CUDA_12_6_INDEX:
        return f"pip install --force-reinstall torch=={_strip_build(torch_version)}"
    # With the local version: without it, pip is satisfied with any build of the release.
    return f"pip install torch=={_strip_build(torch_version)}+cu126 --index-url {index}"


def _strip_build(torch_version: str) -> str:
    return torch_version.partition("+")[0]
