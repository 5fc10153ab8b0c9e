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

FloatArray = NDArray[np.float32]

DETECTOR_FILE = Path(__file__).with_name("blazeface_full_range.tflite")
_INPUT_PX, _GRID_CELLS = 192, 48
#: Scores from here on are faces; from MAYBE on they are looked at again from nearer.
FACE_SCORE, CANDIDATE_SCORE = 0.7, 0.35
MAX_RECHECKS = 16
_MIN_IOU = 0.3  # of two boxes that are one face
_RECHECK_SCALE = 3.0  # widths of the face that the second look takes in
_CUT_SHARE = 0.1  # of a face beyond the edge
_RIGHT_EYE, _LEFT_EYE, _NOSE = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Detection:
    """A face in pixels of the analysed picture. `points` are eyes, nose, mouth and ears."""

    score: float
    left: float
    top: float
    width: float
    height: float
    keypoints: FloatArray

    def iou(self, other: Detection) -> float:
        """Return the intersection over union with another detection."""
        overlap_width = min(self.left + self.width, other.left + other.width) - max(self.left, other.left)
        overlap_height = min(self.top + self.height, other.top + other.height) - max(self.top, other.top)
        intersection = max(0.0, overlap_width) * max(0.0, overlap_height)
        return intersection / (self.width * self.height + other.width * other.height - intersection)


