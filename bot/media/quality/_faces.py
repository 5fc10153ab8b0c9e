"""Finds faces and what tells people apart; needs the extra `faces`. Lives in the child only.

BlazeFace full-range (Apache-2.0, of MediaPipe, shipped beside this file) finds; dlib's network (CC0, in
`face-recognition-models`) turns a face into 128 numbers that lie near each other for one person.
"""

from __future__ import annotations

import importlib.util
import math
from dataclasses import dataclass
from pathlib import Path

import dlib
import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray
from PIL import Image

from bot.media.quality._measurements import blown_out, face_sharpness, highlight
from bot.media.quality._types import MAX_FACES, Box, Face

Array = NDArray[np.float32]

DETECTOR = Path(__file__).with_name("blazeface_full_range.tflite")
_INPUT_PX, _CELLS = 192, 48
#: Scores from here on are faces; from MAYBE on they are looked at again from nearer.
SURE, MAYBE = 0.7, 0.35
MAX_SECOND_LOOKS = 16
_OVERLAP = 0.3  # of two boxes that are one face
_NEARER = 3.0  # widths of the face that the second look takes in
_CUT = 0.1  # of a face beyond the edge
_RIGHT_EYE, _LEFT_EYE, _NOSE = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Found:
    """A face in pixels of the picture that was looked at; `points` are eyes, nose, mouth, ears."""

    score: float
    left: float
    top: float
    width: float
    height: float
    points: Array

    def overlap(self, other: Found) -> float:
        """Give the part that both share of all that they cover."""
        wide = min(self.left + self.width, other.left + other.width) - max(self.left, other.left)
        high = min(self.top + self.height, other.top + other.height) - max(self.top, other.top)
        both = max(0.0, wide) * max(0.0, high)
        return both / (self.width * self.height + other.width * other.height - both)


