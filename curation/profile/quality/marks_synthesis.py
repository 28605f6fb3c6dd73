"""Training pairs for watermarks: the same picture without and with a mark, made fast from a bank.

Drawing letters and scenes anew for every pair would take longer than the network needs to learn from it. So some
thousand scenes and masks are kept, combined at random, and replaced by new ones little by little.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from . import distortions as d
from .blending import VISIBLE, blend
from .crops import OVERVIEW_PX, overview
from .inputs import mark_cells
from .network import MarkNetwork
from .pages import page
from .products import on_plain_ground
from .scenery import decorate, made_up
from .watermarks import watermark_mask

#: Marks are stronger at first, since of faint ones alone nothing is learned for long: pairs after which half of
#: what is added is left.
_HALF_LIFE_PAIRS = 25_000
#: Share of the bank's scenes and masks that is made anew per pair taken.
_RENEWED_SCENES, _RENEWED_MASKS = 0.1, 0.08


@dataclass(frozen=True)
class MarkPair:
    """Attributes:
    cells: uint8 [2, 80, 80, 24], see `inputs.mark_cells`: without and with the mark.
    mask: float32 [cells, cells], 1 where the mark covers the second.
    """

    cells: np.ndarray
    mask: np.ndarray


def scene(photos: Sequence[np.ndarray], fonts: Sequence[str], rng: d.Rng) -> np.ndarray:
    """A clean overview: a photograph, or a page, scene or product made up, framed and turned anew, often with things in it that
    only look like marks.

    Returns:
        uint8 [OVERVIEW_PX, OVERVIEW_PX, 3].
    """
    if rng.random() < 0.15:
        rgb = _framed(_drawn(photos, fonts, rng), rng, closest=0.45)
    else:
        rgb = _framed(photos[rng.integers(len(photos))], rng, closest=0.2)
    if rng.random() < 0.4:
        angle = rng.choice([90.0, 180.0, 270.0, rng.uniform(-25, 25)])
        rgb = _turned(rgb, float(angle))
    if rng.random() < 0.2:
        rgb = np.ascontiguousarray(rgb[..., rng.permutation(3)])
    if rng.random() < 0.12:
        rgb = decorate(rgb, photos[rng.integers(len(photos))], fonts, rng)
    rgb = overview(rgb)
    if rng.random() < 0.25:
        rgb = _grown_over(rgb, overview(_framed(photos[rng.integers(len(photos))], rng, closest=0.2)), rng)
    return _bent(rgb, rng) if rng.random() < 0.25 else rgb


def _drawn(photos: Sequence[np.ndarray], fonts: Sequence[str], rng: d.Rng) -> np.ndarray:
    size = 336, int(rng.integers(336, 505))
    kind = rng.integers(3)
    if kind == 0:
        return page(*size, fonts, rng)
    if kind == 1:
        return made_up(*size, rng)
    return on_plain_ground(*size, photos[rng.integers(len(photos))], rng)


def _framed(rgb: np.ndarray, rng: d.Rng, closest: float) -> np.ndarray:
    """A `framed` part of a picture, at the size of the copy that overviews are made of."""
    rgb = framed(rgb, rng, closest)
    scale = min(1.0, 336 / min(rgb.shape[:2]))
    size = (max(48, round(rgb.shape[1] * scale)), max(48, round(rgb.shape[0] * scale)))
    rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    return cv2.flip(rgb, 1) if rng.random() < 0.5 else rgb


def framed(rgb: np.ndarray, rng: d.Rng, closest: float) -> np.ndarray:
    """A part of a picture, at times all of it.

    Args:
        closest: least share of each side that is kept (a fifth less at times); never less than 200 px.
    """
    if rng.random() >= 0.8:
        return rgb
    h, w = rgb.shape[:2]
    keep = math.exp(rng.uniform(math.log(closest), 0)) * rng.uniform(0.8, 1.0, 2)
    ch, cw = (min(side, max(200, int(side * k))) for side, k in zip((h, w), keep, strict=True))
    top, left = rng.integers(0, h - ch + 1), rng.integers(0, w - cw + 1)
    return rgb[top : top + ch, left : left + cw]


def _field(cells: int, rng: d.Rng) -> np.ndarray:
    """Smooth normal noise of so many cells along a side: float32 [OVERVIEW_PX, OVERVIEW_PX]."""
    coarse = rng.standard_normal((cells, cells), np.float32)
    return cv2.resize(coarse, (OVERVIEW_PX, OVERVIEW_PX), interpolation=cv2.INTER_CUBIC)


def _grown_over(rgb: np.ndarray, other: np.ndarray, rng: d.Rng) -> np.ndarray:
    """Two pictures, one in each other's smooth patches: new neighborhoods from the same photographs."""
    share = 1 / (1 + np.exp(-_field(int(rng.integers(2, 6)), rng) * np.float32(rng.uniform(6, 20))))
    return cv2.blendLinear(rgb, other, share, 1 - share)


def _bent(rgb: np.ndarray, rng: d.Rng) -> np.ndarray:
    """Pulled about smoothly, by a few percent."""
    across, down = np.meshgrid(*2 * [np.arange(OVERVIEW_PX, dtype=np.float32)])
    reach = np.float32(rng.uniform(2, 9))
    return cv2.remap(
        rgb,
        across + reach * _field(4, rng),
        down + reach * _field(4, rng),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    )


