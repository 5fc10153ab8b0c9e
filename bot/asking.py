"""What is just being carried out, by its name on its platform: a message is not carried out twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Asking:
    """A message or a press; `is_again` where the bot died while it was carried out before."""

    by: str
    is_again: bool = False


_NOBODY = Asking("")
_asking: ContextVar[Asking] = ContextVar("asking", default=_NOBODY)


@contextmanager
def asked_by(by: str, *, is_again: bool = False) -> Iterator[None]:
    """Let what happens inside be on behalf of a message or a press."""
    token = _asking.set(Asking(by, is_again))
    try:
        yield
    finally:
        _asking.reset(token)


def asking() -> Asking:
    """Give what is being carried out; its name is empty where nobody keeps count."""
    return _asking.get()
