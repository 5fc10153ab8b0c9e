"""Formats of times, counts, codes and quotations in texts."""

from __future__ import annotations

import enum
import math
import re
import unicodedata
from datetime import timedelta
from functools import cache

from bot.core.accounts import PLATFORM_TRAITS, Platform
from bot.core.loras import Trigger
from bot.texts.language import languages, translate, translate_to

QUOTE_CHARS = 300  # of a prompt or an error, inside a longer text
BAR_CELLS = 10

_AGES = ((86400, "days-ago"), (3600, "hours-ago"), (60, "minutes-ago"))


def example_command(platform: Platform, code: str = "40713386", trigger: Trigger | None = None) -> str:
    """Return an example of a command that draws, as a platform takes it."""
    return _format_command(platform, code, f"{trigger or Trigger()} as an astronaut")


def generate_command(platform: Platform, code: str) -> str:
    """Return a command that draws with a code, without its trigger."""
    return _format_command(platform, code, "as an astronaut")


def _format_command(platform: Platform, code: str, prompt: str) -> str:
    # Prompts stay English in every language: it is what Stable Diffusion has learnt.
    return translate(
        "example-discord" if PLATFORM_TRAITS[platform].has_forms else "example", code=code, prompt=prompt
    )


def progress_bar(fraction: float) -> str:
    """Return a bar that shows a fraction from 0.0 to 1.0."""
    full_cells = int(fraction * BAR_CELLS)
    return "▓" * full_cells + "░" * (BAR_CELLS - full_cells)


def format_time_left(eta_s: float | None) -> str:
    """Return how long something still takes. None is unknown, infinity means that the bot is paused."""
    if eta_s == math.inf:
        return translate("eta-paused")
    return translate("eta-unknown") if eta_s is None else translate("about-left", span=format_duration(eta_s))


def format_duration(seconds: float) -> str:
    """Return a duration as people say it: `12 min`, `1 h 20 min`."""
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
    """Return how long ago something was."""
    for seconds, key in _AGES:
        count = int(elapsed.total_seconds() // seconds)
        if count >= 1:
            return translate(key, count=count)
    return translate("just-now")


class SmallTalk(enum.Enum):
    """What people say that asks for nothing; the words of each are a text of its own."""

    GREETING = enum.auto()
    THANKS = enum.auto()
    YES = enum.auto()
    NO = enum.auto()


#: How many words a message has that begins with a greeting and says no more.
_MAX_GREETING_WORDS = 5
#: Of how many words the longest beginning is that only talk has.
_MAX_TALK_WORDS = 4
#: Labels of buttons that people type instead of pressing them.
_YES_LABELS = (
    "agree",
    "use-anyway",
    "use-first-five",
    "train-on-these",
    "draw-these",
    "delete-button",
    "delete-for-good",
    "delete-everything",
)


def read_small_talk(text: str, is_whole: bool = True) -> SmallTalk | None:
    """Return what a message says in any language, None where it says something else.

    Unless it has to be the `whole` message, a greeting may have some words behind it.
    """
    words = _plain_words(text)
    vocabulary = _small_talk()
    if (kind := vocabulary.get(words)) is not None:
        return kind
    beginnings = [words.rpartition(" ")[0]] if is_whole else _beginnings(words)
    names = {_plain_words(each) for each in _list_words("words-names")}
    for beginning in beginnings:
        is_name = words.removeprefix(beginning).strip() in names
        kind = vocabulary.get(beginning)
        if kind is SmallTalk.GREETING and (is_name or not is_whole):
            return kind
    return None


def reads_like_talk(text: str) -> bool:
    """Return whether words are likely said to the bot and no prompt: a question, `haha look`."""
    words = text.split()
    beginnings = {_plain_words(" ".join(words[:count])) for count in range(1, _MAX_TALK_WORDS + 1)}
    is_talk = not beginnings.isdisjoint(_small_talk().keys() | _talk_words())
    return "--" not in text and (is_talk or text.rstrip().endswith(("?", "\uff1f")))


def _beginnings(words: str) -> list[str]:
    parts = words.split()
    if len(parts) > _MAX_GREETING_WORDS:
        return []
    return [" ".join(parts[:count]) for count in range(1, len(parts))]


@cache
def _small_talk() -> dict[str, SmallTalk]:
    vocabulary = {
        _plain_words(word): kind for kind in SmallTalk for word in _list_words(f"words-{kind.name.lower()}")
    }
    labels = {translate_to(language, key) for language in languages() for key in _YES_LABELS}
    labels |= {f"{label} it" for label in labels}
    return vocabulary | {_plain_words(label): SmallTalk.YES for label in labels}


@cache
def _talk_words() -> frozenset[str]:
    return frozenset(map(_plain_words, _list_words("words-talk")))


def _list_words(key: str) -> list[str]:
    return [word for language in languages() for word in translate_to(language, key).split(",")]


def _plain_words(text: str) -> str:
    """Return words as they are compared: small letters, no punctuation, `hiii` as `hi`."""
    text = unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'")
    text = "".join(char for char in text if unicodedata.category(char) not in {"Mn", "Sk", "Cf"})
    emoji = "" if re.search(r"\w", text) else r"\U0001f000-\U0001faff\u2600-\u27bf"
    words = re.sub(rf"[^\w'{emoji}]+", " ", text).strip()
    return re.sub(r"(.)\1{2,}\b", r"\1", words)


def truncate(text: str, max_chars: int = QUOTE_CHARS) -> str:
    """Return a text cut to what fits inside another one."""
    return text if len(text) <= max_chars else text[: max_chars - 1].rstrip() + "…"


def plural_suffix(count: int) -> str:
    """Return the plural ending of an English word. Texts in several languages count in their own file."""
    return "" if count == 1 else "s"


def style_label(style: str) -> str:
    """Return the label of the button that offers styles. `style` is the chosen one."""
    return translate("style-button-set", style=style) if style else translate("style-button")
