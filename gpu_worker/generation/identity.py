"""Who is in pictures, where a base model has a judge of its own; faces of real people are others' to tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from gpu_worker.models.base import BaseModel
from gpu_worker.models.drawn.judge import IdentityModel

IdentityEmbeddings: TypeAlias = tuple[tuple[float, ...], ...]


class IdentityEncoder:
    """Looks at pictures of one base model; loads what it needs when it is first asked."""

    def __init__(self, base: BaseModel) -> None:
        self._base = base
        self._model: IdentityModel | None = None

    def embed(self, pictures: Sequence[bytes]) -> IdentityEmbeddings:
        """Give a unit vector a picture; nothing where nobody here can tell."""
        if self._base.family != "drawn" or not pictures:
            return ()
        if self._model is None:
            self._model = IdentityModel.load()
        return tuple(tuple(row) for row in self._model.embed(pictures).tolist())
