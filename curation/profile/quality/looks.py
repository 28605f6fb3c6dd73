"""Looks that are no fault of color or light: soft light, a low sun, strong and pale colors, pages on colored paper."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from . import distortions as d
from .pages import page

#: Side of a page, in pixels.
PAGE_PX = 320


def look(rgb: np.ndarray, grey: bool, rng: d.Rng) -> np.ndarray:
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


def drawn_page(fonts: Sequence[str], painted: float, rng: d.Rng) -> np.ndarray:
    """A page or diagram: uint8 [PAGE_PX, PAGE_PX, 3].

    White paper, colored paper and panels are not overexposed, and tinted paper has no cast.

    Args:
        fonts: font files to write pages in; without any, diagrams alone.
        painted: share of them on colored paper, and with colored panels and slices.
    """
    drawn = page(PAGE_PX, PAGE_PX, fonts, rng)
    if rng.random() < painted:
        drawn = d.to_uint8(drawn * _paint(rng))
    if rng.random() < painted:
        for _ in range(rng.integers(1, 6)):
            _fill(drawn, rng)
    return d.jpeg(drawn, int(rng.integers(40, 98)), "420") if rng.random() < 0.5 else drawn


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
