"""Everybody is answered in their language: set once, at the door of every use case."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from bot.core.accounts import Identity
from bot.core.logging import about
from bot.texts import use_language


class Speaker(Protocol):
    """Knows which language somebody is spoken to in."""

    async def language_of(self, who: Identity) -> str:
        """Give a language or a locale; empty where nobody knows."""


_Speaker = TypeVar("_Speaker", bound=Speaker)


def in_their_language(cls: type[_Speaker]) -> type[_Speaker]:
    """Let each public use case of a class speak the language of `who`, the person it is for."""
    for name, method in list(vars(cls).items()):
        if name.startswith("_") or name == "language_of" or not inspect.iscoroutinefunction(method):
            continue
        if "who" in inspect.signature(method).parameters:
            setattr(cls, name, _spoken(method))
    return cls


def _spoken(use_case: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    @functools.wraps(use_case)
    async def work(studio: Speaker, who: Identity, *args: Any, **kwargs: Any) -> Any:
        with about(), use_language(await studio.language_of(who)):
            return await use_case(studio, who, *args, **kwargs)

    return work
