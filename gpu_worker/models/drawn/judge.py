"""Looks at pictures of drawn people: what is in them, and who. A small net, only for measuring."""

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
from drawn import Identity, Scene
from gpu_worker.errors import BadInput

WEIGHTS = Path(__file__).parent / "judge.safetensors"
SIDE_PX = 64
PLACES = tuple(drawn.PLACES)
SHIRTS = tuple(drawn.SHIRTS)
#: What a picture can show of hair: a colour with a word, one without, or none at all.
HAIRS = (*drawn.HAIR_COLOURS, "unnamed", "bald")
_WORN = ("glasses", "hat", "beard")
_IDENTITY_WIDTH = 64


@dataclass(frozen=True)
class Attributes:
    """What a caption can say of a picture."""

    place: str
    shirt: str
    hair: str

    @classmethod
    def of(cls, person: Identity, where: Scene) -> Attributes:
        """Return what a drawing of this person there shows."""
        hair = "bald" if person.hair_style == "bald" else person.hair_word or "unnamed"
        return cls(where.place, where.shirt, hair)


class JudgeNet(nn.Module):
    """Four strided convolutions, one head for each question, one for who it is."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 32, 64, 128, 128)
        self.trunk = nn.Sequential(
            *(
                layer
                for given, wide in itertools.pairwise(widths)
                for layer in (nn.Conv2d(given, wide, 3, 2, 1), nn.GroupNorm(8, wide), nn.SiLU())
            ),
            nn.Flatten(),
            nn.Linear(128 * (SIDE_PX // 16) ** 2, 160),
            nn.SiLU(),
        )
        self.place = nn.Linear(160, len(PLACES))
        self.shirt = nn.Linear(160, len(SHIRTS))
        self.hair = nn.Linear(160, len(HAIRS))
        self.worn = nn.Linear(160, len(_WORN))
        self.identity = nn.Linear(160, _IDENTITY_WIDTH)

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """Return logits by question and the normalised identity, for pixels -1 .. 1, (n, 3, 64, 64)."""
        seen = self.trunk(pixels)
        return {
            "place": self.place(seen),
            "shirt": self.shirt(seen),
            "hair": self.hair(seen),
            "worn": self.worn(seen),
            "identity": F.normalize(self.identity(seen), dim=-1),
        }


class Judge:
    """The trained net."""

    def __init__(self, net: JudgeNet) -> None:
        self._net = net.eval().requires_grad_(False)

    @classmethod
    def load(cls, path: Path = WEIGHTS) -> Judge:
        """Load the shipped weights."""
        net = JudgeNet()
        net.load_state_dict({name: value.float() for name, value in load_file(path).items()})
        return cls(net)

    def attributes(self, pictures: Sequence[bytes]) -> list[Attributes]:
        """Say what each picture file shows."""
        told = self._net(to_pixels(pictures))
        best = {name: told[name].argmax(dim=1).tolist() for name in ("place", "shirt", "hair")}
        return [
            Attributes(PLACES[place], SHIRTS[shirt], HAIRS[hair])
            for place, shirt, hair in zip(best["place"], best["shirt"], best["hair"], strict=True)
        ]

    def identity(self, pictures: Sequence[bytes]) -> Tensor:
        """Return who is in each picture file, as unit vectors (n, 64)."""
        found: Tensor = self._net(to_pixels(pictures))["identity"]
        return found

    def likeness(self, pictures: Sequence[bytes], photos: Sequence[bytes]) -> Tensor:
        """Return how much each picture is like the person of the photos, -1 .. 1: the mean cosine."""
        return (self.identity(pictures) @ self.identity(photos).T).mean(dim=1)


def to_pixels(pictures: Sequence[bytes]) -> Tensor:
    """Return picture files as (n, 3, 64, 64) in -1 .. 1; BadInput when one is none."""
    found = []
    for picture in pictures:
        try:
            with Image.open(io.BytesIO(picture)) as opened:
                small = opened.convert("RGB").resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX)
        except OSError as error:
            raise BadInput("This is no picture.") from error
        found.append(torch.from_numpy(np.array(small)).permute(2, 0, 1))
    return torch.stack(found).float() / 127.5 - 1


def labels(person: Identity, where: Scene) -> list[int]:
    """Return the answers to the net's questions as numbers: place, shirt, hair, and what is worn."""
    told = Attributes.of(person, where)
    return [
        PLACES.index(told.place),
        SHIRTS.index(told.shirt),
        HAIRS.index(told.hair),
        *(int(getattr(person, name)) for name in _WORN),
    ]
