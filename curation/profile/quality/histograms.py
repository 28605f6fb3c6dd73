"""Color and light of a picture as histograms: all that its cast and exposure are judged by.

In log-chroma coordinates (log green/red, log green/blue) a change of white balance shifts every pixel alike
(Barron, "Convolutional color constancy", 2015), so what a cast does to the histogram of a neutral picture is a
translation.
"""

from __future__ import annotations

import cv2
import numpy as np

#: Side of the copy in which is counted, in pixels.
COARSE_PX = 80
#: Bins along a side of a log-chroma histogram, and bins per unit of (natural) log chroma; 0 is in the middle.
BINS, BINS_PER_UNIT = 64, 16
#: Histograms: of dark, middle, bright pixels and of edges.
CHROMA_CHANNELS = 4
#: Numbers on light, see `light`.
LIGHT_BINS = 32 + 16 + 16 + 4

_DARK_LUMA, _BRIGHT_LUMA = 70, 150
#: A channel beyond these is clipped, or too dark to have a color.
_LOWEST, _HIGHEST = 4, 248
#: Weakest edge counted: sum of differences of a channel in two directions, largest channel.
_EDGE = 10
_LOG = np.log(np.arange(256, dtype=np.float32) + 1).reshape(1, 256)


def coarse(overview: np.ndarray) -> np.ndarray:
    """uint8 [320, 320, 3] to [80, 80, 3] by area."""
    return cv2.resize(overview, (COARSE_PX, COARSE_PX), interpolation=cv2.INTER_AREA)


def log_chroma(rgb: np.ndarray) -> np.ndarray:
    """Histograms of log chroma.

    Args:
        rgb: uint8 [80, 80, 3].

    Returns:
        float32 [CHROMA_CHANNELS, BINS, BINS], axes (channel, log g/r, log g/b): square roots of shares of all
        pixels, so that rare colors count.
    """
    log = cv2.LUT(rgb, _LOG)
    luma = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    r, g, b = cv2.split(rgb)
    low, high = cv2.min(cv2.min(r, g), b), cv2.max(cv2.max(r, g), b)
    usable = (low >= _LOWEST) & (high <= _HIGHEST)
    group = (luma >= _DARK_LUMA).astype(np.int32) + (luma >= _BRIGHT_LUMA)
    where = [(_bin(log) + group * BINS**2)[usable]]
    x = rgb.astype(np.int16)
    edge = np.abs(x[1:, 1:] - x[:-1, 1:]) + np.abs(x[1:, 1:] - x[1:, :-1])
    edge = np.minimum(edge, 255).astype(np.uint8)
    strong = (cv2.max(cv2.max(edge[..., 0], edge[..., 1]), edge[..., 2]) >= _EDGE) & usable[1:, 1:]
    where.append(_bin(cv2.LUT(edge, _LOG))[strong] + 3 * BINS**2)
    counts = np.bincount(np.concatenate(where), minlength=CHROMA_CHANNELS * BINS**2)
    shares = counts.astype(np.float32).reshape(CHROMA_CHANNELS, BINS, BINS) / np.float32(COARSE_PX**2)
    return np.sqrt(shares)


def _bin(log: np.ndarray) -> np.ndarray:
    """Flat index of the bin of log values [..., 3] of red, green, blue."""
    green = log[..., 1]
    row, column = (
        np.clip((green - log[..., k]) * BINS_PER_UNIT + (BINS // 2 + 0.5), 0, BINS - 1).astype(np.int32)
        for k in (0, 2)
    )
    return row * BINS + column


def light(rgb: np.ndarray) -> np.ndarray:
    """Histograms of luma, of the largest and of the smallest channel, and what is clipped or without color.

    Args:
        rgb: uint8 [80, 80, 3].

    Returns:
        float32 [LIGHT_BINS]: square roots of shares.
    """
    r, g, b = cv2.split(rgb)
    low, high = cv2.min(cv2.min(r, g), b), cv2.max(cv2.max(r, g), b)
    luma = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    parts = [
        cv2.calcHist([plane], [0], None, [bins], [0, 256]).ravel()
        for plane, bins in ((luma, 32), (high, 16), (low, 16))
    ]
    parts.append(
        [
            np.count_nonzero(high >= 253),
            np.count_nonzero(low >= 250),
            np.count_nonzero(high <= 5),
            np.count_nonzero(cv2.subtract(high, low) <= 4),
        ]
    )
    return np.sqrt(np.concatenate(parts).astype(np.float32) / np.float32(luma.size))
