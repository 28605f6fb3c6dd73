"""Slot `geometry/0`: `{"op": ...}`. The last to be applied: it moves the finished picture.

Every result has sides that are multiples of `GRID` px, so that no trainer has to resample it.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

GRID = 16


def render(rgb: np.ndarray, value: dict[str, Any]) -> np.ndarray:
    """The picture after the operation. KeyError for an op that `RENDERERS` lacks."""
    return RENDERERS[value["op"]](rgb, value)


def crop(rgb: np.ndarray, value: dict[str, Any]) -> np.ndarray:
    """`share` of both sides (0..1) around (`x`, `y`), fractions; moved inwards where it would leave the picture."""
    height, width = rgb.shape[:2]
    share = float(value.get("share", 0.6))
    rows, columns = (max(GRID, int(side * share) // GRID * GRID) for side in (height, width))
    top = int(np.clip(round(float(value.get("y", 0.5)) * height - rows / 2), 0, height - rows))
    left = int(np.clip(round(float(value.get("x", 0.5)) * width - columns / 2), 0, width - columns))
    return np.ascontiguousarray(rgb[top : top + rows, left : left + columns])


def rotate(rgb: np.ndarray, value: dict[str, Any]) -> np.ndarray:
    """By `degrees` clockwise, a multiple of 90."""
    turns = round(float(value["degrees"]) / 90) % 4
    return np.ascontiguousarray(np.rot90(rgb, -turns))


def flip(rgb: np.ndarray, value: dict[str, Any]) -> np.ndarray:
    """`axis` horizontal: left becomes right; vertical: top becomes bottom."""
    return np.ascontiguousarray(rgb[:, ::-1] if value["axis"] == "horizontal" else rgb[::-1])


def straighten(rgb: np.ndarray, value: dict[str, Any]) -> np.ndarray:
    """Tilted by `degrees` (up to 15) about the center, then cut to what holds no empty corner, at the size it was.

    The slot's neutral value is the level picture, which is why a tilt is what gets drawn.
    """
    height, width = rgb.shape[:2]
    degrees = float(value["degrees"])
    tilt = np.deg2rad(abs(degrees))
    scale = max(
        (width * np.cos(tilt) + height * np.sin(tilt)) / width,
        (width * np.sin(tilt) + height * np.cos(tilt)) / height,
    )
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, scale)
    return cv2.warpAffine(rgb, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


RENDERERS = {"crop": crop, "rotate": rotate, "flip": flip, "straighten": straighten}
