"""Everybody is answered in their language: set once, at the door of every use case."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from bot.core.accounts import Identity
from bot.core.logging import log_context
from bot.texts import use_language


class LanguageSource(Protocol):
    """Knows which language somebody is spoken to in."""

    async def language_of(self, who: Identity) -> str:
        """Give a language or a locale; empty where nobody knows."""


_LanguageSourceT = TypeVar("_LanguageSourceT", bound=LanguageSource)


def use_user_language(cls: type[_LanguageSourceT]) -> type[_LanguageSourceT]:
    """Let each public use case of a class speak the language of `who`, the person it is for."""
    for name, method in list(vars(cls).items()):
        if name.startswith("_") or name == "language_of" or not inspect.iscoroutinefunction(method):
            continue
        if "who" in inspect.signature(method).parameters:
            setattr(cls, name, _wrap_with_language(method))
    return cls


def _wrap_with_language(use_case: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    @functools.wraps(use_case)
    async def wrapper(services: LanguageSource, who: Identity, *args: Any, **kwargs: Any) -> Any:
        with log_context(), use_language(await services.language_of(who)):
            return await use_case(services, who, *args, **kwargs)

    return wrapper
