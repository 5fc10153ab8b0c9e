"""Findings, and the table they are shown in."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

_MARKS = {"ok": "ok", "warn": "LOOK", "bad": "BAD"}
_ADVICE_COLUMNS = 90


class Finding(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of the table; `advice` says what to do, where something is to be done."""

    name: str
    verdict: Literal["ok", "warn", "bad"]
    detail: str
    advice: str = ""


def table(findings: Sequence[Finding]) -> str:
    """Write the findings below each other, what to do beneath each, and a last line that sums up."""
    width = max(len(each.name) for each in findings)
    lines = []
    for each in findings:
        lines.append(f"{_MARKS[each.verdict]:<5} {each.name:<{width}}  {each.detail}".rstrip())
        for part in textwrap.wrap(
            each.advice, _ADVICE_COLUMNS, break_long_words=False, break_on_hyphens=False
        ):
            lines.append(f"{'':<5} {'':<{width}}  -> {part}")
    count = sum(each.verdict == "bad" for each in findings)
    lines.append("Everything needed is there." if not count else f"To be done before it can run: {count}.")
    return "\n".join(lines)


def is_ill(findings: Iterable[Finding]) -> bool:
    """Say whether something has to be done before LoraCode can work."""
    return any(each.verdict == "bad" for each in findings)
