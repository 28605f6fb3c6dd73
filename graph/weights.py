"""Sampling weights from rarity: images with rare concepts are drawn more often, within bounds.

    rarity(d) = mean of the `per_image` largest BM25 scores of the tags of d
    raw(d)    = clip(rarity(d) / median rarity, 1 / max_ratio, max_ratio) ^ strength
    weight(d) = raw(d) / mean raw                                          (mean 1 over all images)

A mean, not a sum, so that a weight does not follow the number of tags; the largest few, so that a rare
subject is not drowned by common tags beside it. BM25's length discount (b) offsets that the largest of
many scores tends to be larger. An image without concepts has no rarity and gets the median's weight.
The report this follows names BM25 and gives no formula: this one is ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from .bm25 import K1, B, Corpus, Postings, scores


@dataclass(frozen=True)
class WeightRule:
    """Attributes:
    per_image: tags of an image that count, its rarest. strength: 0 = uniform, 1 = proportional.
    max_ratio: no image weighs more than this many times the median image, or less than its inverse.
    k1, b: of BM25.
    """

    per_image: int = 3
    strength: float = 1.0
    max_ratio: float = 5.0
    k1: float = K1
    b: float = B

    def __post_init__(self) -> None:
        if self.per_image < 1 or self.strength < 0 or self.max_ratio < 1:
            raise ValueError(f"{self}: per_image must be >= 1, strength >= 0, max_ratio >= 1")


def rarity(p: Postings, corpus: Corpus, rule: WeightRule) -> np.ndarray:
    """Rarity of every row of a shard, float64; NaN for rows without known concepts."""
    s = scores(p, corpus, rule.k1, rule.b)
    order = np.lexsort((-s, p.row))
    row, s = p.row[order], s[order]
    starts = np.flatnonzero(np.r_[True, row[1:] != row[:-1]]) if len(row) else np.zeros(0, np.int64)
    rank = np.arange(len(row)) - np.repeat(starts, np.diff(np.r_[starts, len(row)]))
    top = rank < rule.per_image
    n = len(p.length)
    total = np.bincount(row[top], s[top], minlength=n)
    number = np.bincount(row[top], minlength=n)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def weights(rarities: np.ndarray, rule: WeightRule) -> np.ndarray:
    """Weights of all rows, float64, > 0, mean 1. All 1 when no row has a rarity."""
    rarities = np.asarray(rarities, float)
    known = rarities[~np.isnan(rarities)]
    if len(known) == 0:
        return np.ones(len(rarities))
    middle = max(float(np.median(known)), 1e-12)
    relative = np.where(np.isnan(rarities), 1.0, rarities / middle)
    raw = np.clip(relative, 1 / rule.max_ratio, rule.max_ratio) ** rule.strength
    # Sorted before summing: the mean, and so every weight, is independent of the row order.
    return raw / np.mean(np.sort(raw))


def effective_sample_size(w: np.ndarray) -> float:
    """(sum w)^2 / sum w^2 (Kish): 1..n, n for equal weights; 0 for no rows."""
    w = np.asarray(w, float)
    return float(w.sum() ** 2 / (w**2).sum()) if len(w) else 0.0


def concept_shares(
    shards: Iterable[tuple[Postings, np.ndarray]], corpus: Corpus
) -> tuple[np.ndarray, np.ndarray]:
    """Share of draws that show each concept: (uniform sampling, weighted sampling), float64, 0..1.

    Args:
        shards: each shard's postings with the weights of its rows.
    """
    after = np.zeros(len(corpus.df))
    total = 0.0
    for p, w in shards:
        after += np.bincount(p.concept, w[p.row], minlength=len(after))
        total += float(w.sum())
    return corpus.df / max(corpus.n, 1), after / max(total, 1e-300)
