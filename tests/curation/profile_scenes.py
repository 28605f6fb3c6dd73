"""Drawn scenes for the tests of the profile."""

from __future__ import annotations

import cv2
import numpy as np


def scene(seed: int = 0, height: int = 300, width: int = 400) -> np.ndarray:
    """Shapes of many colors with hard edges on a soft field."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(60, 200, (4, 5, 3), np.uint8)
    image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    for _ in range(60):
        x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
        color = tuple(int(c) for c in rng.integers(0, 255, 3))
        cv2.rectangle(image, (x, y), (x + int(rng.integers(5, 60)), y + int(rng.integers(5, 60))), color, -1)
    return image


def grey(rgb: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
