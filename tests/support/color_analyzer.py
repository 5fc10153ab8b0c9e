"""An eye that takes a photo's colour for what is on it."""

from __future__ import annotations

import hashlib
import io
import random
from dataclasses import dataclass, field

from PIL import Image

from bot.core.messages import Upload
from bot.media.quality import PhotoMeasurements
from tests.support.photo_measurements import face, person, sight

#: What photos of these colours are taken for.
NOBODY, TWO_PEOPLE, SOMEBODY_ELSE, SOFT = "red", "yellow", "blue", "white"


def painted(colour: str, number: int = 1) -> Upload:
    """A photo of a colour, different for each number."""
    noise = Image.effect_noise((256, 256), 60 + number).convert("RGB")
    picture = Image.blend(Image.new("RGB", (256, 256), colour), noise, 0.1)
    file = io.BytesIO()
    picture.save(file, "PNG")
    return Upload(f"{colour}-{number}.png", file.getvalue())


@dataclass
class ColourAnalyzer:
    """Sees one good face on every photo but the painted ones; `photos` are those it was shown."""

    photos: list[bytes] = field(default_factory=list)

    async def analyze(self, photo: bytes) -> PhotoMeasurements | None:
        self.photos.append(photo)
        with Image.open(io.BytesIO(photo)) as opened:
            colour = opened.convert("RGB").resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
        assert isinstance(colour, tuple)
        hash_bytes = random.Random(hashlib.sha256(photo).digest()).randbytes(16)
        if 60 < colour[2] < 200:  # not painted
            return sight(0, hash=hash_bytes)
        match tuple(each > 200 for each in colour):
            case (True, False, False):
                return sight(0, hash=hash_bytes, faces=())
            case (True, True, False):
                return sight(0, face(), face(), hash=hash_bytes)
            case (False, False, True):
                return sight(0, face(embedding=person(2)), hash=hash_bytes)
            case (True, True, True):
                return sight(0, face(sharpness=50.0), hash=hash_bytes)
        raise AssertionError(colour)

    async def close(self) -> None:
        """It holds nothing."""
