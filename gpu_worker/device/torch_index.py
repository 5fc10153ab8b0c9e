"""Which of PyTorch's indexes has a build for a card. Torch-free, as `make` asks before it installs.

`python -m gpu_worker.device.torch_index` prints the index for the cards of this machine; nothing where the
usual build of the package index suits them, or where there is no card.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

Capability = tuple[int, int]

CUDA_12_6_INDEX = "https://download.pytorch.org/whl/cu126"
CUDA_13_INDEX = "https://download.pytorch.org/whl/cu130"
#: The oldest cards that the builds for CUDA 12.6 have kernels for.
FIRST_IN_CUDA_12 = (5, 0)
#: CUDA 13 has dropped Maxwell, Pascal and Volta (below 7.5); the builds for CUDA 12.6 are the last with them.
FIRST_IN_CUDA_13 = (7, 5)
#: The first that CUDA 12.6 does not know: RTX 50 and its like.
FIRST_WITHOUT_CUDA_12 = (10, 0)
#: The branch of NVIDIA's driver that came with CUDA 13.
_FIRST_CUDA_13_DRIVER = 580
_QUERY = ("nvidia-smi", "--query-gpu=compute_cap,driver_version", "--format=csv,noheader")
_TIMEOUT_S = 20.0


def choose_index(capability: Capability, driver_branch: int = _FIRST_CUDA_13_DRIVER) -> str | None:
    """Return the index with a build for a card under a driver (580 for 580.65); None if there is none."""
    if capability < FIRST_IN_CUDA_12:
        return None
    if capability >= FIRST_WITHOUT_CUDA_12:
        return CUDA_13_INDEX
    if capability < FIRST_IN_CUDA_13 or driver_branch < _FIRST_CUDA_13_DRIVER:
        return CUDA_12_6_INDEX
    return CUDA_13_INDEX


def choose_for_cards(answer: str) -> str | None:
    """Return the index for the cards in `nvidia-smi`'s answer, lines such as `8.6, 580.65.06`.

    A build for the oldest runs on the others too, unless one is newer than it knows.
    """
    cards = sorted(card for line in answer.splitlines() if (card := _parse_line(line)) is not None)
    if not cards:
        return None
    capability, driver_branch = cards[-1] if cards[-1][0] >= FIRST_WITHOUT_CUDA_12 else cards[0]
    return choose_index(capability, driver_branch)


def _parse_line(line: str) -> tuple[Capability, int] | None:
    capability, _, driver = line.partition(",")
    major, _, minor = capability.strip().partition(".")
    branch = driver.strip().partition(".")[0]
    if not (major.isdecimal() and minor.isdecimal() and branch.isdecimal()):
        return None  # a card that is lost, or a driver that does not know the question
    return (int(major), int(minor)), int(branch)


def main(query: Sequence[str] = _QUERY) -> int:
    """Print the index, unless the usual build is from it: that is for CUDA 13."""
    try:
        answer = subprocess.run(  # noqa: S603 - a fixed command
            query, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        answer = ""
    index = choose_for_cards(answer)
    if index is not None and index != CUDA_13_INDEX:
        sys.stdout.write(f"{index}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
