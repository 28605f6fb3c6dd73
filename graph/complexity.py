"""How complex a sample is, 0..1, from what is already measured: for orders from simple to complex.

    complexity = mean of the ranks of the parts that are known, each a rank within the dataset, 0..1

    bytes_per_pixel   bytes of the picture encoded anew at one quality, over its pixels: visual detail
    elements          tags of the caption: things to show
    text_density      characters of lettering per megapixel
    caption_chars     length of the long caption, English or Chinese (a Chinese character counts as three)

Ranks, because the parts have no common unit; ties share their mean rank, so a part that is the same for all
says nothing. A sample that lacks a part is judged by the others; one that lacks all has the middle, 0.5.
The report this follows speaks of curricula from simple to complex and gives no measure: this one is ours.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

PARTS = ("bytes_per_pixel", "elements", "text_density", "caption_chars")
#: A Chinese character says about as much as three Latin letters.
HAN_CHARS = 3.0


def complexity(parts: Mapping[str, np.ndarray]) -> np.ndarray:
    """float64 [n] in 0..1.

    Args:
        parts: any of `PARTS` -> float64 [n], NaN where unknown; all of one length.

    Raises:
        ValueError: an unknown part, none at all, or different lengths.
    """
    unknown = sorted(set(parts) - set(PARTS))
    if unknown or not parts:
        raise ValueError(f"parts of complexity are {', '.join(PARTS)}; got {', '.join(unknown) or 'none'}")
    if len({len(v) for v in parts.values()}) > 1:
        raise ValueError("the parts of complexity have different lengths")
    ranks = np.stack([_ranks(np.asarray(parts[name], np.float64)) for name in PARTS if name in parts])
    known = ~np.isnan(ranks)
    number = known.sum(axis=0)
    return np.where(number > 0, np.where(known, ranks, 0.0).sum(axis=0) / np.maximum(number, 1), 0.5)


def caption_chars(english: np.ndarray, chinese: np.ndarray) -> np.ndarray:
    """Longer of the two captions, in Latin letters; NaN where there is neither (NaN: absent)."""
    return np.fmax(np.asarray(english, np.float64), HAN_CHARS * np.asarray(chinese, np.float64))


def _ranks(values: np.ndarray) -> np.ndarray:
    """Mean rank of each value among the known ones, 0..1; NaN stays."""
    out = np.full(len(values), np.nan)
    known = np.isfinite(values)
    if not known.any():
        return out
    _, inverse, count = np.unique(values[known], return_inverse=True, return_counts=True)
    middle = np.cumsum(count) - count / 2
    out[known] = middle[inverse] / known.sum()
    return out
