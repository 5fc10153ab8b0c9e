"""LoraCodes: a name of eight digits, as it is written and read."""

from __future__ import annotations

import re
from typing import NewType

CODE_DIGITS = 8
#: Eight decimal digits, leading zeros kept. A name, never a key.
LoraCode = NewType("LoraCode", str)


def format_code(code: LoraCode) -> str:
    """Write a LoraCode as people read it: `4071 3386`."""
    return f"{code[:4]} {code[4:]}"


def parse_code(text: str) -> LoraCode | None:
    """Read a LoraCode written with or without spaces and dashes; None when it is not eight digits."""
    digits = re.sub(r"[\s\-]", "", text)
    return LoraCode(digits) if re.fullmatch(r"[0-9]{8}", digits) else None


def split_code(text: str) -> tuple[str, str]:
    """Split `4071 3386 a prompt` into the code as written and the rest.

    A code is eight digits, or four and four; otherwise the first run of digits is returned as it is (it
    may be empty), so that the caller can say what was wrong with it, and a prompt may start with a number.
    """
    match = re.match(r"\s*([0-9]{8}(?![0-9])|[0-9]{4}[ \-][0-9]{4}(?![0-9])|[0-9]*)(.*)\Z", text, re.DOTALL)
    assert match is not None  # noqa: S101 - every part of the pattern may be empty
    return match[1], match[2].strip()
