"""Texts of every language, from Fluent files beside this one, and the current language.

`en.ftl` is complete. A text that another language lacks is shown in English. A new language is one more file,
named by its code: `de.ftl`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path

from fluent.runtime import FluentBundle, FluentResource
from fluent.runtime.types import fluent_number

log = logging.getLogger(__name__)

FOLDER = Path(__file__).parent
ENGLISH = "en"
#: Each update of a chat, and each notice, is a task or a block of its own: they cannot hear each other.
_current_language: ContextVar[str] = ContextVar("language", default=ENGLISH)


def languages() -> tuple[str, ...]:
    """Return the codes of all languages, English first."""
    return tuple(_bundles())


def match_language(locale: str) -> str:
    """Return the language of a locale such as `it`, `it-IT` or `it_IT.UTF-8`, or English."""
    code = locale.replace("_", "-").partition(".")[0].partition("-")[0].lower()
    return code if code in _bundles() else ENGLISH


@contextmanager
def use_language(locale: str) -> Iterator[None]:
    """Use the language of a locale inside the block."""
    token = _current_language.set(match_language(locale))
    try:
        yield
    finally:
        _current_language.reset(token)


def current_language() -> str:
    """Return the code of the current language."""
    return _current_language.get()


def translate(key: str, /, **values: str | int) -> str:
    """Return a text in the current language. Raise KeyError if English does not have it.

    Numbers choose the plural form, and are written without separators.
    """
    return translate_to(_current_language.get(), key, **values)


def translate_to(language: str, key: str, /, **values: str | int) -> str:
    """Return a text in the given language. Raise KeyError if English does not have it."""
    bundle = _bundles()[language]
    if not bundle.has_message(key):
        bundle = _bundles()[ENGLISH]
    if not bundle.has_message(key):
        raise KeyError(key)
    pattern = bundle.get_message(key).value
    if pattern is None:
        raise KeyError(key)
    args = {
        name: fluent_number(value, useGrouping=False) if isinstance(value, int) else value
        for name, value in values.items()
    }
    text, errors = bundle.format_pattern(pattern, args)
    for error in errors:  # a sentence with a hole is better than none
        log.error("the text %s of %s: %s", key, language, error)
    return str(text)


@cache
def _bundles() -> dict[str, FluentBundle]:
    codes = sorted((path.stem for path in FOLDER.glob("*.ftl")), key=lambda code: (code != ENGLISH, code))
    return {code: _load_bundle(code) for code in codes}


def _load_bundle(code: str) -> FluentBundle:
    # Isolation marks are for mixed directions of writing; in codes and commands they would be copied along.
    bundle = FluentBundle([code], use_isolating=False)
    bundle.add_resource(FluentResource((FOLDER / f"{code}.ftl").read_text(encoding="utf-8")))
    return bundle
