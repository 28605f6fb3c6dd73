"""Cast, as a logit like the other scores'."""

from __future__ import annotations

import numpy as np

from .trees import Trees

#: Imbalance of the channels at which the score is a half, before calibration, see `synthesis.cast_score`.
HALF_SCORED = 0.24
#: Imbalance below which, as nothing of it is seen, predictions are kept apart by their order alone.
_FAINTEST = 0.02


def cast_logits(trees: Trees, shift: float, evidence: np.ndarray) -> np.ndarray:
    """Logits float32 [n] of `synthesis.cast_score` of the imbalance that trees predict of `color_evidence.color_evidence`
    [n, EVIDENCE]; below an imbalance of 0.02 they fall faster, and below 0 go on.

    Args:
        shift: added, see `train_cast`.
    """
    imbalance = trees(evidence)
    logs = np.log(np.maximum(imbalance, np.float32(_FAINTEST)))
    share = np.minimum(imbalance / np.float32(_FAINTEST), 1)  # may be below 0, where there is no log
    return logs + share - 1 + np.float32(shift - np.log(HALF_SCORED))
