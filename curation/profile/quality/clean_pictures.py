"""Clean pictures to distort: photographs framed anew, some with things drawn into them, drawn surfaces, and pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from . import distortions as d
from .pages import page
from .scenery import decorate
from .surfaces import surface

#: Shares of surfaces and of pages; share of photographs that get lettering, shapes, wires or patterns.
_SURFACES, _PAGES, _DECORATED = 0.1, 0.1, 0.2
#: Pages take long to draw: they are at most this large.
_LARGEST_PAGE_PX = 600


class Clean(NamedTuple):
    """Attributes:
    rgb: uint8 [h, w, 3].
    flat: it is of few colors, so that banding does not show in it.
    """

    rgb: np.ndarray
    flat: bool


def clean_picture(photos: Sequence[np.ndarray], fonts: Sequence[str], side_px: int, rng: d.Rng) -> Clean:
    """A clean picture, as sharp as pixels allow.

    Args:
        photos: uint8 [h, w, 3].
        fonts: font files for lettering and pages; without any, pages are diagrams and charts, and photographs stay as they are.
        side_px: about the short side; surfaces have 224 to 352 px.
    """
    kind = rng.random()
    if kind < _SURFACES:
        return Clean(surface(*rng.integers(224, 353, 2).tolist(), rng), flat=False)
    if kind < _SURFACES + _PAGES:
        return Clean(_page(min(side_px, _LARGEST_PAGE_PX), fonts, rng), flat=True)
    rgb = photo_window(photos[rng.integers(len(photos))], side_px, rng)
    if len(fonts) and rng.random() < _DECORATED:
        rgb = decorate(rgb, photos[rng.integers(len(photos))], fonts, rng)
    return Clean(rgb, flat=False)


def clean_copy(base: np.ndarray, short_side_px: int) -> np.ndarray:
    """Reduced to a short side by area, so that the photograph's own noise and artifacts average out: uint8 [h, w, 3]."""
    h, w = base.shape[:2]
    scale = short_side_px / min(h, w)
    size = (max(64, round(w * scale)), max(64, round(h * scale)))
    return cv2.resize(base, size, interpolation=cv2.INTER_AREA)


def photo_window(base: np.ndarray, side_px: int, rng: d.Rng) -> np.ndarray:
    """A part of a photograph, reduced to about that side, as far as the photograph goes: uint8 [h, w, 3]."""
    h, w = base.shape[:2]
    factor = min(rng.uniform(1.4, 1.8 if min(h, w) < 600 else 3.2), min(h, w) / 160)
    side = int(side_px * factor)
    top, left = rng.integers(0, max(1, h - side + 1)), rng.integers(0, max(1, w - side + 1))
    window = base[top : top + side, left : left + side]
    return clean_copy(window, int(min(window.shape[:2]) / factor))


def _page(side_px: int, fonts: Sequence[str], rng: d.Rng) -> np.ndarray:
    """Drawn larger and reduced by area, as photographs are, so that edges are as sharp as theirs."""
    finer = rng.uniform(1.5, 2.2)
    sides = side_px * finer * np.array([1, rng.uniform(1, 1.5)])
    drawn = page(*rng.permutation(sides).astype(int).tolist(), fonts, rng)
    return cv2.resize(drawn, None, fx=1 / finer, fy=1 / finer, interpolation=cv2.INTER_AREA)
