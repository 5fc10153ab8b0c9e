"""How the texts write times, counts, codes and quotations."""

from __future__ import annotations

import math
from datetime import timedelta

from bot.core.accounts import Platform
from bot.core.loras import Allowed, LoraState, Trigger
from bot.texts.language import say

QUOTE_CHARS = 300  # of a prompt or an error, inside a longer text
BAR_CELLS = 10

_AGES = ((86400, "days-ago"), (3600, "hours-ago"), (60, "minutes-ago"))


def example(platform: Platform, code: str = "40713386", trigger: Trigger | None = None) -> str:
    """Write out a command that draws, as that platform takes it."""
    return _drawing(platform, code, f"{trigger or Trigger()} as an astronaut")


def to_draw(platform: Platform, code: str) -> str:
    """Write out a command that draws with a code whose trigger need not be known."""
    return _drawing(platform, code, "as an astronaut")


def _drawing(platform: Platform, code: str, prompt: str) -> str:
    # Prompts stay English in every language: it is what Stable Diffusion has learnt.
    return say("example-discord" if platform is Platform.DISCORD else "example", code=code, prompt=prompt)


def bar(share: float) -> str:
    """Draw how much is done, 0.0 to 1.0."""
    full = int(share * BAR_CELLS)
    return "▓" * full + "░" * (BAR_CELLS - full)


def left(eta_s: float | None) -> str:
    """Write how long something still takes; honest when nobody knows, or nothing begins (inf)."""
    if eta_s == math.inf:
        return say("eta-paused")
    return say("eta-unknown") if eta_s is None else say("about-left", span=span(eta_s))


def span(seconds: float) -> str:
    """Write a length of time as people say it: `12 min`, `1 h 20 min`."""
    minutes = int(seconds / 60 + 0.5)
    if minutes < 1:
        return f"1 {say('unit-min')}" if seconds >= 30 else say("half-a-minute")
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, say("unit-d")), (hours, say("unit-h")), (minutes if not days else 0, say("unit-min"))]
    return " ".join(f"{count} {unit}" for count, unit in parts if count)


def age(passed: timedelta) -> str:
    """Write how long ago something was."""
    for seconds, key in _AGES:
        count = int(passed.total_seconds() // seconds)
        if count >= 1:
            return say(key, count=count)
    return say("just-now")


def quoted(text: str, most: int = QUOTE_CHARS) -> str:
    """Give a text cut to what fits inside another one."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def plural(count: int) -> str:
    """Give the ending of a counted English word; texts in several languages count in their own file."""
    return "" if count == 1 else "s"


def shape_name(shape: str) -> str:
    """Name a shape of pictures."""
    return say(f"shape-{shape}")


def style_label(style: str) -> str:
    """Label the button that offers styles; `style` is the one that is chosen."""
    return say("style-button-set", style=style) if style else say("style-button")


def class_name(word: str) -> str:
    """Name what photos can be of."""
    return say(f"class-{word}")


def state_name(state: LoraState) -> str:
    """Name the state of a Lora."""
    return say(f"state-{state}")


def allowed_name(allowed: Allowed) -> str:
    """Name what the owner of a Lora decided."""
    return say(f"allowed-{allowed}")
