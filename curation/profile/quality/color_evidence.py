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

from .color_kernels import APART, PER_UNIT, PROJECTED, count_levels
from .color_numbers import write_distances, write_estimates, write_levels, write_walls
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
_BRIGHTEST = np.array((0.005, 0.03, 0.1))
#: Quantiles of how far channels lie apart, in each group of brightness and in all, and of projected log chroma.
_APART_IN_GROUP = np.array((0.01, 0.05, 0.2, 0.5, 0.8), np.float32)
_APART_IN_ALL = np.array((0.001, 0.01, 0.05, 0.2, 0.5, 0.8, 0.95), np.float32)
_PROJECTED = np.array((0.005, 0.02, 0.1, 0.5, 0.9, 0.98, 0.995), np.float32)
#: Unit vectors, an eighth of a half turn apart.
_DIRECTIONS = np.array([(np.cos(t), np.sin(t)) for t in np.arange(8) * np.pi / 8], np.float32)
#: Estimates of the color of light other than by levels: brightest by least channel and by sum, edges, sixth power, mean.
_ESTIMATES = 2 * len(_BRIGHTEST) + 3
_OF_WALLS = len(_BELOW_TOP) + len(_FROM) + len(_BEYOND)
#: Decimals that are kept: without a color, logs of channels differ by what was rounded.
_DECIMALS = 4

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
    out = np.empty(EVIDENCE, np.float32)
    counts = np.zeros((3, 256), np.int32)
    count_levels(whole, counts)
    at = write_levels(counts, _SHARES, out, 0)
    at = write_walls(counts, _SHARES[-1], _BELOW_TOP, _FROM, _BEYOND, out, at)
    at = write_estimates(small, _BRIGHTEST, out, at)
    apart, projected = np.zeros((3, APART), np.int32), np.zeros((len(_DIRECTIONS), PROJECTED), np.int32)
    shares = _APART_IN_GROUP, _APART_IN_ALL, _PROJECTED
    at = write_distances(small, _LOGS, _DIRECTIONS, apart, projected, shares, out, at)
    out[at:] = light
    return np.round(out, _DECIMALS, out=out)
