"""Metrics and calibration of out-of-sample predictions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .head import Kind

_BINS = 10


@dataclass(frozen=True)
class CalibrationBin:
    """Rows of similar prediction: how many, what was predicted on average, what was true on average."""

    rows: int
    predicted: float
    observed: float


@dataclass(frozen=True)
class Evaluation:
    """Metrics by name, and calibration by bins of the prediction.

    Metrics of a regression: `srcc` (Spearman), `plcc` (Pearson), `rmse`, `rmse_of_mean` (predicting the
    mean label), `calibration_error` (mean distance of bin averages, weighted by rows; also below).
    Of a logistic head: `auc` (area under the ROC curve, ties count half), `brier`, `log_loss` in nats.
    """

    metrics: dict[str, float]
    calibration: tuple[CalibrationBin, ...]


def evaluate(y: np.ndarray, predicted: np.ndarray, kind: Kind) -> Evaluation:
    """Compare predictions with labels, both [n]."""
    bins = _bins(y, predicted, kind)
    error = sum(b.rows * abs(b.predicted - b.observed) for b in bins) / len(y)
    if kind == "logistic":
        p = np.clip(predicted, 1e-7, 1 - 1e-7)
        metrics = {
            "auc": auc(y, predicted),
            "brier": float(np.mean((predicted - y) ** 2)),
            "log_loss": float(-np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))),
        }
    else:
        metrics = {
            "srcc": correlation(ranks(y), ranks(predicted)),
            "plcc": correlation(y, predicted),
            "rmse": float(np.sqrt(np.mean((predicted - y) ** 2))),
            "rmse_of_mean": float(np.std(y)),
        }
    return Evaluation(metrics | {"calibration_error": float(error)}, bins)


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1, float64 [n]; equal values share their mean rank."""
    from scipy.stats import rankdata

    return rankdata(values)


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson correlation; 0 where either is constant."""
    a, b = a - np.mean(a), b - np.mean(b)
    norm = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / norm) if norm > 0 else 0.0


def auc(y: np.ndarray, predicted: np.ndarray) -> float:
    """Probability that a random row of label 1 is scored above one of label 0; ties count half."""
    positive = y == 1
    n, m = int(positive.sum()), int((~positive).sum())
    return float((ranks(predicted)[positive].sum() - n * (n + 1) / 2) / (n * m))


def _bins(y: np.ndarray, predicted: np.ndarray, kind: Kind) -> tuple[CalibrationBin, ...]:
    """Ten bins: of equal width in probability, of equal count for a regression."""
    if kind == "logistic":
        place = np.minimum((predicted * _BINS).astype(int), _BINS - 1)
    else:
        place = np.argsort(np.argsort(predicted, kind="stable"), kind="stable") * _BINS // len(y)
    return tuple(
        CalibrationBin(int(at.sum()), float(predicted[at].mean()), float(y[at].mean()))
        for at in (place == b for b in range(_BINS))
        if at.any()
    )
