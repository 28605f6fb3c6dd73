"""Training samples for cast and exposure: histograms of photographs tinted, brightened and darkened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from . import distortions as d
from .histograms import BINS, BINS_PER_UNIT, COARSE_PX, color_histograms
from .pages import page
from .synthesis import cast_score, exposure_score

#: Side to which photographs are squeezed before they are framed.
_BASE_PX = 160


@dataclass(frozen=True)
class Pages:
    """Pages and diagrams among the samples.

    Attributes:
        share: of all samples.
        painted: share of them on colored paper, and with colored panels and slices. What cast such have, only their makers know.
    """

    share: float
    painted: float


@dataclass(frozen=True)
class ColorSample:
    """Attributes:
    chroma: uint8 [4, 64, 64], of `histograms.color_histograms`, times 255.
    light: float32 [LIGHT_BINS], of the same.
    white: float32 [2], bins (row, column) at which neutral grey came out.
    target, weight: float32 [3]: cast, overexposed, underexposed; weight 0 where one hides another.
    """

    chroma: np.ndarray
    light: np.ndarray
    white: np.ndarray
    target: np.ndarray
    weight: np.ndarray


def color_samples(
    names: Sequence[str],
    photos: Sequence[np.ndarray],
    fonts: Sequence[str],
    pages: Pages,
    count: int,
    rng: d.Rng,
) -> dict[str, torch.Tensor]:
    """The named attributes of so many samples, stacked: see `color_sample`."""
    bases = [cv2.resize(p, (_BASE_PX, _BASE_PX), interpolation=cv2.INTER_AREA) for p in photos]
    found: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for _ in range(count):
        sample = color_sample(bases, fonts, pages, rng)
        for name, values in found.items():
            values.append(getattr(sample, name))
    return {name: torch.from_numpy(np.stack(values)) for name, values in found.items()}


def color_sample(photos: Sequence[np.ndarray], fonts: Sequence[str], pages: Pages, rng: d.Rng) -> ColorSample:
    """A photograph framed anew, with a look that is no fault, cast and exposure as chance has it; or a clean page or diagram.

    Args:
        photos: uint8 [h, w, 3], both sides some 160 px: color needs no more.
        fonts: font files to write pages in; without any, diagrams alone.
    """
    drawn = rng.random() < pages.share
    grey = not drawn and rng.random() < 0.06
    if drawn:
        rgb = _page(fonts, pages.painted, rng)
    else:
        rgb = _look(_framed(photos[rng.integers(len(photos))], rng), grey, rng)
    target, weight = np.zeros(3, np.float32), np.ones(3, np.float32)
    white = np.full((1, 1, 3), 128, np.uint8)
    exposed = rng.random()
    if not drawn and exposed < 0.4:
        over = exposed < 0.2
        stops = float(np.exp(rng.uniform(np.log(0.2), np.log(4.5 if over else 6.0))))
        rgb = d.expose(rgb, stops if over else -stops, rng)
        target[1 if over else 2] = exposure_score(stops)
    if not (drawn or grey) and rng.random() < 0.65:
        seed, strength = rng.integers(1 << 62), rng.uniform(0.02, 1.0)
        rgb = d.cast(rgb, strength, np.random.default_rng(seed))
        white = d.cast(white, strength, np.random.default_rng(seed))
    r, g, b = np.log(white[0, 0].astype(np.float32) + 1)
    target[0] = cast_score(max(r, g, b) - min(r, g, b))
    weight[1:] = target[0] < 0.4
    weight[0] = max(target[1:]) < 0.75  # hardly any color is left
    if rng.random() < (0.1 if drawn else 0.5):
        rgb = d.to_uint8(rgb + d.normal_field(rgb.shape, rng) * np.float32(rng.uniform(0, 3)))
    at = np.array([g - r, g - b], np.float32) * BINS_PER_UNIT + BINS // 2
    chroma, light = color_histograms(rgb)
    chroma = np.rint(255 * np.minimum(chroma, 1)).astype(np.uint8)
    return ColorSample(chroma, light, np.clip(at, 0, BINS - 1), target, weight)


def _page(fonts: Sequence[str], painted: float, rng: d.Rng) -> np.ndarray:
    """White paper, colored paper and panels are not overexposed, and tinted paper has no cast."""
    drawn = page(4 * COARSE_PX, 4 * COARSE_PX, fonts, rng)
    if rng.random() < painted:
        drawn = d.to_uint8(drawn * _paint(rng))
    if rng.random() < painted:
        for _ in range(rng.integers(1, 6)):
            _fill(drawn, rng)
    if rng.random() < 0.5:
        drawn = d.jpeg(drawn, int(rng.integers(40, 98)), "420")
    return cv2.resize(drawn, (COARSE_PX,) * 2, interpolation=cv2.INTER_AREA)


def _fill(drawn: np.ndarray, rng: d.Rng) -> None:
    """The ground of a chart, or all but a margin, or a slice of a pie; in place."""
    (top, bottom), (left, right) = (np.sort(rng.integers(0, len(drawn), 2)).tolist() for _ in range(2))
    if rng.random() < 0.5:
        drawn[top:bottom, left:right] = d.to_uint8(drawn[top:bottom, left:right] * _paint(rng))
        return
    center, axes = ((left + right) // 2, (top + bottom) // 2), ((right - left) // 2, (bottom - top) // 2)
    start = rng.uniform(0, 360)
    color = tuple((255 * _paint(rng)).tolist())
    cv2.ellipse(drawn, center, axes, 0, start, start + rng.uniform(20, 360), color, cv2.FILLED, cv2.LINE_AA)


def _paint(rng: d.Rng) -> np.ndarray:
    """Shares of red, green and blue that a color leaves of white: float [3], often all of one."""
    color = rng.uniform(0.3, 1, 3)
    return color / color.max() if rng.random() < 0.6 else color


def _framed(rgb: np.ndarray, rng: d.Rng) -> np.ndarray:
    """A part, squeezed to a square of `COARSE_PX`."""
    h, w = rgb.shape[:2]
    keep = rng.uniform(0.4, 1.0, 2) if rng.random() < 0.7 else (1.0, 1.0)
    ch, cw = int(h * keep[0]), int(w * keep[1])
    top, left = rng.integers(0, h - ch + 1), rng.integers(0, w - cw + 1)
    return cv2.resize(rgb[top : top + ch, left : left + cw], (COARSE_PX,) * 2, interpolation=cv2.INTER_AREA)


def _look(rgb: np.ndarray, grey: bool, rng: d.Rng) -> np.ndarray:
    """Grey, in soft light, at sunset, with strong or pale colors, or mostly as it is."""
    if grey:
        return d.monochrome(rgb)
    draw = rng.random()
    if draw < 0.085:
        return d.soft_light(rgb, rng)
    if draw < 0.19:
        return low_sun(rgb, rng)
    return _saturated(rgb, rng) if draw < 0.3 else rgb


def low_sun(rgb: np.ndarray, rng: d.Rng) -> np.ndarray:
    """Warm light on what is lit, shade as it was: no fault."""
    lit = cv2.GaussianBlur(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), (0, 0), 1.5).astype(np.float32) / 255
    lit = np.clip((lit - rng.uniform(0, 0.3)) / 0.6, 0, 1)[..., None] ** rng.uniform(0.7, 2)
    warm = np.array([rng.uniform(0.03, 0.2), rng.uniform(-0.05, 0.06), -rng.uniform(0.05, 0.3)])
    return d.to_uint8(rgb * (1 + lit * warm))


def _saturated(rgb: np.ndarray, rng: d.Rng) -> np.ndarray:
    """Colors stronger or paler."""
    grey = d.monochrome(rgb).astype(np.float32)
    return d.to_uint8(grey + (rgb - grey) * np.float32(rng.uniform(0.4, 1.6)))
