"""Training of the instruction network on judged elements, and how well its probabilities hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from .network import InstructionNetwork

#: Judged elements, and pictures, without which nothing is trained.
FEWEST, FEWEST_IMAGES = 50, 10
BINS = 10
_BATCH = 256


@dataclass(frozen=True, eq=False)
class Judged:
    """Elements that people (or a verifier) judged.

    Attributes:
        images: float32 [m, image_dim]; image: int64 [n], row of `images` of each element.
        claims: float32 [n, claim_dim]. satisfied: bool [n].
    """

    images: np.ndarray
    image: np.ndarray
    claims: np.ndarray
    satisfied: np.ndarray


@dataclass(frozen=True, eq=False)
class Fitted:
    """The network, the temperature that its logits are divided by, and JSON-able facts on elements held out."""

    network: InstructionNetwork
    temperature: float
    facts: dict[str, Any]


def fit(data: Judged, epochs: int = 60, seed: int = 0, held_out: float = 0.2) -> Fitted:
    """Train on some pictures, stop where the others are best predicted, and calibrate on half of those.

    Raises:
        ValueError: too few elements or pictures, or all judged alike.
    """
    pictures = np.unique(data.image)
    if len(data.satisfied) < FEWEST or len(pictures) < FEWEST_IMAGES:
        raise ValueError(
            f"{len(data.satisfied)} judged elements of {len(pictures)} pictures; at least {FEWEST} of {FEWEST_IMAGES}"
        )
    if data.satisfied.all() or not data.satisfied.any():
        raise ValueError("all elements are judged alike; there is nothing to tell apart")
    rng = np.random.default_rng(seed)
    order = rng.permutation(pictures)
    count = max(2, round(held_out * len(order)))
    # Three parts by picture: one to learn from, one to stop and calibrate by, one that only measures.
    stop, test = np.isin(data.image, order[: count // 2]), np.isin(data.image, order[count // 2 : count])
    learn = ~(stop | test)
    torch.manual_seed(seed)
    network = InstructionNetwork(data.images.shape[1], data.claims.shape[1])
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    images, claims = torch.from_numpy(data.images), torch.from_numpy(data.claims)
    of, target = torch.from_numpy(data.image), torch.from_numpy(data.satisfied.astype(np.float32))
    best, kept = float("inf"), None
    rows = np.flatnonzero(learn)
    for _ in range(epochs):
        network.train()
        for chosen in np.array_split(rng.permutation(rows), max(1, len(rows) // _BATCH)):
            at = torch.from_numpy(chosen)
            loss = F.binary_cross_entropy_with_logits(network(images[of[at]], claims[at]), target[at])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
        logits = _logits(network, data, stop)
        now = _log_loss(logits, data.satisfied[stop])
        if now < best:
            best, kept = now, {k: v.clone() for k, v in network.state_dict().items()}
    network.load_state_dict(kept)
    network.eval()
    temperature = _temperature(_logits(network, data, stop), data.satisfied[stop])
    facts = {
        "elements": len(data.satisfied),
        "pictures": len(pictures),
        "satisfied_share": float(data.satisfied.mean()),
        "temperature": temperature,
        "held_out": measures(_sigmoid(_logits(network, data, test) / temperature), data.satisfied[test]),
    }
    return Fitted(network, temperature, facts)


def measures(probability: np.ndarray, satisfied: np.ndarray) -> dict[str, Any]:
    """AUC (None without both kinds), Brier score, expected calibration error, and its bins."""
    p, y = np.asarray(probability, np.float64), np.asarray(satisfied, bool)
    bins = np.minimum((p * BINS).astype(int), BINS - 1)
    rows = []
    for b in range(BINS):
        mine = bins == b
        if mine.any():
            rows.append({"from": b / BINS, "count": int(mine.sum()), "predicted": float(p[mine].mean()), "true": float(y[mine].mean())})  # fmt: skip
    error = sum(r["count"] * abs(r["predicted"] - r["true"]) for r in rows) / max(1, len(p))
    return {
        "elements": len(p),
        "auc": auc(p, y),
        "brier": float(((p - y) ** 2).mean()) if len(p) else None,
        "calibration_error": error,
        "bins": rows,
    }


def auc(score: np.ndarray, positive: np.ndarray) -> float | None:
    """Chance that a positive scores above a negative, ties half; None without both."""
    from scipy.stats import rankdata

    n, m = int(positive.sum()), int((~positive).sum())
    if not n or not m:
        return None
    return float((rankdata(score)[positive].sum() - n * (n + 1) / 2) / (n * m))


@torch.no_grad()
def _logits(network: InstructionNetwork, data: Judged, rows: np.ndarray) -> np.ndarray:
    network.eval()
    at = np.flatnonzero(rows)
    return network(
        torch.from_numpy(data.images[data.image[at]]), torch.from_numpy(data.claims[at])
    ).numpy().astype(np.float64)  # fmt: skip


def _temperature(logits: np.ndarray, satisfied: np.ndarray) -> float:
    """By which logits are divided to predict best (Guo et al. 2017), 0.25 to 4."""
    candidates = np.geomspace(0.25, 4.0, 81)
    return float(candidates[np.argmin([_log_loss(logits / t, satisfied) for t in candidates])])


def _log_loss(logits: np.ndarray, satisfied: np.ndarray) -> float:
    return float(np.mean(np.logaddexp(0, logits) - logits * satisfied)) if len(logits) else 0.0


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))
