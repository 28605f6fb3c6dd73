"""Training of the trees that judge cast: see `train`, which calls it. Importing this imports scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingRegressor

from .calibration import runs
from .cast_score import cast_logits
from .cast_synthesis import CastSamples, cast_samples, evidence_of
from .clean_views import clean_views
from .color_evidence import EVIDENCE
from .parameters import Parameters
from .trees import NODES, TREES, Trees

#: Fewest and most samples; each takes a few milliseconds.
_FEWEST_SAMPLES, _MOST_SAMPLES = 200, 120_000


def train_cast(
    photos: Sequence[np.ndarray],
    fonts: Sequence[str],
    steps: int,
    batch: int,
    seed: int,
    rate: float,
    folds: int,
    others: Sequence[np.ndarray],
    flagged: float,
) -> tuple[dict[str, torch.Tensor], float]:
    """Boosted trees of about `steps * batch` samples, and a `shift` by which at most such a share of clean pictures is `flagged`.

    The clean pictures are `clean_views` of the others, and of the photographs, each judged by trees which were not shown it. No
    part of them may have more flagged: sources differ in how many pictures they have of one color, and lie side by side in a folder.

    Args:
        rate: of boosting.
        folds: parts of the photographs; 0: only the others calibrate, and without any nothing is shifted.

    Returns:
        weights, and the shift in logits.
    """
    count = min(_MOST_SAMPLES, max(_FEWEST_SAMPLES, steps * batch))
    samples = cast_samples(photos, fonts, count, seed)
    print(f"cast: {len(samples.target)} samples", flush=True)
    weights = _fitted(samples, rate, seed)
    clean = [_clean_logits(weights, others, seed)] if len(others) else []
    for first, last in runs(len(photos), folds if clean else 0):
        inside = ((samples.photos >= first) & (samples.photos < last)).any(axis=1)
        apart = _fitted(CastSamples(*(of[~inside] for of in samples)), rate, seed)
        clean.append(_clean_logits(apart, photos[first:last], seed))
        print(
            f"cast without photographs {first} to {last}: {np.quantile(clean[-1], 1 - flagged):.2f}",
            flush=True,
        )
    shift = -max([0.0, *(float(np.quantile(of_part, 1 - flagged, method="higher")) for of_part in clean)])
    weights["shift"] = np.float32(shift)
    return {name: torch.from_numpy(np.asarray(values)) for name, values in weights.items()}, shift


def _fitted(samples: CastSamples, rate: float, seed: int) -> dict[str, np.ndarray]:
    """Weights as of `trees.Trees`, and no shift."""
    boosted = HistGradientBoostingRegressor(
        max_iter=TREES,
        learning_rate=rate,
        max_leaf_nodes=(NODES + 1) // 2,
        min_samples_leaf=min(100, max(1, len(samples.target) // 20)),
        l2_regularization=5.0,
        max_features=0.3,
        early_stopping=False,
        random_state=seed,
    )
    boosted.fit(samples.evidence, samples.target)
    return _arrays(boosted)


def _arrays(boosted: HistGradientBoostingRegressor) -> dict[str, np.ndarray]:
    feature, threshold = np.full((TREES, NODES), -1, np.int16), np.zeros((TREES, NODES), np.float32)
    children, value = np.zeros((TREES, NODES, 2), np.uint8), np.zeros((TREES, NODES), np.float32)
    for k, (predictor,) in enumerate(boosted._predictors):
        nodes = predictor.nodes
        inner = np.flatnonzero(nodes["is_leaf"] == 0)
        feature[k, inner], exact = nodes["feature_idx"][inner], nodes["num_threshold"][inner]
        rounded = exact.astype(np.float32)  # down, so that a number above it stays above
        threshold[k, inner] = np.where(rounded > exact, np.nextafter(rounded, np.float32(-np.inf)), rounded)
        children[k, inner] = np.stack([nodes["left"][inner], nodes["right"][inner]], axis=1)
        leaves = np.flatnonzero(nodes["is_leaf"])
        value[k, leaves] = nodes["value"][leaves]
    return {
        "feature": feature,
        "threshold": threshold,
        "children": children,
        "value": value,
        "base": np.float32(np.asarray(boosted._baseline_prediction).item()),
        "shift": np.float32(0),
    }


def _clean_logits(weights: dict[str, np.ndarray], photos: Sequence[np.ndarray], seed: int) -> np.ndarray:
    evidence = np.stack([evidence_of(view) for view in clean_views(photos, seed)])
    return cast_logits(Trees(Parameters(weights), EVIDENCE), 0.0, evidence)
