"""Look at what the worker needs: prints its findings as JSON, for `loracode doctor`.

A process of its own, because the front end never loads torch, and a broken CUDA may take the process with it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import psutil

from gpu_worker import fitness

GIB = 2**30
#: A training in the lowest gear needs about this much of a card.
LEAST_CARD_BYTES = 4 * GIB
LEAST_MEMORY_BYTES = int(5.5 * GIB)
#: A multiplication large enough to need a real kernel.
_SIDE = 256
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True)
class Finding:
    """One line of the table; `advice` says what to do, where something is to be done."""

    name: str
    verdict: Literal["ok", "warn", "bad"]
    detail: str
    advice: str = ""


@dataclass(frozen=True)
class Card:
    """What the driver says of a card."""

    name: str
    memory_bytes: int
    capability: fitness.Capability
    driver: str
    driver_cuda: int  #: the newest CUDA it knows: 12060 for 12.6


@dataclass(frozen=True)
class Torch:
    """What the installed torch was built for, and whether it sees a card."""

    version: str
    cuda: str | None
    built_for: tuple[str, ...]
    sees_card: bool


def torch_finding(torch: Torch | None, reason: str) -> Finding:
    """Say which torch is there; `reason` is why it could not be loaded."""
    if torch is None:
        advice = "pip install --constraint requirements.lock --editable '.[worker]'"
        return Finding("torch", "bad", f"cannot be loaded ({reason})", advice)
    built = f"for CUDA {torch.cuda}" if torch.cuda else "for processors only"
    return Finding("torch", "ok", f"{torch.version}, built {built}")


def card_finding(card: Card | None, torch: Torch | None) -> Finding:
    """Say whether the card and torch suit each other."""
    if card is None:
        advice = "Trainings on a processor are for the demo; in Docker the card needs `gpus: all`."
        return Finding("card", "warn", "no NVIDIA card answers", advice)
    shown = f"{card.name}, {card.memory_bytes / GIB:.1f} GB, sm_{card.capability[0]}{card.capability[1]}"
    if torch is None:
        return Finding("card", "warn", shown, "See torch.")
    if torch.cuda is None:
        advice = f"This torch cannot use cards. {fitness.cure(card.capability, torch.version)}"
        return Finding("card", "bad", shown, advice)
    if not torch.sees_card:
        needed = int(torch.cuda.split(".")[0])
        if card.driver_cuda // 1000 < needed:
            advice = (
                f"The driver {card.driver} knows CUDA {card.driver_cuda // 1000}; torch wants {needed}. "
                f"{fitness.cure_of_old_driver(card.capability, torch.version, needed)}"
            )
        else:
            advice = "torch does not see it: is CUDA_VISIBLE_DEVICES set, or `gpus: all` missing?"
        return Finding("card", "bad", shown, advice)
    complaint = fitness.complaint(card.name, card.capability, torch.built_for, torch.version)
    if complaint is not None:
        return Finding("card", "bad", shown, complaint)
    if card.memory_bytes < LEAST_CARD_BYTES:
        return Finding("card", "warn", shown, "Less than 4 GB: trainings may not fit.")
    return Finding("card", "ok", shown)


def memory_finding(total_bytes: int, free_bytes: int) -> Finding:
    """Say whether the machine's memory is enough for Stable Diffusion 1.5."""
    shown = f"{total_bytes / GIB:.1f} GB, {free_bytes / GIB:.1f} GB free"
    if total_bytes < LEAST_MEMORY_BYTES:
        advice = "Stable Diffusion 1.5 wants 6 GB; with WSL2 raise `memory` in .wslconfig (docs/install.md)."
        return Finding("memory", "warn", shown, advice)
    return Finding("memory", "ok", shown)


def unused_card() -> str | None:
    """Say why there is a card that torch does not see, and what to do; None where there is none."""
    card = look_at_card()
    if card is None or os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):  # hidden on purpose
        return None
    found = card_finding(card, look_at_torch()[0])
    return f"The card is not used ({found.detail}). {found.advice}"


def _kernel_finding(torch: Torch | None) -> Finding:
    """Let the device that would be used multiply two matrices."""
    import torch as library

    device = "cuda" if torch is not None and torch.sees_card else "cpu"
    try:
        ones = library.ones(_SIDE, _SIDE, device=device)
        product = float((ones @ ones)[0, 0])
    except RuntimeError as error:
        line = (str(error).splitlines() or [type(error).__name__])[0]
        return Finding("computing", "bad", f"on {device}: {line}", "See card.")
    if product != _SIDE:
        return Finding("computing", "bad", f"{device} computes wrongly", "Test the card's memory.")
    return Finding("computing", "ok", f"on {device}")


def look_at_torch() -> tuple[Torch | None, str]:
    """Read what torch says of itself; where it cannot be loaded, None and why."""
    try:
        import torch
    except Exception as error:  # a broken library can fail with nearly anything
        return None, (str(error).splitlines() or [type(error).__name__])[0]
    found = Torch(
        str(torch.__version__),
        torch.version.cuda,
        tuple(torch.cuda.get_arch_list()),
        torch.cuda.is_available(),
    )
    return found, ""


def look_at_card() -> Card | None:
    """Ask the driver for the first card that we may see; None where none answers."""
    import pynvml

    from gpu_worker.readings import handle_of

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    try:
        card = handle_of(os.environ.get("CUDA_VISIBLE_DEVICES", ""))
        major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(card)
        return Card(
            str(pynvml.nvmlDeviceGetName(card)),
            int(pynvml.nvmlDeviceGetMemoryInfo(card).total),
            (int(major), int(minor)),
            str(pynvml.nvmlSystemGetDriverVersion()),
            int(pynvml.nvmlSystemGetCudaDriverVersion_v2()),
        )
    except pynvml.NVMLError:
        return None
    finally:
        pynvml.nvmlShutdown()


def _memory_bytes() -> tuple[int, int]:
    """Give total and free memory; a container's limit counts as the machine's."""
    memory = psutil.virtual_memory()
    total, free = int(memory.total), int(memory.available)
    text = _CGROUP_LIMIT.read_text("utf-8").strip() if _CGROUP_LIMIT.is_file() else "max"
    if text.isdecimal():
        total = min(total, int(text))
    return total, min(free, total)


def findings(base_model: str) -> Iterator[Finding]:
    """Look at everything, one after another."""
    torch, reason = look_at_torch()
    yield torch_finding(torch, reason)
    card = look_at_card()
    yield card_finding(card, torch)
    if torch is not None:
        yield _kernel_finding(torch)
    yield memory_finding(*_memory_bytes())
    if torch is not None:
        from gpu_worker import model_files

        name = base_model or model_files.usual(torch.sees_card)
        yield Finding("base model", *model_files.look(name))


def main() -> int:
    """Print the findings as one JSON list on the last line."""
    parser = argparse.ArgumentParser(prog="gpu_worker.checkup", description=__doc__)
    parser.add_argument("--base-model", default="")
    options = parser.parse_args()
    answer = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no part of the answer
    with answer:
        json.dump([asdict(each) for each in findings(options.base_model)], answer)
    return 0


if __name__ == "__main__":
    sys.exit(main())