class BlazeFaceDetector:
    """The two networks, loaded once."""

    def __init__(self) -> None:
        # The delegate would save 12 ms of a photo, and print a line into whatever console there is.
        op_resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        self._detector = Interpreter(
            str(DETECTOR_FILE), num_threads=1, experimental_op_resolver_type=op_resolver
        )
        self._detector.allocate_tensors()
        self._input_index = self._detector.get_input_details()[0]["index"]
        outputs = sorted(self._detector.get_output_details(), key=lambda each: -int(each["shape"][-1]))
        self._boxes_index, self._logits_index = (each["index"] for each in outputs)
        centres = (np.arange(_GRID_CELLS, dtype=np.float32) + 0.5) / _GRID_CELLS
        self._anchors = np.stack(np.meshgrid(centres, centres), -1).reshape(-1, 2)
        folder = _models_folder()
        self._landmark_predictor = dlib.shape_predictor(str(folder / "shape_predictor_5_face_landmarks.dat"))
        embedding_file = str(folder / "dlib_face_recognition_resnet_model_v1.dat")
        self._embedding_model = dlib.face_recognition_model_v1(embedding_file)

    def detect(self, picture: Image.Image) -> tuple[Face, ...]:
        """Return the faces of an RGB picture, the largest first."""
        detections = self._run_detector(picture)
        faces = [each for each in detections if each.score >= FACE_SCORE]
        candidates = [each for each in detections if each.score < FACE_SCORE][:MAX_RECHECKS]
        faces += [each for each in candidates if self._is_face(picture, each)]
        faces.sort(key=lambda each: -each.width)
        return tuple(
            self._measure_face(picture, each, index == 0) for index, each in enumerate(faces[:MAX_FACES])
        )

    def _is_face(self, picture: Image.Image, candidate: Detection) -> bool:
        """Return True if a second look at a small face confirms it. A real face becomes clearer, a button
        does not.
        """
        middle_x, middle_y = candidate.left + candidate.width / 2, candidate.top + candidate.height / 2
        half_side = _RECHECK_SCALE / 2 * max(candidate.width, candidate.height)
        left, top = max(0, int(middle_x - half_side)), max(0, int(middle_y - half_side))
        right, bottom = (
            min(picture.width, int(middle_x + half_side)),
            min(picture.height, int(middle_y + half_side)),
        )
        shifted_candidate = Detection(
            candidate.score,
            candidate.left - left,
            candidate.top - top,
            candidate.width,
            candidate.height,
            candidate.keypoints,
        )
        detections = self._run_detector(picture.crop((left, top, right, bottom)))
        return any(
            each.score >= FACE_SCORE and each.iou(shifted_candidate) >= _MIN_IOU for each in detections
        )

    def _run_detector(self, picture: Image.Image) -> list[Detection]:
        scale = _INPUT_PX / max(picture.size)
        size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
        left, top = ((_INPUT_PX - side) // 2 for side in size)
        input_image = Image.new("RGB", (_INPUT_PX, _INPUT_PX))
        input_image.paste(picture.resize(size, Image.Resampling.BILINEAR), (left, top))
        pixels = np.asarray(input_image, np.float32) / 127.5 - 1
        self._detector.set_tensor(self._input_index, pixels[None])
        self._detector.invoke()
        logits = self._detector.get_tensor(self._logits_index)[0, :, 0]
        scores = 1 / (1 + np.exp(-np.clip(logits, -50, 50)))
        indices = np.flatnonzero(scores >= CANDIDATE_SCORE)
        indices = indices[np.argsort(-scores[indices])]
        # A row holds the box's middle and size, then points, all of them from its cell's centre.
        keypoints = self._detector.get_tensor(self._boxes_index)[0][indices].reshape(-1, 8, 2) / _INPUT_PX
        keypoints[:, [0, 2, 3, 4, 5, 6, 7]] += self._anchors[indices, None]
        keypoints[:, [0, 2, 3, 4, 5, 6, 7]] -= np.array([left, top], np.float32) / _INPUT_PX
        keypoints *= _INPUT_PX / scale
        detections: list[Detection] = []
        for score, points in zip(scores[indices], keypoints, strict=True):
            (x, y), (width, height) = points[0].tolist(), points[1].tolist()
            if min(width, height) < 1 or not (0 <= x < picture.width and 0 <= y < picture.height):
                continue
            detection = Detection(float(score), x - width / 2, y - height / 2, width, height, points[2:])
            if all(detection.iou(other) < _MIN_IOU for other in detections):
                detections.append(detection)
        return detections

    def _measure_face(self, picture: Image.Image, detection: Detection, is_main: bool) -> Face:
        left, top = max(0.0, detection.left), max(0.0, detection.top)
        right = min(float(picture.width), detection.left + detection.width)
        bottom = min(float(picture.height), detection.top + detection.height)
        grey = picture.crop((int(left), int(top), math.ceil(right), math.ceil(bottom))).convert("L")
        picture_width, picture_height = picture.size
        return Face(
            box=Box(
                left / picture_width,
                top / picture_height,
                (right - left) / picture_width,
                (bottom - top) / picture_height,
            ),
            width_px=detection.width,
            is_cut=(right - left) * (bottom - top) < (1 - _CUT_SHARE) * detection.width * detection.height,
            yaw=_head_yaw(detection.keypoints),
            sharpness=face_sharpness(grey),
            highlight=highlight(grey),
            blown_out=blown_out(grey),
            embedding=self._embed_face(picture, detection) if is_main else (),
        )

    def _embed_face(self, picture: Image.Image, detection: Detection) -> tuple[float, ...]:
        pixels = np.asarray(picture)
        left, top = int(detection.left), int(detection.top)
        rectangle = dlib.rectangle(left, top, left + int(detection.width), top + int(detection.height))
        return tuple(
            self._embedding_model.compute_face_descriptor(pixels, self._landmark_predictor(pixels, rectangle))
        )


def _models_folder() -> Path:
    # Its own `__init__` needs pkg_resources, which new setuptools no longer have; the files are enough.
    spec = importlib.util.find_spec("face_recognition_models")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("face_recognition_models is not installed")
    return Path(spec.submodule_search_locations[0]) / "models"


def _head_yaw(points: FloatArray) -> float:
    """Return how far the nose is from the middle of the eyes, in distances of the eyes, at any tilt."""
    right, left, nose = points[_RIGHT_EYE], points[_LEFT_EYE], points[_NOSE]
    eye_vector = left - right
    eye_distance = max(1e-6, math.hypot(*eye_vector.tolist()))
    yaw = float(np.dot(nose - (left + right) / 2, eye_vector)) / eye_distance**2
    return min(9.0, max(-9.0, yaw))
