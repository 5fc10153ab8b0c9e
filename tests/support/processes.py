"""The processes that a test has started."""

from __future__ import annotations

import psutil


def living_children() -> list[psutil.Process]:
    """Children of this process that have not ended."""
    return [each for each in psutil.Process().children() if each.status() != psutil.STATUS_ZOMBIE]
