"""What people write as the value of an option; None where it is no such value. Pure."""

from __future__ import annotations

import re
from functools import cache

from bot.core.jobs import MAX_PICTURES
from bot.texts import languages, translate_to
from gpu_worker.protocol import SAMPLERS, SHAPES

_MAX_RATIO = 16
_SIDES_PATTERN = re.compile(r"([0-9]{1,5}) ?(?:px)? ?(?:[xX*\u00d7]|by|per| ) ?([0-9]{1,5}) ?(?:px)?")
_RATIO_PATTERN = re.compile(r"([0-9]{1,4}(?:[.,][0-9]{1,3})?) ?[:/xX\u00d7] ?([0-9]{1,4})")
#: Other words for a shape, besides those on the buttons.
_SHAPE_SYNONYMS = {
    **dict.fromkeys(("vertical", "upright", "tall", "ritratto"), "portrait"),
    **dict.fromkeys(("horizontal", "wide", "paesaggio"), "landscape"),
    **dict.fromkeys(("quadrata", "quadro"), "square"),
}
NO_STYLE = "none"


def read_size(text: str) -> str | tuple[int, int] | None:
    """Read a size: a shape by any of its names, `512x768`, `512 x 768`, or a ratio such as `2:3`."""
    text = text.strip().lower()
    if (shape := find_shape(text)) is not None:
        return shape
    if (sides := _SIDES_PATTERN.fullmatch(text)) is not None:
        return int(sides[1]), int(sides[2])
    return read_ratio(text) if ":" in text or "/" in text else None


def read_ratio(text: str) -> str | None:
    """Read a ratio of sides, `2:3`: a shape that has it, or the ratio, whose sides the worker knows."""
    match = _RATIO_PATTERN.fullmatch(text.strip())
    if match is None:
        return None
    width, height = float(match[1].replace(",", ".")), float(match[2])
    if not (width and height and 1 / _MAX_RATIO <= width / height <= _MAX_RATIO):
        return None
    for shape, (shape_width, shape_height) in SHAPES.items():
        if width * shape_height == height * shape_width:
            return shape
    return f"{width:g}:{height:g}"


def is_ratio(shape: str) -> bool:
    """Return whether a shape is a ratio as `read_ratio` writes one."""
    return ":" in shape and read_ratio(shape) == shape


def find_sampler(text: str) -> str | None:
    """Return the sampler that a person means: `euler-a`, `DPM++`, `unipc`."""
    prefix = _normalize_sampler(text)
    matches = [name for name in SAMPLERS if _normalize_sampler(name).startswith(prefix)] if prefix else []
    return matches[0] if len(matches) == 1 else None


def read_best(text: str) -> int | None:
    """Return the count of `--best`: `4`, `1-of-4`, `1 of 4` or `1/4`."""
    match = re.fullmatch(rf"(?:1 ?[-/]? ?(?:of|di|su)? ?-? ?)?([2-{MAX_PICTURES}])", text.lower())
    return None if match is None else int(match[1])


def is_number(text: str) -> bool:
    """Return whether a text is a number as people write one."""
    return re.fullmatch(r"-?[0-9]{1,20}(?:[.,][0-9]{1,6})?%?", text) is not None


def is_random(text: str) -> bool:
    """Return whether a seed is left to chance: `-1`, as other programs have it, or `random`."""
    return text.lower() in {"-1", "random", "rand", "casuale", "caso"}


def normalize_label(text: str) -> str:
    """Return a label as it is compared: its letters and digits, in lower case."""
    return "".join(char for char in text.casefold() if char.isalnum())


@cache
def picture_words() -> frozenset[str]:
    """Return what stands behind a number on the buttons that say how many: `pictures`."""
    return frozenset(
        translate_to(language, "pictures", count=count).split()[-1].lower()
        for language in languages()
        for count in (1, 2)
    )


@cache
def no_style_labels() -> frozenset[str]:
    """Return all that means no style."""
    keys = ("no-style", "style-none")
    labels = {normalize_label(translate_to(language, key)) for language in languages() for key in keys}
    return frozenset({NO_STYLE, *labels})


@cache
def _shapes_by_label() -> dict[str, str]:
    labels = {
        translate_to(language, f"shape-{shape}").lower(): shape
        for shape in SHAPES
        for language in languages()
    }
    return _SHAPE_SYNONYMS | labels | {shape: shape for shape in SHAPES}


def find_shape(name: str) -> str | None:
    """Return the shape that a word names; None when it names none."""
    return _shapes_by_label().get(name.lower())


def _normalize_sampler(text: str) -> str:
    text = re.sub(r"ancestral", "a", text.lower())
    return re.sub(r"[^a-z0-9+]", "", text)
