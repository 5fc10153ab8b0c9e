"""What the driver and torch say of the card, and whether they suit each other."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

from gpu_worker.device import kernels

GIB = 2**30


#: A training in the lowest gear needs about this much of a card.
LEAST_CARD_BYTES = 4 * GIB


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
    capability: kernels.Capability
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
        advice = f"This torch cannot use cards. {kernels.cure(card.capability, torch.version)}"
        return Finding("card", "bad", shown, advice)
    if not torch.sees_card:
        needed = int(torch.cuda.split(".")[0])
        if card.driver_cuda // 1000 < needed:
            advice = (
                f"The driver {card.driver} knows CUDA {card.driver_cuda // 1000}; torch wants {needed}. "
                f"{kernels.cure_of_old_driver(card.capability, torch.version, needed)}"
            )
        else:
            advice = "torch does not see it: is CUDA_VISIBLE_DEVICES set, or `gpus: all` missing?"
        return Finding("card", "bad", shown, advice)
    complaint = kernels.complaint(card.name, card.capability, torch.built_for, torch.version)
    if complaint is not None:
        return Finding("card", "bad", shown, complaint)
    if card.memory_bytes < LEAST_CARD_BYTES:
        return Finding("card", "warn", shown, "Less than 4 GB: trainings may not fit.")
    return Finding("card", "ok", shown)


def unused_card() -> str | None:
    """Say why there is a card that torch does not see, and what to do; None where there is none."""
    card = look_at_card()
    if card is None or os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):  # hidden on purpose
        return None
    found = card_finding(card, look_at_torch()[0])
    return f"The card is not used ({found.detail}). {found.advice}"


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

    from gpu_worker.device.nvml import handle_of

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
