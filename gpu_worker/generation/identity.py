"""Identity embeddings for the `drawn` model. Faces of real people are compared in the bot (dlib)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from gpu_worker.models.base import BaseModel
from gpu_worker.models.sd15.drawn.judge import IdentityModel

IdentityEmbeddings: TypeAlias = tuple[tuple[float, ...], ...]


class IdentityEncoder:
    """Computes identity embeddings of pictures; loads its model when it is first used."""

    def __init__(self, base: BaseModel) -> None:
        self._base = base
        self._model: IdentityModel | None = None

    def embed(self, pictures: Sequence[bytes]) -> IdentityEmbeddings:
        """Return a unit vector for each picture, or () if the base model has no identity model."""
        if not self._base.family.has_identity_model or not pictures:
            return ()
        if self._model is None:
            self._model = IdentityModel.load()
        return tuple(tuple(row) for row in self._model.embed(pictures).tolist())
