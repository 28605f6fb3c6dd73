"""The `embedded` aesthetic scorer: a heuristic from measurements. No substitute for a trained head.

It knows what photographers avoid (blur, noise, wrong exposure, a dull or empty frame), not what people
like: a sharp, colorful picture of nothing scores well. It was not fitted to anyone's ratings. For taste, use
a `linear:` head on CLIP embeddings.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import astuple, dataclass

import cv2
import numpy as np

from ..profile.noise import noise_sigma
from ..profile.sharpness import sharpness

LOW, HIGH = 1.0, 10.0

#: Short side that a picture is measured at, in pixels.
_SIDE_PX = 256
_SALIENCY_PX = 64

#: Weights of the parts of `AestheticParts` in their order; ours, by what a fault of each kind should cost.
_WEIGHTS = np.array([0.16, 0.16, 0.24, 0.18, 0.14, 0.12])
_CENTER, _SLOPE = 0.68, 6.0

#: Quality columns that lower the score, each 0 (none) .. 1 (severe), and by how many points at most.
QUALITY_FAULTS = ("blur", "noise", "cast", "overexposed", "underexposed", "jpeg_artifacts")
_FAULT_POINTS = 3.0


@dataclass(frozen=True)
class AestheticParts:
    """What the score is made of, each 0 (poor) .. 1 (good).

    Attributes:
        color: colorfulness, saturating (see `colorfulness`).
        contrast: spread of lightness between its 5th and 95th percentile.
        sharpness: detail, by variance of the Laplacian of Gaussian, on a logarithmic scale.
        exposure: mean lightness near the middle, few clipped pixels.
        composition: how near the visual weight is to the center or to a third, and how gathered it is.
        range: how many of the lightness and hue bins are used: low for flat or near-empty pictures.
    """

    color: float
    contrast: float
    sharpness: float
    exposure: float
    composition: float
    range: float


def aesthetic_score(
    rgb: np.ndarray,
    profile: Mapping[str, float | None] | None = None,
    quality: Mapping[str, float | None] | None = None,
) -> float:
    """1 (poor) .. 10 (good); around 4 to 7.5 for ordinary photographs; black and white costs one and a half to two points.

    Args:
        rgb: uint8 [h, w, 3] sRGB, e.g. the thumbnail.
        profile: `sharpness` (levels², at short side 256 px) and `noise_sigma` (levels, of native pixels)
            where known; otherwise measured in `rgb`, and a thumbnail hides blur and noise of the original.
        quality: columns of `QUALITY_FAULTS` where known; the worst costs up to three points.
    """
    known = profile or {}
    parts = aesthetic_parts(rgb, known.get("sharpness"))
    mean = float(_WEIGHTS @ np.array(astuple(parts)))
    noise = known.get("noise_sigma")
    noise = noise_sigma(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)) if noise is None else noise
    mean *= 1 - 0.35 * _rise(noise, 4.0, 25.0)
    score = LOW + (HIGH - LOW) / (1 + math.exp(-_SLOPE * (mean - _CENTER)))
    faults = [v for n in QUALITY_FAULTS if (v := (quality or {}).get(n)) is not None and math.isfinite(v)]
    return min(HIGH, max(LOW, score - _FAULT_POINTS * max(faults, default=0.0)))


def aesthetic_parts(rgb: np.ndarray, detail: float | None = None) -> AestheticParts:
    """The parts of a picture; `detail`, a sharpness in levels², replaces the picture's own where given."""
    small = _resized(rgb, _SIDE_PX)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    detail = sharpness(grey) if detail is None else detail
    low, high = np.percentile(grey, (5, 95))
    clipped = float(np.mean(grey <= 2) + np.mean(grey >= 253))
    return AestheticParts(
        color=_rise(colorfulness(small), 0.0, 60.0),
        contrast=_rise(float(high - low), 20.0, 170.0),
        sharpness=_rise(math.log1p(detail), math.log1p(3.0), math.log1p(150.0)),
        exposure=(1 - min(1.0, abs(float(grey.mean()) - 118) / 118) ** 1.5) * (1 - min(1.0, 1.5 * clipped)),
        composition=_composition(small),
        range=_used_range(small),
    )


def colorfulness(rgb: np.ndarray) -> float:
    """0 for grey, about 33 for moderately, 82 and more for highly colorful pictures.

    Source: Hasler and Süsstrunk, "Measuring colourfulness in natural images", SPIE 2003, their M3.
    """
    r, g, b = (rgb[..., c].astype(np.float32) for c in range(3))
    rg, yb = r - g, (r + g) / 2 - b
    return float(np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean()))


def _composition(rgb: np.ndarray) -> float:
    """Visual weight by spectral residual saliency (Hou and Zhang, CVPR 2007)."""
    grey = cv2.cvtColor(
        cv2.resize(rgb, (_SALIENCY_PX, _SALIENCY_PX), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY
    )
    grey = grey.astype(np.float64)
    if grey.std() < 1:
        return 0.0
    spectrum = np.fft.fft2(grey)
    magnitude = np.log(np.abs(spectrum) + 1e-6)
    residual = magnitude - cv2.blur(magnitude, (3, 3), borderType=cv2.BORDER_REPLICATE)
    weight = np.abs(np.fft.ifft2(np.exp(residual + 1j * np.angle(spectrum)))) ** 2
    weight = cv2.GaussianBlur(weight, (0, 0), 3.0)
    weight = np.maximum(weight - np.median(weight), 0)
    total = weight.sum()
    if total <= 0:
        return 0.0
    place = (np.arange(_SALIENCY_PX) + 0.5) / _SALIENCY_PX
    x, y = float(weight.sum(axis=0) @ place / total), float(weight.sum(axis=1) @ place / total)
    thirds = [(a, b) for a in (1 / 3, 0.5, 2 / 3) for b in (1 / 3, 0.5, 2 / 3)]
    distance = min(math.hypot(x - a, y - b) for a, b in thirds)
    spread = math.sqrt(
        float(weight.sum(axis=0) @ (place - x) ** 2 + weight.sum(axis=1) @ (place - y) ** 2) / total
    )
    return 0.5 * (1 - _rise(distance, 0.03, 0.2)) + 0.5 * (1 - _rise(spread, 0.2, 0.42))


def _used_range(rgb: np.ndarray) -> float:
    """Share of 16 lightness bins that hold over 1% of the pixels, and of 4 hues out of 12 that do."""
    hsv = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)
    value = np.bincount(hsv[..., 2].ravel() >> 4, minlength=16) / hsv[..., 2].size
    hues = hsv[..., 0][hsv[..., 1] > 40]
    hue = np.bincount(np.minimum(hues // 15, 11), minlength=12) / hsv[..., 2].size
    return 0.75 * float(np.mean(value > 0.01)) + 0.25 * min(1.0, float(np.sum(hue > 0.01)) / 4)


def _rise(value: float, low: float, high: float) -> float:
    """0 up to `low`, 1 from `high`, linear between."""
    return min(1.0, max(0.0, (value - low) / (high - low)))


def _resized(rgb: np.ndarray, side_px: int) -> np.ndarray:
    height, width = rgb.shape[:2]
    scale = side_px / min(height, width)
    if scale >= 1:
        return rgb
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
