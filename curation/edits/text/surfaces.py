"""Where a point of the flat sheet of text lies in the picture: turned, in perspective, around a cylinder; and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np


class Placing:
    """From sheet to picture and back, px. The sheet is as large as the picture.

    Args:
        item: a checked text item. middle: of its block on the sheet, about which it turns.
        shape: (height, width, ...) of the picture.
    """

    def __init__(self, item: Mapping[str, Any], middle: tuple[float, float], shape: tuple[int, ...]):
        self._middle = np.array(middle)
        self._rows, self._columns = shape[:2]
        angle = np.deg2rad(float(item["rotation"]))
        self._turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        surface = item["surface"]
        self._bend = float(surface["bend"]) if surface and surface["kind"] == "cylinder" else None
        self._plane: np.ndarray | None = None
        if surface and surface["kind"] == "quad":
            sides = np.array([self._columns, self._rows], np.float32)
            square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32) * sides
            self._plane = cv2.getPerspectiveTransform(
                square, np.array(surface["corners"], np.float32) * sides
            )
        self.flat = surface is None and angle == 0
        self.straight = self._bend is None

    def forward(self, points: np.ndarray) -> np.ndarray:
        """(n, 2) points of the sheet -> (n, 2) of the picture."""
        points = (points - self._middle) @ self._turn.T + self._middle
        if self._plane is not None:
            return _projected(points, self._plane)
        if self._bend is not None:
            across = np.clip(2 * points[:, 0] / self._columns - 1, -1.5, 1.5) * self._bend
            x = (np.sin(across) / np.sin(self._bend) + 1) * self._columns / 2
            return np.stack([x, points[:, 1] - self._sag(across)], axis=1)
        return points

    def back(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates of the picture, (w,) and (h,), -> x and y on the sheet of their grid, (h, w) float32 each."""
        u, v = x[None, :].astype(np.float64), y[:, None].astype(np.float64)
        if self._plane is not None:
            a, b, c = np.linalg.inv(self._plane)
            depth = c[0] * u + (c[1] * v + c[2])
            u, v = (a[0] * u + (a[1] * v + a[2])) / depth, (b[0] * u + (b[1] * v + b[2])) / depth
        elif self._bend is not None:
            sine = np.clip((2 * u / self._columns - 1) * np.sin(self._bend), -0.999, 0.999)
            across = np.arcsin(sine)
            u, v = (across / self._bend + 1) * self._columns / 2, v + self._sag(across)
        (cos, less), (sine, _) = self._turn
        u, v = u - self._middle[0], v - self._middle[1]
        u, v = u * cos + v * sine + self._middle[0], u * less + v * cos + self._middle[1]
        shape = (len(y), len(x))
        return tuple(np.broadcast_to(w, shape).astype(np.float32) for w in (u, v))  # type: ignore[return-value]

    def _sag(self, across: np.ndarray) -> np.ndarray:
        """How far a ring of a cylinder seen from a little above rises to its sides, px."""
        return (1 - np.cos(across)) * 0.35 * self._rows


def _projected(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    moved = np.c_[points, np.ones(len(points))] @ matrix.T
    return moved[:, :2] / moved[:, 2:]
