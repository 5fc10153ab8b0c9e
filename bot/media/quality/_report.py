"""What the coach says of photos, and what it found that helps to train on them."""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from PIL import Image, ImageDraw, ImageFilter

from bot.media.quality._advice import Advice, advice, distance_word, repeats, strangers
from bot.media.quality._rules import PEOPLE, TRAINED_SIDE_PX, Grade, Verdict, of_photo
from bot.media.quality._types import Box, Sight
from gpu_worker.protocol import Crop

log = logging.getLogger(__name__)

_TURNED = 0.3
_OUTDOORS = 0.2  # of the photo that is leaves, or sky
_LOW_LIGHT = 45.0
#: A head, in widths and heights of its face: how far it reaches to each side, up and down.
_HEAD_SIDE, _HEAD_UP, _HEAD_DOWN = 0.2, 0.45, 0.15
_SOFT_EDGE = 0.06  # of the face's width
#: A face takes at least this much of its square, 64 of 512 pixels, and is a little above the middle.
_FACE_SHARE, _FACE_DOWN = 0.125, 0.42


@dataclass(frozen=True, slots=True)
class Feed:
    """What a training can use of one photo: the face in shares of it, and words for its caption."""

    width_px: int
    height_px: int
    face: Box | None = None
    words: tuple[str, ...] = ()

    def caption(self, trigger: str) -> str:
        """Give the photo's caption, such as `sks woman, close-up, outdoors`."""
        return ", ".join((trigger, *self.words))

    def crop(self) -> Crop | None:
        """Give the square that a training looks at, with all of the head in it; None without a face.

        It is as large as the photo allows, unless the face were small in it: then it is nearer, but no nearer
        than the model has pixels.
        """
        if self.face is None:
            return None
        short_px = min(self.width_px, self.height_px)
        face_px = max(self.face.width * self.width_px, self.face.height * self.height_px)
        side_px = max(min(short_px, face_px / _FACE_SHARE), min(short_px, TRAINED_SIDE_PX))
        across = (self.face.left + self.face.width / 2) * self.width_px - side_px / 2
        down = (self.face.top + self.face.height / 2) * self.height_px - side_px * _FACE_DOWN
        left = min(max(0.0, across), self.width_px - side_px)
        top = min(max(0.0, down), self.height_px - side_px)
        return Crop(
            left / self.width_px, top / self.height_px, side_px / self.width_px, side_px / self.height_px
        )

    def written(self) -> str:
        """Write it down, for the time its photo is kept."""
        return msgspec.json.encode(self).decode()

    @staticmethod
    def read(text: str) -> Feed | None:
        """Read what was written down; None where nothing was, or nothing that this version understands."""
        try:
            return msgspec.json.decode(text, type=Feed) if text else None
        except msgspec.DecodeError:
            log.warning("what the coach wrote of a photo cannot be read; it is trained on as it is")
            return None

    def mask_png(self) -> bytes | None:
        """Give a grey PNG of the photo's size, softly white where the head is; None without a face."""
        if self.face is None:
            return None
        wide, high = self.face.width * self.width_px, self.face.height * self.height_px
        left, top = self.face.left * self.width_px, self.face.top * self.height_px
        mask = Image.new("L", (self.width_px, self.height_px))
        head = (
            left - _HEAD_SIDE * wide,
            top - _HEAD_UP * high,
            left + (1 + _HEAD_SIDE) * wide,
            top + (1 + _HEAD_DOWN) * high,
        )
        ImageDraw.Draw(mask).ellipse(head, fill=255)
        file = io.BytesIO()
        mask.filter(ImageFilter.GaussianBlur(_SOFT_EDGE * wide)).save(file, "PNG")
        return file.getvalue()


@dataclass(frozen=True, slots=True)
class Report:
    """One verdict and one feed a photo, in the photos' order; advice for all of them together.

    `looked_for_faces` is False where nothing could: then the verdicts say less.
    """

    verdicts: tuple[Verdict, ...]
    feeds: tuple[Feed | None, ...]
    advice: tuple[Advice, ...]
    looked_for_faces: bool

    @property
    def worst(self) -> Grade:
        """The grade of the worst photo."""
        return max((verdict.grade for verdict in self.verdicts), default=Grade.GREEN)


def report(sights: Sequence[Sight | None], class_word: str) -> Report:
    """Judge photos by what was measured; None stands for one that could not be."""
    found = [list(of_photo(sight, class_word)) for sight in sights]
    is_person = class_word in PEOPLE
    if is_person:
        # A face that is no good by itself says nothing about whose it is.
        clear = {
            place: sight.main_face
            for place, sight in enumerate(sights)
            if sight is not None and sight.main_face is not None and _worst(found[place]).grade < Grade.RED
        }
        for place, verdict in strangers(clear):
            found[place].append(verdict)
    for place, verdict in repeats(sights):
        found[place].append(verdict)
    seen = [sight for sight in sights if sight is not None]
    return Report(
        verdicts=tuple(_worst(verdicts) for verdicts in found),
        feeds=tuple(None if sight is None else _feed(sight, is_person) for sight in sights),
        advice=advice(seen),
        looked_for_faces=any(sight.faces is not None for sight in seen),
    )


def _worst(verdicts: Sequence[Verdict]) -> Verdict:
    return max(verdicts, key=lambda verdict: verdict.grade, default=Verdict())


def _feed(sight: Sight, is_person: bool) -> Feed:
    face = sight.main_face if is_person else None
    words = []
    if face is not None:
        words.append(distance_word(face))
        if abs(face.turn) >= _TURNED:
            words.append("three-quarter view")
    if max(sight.greenery, sight.sky) >= _OUTDOORS:
        words.append("outdoors")
    if sight.brightness < _LOW_LIGHT:
        words.append("low light")
    return Feed(sight.width_px, sight.height_px, None if face is None else face.box, tuple(words))
