"""Slots `pixel/NAME`: what goes wrong with pictures, as a source to restore from or an effect to ask for.

Values are numbers, or an object with `strength` and what else decides the result (`seed`, `angle`).
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import simplejpeg


def blur(rgb: np.ndarray, value: Any) -> np.ndarray:
    """Defocus: a disk of radius `strength` px; with `angle` (degrees), motion along a line of twice that length."""
    radius, angle = _strength(value), value.get("angle") if isinstance(value, dict) else None
    reach = max(1, int(np.ceil(radius)))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32)
    if angle is None:
        kernel = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1)
    else:
        along, across = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
        kernel = np.clip(1 - np.abs(x * across - y * along), 0, 1) * np.clip(
            radius + 0.5 - np.abs(x * along + y * across), 0, 1
        )
    return cv2.filter2D(rgb, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT)


def noise(rgb: np.ndarray, value: Any) -> np.ndarray:
    """Gaussian noise of `strength` levels (standard deviation), drawn by `seed`; a third of it common to all channels."""
    rng = np.random.default_rng(int(value.get("seed", 0)) if isinstance(value, dict) else 0)
    own = rng.standard_normal(rgb.shape, np.float32)
    common = rng.standard_normal((*rgb.shape[:2], 1), np.float32)
    mixed = np.float32(_strength(value)) * (
        np.sqrt(np.float32(2 / 3)) * own + np.sqrt(np.float32(1 / 3)) * common
    )
    return np.clip(np.rint(rgb + mixed), 0, 255).astype(np.uint8)


def jpeg(rgb: np.ndarray, value: Any) -> np.ndarray:
    """Through a JPEG of quality 60 (strength 0) down to 5 (strength 1), colors at half size."""
    quality = round(60 - 55 * min(1.0, _strength(value)))
    data = simplejpeg.encode_jpeg(
        np.ascontiguousarray(rgb), quality=quality, colorspace="RGB", colorsubsampling="420"
    )
    return simplejpeg.decode_jpeg(data, colorspace="RGB")


def downscale(rgb: np.ndarray, value: Any) -> np.ndarray:
    """Down by `strength` (a factor above 1) and up again: what a small picture looks like enlarged."""
    height, width = rgb.shape[:2]
    factor = max(1.0, _strength(value))
    small = (max(1, round(width / factor)), max(1, round(height / factor)))
    return cv2.resize(
        cv2.resize(rgb, small, interpolation=cv2.INTER_AREA), (width, height), interpolation=cv2.INTER_CUBIC
    )


#: In the order in which a camera and a web page would do it.
RENDERERS = {"blur": blur, "downscale": downscale, "noise": noise, "jpeg": jpeg}


def _strength(value: Any) -> float:
    return float(value["strength"] if isinstance(value, dict) else value)
