"""Can it be read: the contrast of a color with what lies behind it.

Luminance and ratio as in the Web Content Accessibility Guidelines 2.2 (relative luminance, contrast ratio).
"""

from __future__ import annotations

import numpy as np

#: Least ratio of a color with nine tenths of its ground: WCAG's floor for large text.
FLOOR = 3.0
#: Least ratio of a color with its outline: WCAG's floor for small text, as an outline is only a few px wide. Black or
#: white gives it to every color: sqrt(21) is the least of the larger of both ratios.
OUTLINED_FLOOR = 4.5

_LINEAR = np.arange(256) / 255
_LINEAR = np.where(_LINEAR <= 0.04045, _LINEAR / 12.92, ((_LINEAR + 0.055) / 1.055) ** 2.4).astype(np.float32)
_WEIGHTS = np.array([0.2126, 0.7152, 0.0722], np.float32)


def luminance(rgb: np.ndarray) -> np.ndarray:
    """(...) relative luminance 0..1 of (..., 3) uint8 sRGB."""
    return _LINEAR[rgb] @ _WEIGHTS


def ratio(a: float, b: float) -> float:
    """Contrast ratio of two luminances, 1..21."""
    return (max(a, b) + 0.05) / (min(a, b) + 0.05)


def against(color: tuple[int, int, int], ground: tuple[float, float]) -> float:
    """Least ratio of a color with a ground, see `ground_of`."""
    own = float(luminance(np.array(color, np.uint8)))
    low, high = ground
    if low < own < high:
        return 1.0
    return min(ratio(own, low), ratio(own, high))


def ground_of(photo: np.ndarray, box: tuple[float, float, float, float]) -> tuple[float, float]:
    """(5th, 95th percentile) of the luminance in a box (x0, y0, x1, y1) px of an (H, W, 3) photograph."""
    x0, y0 = (max(0, int(v)) for v in box[:2])
    part = photo[y0 : max(y0 + 1, int(np.ceil(box[3]))), x0 : max(x0 + 1, int(np.ceil(box[2])))]
    step = max(1, int(np.sqrt(part.shape[0] * part.shape[1] / 2048)))
    values = np.sort(luminance(part[::step, ::step]).ravel())
    return float(values[len(values) // 20]), float(values[-1 - len(values) // 20])
