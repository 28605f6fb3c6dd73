"""How tones and colors are distributed: entropy, clipping, the dominant color."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .count_kernels import level_counts, most_frequent_cube

#: Luma at or under the first is black, at or over the second white, as far as an eye can tell.
_BLACK, _WHITE = 5, 250

#: Width of a color bin in levels, as a power of 2; two neighbors along each axis count as one color.
_BIN_SHIFT = 4


class Tones(NamedTuple):
    """Shannon entropy of the grey levels, 0..8 bits, and shares of black and white pixels, 0..1."""

    entropy_bits: float
    dark_share: float
    bright_share: float


def tones(luma: np.ndarray) -> Tones:
    """Entropy and clipping from the histogram of grey levels.

    Args:
        luma: uint8 [h, w]. Clipped pixels need not lie together, so it should be a sample of the
            picture's own pixels, not an average of them.

    Source: C. E. Shannon, "A Mathematical Theory of Communication", 1948.
    """
    counts = np.zeros(256, np.int64)
    level_counts(np.ascontiguousarray(luma).reshape(-1), counts)
    shares = counts[counts > 0] / luma.size
    entropy = -float((shares * np.log2(shares)).sum())
    return Tones(
        entropy_bits=max(0.0, entropy),
        dark_share=float(counts[: _BLACK + 1].sum()) / luma.size,
        bright_share=float(counts[_WHITE:].sum()) / luma.size,
    )


def dominant_color_share(rgb: np.ndarray) -> float:
    """Share of the picture that has its most frequent color.

    A color is a cube of 32 levels a side; cubes overlap by half, so that a color on the edge of one is
    in the middle of another.

    Args:
        rgb: uint8 [h, w, 3]; meant for the working image.

    Returns:
        0 .. 1: about 0.05 to 0.4 for photographs, 0.5 and more for plain backgrounds and screenshots.
    """
    most = most_frequent_cube(np.ascontiguousarray(rgb).reshape(-1), _BIN_SHIFT)
    return most / (rgb.shape[0] * rgb.shape[1])
