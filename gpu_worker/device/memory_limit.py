"""How much of a card torch may take where its driver spills into system memory. Torch-free.

Under Windows and WSL2 the driver (WDDM) gives system memory when the card is full, which is ten to fifty
times slower, and no error comes that a lower memory mode could answer (microsoft/WSL issues 11050, 40732).
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import MutableMapping

#: Left to the desktop and to what others start later.
RESERVE_BYTES = int(0.4 * 2**30)
_MIN_FRACTION = 0.05
_SETTINGS = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")


def spills(system: str = sys.platform, release: str = platform.release()) -> bool:
    """Return True if the driver gives system memory when the card is full."""
    return system == "win32" or "microsoft" in release.lower()


def compute_fraction(free_bytes: int, total_bytes: int) -> float:
    """Return the share of the card that this process may take: what is free, less a reserve."""
    return min(1.0, max(_MIN_FRACTION, (free_bytes - RESERVE_BYTES) / total_bytes))


def set_allocator_defaults(environ: MutableMapping[str, str], is_spilling: bool) -> None:
    """Let torch's segments grow, which leaves fewer holes. For before torch is imported; settings stay.

    Not under WSL2, where the driver has a bug with them until its branch 615 (pytorch issue 192330).
    """
    if not is_spilling and not any(name in environ for name in _SETTINGS):
        environ[_SETTINGS[0]] = "expandable_segments:True"


def prepare_process() -> None:
    """Set the defaults of this process."""
    set_allocator_defaults(os.environ, spills())
