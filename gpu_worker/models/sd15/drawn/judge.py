"""Identity model of drawn people: what a picture shows, and who is in it. A small net for measuring."""

from __future__ import annotations

import io
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

import drawn
from drawn import DrawnPerson, Scene
from gpu_worker.errors import BadInput

WEIGHTS = Path(__file__).parent / "judge.safetensors"
SIDE_PX = 64
PLACES = tuple(drawn.PLACES)
SHIRTS = tuple(drawn.SHIRTS)
#: What a picture can show of hair: a colour with a word, one without, or none at all.
HAIRS = (*drawn.HAIR_COLOURS, "unnamed", "bald")
_ACCESSORIES = ("glasses", "hat", "beard")
_IDENTITY_WIDTH = 64


@dataclass(frozen=True)
class DrawingAttributes:
    """The attributes of a picture that a caption can name."""

    place: str
    shirt: str
    hair: str

    @classmethod
    def from_drawing(cls, person: DrawnPerson, scene: Scene) -> DrawingAttributes:
        """Return the attributes of a drawing of this person in this scene."""
        hair = "bald" if person.hair_style == "bald" else person.hair_word or "unnamed"
        return cls(scene.place, scene.shirt, hair)


class IdentityNet(nn.Module):
    """Four strided convolutions, a classification head per attribute, and an identity head."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 32, 64, 128, 128)
        self.trunk = nn.Sequential(
            *(
                layer
                for in_channels, out_channels in itertools.pairwise(widths)
                for layer in (
                    nn.Conv2d(in_channels, out_channels, 3, 2, 1),
                    nn.GroupNorm(8, out_channels),
                    nn.SiLU(),
                )
            ),
            nn.Flatten(),
            nn.Linear(128 * (SIDE_PX // 16) ** 2, 160),
            nn.SiLU(),
        )
        self.place = nn.Linear(160, len(PLACES))
        self.shirt = nn.Linear(160, len(SHIRTS))
        self.hair = nn.Linear(160, len(HAIRS))
        self.worn = nn.Linear(160, len(_ACCESSORIES))
        self.identity = nn.Linear(160, _IDENTITY_WIDTH)

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """Return logits by attribute and unit identity vectors, for pixels (n, 3, 64, 64), -1 .. 1."""
        features = self.trunk(pixels)
        return {
            "place": self.place(features),
            "shirt": self.shirt(features),
            "hair": self.hair(features),
            "worn": self.worn(features),
            "identity": F.normalize(self.identity(features), dim=-1),
        }


class IdentityModel:
    """The trained net, for picture files."""

    def __init__(self, net: IdentityNet) -> None:
        self._net = net.eval().requires_grad_(False)

    @classmethod
    def load(cls, path: Path = WEIGHTS) -> IdentityModel:
        """Load the shipped weights."""
        net = IdentityNet()
        net.load_state_dict({name: value.float() for name, value in load_file(path).items()})
        return cls(net)

    def predict_attributes(self, pictures: Sequence[bytes]) -> list[DrawingAttributes]:
        """Return the attributes of each picture file."""
        logits = self._net(to_pixels(pictures))
        best = {name: logits[name].argmax(dim=1).tolist() for name in ("place", "shirt", "hair")}
        return [
            DrawingAttributes(PLACES[place], SHIRTS[shirt], HAIRS[hair])
            for place, shirt, hair in zip(best["place"], best["shirt"], best["hair"], strict=True)
        ]

    def embed(self, pictures: Sequence[bytes]) -> Tensor:
        """Return the identity vectors of picture files, (n, 64), unit length."""
        embeddings: Tensor = self._net(to_pixels(pictures))["identity"]
        return embeddings

    def score_likeness(self, pictures: Sequence[bytes], photos: Sequence[bytes]) -> Tensor:
        """Return the mean cosine similarity of each picture with the photos, -1 .. 1."""
        return (self.embed(pictures) @ self.embed(photos).T).mean(dim=1)


def to_pixels(pictures: Sequence[bytes]) -> Tensor:
    """Return picture files as pixels (n, 3, 64, 64), -1 .. 1; BadInput if one cannot be read."""
    pixels = []
    for picture in pictures:
        try:
            with Image.open(io.BytesIO(picture)) as image:
                resized = image.convert("RGB").resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX)
        except OSError as error:
            raise BadInput("This is no picture.") from error
        pixels.append(torch.from_numpy(np.array(resized)).permute(2, 0, 1))
    return torch.stack(pixels).float() / 127.5 - 1


def encode_labels(person: DrawnPerson, scene: Scene) -> list[int]:
    """Return the attributes of a drawing as class numbers: place, shirt, hair, and what is worn."""
    attributes = DrawingAttributes.from_drawing(person, scene)
    return [
        PLACES.index(attributes.place),
        SHIRTS.index(attributes.shirt),
        HAIRS.index(attributes.hair),
        *(int(getattr(person, name)) for name in _ACCESSORIES),
    ]
