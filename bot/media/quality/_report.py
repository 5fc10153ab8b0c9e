"""Reports of the coach: verdicts on photos, and hints for training on them."""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from PIL import Image, ImageDraw, ImageFilter

from bot.core.loras import PERSON_CLASSES
from bot.media.quality._advice import Advice, distance_word, find_duplicates, find_strangers, give_advice
from bot.media.quality._rules import TRAINED_SIDE_PX, PhotoGrade, PhotoVerdict, check_photo
from bot.media.quality._types import Box, PhotoMeasurements
from gpu_worker.protocol import Crop

log = logging.getLogger(__name__)

_THREE_QUARTER_YAW = 0.3
_OUTDOORS_SHARE = 0.2  # of the photo that is leaves, or sky
_LOW_LIGHT = 45.0
#: A head, in widths and heights of its face: how far it reaches to each side, up and down.
_HEAD_SIDE, _HEAD_UP, _HEAD_DOWN = 0.2, 0.45, 0.15
_BLUR_SHARE = 0.06  # of the face's width
#: A face takes at least this much of its square, 64 of 512 pixels, and is a little above the middle.
_FACE_SHARE, _FACE_DOWN = 0.125, 0.42


@dataclass(frozen=True, slots=True)
class TrainingHint:
    """What a training uses of one photo: where the face is, and words for the caption."""

    width_px: int
    height_px: int
    face: Box | None = None
    words: tuple[str, ...] = ()
    trained_side_px: int = TRAINED_SIDE_PX  #: of the base model when the photo was looked at

    def caption(self, trigger: str) -> str:
        """Return the photo's caption, such as `sks woman, close-up, outdoors`."""
        return ", ".join((trigger, *self.words))

    def crop(self) -> Crop | None:
        """Return the square that a training uses, with the whole head; None without a face.

        It is as large as the photo allows. If the face is small in it, the square is smaller, but never below
        the model's resolution.
        """
        if self.face is None:
            return None
        short_px = min(self.width_px, self.height_px)
        face_px = max(self.face.width * self.width_px, self.face.height * self.height_px)
        side_px = max(min(short_px, face_px / _FACE_SHARE), min(short_px, self.trained_side_px))
        centred_left_px = (self.face.left + self.face.width / 2) * self.width_px - side_px / 2
        centred_top_px = (self.face.top + self.face.height / 2) * self.height_px - side_px * _FACE_DOWN
        left_px = min(max(0.0, centred_left_px), self.width_px - side_px)
        top_px = min(max(0.0, centred_top_px), self.height_px - side_px)
        return Crop(
            left_px / self.width_px,
            top_px / self.height_px,
            side_px / self.width_px,
            side_px / self.height_px,
        )

    def to_json(self) -> str:
        """Return the hint as JSON, which is kept with the photo."""
        return msgspec.json.encode(self).decode()

    @staticmethod
    def from_json(text: str) -> TrainingHint | None:
        """Return the hint of a JSON text. Return None for an empty text or another version."""
        try:
            return msgspec.json.decode(text, type=TrainingHint) if text else None
        except msgspec.DecodeError:
            log.warning("what the coach wrote of a photo cannot be read; it is trained on as it is")
            return None

    def mask_png(self) -> bytes | None:
        """Return a grey PNG of the photo's size, softly white where the head is; None without a face."""
        if self.face is None:
            return None
        face_width_px, face_height_px = self.face.width * self.width_px, self.face.height * self.height_px
        left_px, top_px = self.face.left * self.width_px, self.face.top * self.height_px
        mask = Image.new("L", (self.width_px, self.height_px))
        head_box = (
            left_px - _HEAD_SIDE * face_width_px,
            top_px - _HEAD_UP * face_height_px,
            left_px + (1 + _HEAD_SIDE) * face_width_px,
            top_px + (1 + _HEAD_DOWN) * face_height_px,
        )
        ImageDraw.Draw(mask).ellipse(head_box, fill=255)
        buffer = io.BytesIO()
        mask.filter(ImageFilter.GaussianBlur(_BLUR_SHARE * face_width_px)).save(buffer, "PNG")
        return buffer.getvalue()


@dataclass(frozen=True, slots=True)
class QualityReport:
    """One verdict and one hint for each photo, in the photos' order, and advice for all together.

    `looked_for_faces` is False if faces could not be detected. The verdicts then cover less.
    """

    verdicts: tuple[PhotoVerdict, ...]
    hints: tuple[TrainingHint | None, ...]
    advice: tuple[Advice, ...]
    has_face_detection: bool

    @property
    def worst_grade(self) -> PhotoGrade:
        """The grade of the worst photo."""
        return max((verdict.grade for verdict in self.verdicts), default=PhotoGrade.GREEN)


def build_report(
    measurements_list: Sequence[PhotoMeasurements | None],
    class_word: str,
    trained_side_px: int = TRAINED_SIDE_PX,
) -> QualityReport:
    """Return a report on measured photos. None stands for a photo that could not be measured."""
    verdicts_by_photo = [
        list(check_photo(measurements, class_word, trained_side_px)) for measurements in measurements_list
    ]
    is_person = class_word in PERSON_CLASSES
    if is_person:
        # A face that is no good by itself says nothing about whose it is.
        clear_faces = {
            index: measurements.main_face
            for index, measurements in enumerate(measurements_list)
            if measurements is not None
            and measurements.main_face is not None
            and _worst_verdict(verdicts_by_photo[index]).grade < PhotoGrade.RED
        }
        for index, verdict in find_strangers(clear_faces):
            verdicts_by_photo[index].append(verdict)
    for index, verdict in find_duplicates(measurements_list):
        verdicts_by_photo[index].append(verdict)
    known_measurements = [measurements for measurements in measurements_list if measurements is not None]
    return QualityReport(
        verdicts=tuple(_worst_verdict(verdicts) for verdicts in verdicts_by_photo),
        hints=tuple(
            None if measurements is None else _build_hint(measurements, is_person, trained_side_px)
            for measurements in measurements_list
        ),
        advice=give_advice(known_measurements),
        has_face_detection=any(measurements.faces is not None for measurements in known_measurements),
    )


def _worst_verdict(verdicts: Sequence[PhotoVerdict]) -> PhotoVerdict:
    return max(verdicts, key=lambda verdict: verdict.grade, default=PhotoVerdict())


def _build_hint(measurements: PhotoMeasurements, is_person: bool, trained_side_px: int) -> TrainingHint:
    face = measurements.main_face if is_person else None
    caption_words = []
    if face is not None:
        caption_words.append(distance_word(face))
        if abs(face.yaw) >= _THREE_QUARTER_YAW:
            caption_words.append("three-quarter view")
    if max(measurements.greenery, measurements.sky) >= _OUTDOORS_SHARE:
        caption_words.append("outdoors")
    if measurements.brightness < _LOW_LIGHT:
        caption_words.append("low light")
    if measurements.is_grey:
        caption_words.append("black and white photo")
    return TrainingHint(
        measurements.width_px,
        measurements.height_px,
        None if face is None else face.box,
        tuple(caption_words),
        trained_side_px,
    )
