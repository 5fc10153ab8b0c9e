"""Findings, and the table they are shown in."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

_VERDICT_LABELS = {"ok": "ok", "warn": "LOOK", "bad": "BAD"}
_ADVICE_COLUMNS = 90


class Diagnosis(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of the table; `advice` says what to do, where something is to be done."""

    name: str
    verdict: Literal["ok", "warn", "bad"]
    detail: str
    advice: str = ""


def format_table(diagnoses: Sequence[Diagnosis]) -> str:
    """Write the findings below each other, what to do beneath each, and a last line that sums up."""
    width = max(len(diagnosis.name) for diagnosis in diagnoses)
    lines = []
    for diagnosis in diagnoses:
        lines.append(
            f"{_VERDICT_LABELS[diagnosis.verdict]:<5} {diagnosis.name:<{width}}  {diagnosis.detail}".rstrip()
        )
        for advice_line in textwrap.wrap(
            diagnosis.advice, _ADVICE_COLUMNS, break_long_words=False, break_on_hyphens=False
        ):
            lines.append(f"{'':<5} {'':<{width}}  -> {advice_line}")
    bad_count = sum(diagnosis.verdict == "bad" for diagnosis in diagnoses)
    lines.append(
        "Everything needed is there." if not bad_count else f"To be done before it can run: {bad_count}."
    )
    return "\n".join(lines)


def has_problems(diagnoses: Iterable[Diagnosis]) -> bool:
    """Return whether something has to be done before LoraCode can work."""
    return any(diagnosis.verdict == "bad" for diagnosis in diagnoses)
