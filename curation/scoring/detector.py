"""Faces and nudity in pictures, by the model that ships in the `nudenet` package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from ..errors import ConfigError, MissingDependencyError

_SIDE_PX = 320
_OVERLAP = 0.45
_MIN_SCORE = 0.25

#: Classes of NudeNet 3.4's 320n model, in the order of its output.
_CLASSES = (
    *("FEMALE_GENITALIA_COVERED", "FACE_FEMALE", "BUTTOCKS_EXPOSED", "FEMALE_BREAST_EXPOSED"),
    *("FEMALE_GENITALIA_EXPOSED", "MALE_BREAST_EXPOSED", "ANUS_EXPOSED", "FEET_EXPOSED", "BELLY_COVERED"),
    *("FEET_COVERED", "ARMPITS_COVERED", "ARMPITS_EXPOSED", "FACE_MALE", "BELLY_EXPOSED"),
    *("MALE_GENITALIA_EXPOSED", "ANUS_COVERED", "FEMALE_BREAST_COVERED", "BUTTOCKS_COVERED"),
)
FACE_CLASSES = ("FACE_FEMALE", "FACE_MALE")

#: What makes a picture unsafe. A bare male chest, belly or feet do not.
NSFW_CLASSES = (
    *("BUTTOCKS_EXPOSED", "FEMALE_BREAST_EXPOSED", "FEMALE_GENITALIA_EXPOSED"),
    *("ANUS_EXPOSED", "MALE_GENITALIA_EXPOSED"),
)


@dataclass(frozen=True)
class Detection:
    """One box: class label, score 0..1, and (x, y, width, height) in px of the picture given."""

    label: str
    score: float
    box: tuple[float, float, float, float]


class Detector(Protocol):
    """Finds labeled boxes. Cheap to construct; `load` does the expensive part, once per worker."""

    name: str

    def load(self) -> None: ...

    def detect(self, rgb: np.ndarray) -> list[Detection]:
        """Boxes in a uint8 [h, w, 3] sRGB picture, best first."""


class NudeNetDetector:
    """NudeNet 3.4 (MIT): YOLOv8n at 320 px, 18 classes of body parts, two of them faces. CPU, one thread.

    The package itself gives the network blue first; red first, as here, finds faces with a little more
    confidence. Harmless round shapes score up to about 0.4 as nudity now and then: let rules begin at 0.5.

    Raises:
        MissingDependencyError: by the constructor, where the package is not installed.
    """

    name = "nudenet"

    def __init__(self) -> None:
        spec = find_spec("nudenet")
        if spec is None or spec.origin is None:
            raise MissingDependencyError("'nudenet' needs its package: pip install 'zcurate[safety]'")
        self._file = Path(spec.origin).with_name("320n.onnx")
        if not self._file.is_file():
            raise ConfigError(f"nudenet: no {self._file.name} in the package; install nudenet 3.4")
        self._session: Any = None

    def load(self) -> None:
        if self._session is None:
            import onnxruntime

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            self._session = onnxruntime.InferenceSession(
                str(self._file), options, providers=["CPUExecutionProvider"]
            )
            self._input = self._session.get_inputs()[0].name

    def detect(self, rgb: np.ndarray) -> list[Detection]:
        self.load()
        side = max(rgb.shape[:2])
        square = np.zeros((side, side, 3), np.uint8)
        square[: rgb.shape[0], : rgb.shape[1]] = rgb
        shrinks = side > _SIDE_PX
        pixels = cv2.resize(
            square, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        )
        batch = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], np.float32) / 255
        raw = self._session.run(None, {self._input: batch})[0][0].T  # [boxes, 4 + classes]
        scores = raw[:, 4:].max(axis=1)
        kept = scores >= _MIN_SCORE
        centers, sizes = raw[kept, :2] * side / _SIDE_PX, raw[kept, 2:4] * side / _SIDE_PX
        boxes = np.hstack([centers - sizes / 2, sizes])
        labels, scores = raw[kept, 4:].argmax(axis=1), scores[kept]
        if not len(boxes):
            return []
        best = cv2.dnn.NMSBoxes(boxes.tolist(), scores.tolist(), _MIN_SCORE, _OVERLAP)
        return [
            Detection(_CLASSES[labels[i]], float(scores[i]), tuple(map(float, boxes[i])))
            for i in np.array(best, int).ravel()
        ]


def count_faces(found: Sequence[Detection], threshold: float) -> int:
    """Faces with at least that score."""
    return sum(d.label in FACE_CLASSES and d.score >= threshold for d in found)


def nsfw_score(found: Sequence[Detection]) -> float:
    """Largest score of exposed private parts, 0 where none is found."""
    return max((d.score for d in found if d.label in NSFW_CLASSES), default=0.0)
