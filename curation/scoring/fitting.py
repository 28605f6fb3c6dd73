"""Fitting a head to labels, and saying honestly how good it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xxhash

from .errors import LabelError
from .evaluation import Evaluation, evaluate
from .head import Kind
from .linear import Layers, probability

#: Ridge penalties tried, in multiples of the mean squared singular value of the centered embeddings.
STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)

#: Strata that labels of a regression are cut into before groups are dealt to folds.
_STRATA = 5
_INNER_FOLDS = 4
_NEWTON_STEPS = 50
_TOLERANCE = 1e-8


@dataclass(frozen=True)
class FittedHead:
    """A head fitted to all labels, with what cross-validation says of the way it was fitted.

    Attributes:
        layers: one layer, float64.
        strength: the penalty chosen, a multiple as in `STRENGTHS`.
        evaluation: metrics of predictions made for rows that the predicting model had not seen.
    """

    layers: Layers
    strength: float
    evaluation: Evaluation


def fit_head(
    x: np.ndarray, y: np.ndarray, groups: np.ndarray, kind: Kind, folds: int, limits: tuple[float, float]
) -> FittedHead:
    """Ridge or L2-regularized logistic regression, cross-validated by group. Deterministic.

    In each of `folds` rounds the penalty is chosen on a part of that round's training rows, so that the
    rows it is judged on decide nothing; the head itself is fitted to all rows.

    Args:
        x: float [n, dim] embeddings.
        y: float [n] labels; 0 or 1 for `logistic`.
        groups: int [n]; rows of one group are copies of each other and never on both sides of a split.
        limits: range that regression predictions are clipped to.

    Raises:
        LabelError: fewer groups than two per fold, only one label, or a class in fewer groups than folds.
    """
    x = np.asarray(x, np.float64)
    y = np.asarray(y, np.float64)
    _check(y, groups, kind, folds)
    fold = deal_folds(y, groups, kind, folds)
    predicted = np.empty(len(y))
    for k in range(folds):
        train, test = fold != k, fold == k
        strength = _choose(x[train], y[train], groups[train], kind)
        weight, bias = _FIT[kind](x[train], y[train], (strength,))[0]
        predicted[test] = _predict(x[test] @ weight + bias, kind, limits)
    strength = _choose(x, y, groups, kind)
    weight, bias = _FIT[kind](x, y, (strength,))[0]
    return FittedHead([(weight[None], np.array([bias]))], strength, evaluate(y, predicted, kind))


def deal_folds(y: np.ndarray, groups: np.ndarray, kind: Kind, folds: int) -> np.ndarray:
    """Fold of every row, int [n]: whole groups, stratified by label, the same whatever the row order is.

    Groups are numbered by their caller in a fixed way (see `pipelines.training_heads`); within a stratum
    they come in the order of a hash of that number.
    """
    names, inverse = np.unique(groups, return_inverse=True)
    mean = np.bincount(inverse, y) / np.bincount(inverse)
    if kind == "logistic":
        stratum = (mean >= 0.5).astype(int)
    else:
        stratum = np.argsort(np.argsort(mean, kind="stable"), kind="stable") * _STRATA // len(names)
    shuffled = [xxhash.xxh3_64_intdigest(str(n).encode()) for n in names.tolist()]
    order = sorted(range(len(names)), key=lambda i: (stratum[i], shuffled[i]))
    fold = np.empty(len(names), int)
    fold[order] = np.arange(len(names)) % folds
    return fold[inverse]


def _check(y: np.ndarray, groups: np.ndarray, kind: Kind, folds: int) -> None:
    count = len(np.unique(groups))
    if count < 2 * folds:
        raise LabelError(
            f"{len(y)} labeled samples in {count} groups of copies: {folds} folds need at least {2 * folds}; "
            "label more, or use --folds 2"
        )
    if len(np.unique(y)) < 2:
        raise LabelError(f"every label is {y[0]:g}; a head needs differences to learn")
    if kind == "logistic":
        for value in (0, 1):
            having = len(np.unique(groups[y == value]))
            if having < 2 * folds:
                raise LabelError(
                    f"label {value} has {having} different samples; {folds} folds need {2 * folds} of each"
                )


def _choose(x: np.ndarray, y: np.ndarray, groups: np.ndarray, kind: Kind) -> float:
    """The strength with the least loss on a held-out quarter of the groups."""
    held = deal_folds(y, groups, kind, _INNER_FOLDS) == 0
    losses = []
    for weight, bias in _FIT[kind](x[~held], y[~held], STRENGTHS):
        z = x[held] @ weight + bias
        losses.append(np.mean((z - y[held]) ** 2) if kind == "regression" else _log_loss(z, y[held]).mean())
    return STRENGTHS[int(np.argmin(losses))]


def _predict(z: np.ndarray, kind: Kind, limits: tuple[float, float]) -> np.ndarray:
    return probability(z) if kind == "logistic" else np.clip(z, *limits)


def _log_loss(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.logaddexp(0, z) - y * z


def _ridge(x: np.ndarray, y: np.ndarray, strengths: tuple[float, ...]) -> list[tuple[np.ndarray, float]]:
    """(weight, bias) per strength: least squares with penalty, the bias not penalized."""
    mean, center = x.mean(axis=0), y.mean()
    u, s, vt = np.linalg.svd(x - mean, full_matrices=False)
    scale = max((s**2).mean(), 1e-12)
    found = []
    for strength in strengths:
        weight = vt.T @ (s / (s**2 + strength * scale) * (u.T @ (y - center)))
        found.append((weight, center - mean @ weight))
    return found


def _logistic(x: np.ndarray, y: np.ndarray, strengths: tuple[float, ...]) -> list[tuple[np.ndarray, float]]:
    """(weight, bias) per strength, by Newton's method in the coordinates of the singular vectors."""
    mean = x.mean(axis=0)
    u, s, vt = np.linalg.svd(x - mean, full_matrices=False)
    scale = max((s**2).mean(), 1e-12) / 4  # 1/4: largest curvature of the loss
    design = np.hstack([u * s, np.ones((len(y), 1))])
    share = np.clip(y.mean(), 1e-3, 1 - 1e-3)
    beta = np.append(np.zeros(len(s)), np.log(share / (1 - share)))
    found = {}
    for strength in sorted(strengths, reverse=True):  # from the smoothest, each starts from the last
        penalty = np.append(np.full(len(s), strength * scale), 0.0)
        beta = _newton(design, y, penalty, beta)
        weight = vt.T @ beta[:-1]
        found[strength] = (weight, beta[-1] - mean @ weight)
    return [found[strength] for strength in strengths]


def _newton(design: np.ndarray, y: np.ndarray, penalty: np.ndarray, beta: np.ndarray) -> np.ndarray:
    def loss(b: np.ndarray) -> float:
        return float(_log_loss(design @ b, y).sum() + 0.5 * (penalty * b * b).sum())

    now = loss(beta)
    for _ in range(_NEWTON_STEPS):
        p = 0.5 * (1 + np.tanh(0.5 * (design @ beta)))
        gradient = design.T @ (p - y) + penalty * beta
        hessian = (design.T * np.maximum(p * (1 - p), 1e-9)) @ design + np.diag(penalty)
        step = np.linalg.solve(hessian + 1e-10 * np.eye(len(beta)), gradient)
        size = 1.0
        while (then := loss(beta - size * step)) > now and size > 1e-4:
            size /= 2
        gain, now = now - then, then
        beta = beta - size * step
        if gain <= _TOLERANCE * max(1.0, now):
            break
    return beta


_FIT: dict[str, Callable[..., list[tuple[np.ndarray, float]]]] = {"regression": _ridge, "logistic": _logistic}
