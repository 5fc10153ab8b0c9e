"""The styles of `--style`, read from a data file."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bot.core.errors import SettingsError, UserError
from bot.core.messages import Choice
from bot.texts import say, spoken_language

STYLES_FILE = Path(__file__).with_name("styles.toml")
MAX_CHOICES = 25
_NEAREST = 3


@dataclass(frozen=True, slots=True)
class Style:
    """A way to draw: words around the prompt (`{prompt}` is where it stands), and what to avoid."""

    name: str
    label: str
    prompt: str
    negative: str
    labels: Mapping[str, str] = field(default_factory=dict)  #: in other languages, by their code

    @property
    def shown(self) -> str:
        """Give the label in the language that is spoken."""
        return self.labels.get(spoken_language(), self.label)


class Styles:
    """All styles, in the order of their file."""

    def __init__(self, styles: Mapping[str, Style]) -> None:
        self._styles = dict(styles)

    def __iter__(self) -> Iterator[Style]:
        return iter(self._styles.values())

    def get(self, name: str) -> Style | None:
        """Give a style by its exact name; None when there is none (any more)."""
        return self._styles.get(name)

    def read(self, text: str) -> Style:
        """Give the style a person wrote, by name or label; UserError names the nearest."""
        wanted = _squeezed(text)
        for style in self:
            if wanted in map(_squeezed, (style.name, style.label, style.shown)):
                return style
        near = difflib.get_close_matches(text.lower(), self._styles, _NEAREST, cutoff=0.5)
        wrong = repr(text[:20])
        if near:
            raise UserError(say("unknown-style-near", style=wrong, near=f" {say('or')} ".join(near)))
        raise UserError(say("unknown-style", style=wrong, styles=", ".join(self._styles)))

    def like(self, typed: str) -> list[Choice]:
        """Offer the styles that hold what was typed, at most 25."""
        wanted = _squeezed(typed)
        fits = [
            each
            for each in self
            if any(wanted in _squeezed(text) for text in (each.name, each.label, each.shown))
        ]
        return [Choice(each.shown, each.name) for each in fits[:MAX_CHOICES]]


def read_styles(path: Path = STYLES_FILE) -> Styles:
    """Read the file of styles; SettingsError in one line when it is not as it should be."""
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
        styles = {
            name: Style(name, each["label"], each["prompt"], each["negative"], _labels(each))
            for name, each in told.items()
        }
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise SettingsError(f"{path.name} cannot be used: {error}") from error
    for style in styles.values():
        if "{prompt}" not in style.prompt:
            raise SettingsError(f"{path.name}: the prompt of {style.name} does not hold {{prompt}}")
    return Styles(styles)


def _squeezed(text: str) -> str:
    return "".join(char for char in text.lower() if char.isalnum())


def _labels(told: Mapping[str, str]) -> dict[str, str]:
    return {key.removeprefix("label_"): text for key, text in told.items() if key.startswith("label_")}
