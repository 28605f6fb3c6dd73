"""Uniform borders: studio backgrounds, and frames and letterboxes to the pixel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .count_kernels import any_plain_side, border_moments, plain_lines

#: Width of the border, as a share of the short side.
_SHARE = 0.02

#: A line belongs to a frame when this share of it is within so many levels of the frame's color:
#: compression leaves bars neither quite even nor quite clean where they meet the picture.
_LINE_SHARE, _LEVELS = 0.98, 10
#: Next to a frame begins a picture: a line that differs over this share of its length within so many lines.
#: What only sticks into a plain background (a tower into the sky) begins with less. JPEG blurs an edge over a block.
_PICTURE_SHARE, _PICTURE_LINES = 0.4, 8
#: The same in lines of the small copy.
_SMALL_PICTURE_LINES = 5
#: Points looked at per line, and which of them before any other.
_LINE_POINTS, _PROBE_EVERY = 256, 16


class BorderVariance(NamedTuple):
    """Variance of the border's pixels per side, in levels², 0 (uniform) .. 16256.

    `pair` is that of the plainer pair of opposite sides, pooled.
    """

    pair: float
    top: float
    right: float
    bottom: float
    left: float


def border_variance(rgb: np.ndarray) -> BorderVariance:
    """Variance of the border's pixels: of each side, and of the plainer pair of opposite sides.

    The border is 2% of the short side wide. The variance of each channel is taken over all pixels of
    a strip and averaged over channels. For a pair the two strips are pooled; the smaller of the
    two pairs counts, so that bars above and below are like a frame all around, while a plain sky
    on one side only is not.

    Args:
        rgb: uint8 [h, w, 3]; meant for the working image, so that grain averages out.
    """
    depth = max(1, round(_SHARE * min(rgb.shape[:2])))
    height, width = rgb.shape[:2]
    sums, squares = np.zeros((2, 4, 3), np.int64)
    border_moments(np.ascontiguousarray(rgb), depth, sums, squares)
    pixels = depth * np.array([[width], [height], [width], [height]])
    means = sums / pixels
    top, right, bottom, left = ((squares / pixels - means * means).sum(axis=1) / 3).tolist()
    # two groups of equal size: the mean of their variances, and the variance of their means
    between = ((means[:2] - means[2:]) ** 2).sum(axis=1) / 3
    vertical = (top + bottom) / 2 + float(between[0]) / 4
    horizontal = (left + right) / 2 + float(between[1]) / 4
    return BorderVariance(min(vertical, horizontal), top, right, bottom, left)


class Frame(NamedTuple):
    """Width of a uniform frame or letterbox on each side, in px; 0 = none."""

    top: int
    right: int
    bottom: int
    left: int


def frame(pixels: np.ndarray, small: np.ndarray) -> Frame:
    """The uniform bars around a picture: letterbox, pillarbox, frame, each side on its own.

    A bar is of one color (within 10 levels over 98% of each line), is at most half of the
    picture, and ends at a straight edge: a plain background into which something sticks is no bar.
    The small copy tells about where it ends, the lines around there exactly where.

    Args:
        pixels: uint8 [h, w, 3] or [h, w], at full size.
        small: the same picture, shrunk.

    Returns:
        widths in px of `pixels`; all 0 for a picture that is uniform altogether.
    """
    if pixels.ndim == 2:
        pixels, small = pixels[..., None], small[..., None]
    if not any_plain_side(pixels, _LINE_POINTS, _PROBE_EVERY, 2 * _LEVELS):
        return Frame(0, 0, 0, 0)  # most pictures end here
    top, bottom = _bars(pixels, small, 0)
    left, right = _bars(*_cut(pixels, small, 0, top, bottom), 1)
    if (left or right) and not (top or bottom):  # side bars may have kept the others from being straight
        top, bottom = _bars(*_cut(pixels, small, 1, left, right), 0)
    return Frame(top, right, bottom, left)


def displayed_sides(sides: Sequence[float], turn: int) -> Sequence[float]:
    """Values of the sides (top, right, bottom, left) after a turn by Exif orientation 1..8."""
    top, right, bottom, left = sides
    if turn in (5, 6, 7, 8):  # rows become columns
        top, right, bottom, left = left, bottom, right, top
    if turn in (3, 4, 7, 8):
        top, bottom = bottom, top
    if turn in (2, 3, 6, 7):
        left, right = right, left
    return top, right, bottom, left


def _cut(
    pixels: np.ndarray, small: np.ndarray, axis: int, first: int, last: int
) -> tuple[np.ndarray, np.ndarray]:
    """Picture and small copy without so many lines at the beginning and the end of an axis; of the copy a line is left."""
    if not (first or last):
        return pixels, small
    lines = small.shape[axis]
    scale = lines / pixels.shape[axis]
    inner = slice(first, pixels.shape[axis] - last)
    start = min(math.ceil(first * scale), lines - 1)
    inner_small = slice(start, max(start + 1, lines - math.ceil(last * scale)))
    return (pixels[inner], small[inner_small]) if axis == 0 else (pixels[:, inner], small[:, inner_small])


def _bars(pixels: np.ndarray, small: np.ndarray, axis: int) -> tuple[int, int]:
    """Widths of the bars at the beginning and the end of an axis; both 0 if no picture is left."""
    lines = pixels if axis == 0 else pixels.swapaxes(0, 1)
    first, last = _bar(lines, small, axis, 1), _bar(lines[::-1], small, axis, -1)
    return (first, last) if first + last < len(lines) else (0, 0)


def _bar(lines: np.ndarray, small: np.ndarray, axis: int, direction: int) -> int:
    """Lines of the bar that `lines` [n, m, channels] begin with; at most half of them."""
    every = max(1, lines.shape[1] // _LINE_POINTS)
    probes = np.sort(lines[0, :: every * _PROBE_EVERY], axis=0)
    trim = int(len(probes) > 4)  # one may be off at either end
    if (probes[-1 - trim].astype(np.int16) - probes[trim]).max() > 2 * _LEVELS:
        return 0
    color = probes[len(probes) // 2]
    small_lines = small if axis == 0 else small.swapaxes(0, 1)
    shrunk = len(small_lines)
    depth, least = plain_lines(
        small_lines[::direction][: -(-shrunk // 2) + 2], color, _LEVELS, _LINE_SHARE, _SMALL_PICTURE_LINES
    )
    if depth < 0 or least > 1 - _PICTURE_SHARE:
        return 0
    scale = len(lines) / shrunk
    start = max(0, int((depth - 1) * scale) - 1)
    # a line of the small copy may lie a line off: shrinking drops odd rows at the end
    around = lines[start : math.ceil((depth + 2) * scale) + _PICTURE_LINES, ::every]
    end, least = plain_lines(around, color, _LEVELS, _LINE_SHARE, _PICTURE_LINES)
    straight = end >= 0 and least <= 1 - _PICTURE_SHARE
    return start + end if straight and start + end <= len(lines) // 2 else 0
