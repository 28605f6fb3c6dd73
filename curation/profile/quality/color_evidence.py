"""What of a picture tells a cast from the colors of things: numbers that `trees.Trees` judge by.

A change of white balance scales the channels. White that was clipped in all of them is then clipped at another level in
each, and what was nearly white or nearly black shows the same ratio; so much is asked of levels that given shares of each
channel do not exceed, as the assumption of a white patch (Land and McCann, 1971) asks of the highest one. Means of other
powers and of edges are those of the shades-of-grey (Finlayson and Trezzi, 2004) and grey-edge (van de Weijer et al., 2007)
estimates. Where all colors lie to one side of grey, which the projections of log chroma show, no surface can have been grey,
the idea of gamut mapping (Forsyth, 1990). None of these is right for every picture: trees learn which to believe where.
"""

from __future__ import annotations

import numpy as np

from .color_kernels import (
    APART,
    PER_UNIT,
    PROJECTED,
    add_powers,
    brightest,
    count_chroma,
    count_levels,
    quantiles,
)
from .histograms import LIGHT_BINS

#: Shares of a channel's pixels whose highest level is asked for.
_SHARES = np.array(
    (0.0005, 0.003, 0.02, 0.1, 0.3, 0.5, 0.75, 0.9, 0.97, 0.99, 0.997, 0.999, 0.9997), np.float32
)
#: How far below its highest level a channel's pixels are counted, in levels: do they pile up at a wall?
_BELOW_TOP = np.array((2, 5, 10, 20, 40))
#: Pixels at and above, and below such levels, are counted.
_FROM, _BEYOND = np.array((253, 245)), np.array((1, 3, 6, 11))
#: Shares of the pixels that count as the brightest.
_BRIGHTEST = (0.005, 0.03, 0.1)
#: Quantiles of how far channels lie apart, in each group of brightness and in all, and of projected log chroma.
_APART_IN_GROUP = np.array((0.01, 0.05, 0.2, 0.5, 0.8), np.float32)
_APART_IN_ALL = np.array((0.001, 0.01, 0.05, 0.2, 0.5, 0.8, 0.95), np.float32)
_PROJECTED = np.array((0.005, 0.02, 0.1, 0.5, 0.9, 0.98, 0.995), np.float32)
#: Unit vectors, an eighth of a half turn apart.
_DIRECTIONS = np.array([(np.cos(t), np.sin(t)) for t in np.arange(8) * np.pi / 8], np.float32)
#: Estimates of the color of light other than by levels: brightest by least channel and by sum, edges, sixth power, mean.
_ESTIMATES = 2 * len(_BRIGHTEST) + 3
_OF_WALLS = len(_BELOW_TOP) + len(_FROM) + len(_BEYOND)

#: Numbers of `color_evidence`.
EVIDENCE = (
    5 * len(_SHARES)
    + 5 * _OF_WALLS
    + 5 * _ESTIMATES
    + (3 * len(_APART_IN_GROUP) + len(_APART_IN_ALL) + 3)
    + (len(_DIRECTIONS) * len(_PROJECTED) + 3)
    + LIGHT_BINS
)

#: Log of every level, in bins.
_LOGS = np.log(np.arange(256, dtype=np.float32) + 1) * np.float32(PER_UNIT)


def color_evidence(whole: np.ndarray, small: np.ndarray, light: np.ndarray) -> np.ndarray:
    """All that a cast is judged by.

    Args:
        whole: uint8 [320, 320, 3], see `crops.overview`.
        small: uint8 [80, 80, 3], its `histograms.coarse` copy.
        light: float32 [LIGHT_BINS], of that, see `histograms.light_histogram`.

    Returns:
        float32 [EVIDENCE].
    """
    counts = np.zeros((3, 256), np.int32)
    count_levels(whole, counts)
    levels = _quantiles(counts, _SHARES)
    walls = _walls(counts, levels[:, -1].astype(np.int64))
    found = [*_colors(np.log(levels.T + 1)), walls, walls.max(axis=0), walls.min(axis=0)]
    found += [*_colors(_other_estimates(small)), *_distances(small), light]
    return np.concatenate([x.reshape(-1) for x in found], dtype=np.float32)


def _walls(counts: np.ndarray, top: np.ndarray) -> np.ndarray:
    """Square roots of the shares of pixels near a channel's highest level, near white and near black: [3, _OF_WALLS].

    Args:
        counts: int32 [3, 256], of levels.
        top: int64 [3], highest levels, but for a few pixels.
    """
    below = np.zeros((3, 257), np.float32)
    np.cumsum(counts, axis=1, out=below[:, 1:])
    below /= below[:, -1:]
    upper = np.concatenate([np.maximum(top[:, None] - _BELOW_TOP, 0), np.tile(_FROM, (3, 1))], axis=1)
    near_top = 1 - np.take_along_axis(below, upper, axis=1)
    return np.sqrt(np.concatenate([near_top, below[:, _BEYOND]], axis=1))


def _other_estimates(small: np.ndarray) -> np.ndarray:
    """Logs of the color of light as other assumptions have it: [_ESTIMATES, 3]."""
    pixels = small.shape[0] * small.shape[1]
    sums, bright = np.zeros((3, 3)), np.zeros((2, len(_BRIGHTEST), 3))
    add_powers(small, sums)
    brightest(small, np.array([int(pixels * share) for share in _BRIGHTEST], np.int32), bright)
    mean, sixth = sums[0] / pixels, (sums[1] / pixels) ** (1 / 6)
    edges = (sums[2] / (pixels - small.shape[1])) ** (1 / 4)
    others = np.stack([edges + 0.002, sixth + 0.001, mean + 0.004])
    return np.log(np.concatenate([bright.reshape(-1, 3) / 255 + 0.004, others]))


def _colors(logs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of logs of colors [n, 3] those without their brightness, how far apart the channels are, and the brightness: [n, 3], [n], [n]."""
    brightness = logs.mean(axis=1)
    return logs - brightness[:, None], logs.max(axis=1) - logs.min(axis=1), brightness


def _distances(small: np.ndarray) -> list[np.ndarray]:
    """How far from grey pixels are, by groups of brightness, and in which directions."""
    apart, projected = np.zeros((3, APART), np.int32), np.zeros((len(_DIRECTIONS), PROJECTED), np.int32)
    count_chroma(small, _LOGS, _DIRECTIONS, apart, projected)
    edges = (_quantiles(projected, _PROJECTED) - PROJECTED // 2) / PER_UNIT
    # how deep grey lies among the colors, at the shallowest side: below 0 it is outside
    inside = np.minimum(-edges[:, :3], edges[:, :-4:-1]).min(axis=0)
    everywhere = _quantiles(apart.sum(axis=0, keepdims=True), _APART_IN_ALL)
    shares = apart.sum(axis=1) / (small.shape[0] * small.shape[1])
    return [_quantiles(apart, _APART_IN_GROUP) / PER_UNIT, everywhere / PER_UNIT, shares, edges, inside]


def _quantiles(counts: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """float32 [n, k], see `color_kernels.quantiles`."""
    out = np.empty((len(counts), len(shares)), np.float32)
    quantiles(counts, shares, out)
    return out