class FaceFinder:
    """The two networks, loaded once."""

    def __init__(self) -> None:
        # The delegate would save 12 ms of a photo, and print a line into whatever console there is.
        kernels = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        self._detector = Interpreter(str(DETECTOR), num_threads=1, experimental_op_resolver_type=kernels)
        self._detector.allocate_tensors()
        self._input = self._detector.get_input_details()[0]["index"]
        outputs = sorted(self._detector.get_output_details(), key=lambda each: -int(each["shape"][-1]))
        self._boxes, self._logits = (each["index"] for each in outputs)
        centres = (np.arange(_CELLS, dtype=np.float32) + 0.5) / _CELLS
        self._anchors = np.stack(np.meshgrid(centres, centres), -1).reshape(-1, 2)
        folder = _models()
        self._points = dlib.shape_predictor(str(folder / "shape_predictor_5_face_landmarks.dat"))
        network = str(folder / "dlib_face_recognition_resnet_model_v1.dat")
        self._identity = dlib.face_recognition_model_v1(network)

    def find(self, picture: Image.Image) -> tuple[Face, ...]:
        """Find the faces of an RGB picture, the largest first."""
        seen = self._look(picture)
        found = [each for each in seen if each.score >= SURE]
        maybe = [each for each in seen if each.score < SURE][:MAX_SECOND_LOOKS]
        found += [each for each in maybe if self._is_face(picture, each)]
        found.sort(key=lambda each: -each.width)
        return tuple(self._face(picture, each, at == 0) for at, each in enumerate(found[:MAX_FACES]))

    def _is_face(self, picture: Image.Image, maybe: Found) -> bool:
        """Look again at what may be a small face: a real one becomes clearer, a button does not."""
        middle_x, middle_y = maybe.left + maybe.width / 2, maybe.top + maybe.height / 2
        reach = _NEARER / 2 * max(maybe.width, maybe.height)
        left, top = max(0, int(middle_x - reach)), max(0, int(middle_y - reach))
        right, bottom = min(picture.width, int(middle_x + reach)), min(picture.height, int(middle_y + reach))
        moved = Found(
            maybe.score, maybe.left - left, maybe.top - top, maybe.width, maybe.height, maybe.points
        )
        seen = self._look(picture.crop((left, top, right, bottom)))
        return any(each.score >= SURE and each.overlap(moved) >= _OVERLAP for each in seen)

    def _look(self, picture: Image.Image) -> list[Found]:
        scale = _INPUT_PX / max(picture.size)
        size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
        left, top = ((_INPUT_PX - side) // 2 for side in size)
        page = Image.new("RGB", (_INPUT_PX, _INPUT_PX))
        page.paste(picture.resize(size, Image.Resampling.BILINEAR), (left, top))
        pixels = np.asarray(page, np.float32) / 127.5 - 1
        self._detector.set_tensor(self._input, pixels[None])
        self._detector.invoke()
        logits = self._detector.get_tensor(self._logits)[0, :, 0]
        scores = 1 / (1 + np.exp(-np.clip(logits, -50, 50)))
        rows = np.flatnonzero(scores >= MAYBE)
        rows = rows[np.argsort(-scores[rows])]
        # A row holds the box's middle and size, then points, all of them from its cell's centre.
        places = self._detector.get_tensor(self._boxes)[0][rows].reshape(-1, 8, 2) / _INPUT_PX
        places[:, [0, 2, 3, 4, 5, 6, 7]] += self._anchors[rows, None]
        places[:, [0, 2, 3, 4, 5, 6, 7]] -= np.array([left, top], np.float32) / _INPUT_PX
        places *= _INPUT_PX / scale
        kept: list[Found] = []
        for score, place in zip(scores[rows], places, strict=True):
            (x, y), (width, height) = place[0].tolist(), place[1].tolist()
            if min(width, height) < 1 or not (0 <= x < picture.width and 0 <= y < picture.height):
                continue
            one = Found(float(score), x - width / 2, y - height / 2, width, height, place[2:])
            if all(one.overlap(other) < _OVERLAP for other in kept):
                kept.append(one)
        return kept

    def _face(self, picture: Image.Image, found: Found, is_main: bool) -> Face:
        left, top = max(0.0, found.left), max(0.0, found.top)
        right = min(float(picture.width), found.left + found.width)
        bottom = min(float(picture.height), found.top + found.height)
        grey = picture.crop((int(left), int(top), math.ceil(right), math.ceil(bottom))).convert("L")
        wide, high = picture.size
        return Face(
            box=Box(left / wide, top / high, (right - left) / wide, (bottom - top) / high),
            width_px=found.width,
            is_cut=(right - left) * (bottom - top) < (1 - _CUT) * found.width * found.height,
            turn=_turn(found.points),
            sharpness=face_sharpness(grey),
            highlight=highlight(grey),
            blown_out=blown_out(grey),
            identity=self._numbers(picture, found) if is_main else (),
        )

    def _numbers(self, picture: Image.Image, found: Found) -> tuple[float, ...]:
        pixels = np.asarray(picture)
        left, top = int(found.left), int(found.top)
        rectangle = dlib.rectangle(left, top, left + int(found.width), top + int(found.height))
        return tuple(self._identity.compute_face_descriptor(pixels, self._points(pixels, rectangle)))


def _models() -> Path:
    # Its own `__init__` needs pkg_resources, which new setuptools no longer have; the files are enough.
    spec = importlib.util.find_spec("face_recognition_models")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("face_recognition_models is not installed")
    return Path(spec.submodule_search_locations[0]) / "models"


def _turn(points: Array) -> float:
    """Give how far the nose is from between the eyes, in distances of the eyes, at any tilt."""
    right, left, nose = points[_RIGHT_EYE], points[_LEFT_EYE], points[_NOSE]
    along = left - right
    length = max(1e-6, math.hypot(*along.tolist()))
    turn = float(np.dot(nose - (left + right) / 2, along)) / length**2
    return min(9.0, max(-9.0, turn))
