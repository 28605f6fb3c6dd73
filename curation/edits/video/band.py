"""How alike two frames must be to make a pair: a band of similarity, on the encoder of the recipe.

Too alike, and nothing happened; too different, and nothing is left that an instruction could keep. CLIP-type encoders
share a scale (0.80-0.97 by default). The `embedded` descriptor finds copies rather than meaning: its cosine falls with
every pixel that moves, and it has no scale of its own, so that its band is cut from the pairs at hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

#: Fewer pairs tell no percentiles; then all lie in the band.
_LEAST = 20


@dataclass(frozen=True)
class Band:
    """Cosine similarities from `low` to `high`, both included."""

    low: float
    high: float

    def reason(self, similarity: float) -> str | None:
        """`too_alike`, `too_different`, or None inside."""
        if similarity > self.high:
            return "too_alike"
        return "too_different" if similarity < self.low else None


#: For encoders trained on pictures and texts.
CLIP_BAND = Band(0.80, 0.97)


def band_of(similarities: Sequence[float], low: float = 5.0, high: float = 95.0) -> Band:
    """The band between two percentiles of the similarities of all pairs that pass the other checks."""
    if len(similarities) < _LEAST:
        return Band(-1.0, 1.0)
    found = np.percentile(np.asarray(similarities, np.float64), [low, high])
    return Band(float(found[0]), float(found[1]))
