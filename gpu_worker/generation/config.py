"""The settings of a picture, each with its unit and source. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass

from gpu_worker.models.family import Kind


@dataclass(frozen=True)
class PictureDials:
    """What a picture is drawn with where the person did not say."""

    #: Denoising steps; DPM++ 2M Karras is done in 20 to 30.
    steps: int = 25
    #: Classifier-free guidance scale; AUTOMATIC1111's default.
    guidance: float = 7.0
    #: How many times larger a picture is handed out than it was drawn.
    enlarge: int = 1


_PICTURES: dict[Kind, PictureDials] = {
    "sd15": PictureDials(),
    "drawn": PictureDials(steps=15, guidance=3.0, enlarge=4),
    "tiny": PictureDials(steps=8),
}


def picture_dials(kind: Kind) -> PictureDials:
    """Return the default settings of a picture from this kind of base model."""
    return _PICTURES[kind]
