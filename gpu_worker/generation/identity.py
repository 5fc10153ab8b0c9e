"""Who is in pictures, where a base model has a judge of its own; faces of real people are others' to tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from gpu_worker.models.base import BaseModel
from gpu_worker.models.drawn.judge import Judge

Identities: TypeAlias = tuple[tuple[float, ...], ...]


class Who:
    """Looks at pictures of one base model; loads what it needs when it is first asked."""

    def __init__(self, base: BaseModel) -> None:
        self._base = base
        self._judge: Judge | None = None

    def is_in(self, pictures: Sequence[bytes]) -> Identities:
        """Give a unit vector a picture; nothing where nobody here can tell."""
        if self._base.kind != "drawn" or not pictures:
            return ()
        if self._judge is None:
            self._judge = Judge.load()
        return tuple(tuple(row) for row in self._judge.identity(pictures).tolist())
