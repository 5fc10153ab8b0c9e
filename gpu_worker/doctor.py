"""Look at what the worker needs: prints its findings as JSON, for `loracode doctor`.

A process of its own, because the front end never loads torch, and a broken CUDA may take the process with it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import psutil

from gpu_worker.device.inspect import (
    GIB,
    Finding,
    Torch,
    card_finding,
    look_at_card,
    look_at_torch,
    torch_finding,
)

LEAST_MEMORY_BYTES = int(5.5 * GIB)


#: A multiplication large enough to need a real kernel.
_SIDE = 256


_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


def memory_finding(total_bytes: int, free_bytes: int) -> Finding:
    """Say whether the machine's memory is enough for Stable Diffusion 1.5."""
    shown = f"{total_bytes / GIB:.1f} GB, {free_bytes / GIB:.1f} GB free"
    if total_bytes < LEAST_MEMORY_BYTES:
        advice = "Stable Diffusion 1.5 wants 6 GB; with WSL2 raise `memory` in .wslconfig (docs/install.md)."
        return Finding("memory", "warn", shown, advice)
    return Finding("memory", "ok", shown)


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
        from gpu_worker.models import files

        name = base_model or files.usual(torch.sees_card)
        yield Finding("base model", *files.look(name))


def main() -> int:
    """Print the findings as one JSON list on the last line."""
    parser = argparse.ArgumentParser(prog="gpu_worker.doctor", description=__doc__)
    parser.add_argument("--base-model", default="")
    options = parser.parse_args()
    answer = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no part of the answer
    with answer:
        json.dump([asdict(each) for each in findings(options.base_model)], answer)
    return 0


if __name__ == "__main__":
    sys.exit(main())
