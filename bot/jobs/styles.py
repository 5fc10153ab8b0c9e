"""The styles of `--style`, read from a data file."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bot.core.errors import SettingsError, UserError
from bot.core.messages import MAX_SUGGESTIONS, Suggestion
from bot.texts import current_language, translate

STYLES_FILE = Path(__file__).with_name("styles.toml")
_MAX_GUESSES = 3
#: So alike are two spellings of one name.
_SAME_SPELLING = 0.9


@dataclass(frozen=True, slots=True)
class Style:
    """A way to draw: words around the prompt (`{prompt}` is where it stands), and what to avoid."""

    name: str
    label: str
    prompt: str
    negative: str
    labels: Mapping[str, str] = field(default_factory=dict)  #: in other languages, by their code

    @property
    def localized_label(self) -> str:
        """Return the label in the language that is spoken."""
        return self.labels.get(current_language(), self.label)


class Styles:
    """All styles, in the order of their file."""

    def __init__(self, styles: Mapping[str, Style]) -> None:
        self._styles = dict(styles)

    def __iter__(self) -> Iterator[Style]:
        return iter(self._styles.values())

    @property
    def labels(self) -> frozenset[str]:
        """Return all that styles are called, in every language, as letters and digits in lower case."""
        return frozenset(
            _normalize(label) for style in self for label in (style.name, style.label, *style.labels.values())
        )

    def get(self, name: str) -> Style | None:
        """Return a style by its exact name; None when there is none (any more)."""
        return self._styles.get(name)

    def resolve(self, text: str) -> Style:
        """Return the style a person wrote, by name or label; UserError names the nearest."""
        query = _normalize(text)
        for style in self:
            if query in map(_normalize, (style.name, style.label, *style.labels.values())):
                return style
        names = {_normalize(label): style for style in self for label in (style.name, style.label)}
        if spelled := difflib.get_close_matches(query, names, 1, cutoff=_SAME_SPELLING):
            return names[spelled[0]]  # such as `watercolor`
        suggestions = difflib.get_close_matches(text.lower(), self._styles, _MAX_GUESSES, cutoff=0.5)
        quoted_text = repr(text[:20])
        if suggestions:
            raise UserError(
                translate(
                    "unknown-style-near", style=quoted_text, near=f" {translate('or')} ".join(suggestions)
                )
            )
        raise UserError(translate("unknown-style", style=quoted_text, styles=", ".join(self._styles)))

    def search(self, text: str) -> list[Suggestion]:
        """Offer the styles that hold what was typed."""
        query = _normalize(text)
        matches = [
            style
            for style in self
            if any(query in _normalize(name) for name in (style.name, style.label, style.localized_label))
        ]
        return [Suggestion(style.localized_label, style.name) for style in matches[:MAX_SUGGESTIONS]]


def load_styles(path: Path = STYLES_FILE) -> Styles:
    """Read the file of styles; SettingsError in one line when it is not as it should be."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        styles = {
            name: Style(name, entry["label"], entry["prompt"], entry["negative"], _read_labels(entry))
            for name, entry in data.items()
        }
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise SettingsError(f"{path.name} cannot be used: {error}") from error
    for style in styles.values():
        if "{prompt}" not in style.prompt:
            raise SettingsError(f"{path.name}: the prompt of {style.name} does not hold {{prompt}}")
    return Styles(styles)


def _normalize(text: str) -> str:
    return "".join(char for char in text.casefold() if char.isalnum())


def _read_labels(entry: Mapping[str, str]) -> dict[str, str]:
    return {key.removeprefix("label_"): text for key, text in entry.items() if key.startswith("label_")}
