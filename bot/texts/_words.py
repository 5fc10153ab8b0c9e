"""How the texts write times, counts, codes and quotations."""

from __future__ import annotations

from datetime import timedelta

from bot.domain import Platform, Trigger

QUOTE_CHARS = 300  # of a prompt or an error, inside a longer text
BAR_CELLS = 10
ETA_UNKNOWN = "how long it takes is not known until the first one here has run"

_AGES = ((86400, "day"), (3600, "hour"), (60, "minute"))


def example(platform: Platform, code: str = "40713386", trigger: Trigger | None = None) -> str:
    """Write out a command that draws, as that platform takes it."""
    prompt = f"{trigger or Trigger()} as an astronaut"
    if platform is Platform.DISCORD:
        return f"/generate code:{code} prompt:{prompt}"
    return f"/generate {code} {prompt}"


def to_draw(platform: Platform, code: str) -> str:
    """Write out a command that draws with a code whose trigger need not be known."""
    if platform is Platform.DISCORD:
        return f"/generate code:{code} prompt:as an astronaut"
    return f"/generate {code} as an astronaut"


def bar(share: float) -> str:
    """Draw how much is done, 0.0 to 1.0."""
    full = int(share * BAR_CELLS)
    return "▓" * full + "░" * (BAR_CELLS - full)


def left(eta_s: float | None) -> str:
    """Write how long something still takes; honest when nobody knows."""
    return ETA_UNKNOWN if eta_s is None else f"about {span(eta_s)} left"


def span(seconds: float) -> str:
    """Write a length of time as people say it: `12 min`, `1 h 20 min`."""
    minutes = int(seconds / 60 + 0.5)
    if minutes < 1:
        return "1 min" if seconds >= 30 else "half a minute"
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes if not days else 0, "min")]
    return " ".join(f"{count} {unit}" for count, unit in parts if count)


def age(passed: timedelta) -> str:
    """Write how long ago something was."""
    for seconds, unit in _AGES:
        count = int(passed.total_seconds() // seconds)
        if count >= 1:
            return f"{count} {unit}{plural(count)} ago"
    return "just now"


def quoted(text: str, most: int = QUOTE_CHARS) -> str:
    """Give a text cut to what fits inside another one."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def plural(count: int) -> str:
    """Give the ending of a counted word."""
    return "" if count == 1 else "s"
