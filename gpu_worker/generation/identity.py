"""Identity embeddings for the `drawn` model. Faces of real people are compared in the bot (dlib)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from gpu_worker.models.base import BaseModel
from gpu_worker.models.sd15.drawn.judge import IdentityModel
from gpu_worker.protocol import Crop
from imaging.crop import crop_picture

IdentityEmbeddings: TypeAlias = tuple[tuple[float, ...], ...]


class IdentityEncoder:
    """Computes identity embeddings of pictures; loads its model when it is first used."""

    def __init__(self, base: BaseModel) -> None:
        self._base = base
        self._model: IdentityModel | None = None

    def embed(self, pictures: Sequence[bytes], regions: Sequence[Sequence[Crop]] = ()) -> IdentityEmbeddings:
        """Return a unit vector for each picture, or () if the base model has no identity model.

        With regions there is one for each region of the first picture, then those of the next one.
        """
        if regions:
            pairs = zip(pictures, regions, strict=True)
            pictures = [crop_picture(picture, crop) for picture, crops in pairs for crop in crops]
        if not self._base.family.has_identity_model or not pictures:
            return ()
        if self._model is None:
            self._model = IdentityModel.load()
        return tuple(tuple(row) for row in self._model.embed(pictures).tolist())