def _turned(rgb: np.ndarray, degrees: float) -> np.ndarray:
    quarter = round(degrees / 90)
    if degrees % 90 == 0:
        return np.ascontiguousarray(np.rot90(rgb, quarter))
    h, w = rgb.shape[:2]
    turn = cv2.getRotationMatrix2D((w / 2, h / 2), degrees, 1.2)
    return cv2.warpAffine(rgb, turn, (w, h), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def mask_of_overview(fonts: Sequence[str], rng: d.Rng) -> np.ndarray:
    """A mark drawn on a picture of random size and squeezed with it: uint8 [OVERVIEW_PX, OVERVIEW_PX, 2]."""
    short = int(rng.integers(336, 560))
    sides = (short, int(short * rng.uniform(1, 1.8)))
    h, w = sides if rng.random() < 0.6 else sides[::-1]
    mask = watermark_mask(h, w, fonts, rng)
    return cv2.resize(mask, (OVERVIEW_PX, OVERVIEW_PX), interpolation=cv2.INTER_AREA)


class Bank:
    """Scenes and masks to combine, renewed by use. What comes out depends on the arguments alone.

    Args:
        size: scenes, and masks, kept.
        easy: levels of visible change that the first marks have beyond the least.
    """

    def __init__(
        self, photos: Sequence[np.ndarray], fonts: Sequence[str], rng: d.Rng, size: int, easy: float
    ):
        self._photos, self._fonts, self._rng, self._taken, self._easy = photos, fonts, rng, 0, easy
        self._scenes = [scene(photos, fonts, rng) for _ in range(size)]
        self._masks = [mask_of_overview(fonts, rng) for _ in range(size)]

    def pair(self) -> MarkPair:
        """The next pair."""
        rng = self._rng
        i, j = rng.integers(len(self._scenes)), rng.integers(len(self._masks))
        if rng.random() < _RENEWED_SCENES:
            self._scenes[i] = scene(self._photos, self._fonts, rng)
        if rng.random() < _RENEWED_MASKS:
            self._masks[j] = mask_of_overview(self._fonts, rng)
        rgb, mask = self._scenes[i], self._masks[j]
        if rng.random() < 0.5:
            rgb = cv2.flip(rgb, 1)
        rgb = _toned(rgb, rng)
        if rng.random() < 0.7:
            moved = _moved(mask, rng)
            mask = moved if moved.any() else mask
        marked = blend(rgb, mask, rng, VISIBLE + self._easy * 0.5 ** (self._taken / _HALF_LIFE_PAIRS))
        self._taken += 1
        changed = cv2.threshold(cv2.absdiff(marked, rgb), 6, 255, cv2.THRESH_BINARY)[1]
        size = (MarkNetwork.MASK_CELLS,) * 2
        covered = cv2.resize(changed, size, interpolation=cv2.INTER_AREA).max(axis=2) > 0.04 * 255
        seed = rng.integers(1 << 62)
        both = [mark_cells(_finished(x, np.random.default_rng(seed))) for x in (rgb, marked)]
        return MarkPair(np.stack(both), covered.astype(np.float32))


def _toned(rgb: np.ndarray, rng: d.Rng) -> np.ndarray:
    """Brighter or darker, flatter, tinted, grey."""
    levels = np.arange(256, dtype=np.float32)[:, None] / 255
    gamma = np.exp(rng.normal(0, 0.35)) * np.exp(rng.normal(0, 0.06, 3))
    low, high = sorted(rng.uniform(0, 1, 2)) if rng.random() < 0.15 else (0.0, 1.0)
    high = max(high, low + 0.3)
    table = d.to_uint8(255 * (low + (high - low) * levels**gamma))
    rgb = cv2.LUT(rgb, np.ascontiguousarray(table.reshape(1, 256, 3)))
    return d.monochrome(rgb) if rng.random() < 0.08 else rgb


def _moved(mask: np.ndarray, rng: d.Rng) -> np.ndarray:
    """A little larger or smaller, elsewhere."""
    side = OVERVIEW_PX
    turn = cv2.getRotationMatrix2D(
        (side / 2, side / 2), float(rng.normal(0, 3)), float(rng.uniform(0.8, 1.25))
    )
    turn[:, 2] += rng.uniform(-0.2, 0.2, 2) * side
    return cv2.warpAffine(mask, turn, (side, side), flags=cv2.INTER_LINEAR)


def _finished(rgb: np.ndarray, rng: d.Rng) -> np.ndarray:
    """What comes after the mark: blur or noise, compression."""
    draw = rng.random()
    if draw < 0.1:
        rgb = cv2.GaussianBlur(rgb, (0, 0), rng.uniform(0.3, 1.0))
    elif draw < 0.2:
        rgb = d.noise(rgb, rng.uniform(1, 15), rng)
    elif draw < 0.28:
        rgb = cv2.addWeighted(rgb, 1.6, cv2.GaussianBlur(rgb, (0, 0), 1.2), -0.6, 0)
    if rng.random() < 0.25:
        rgb = d.jpeg(rgb, int(rng.integers(35, 98)), "420")
    return rgb
