"""Cast, as a logit like the other scores'."""

from __future__ import annotations

import numpy as np

from .trees import Trees

#: Predictions are means of scores; beyond these trees tell nothing apart.
_LEAST, _MOST = 0.002, 0.998


def cast_logits(trees: Trees, shift: float, evidence: np.ndarray) -> np.ndarray:
    """Logits float32 [n] of what trees predict of `color_evidence.color_evidence` [n, EVIDENCE].

    Args:
        shift: added, see `train_cast`.
    """
    score = trees(evidence).clip(_LEAST, _MOST)
    return np.log(score / (1 - score)) + np.float32(shift)
