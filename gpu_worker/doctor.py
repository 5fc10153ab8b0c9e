"""Look at what the worker needs: prints its findings as JSON, for `loracode doctor`.

A process of its own, because the front end never loads torch, and a broken CUDA may take the process with it.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict

from gpu_worker.device.inspect import (
    GIB,
    GpuInfo,
    TorchInfo,
    WorkerDiagnosis,
    diagnose_gpu,
    diagnose_torch,
    inspect_gpu,
    inspect_torch,
    read_memory_bytes,
)
from gpu_worker.device.memory_profile import SD15_MEMORY, MemoryProfile
from gpu_worker.errors import BaseModelError
from gpu_worker.memory.plan import (
    AUTO,
    CHOICES,
    UNCOUNTED_BYTES,
    MemoryPlan,
    PlanRefused,
    TrainingMachine,
    list_sides,
    list_storages,
    plan_memory,
    usual_tflops,
)
from gpu_worker.models.family import ModelFamily
from gpu_worker.models.sources.acceleration_recipes import NO_ACCELERATION, AccelerationSetting
from gpu_worker.training.config import default_training_config

#: Bytes of a number in half precision.
_HALF_BYTES = 2
#: A multiplication large enough to need a real kernel.
_MATRIX_SIDE = 256
#: Bases that take less, the larger first.
_SMALLER_BASES = ("sdxl", "sd15")


def diagnose_memory(
    total_bytes: int, free_bytes: int, profile: MemoryProfile = SD15_MEMORY
) -> WorkerDiagnosis:
    """Diagnose whether the machine has enough memory for the base model."""
    detail = f"{total_bytes / GIB:.1f} GB, {free_bytes / GIB:.1f} GB free"
    if total_bytes < profile.min_memory_gb * GIB:
        wanted_gb = math.ceil(profile.min_memory_gb)
        advice = (
            f"The base model wants {wanted_gb} GB; with WSL2 raise `memory` in .wslconfig (docs/install.md)."
        )
        return WorkerDiagnosis("memory", "warn", detail, advice)
    return WorkerDiagnosis("memory", "ok", detail)


def diagnose_family(family: ModelFamily, gpu: GpuInfo | None) -> WorkerDiagnosis:
    """Diagnose which family a base model is of, under which licence, and whether a training fits the card."""
    needed_bytes = family.memory.required_bytes(_HALF_BYTES, gradient_checkpointing=True)
    detail = f"{family.title}, {family.licence}; a training takes {needed_bytes / GIB:.1f} GB of a card"
    if gpu is not None and gpu.memory_bytes < needed_bytes:
        advice = (
            f"This card has {gpu.memory_bytes / GIB:.1f} GB: trainings will not fit. Set another BASE_MODEL."
        )
        return WorkerDiagnosis("family", "warn", detail, advice)
    return WorkerDiagnosis("family", "ok", detail)


def _diagnose_kernels(torch_info: TorchInfo | None) -> WorkerDiagnosis:
    """Multiply two matrices on the device that would be used, and check the result."""
    import torch

    device = "cuda" if torch_info is not None and torch_info.sees_gpu else "cpu"
    try:
        ones = torch.ones(_MATRIX_SIDE, _MATRIX_SIDE, device=device)
        product = float((ones @ ones)[0, 0])
    except RuntimeError as error:
        message = (str(error).splitlines() or [type(error).__name__])[0]
        return WorkerDiagnosis("computing", "bad", f"on {device}: {message}", "See card.")
    if product != _MATRIX_SIDE:
        return WorkerDiagnosis("computing", "bad", f"{device} computes wrongly", "Test the card's memory.")
    return WorkerDiagnosis("computing", "ok", f"on {device}")


def diagnose_plan(
    base_model: str, card_gb: float | None, ram_gb: float | None, choice: str = AUTO
) -> WorkerDiagnosis:
    """Diagnose how a training fits a card and a machine; None: those that are here. Loads no weights."""
    from gpu_worker.models import files

    family = files.FAMILIES.get(base_model)
    try:
        family = family or files.find_known_family(base_model)
    except BaseModelError as error:
        return WorkerDiagnosis("plan", "bad", str(error))
    if card_gb is None:
        gpu = inspect_gpu()
        if gpu is None:
            return WorkerDiagnosis("plan", "bad", "No NVIDIA card answers; say its size with --card-gb.")
        card_gb = gpu.memory_bytes / GIB
    ram_gb = read_memory_bytes()[0] / GIB if ram_gb is None else ram_gb
    machine = TrainingMachine(card_gb * GIB - UNCOUNTED_BYTES, ram_gb * GIB, usual_tflops(card_gb * GIB))
    title = f"{family.title} on a card of {card_gb:.0f} GB, {ram_gb:.0f} GB of RAM"
    try:
        plan = _plan_family(family, machine, choice)
    except PlanRefused as error:
        return WorkerDiagnosis("plan", "bad", f"{title}: {error}", _find_help(family, machine, choice))
    steps = default_training_config(family, family.native_px).steps
    return WorkerDiagnosis("plan", "ok", f"{title}: {plan.describe(steps)}.")


def _plan_family(family: ModelFamily, machine: TrainingMachine, choice: str) -> MemoryPlan:
    sides = list_sides(family.native_px, family.training_px)
    return plan_memory(family.memory, family.native_px, machine, list_storages(choice), sides=sides)


def _find_help(family: ModelFamily, machine: TrainingMachine, choice: str) -> str:
    """Return the smallest change that makes a training fit; nothing if none does.

    A smaller size is none: the plan has tried all.
    """
    from gpu_worker.models.files import FAMILIES

    bases = [name for name in _SMALLER_BASES if FAMILIES[name].memory.parameters < family.memory.parameters]
    changes = [(family, AUTO, "Set MEMORY=auto.")] if choice != AUTO else []
    changes += [(FAMILIES[name], choice, f"Take a smaller base: {name} fits.") for name in bases]
    changes += [(FAMILIES[name], AUTO, f"Take {name} with MEMORY=auto.") for name in bases if choice != AUTO]
    for candidate, storage, advice in changes:
        try:
            _plan_family(candidate, machine, storage)
        except PlanRefused:
            continue
        return advice
    return ""


def diagnose_acceleration(setting: AccelerationSetting, family: ModelFamily) -> WorkerDiagnosis:
    """Diagnose whether the LoRA for fast pictures can be used, and name its licence."""
    from gpu_worker.models.sources.acceleration import AccelerationError, inspect_acceleration

    try:
        found, licence = inspect_acceleration(setting, family)
    except AccelerationError as error:
        return WorkerDiagnosis(
            "acceleration", "warn", str(error), "Pictures are drawn without it. Correct ACCELERATE."
        )
    if not licence:
        advice = "Its licence is not known: read it where the LoRA is from."
        return WorkerDiagnosis("acceleration", "warn", found, advice)
    return WorkerDiagnosis("acceleration", "ok", f"{found}; {licence}")


def diagnose_all(
    base_model: str, base_vae: str = "", acceleration: AccelerationSetting = NO_ACCELERATION
) -> Iterator[WorkerDiagnosis]:
    """Return all diagnoses."""
    torch_info, reason = inspect_torch()
    yield diagnose_torch(torch_info, reason)
    gpu = inspect_gpu()
    yield diagnose_gpu(gpu, torch_info)
    if torch_info is not None:
        yield _diagnose_kernels(torch_info)
    if torch_info is None:
        yield diagnose_memory(*read_memory_bytes())
    else:
        from gpu_worker.models import files

        name = base_model or files.default_base_model(torch_info.sees_gpu)
        family = files.find_family(name)
        yield diagnose_memory(*read_memory_bytes(), *([family.memory] if family else []))
        if family:
            yield diagnose_family(family, gpu)
        yield WorkerDiagnosis("base model", *files.inspect_model(name, needs_vae=not base_vae))
        if base_vae:
            yield WorkerDiagnosis("VAE", *files.inspect_vae(base_vae, name))
        if acceleration.name and family:
            yield diagnose_acceleration(acceleration, family)


def main() -> int:
    """Print the diagnoses as one JSON list on the last line."""
    parser = argparse.ArgumentParser(prog="gpu_worker.doctor", description=__doc__)
    parser.add_argument("--base-model", default="")
    parser.add_argument("--base-vae", default="")
    parser.add_argument("--accelerate", default="")
    parser.add_argument("--accelerate-recipe", default="")
    parser.add_argument("--accelerate-non-commercial", action="store_true")
    parser.add_argument(
        "--plan", default=None, help="say how a training of this base model fits, and no more"
    )
    parser.add_argument("--card-gb", type=float, default=None)
    parser.add_argument("--ram-gb", type=float, default=None)
    parser.add_argument("--memory", choices=CHOICES, default=AUTO)
    options = parser.parse_args()
    acceleration = AccelerationSetting(
        options.accelerate, options.accelerate_recipe, options.accelerate_non_commercial
    )
    output = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no part of the answer
    with output:
        if options.plan is None:
            diagnoses = list(diagnose_all(options.base_model, options.base_vae, acceleration))
        else:
            diagnoses = [diagnose_plan(options.plan, options.card_gb, options.ram_gb, options.memory)]
        json.dump([asdict(each) for each in diagnoses], output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
