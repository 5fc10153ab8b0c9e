"""What the makers of generated pages share."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]


def write_or_check(page: Path, text: str, arguments: Sequence[str]) -> int:
    """Write a page, or with `--check` compare it. Return 1 when it is not as the code is."""
    if "--check" not in arguments:
        page.write_text(text, encoding="utf-8")
        return 0
    if page.is_file() and page.read_text(encoding="utf-8") == text:
        return 0
    sys.stderr.write(f"{page.relative_to(ROOT)} is not as the code is: make docs\n")
    return 1
