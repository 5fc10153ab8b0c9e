"""How the texts write times, counts, codes and quotations."""

from __future__ import annotations

import math
from datetime import timedelta

from bot.core.accounts import PLATFORM_TRAITS, Platform
from bot.core.loras import Trigger
from bot.texts.language import translate

QUOTE_CHARS = 300  # of a prompt or an error, inside a longer text
BAR_CELLS = 10

_AGES = ((86400, "days-ago"), (3600, "hours-ago"), (60, "minutes-ago"))


def example_command(platform: Platform, code: str = "40713386", trigger: Trigger | None = None) -> str:
    """Write out a command that draws, as that platform takes it."""
    return _format_command(platform, code, f"{trigger or Trigger()} as an astronaut")


def generate_command(platform: Platform, code: str) -> str:
    """Write out a command that draws with a code whose trigger need not be known."""
    return _format_command(platform, code, "as an astronaut")


def _format_command(platform: Platform, code: str, prompt: str) -> str:
    # Prompts stay English in every language: it is what Stable Diffusion has learnt.
    return translate(
        "example-discord" if PLATFORM_TRAITS[platform].has_forms else "example", code=code, prompt=prompt
    )


def progress_bar(fraction: float) -> str:
    """Draw how much is done, 0.0 to 1.0."""
    full_cells = int(fraction * BAR_CELLS)
    return "▓" * full_cells + "░" * (BAR_CELLS - full_cells)


def format_time_left(eta_s: float | None) -> str:
    """Write how long something still takes; honest when nobody knows, or nothing begins (inf)."""
    if eta_s == math.inf:
        return translate("eta-paused")
    return translate("eta-unknown") if eta_s is None else translate("about-left", span=format_duration(eta_s))


def format_duration(seconds: float) -> str:
    """Write a length of time as people say it: `12 min`, `1 h 20 min`."""
    minutes = int(seconds / 60 + 0.5)
    if minutes < 1:
        return f"1 {translate('unit-min')}" if seconds >= 30 else translate("half-a-minute")
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [
        (days, translate("unit-d")),
        (hours, translate("unit-h")),
        (minutes if not days else 0, translate("unit-min")),
    ]
    return " ".join(f"{count} {unit}" for count, unit in parts if count)


def format_age(elapsed: timedelta) -> str:
    """Write how long ago something was."""
    for seconds, key in _AGES:
        count = int(elapsed.total_seconds() // seconds)
        if count >= 1:
            return translate(key, count=count)
    return translate("just-now")


def truncate(text: str, max_chars: int = QUOTE_CHARS) -> str:
    """Return a text cut to what fits inside another one."""
    return text if len(text) <= max_chars else text[: max_chars - 1].rstrip() + "…"


def plural_suffix(count: int) -> str:
    """Return the ending of a counted English word; texts in several languages count in their own file."""
    return "" if count == 1 else "s"


def style_label(style: str) -> str:
    """Label the button that offers styles; `style` is the one that is chosen."""
    return translate("style-button-set", style=style) if style else translate("style-button")
