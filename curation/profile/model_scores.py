"""What the bundled models say of pictures, a few at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from .decoded import Decoded, oriented

if TYPE_CHECKING:
    from .forensic import Forensic
    from .quality.model import QualityModel, View

#: Pictures that go through the networks together. After each decode their weights have to come from memory again, and
#: every call costs the same for one picture as for some. More than 16 gain nothing, and each waits with some 2 MB, 6 at most.
AT_A_TIME = 16


class ModelScores:
    """Scores rows of the profile, as many together as the networks are quickest with.

    What the networks look at is taken from a picture at once, some megabytes, so that no large picture is kept. Not safe
    to use from several threads at once.
    """

    def __init__(self, quality: QualityModel, forensic: Forensic | None = None):
        """Args:
        quality: the degradation model.
        forensic: the classifier of generated pixels; without it `ai_forensic` stays as it is.
        """
        self._quality, self._forensic = quality, forensic
        self._waiting: list[tuple[dict[str, Any], View, np.ndarray | None]] = []

    def add(self, row: dict[str, Any], image: Decoded, fine: np.ndarray, small: np.ndarray) -> None:
        """Take a picture; its columns of `QUALITY_SCHEMA` are filled in by the time of the next `finish`.

        Args:
            row: columns of the picture, by name.
            image: the picture.
            fine: uint8 [h, w, 3] or [h, w], `glimpses.fine_copy` of its pixels, before color management and turn.
            small: uint8 [h, w, 3], its copy of short side 336 px, as displayed.
        """
        # what the models look at is finer than color management; where watermarks are looked for depends on the turn alone
        rgb = _colored(image.pixels)
        crops = None if self._forensic is None else self._forensic.crops(rgb)
        fine = _colored(fine)
        halved = fine if fine.shape[:2] == (rgb.shape[0] // 2, rgb.shape[1] // 2) else None
        view = self._quality.view(rgb, small, oriented(fine, image.turn), halved)
        self._waiting.append((row, view, crops))
        if len(self._waiting) == AT_A_TIME:
            self.finish()

    def finish(self) -> None:
        """Score what is waiting."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        rows, views, crops = zip(*waiting, strict=True)
        for row, scores in zip(rows, self._quality.scores_of(views), strict=True):
            row.update(scores)
        if self._forensic is not None:
            for row, probability in zip(rows, self._forensic.probabilities(crops), strict=True):
                row["ai_forensic"] = probability


def _colored(pixels: np.ndarray) -> np.ndarray:
    """Pixels [h, w, 3] as they are, grey [h, w] in three channels."""
    return pixels if pixels.ndim == 3 else cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)
