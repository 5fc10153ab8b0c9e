"""Measurements of one photo: numbers that are as private as the photo."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from bot.core.photos import MAX_PHOTO_SIDE_PX

EMBEDDING_SIZE = 128
MAX_FACES = 64
_Share = Annotated[float, Meta(ge=0, le=1)]
_Light = Annotated[float, Meta(ge=0, le=255)]


class Box(msgspec.Struct, frozen=True):
    """A part of a photo, in shares of its width and height."""

    left: _Share
    top: _Share
    width: _Share
    height: _Share


class Face(msgspec.Struct, frozen=True):
    """A face: its place and light. The largest of a photo also has an embedding that tells people apart."""

    box: Box
    width_px: Annotated[float, Meta(ge=0, le=2 * MAX_PHOTO_SIDE_PX)]
    is_cut: bool  #: it goes on beyond the edge of the photo
    yaw: Annotated[float, Meta(ge=-9, le=9)]  #: of the head: 0 looks at us, positive to the photo's right
    sharpness: Annotated[float, Meta(ge=0)]  #: variance of the Laplacian at 160 x 160
    highlight: _Light  #: the brightest twentieth begins here
    blown_out: _Share
    embedding: Annotated[tuple[float, ...], Meta(max_length=EMBEDDING_SIZE)] = ()


class PhotoMeasurements(msgspec.Struct, frozen=True):
    """Measurements of one photo. `faces` is None if faces were not detected; else the largest comes first."""

    width_px: Annotated[int, Meta(ge=1, le=MAX_PHOTO_SIDE_PX)]
    height_px: Annotated[int, Meta(ge=1, le=MAX_PHOTO_SIDE_PX)]
    sharpness: Annotated[float, Meta(ge=0)]  #: variance of the Laplacian where the photo is sharpest
    brightness: _Light
    highlight: _Light
    blown_out: _Share
    greenery: _Share
    sky: _Share
    hash: Annotated[bytes, Meta(min_length=16, max_length=16)]  #: of how the photo looks, not of its bytes
    faces: Annotated[tuple[Face, ...], Meta(max_length=MAX_FACES)] | None = None
    is_grey: bool = False  #: it has no colours

    @property
    def short_px(self) -> int:
        """The shorter side."""
        return min(self.width_px, self.height_px)

    @property
    def main_face(self) -> Face | None:
        """The largest face."""
        return self.faces[0] if self.faces else None
