"""Which pairs of a set are trained on how often: tasks balanced, rendered text held down, and its share of a stage.

Weights are computed from counts alone, so that they can be taken in one pass over the types of all pairs and written
with every pair in a second.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import xxhash

#: Text-to-image samples per image-to-image sample, where a stage does not say otherwise.
TEXT_TO_IMAGE_RATIO = 4.0
STAGES = ("pretrain", "sft")
#: Training stage -> (`balance`, `text_share`) where it is not said otherwise: fine-tuning is balanced by task and holds
#: little rendered text, which would otherwise show in everything (ours; Z-Image's report gives no figures).
STAGE_SAMPLING: Mapping[str, tuple[float, float | None]] = {"pretrain": (0.5, None), "sft": (1.0, 0.1)}


@dataclass(frozen=True)
class Sampling:
    """How pairs are weighted and drawn.

    Attributes:
        balance: alpha of the weights 1 / count^alpha of types, 0..1: 0 leaves the pairs as they are, 1 gives every
            type the same total.
        text_share: largest share of pairs whose types are of rendered text, by count and by weight; others of them are
            left out. None: all.
        most: pairs drawn at most, without replacement, likelier ones by weight. None: all.
        ratios: training stage -> text-to-image samples per image-to-image sample.
        seed: of the draws.
    """

    balance: float = 0.5
    text_share: float | None = None
    most: int | None = None
    ratios: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, TEXT_TO_IMAGE_RATIO))
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.balance <= 1:
            raise ValueError(
                f"the task balance is {self.balance}; it must be 0 (as they are) to 1 (all tasks alike)"
            )
        if self.text_share is not None and not 0 <= self.text_share <= 1:
            raise ValueError(f"the share of rendered text is {self.text_share}; it must be 0 to 1")
        if self.most is not None and self.most < 1:
            raise ValueError(f"{self.most} pairs cannot be drawn; name at least 1")
        for stage, ratio in self.ratios.items():
            if not (ratio >= 0 and np.isfinite(ratio)):
                raise ValueError(f"stage {stage!r}: {ratio} text-to-image samples per pair is no ratio")

    @staticmethod
    def of_stage(
        stage: str,
        balance: float | None = None,
        text_share: float | None = None,
        most: int | None = None,
        ratios: Mapping[str, float] | None = None,
        seed: int = 0,
    ) -> Sampling:
        """What a training stage usually takes; None leaves a field to the stage. ValueError for an unknown stage."""
        if stage not in STAGE_SAMPLING:
            raise ValueError(f"no training stage {stage!r}; there are {', '.join(STAGE_SAMPLING)}")
        usual_balance, usual_share = STAGE_SAMPLING[stage]
        given = dict.fromkeys(STAGES, TEXT_TO_IMAGE_RATIO) if ratios is None else ratios
        return Sampling(
            usual_balance if balance is None else balance,
            usual_share if text_share is None else text_share,
            most,
            given,
            seed,
        )

    def shares(self) -> dict[str, dict[str, float]]:
        """Training stage -> share of its samples that are text-to-image and image-to-image."""
        return {
            stage: {"text_to_image": ratio / (1 + ratio), "image_to_image": 1 / (1 + ratio)}
            for stage, ratio in self.ratios.items()
        }


@dataclass(frozen=True)
class Chosen:
    """Pairs that are kept, by position in what was given, with their weights (mean 1)."""

    at: np.ndarray  # (n,) int64, rising
    weight: np.ndarray  # (n,) float64


def is_text(types: Sequence[str]) -> bool:
    """Does a pair edit rendered text?"""
    return any(t.startswith("text.") for t in types)


def choose(pairs: Iterable[tuple[str, Sequence[str]]], sampling: Sampling) -> Chosen:
    """Weigh pairs, and draw some of them.

    The weight of a pair of several types is the mean over them of 1 / count^alpha, scaled to a mean of 1 over what is
    kept. A draw takes the largest u^(1/weight) (Efraimidis and Spirakis 2006), u from a hash of the pair's id: the same
    pair has the same luck whatever else is in the set.

    Args:
        pairs: (id, types). Read once.
    """
    ids, kinds, types_of = [], [], {}
    for id_, types in pairs:
        key = tuple(types)
        types_of.setdefault(key, len(types_of))
        ids.append(id_)
        kinds.append(types_of[key])
    kind, combinations = np.array(kinds, np.int64), list(types_of)
    at = _without_much_text(ids, kind, combinations, sampling)
    weight = _weights(kind[at], combinations, sampling.balance)
    text = np.array([is_text(types) for types in combinations], bool)[kind[at]]
    weight = _held_down(weight, text, sampling.text_share)
    if sampling.most is not None and len(at) > sampling.most:
        luck = np.array([_uniform(ids[i], "draw", sampling.seed) for i in at])
        order = np.argsort(np.log(luck) / np.maximum(weight, 1e-300), kind="stable")[::-1]
        if sampling.text_share is not None:
            # Of text no more than its share of what is drawn, likelier ones first.
            order = order[~text[order] | (np.cumsum(text[order]) <= int(sampling.text_share * sampling.most))]
        drawn = np.sort(order[: sampling.most])
        # What was drawn by weight is balanced by the draw itself: it must not be weighted again.
        return Chosen(at[drawn], np.ones(len(drawn)))
    return Chosen(at, weight)


def _weights(kind: np.ndarray, combinations: Sequence[tuple[str, ...]], alpha: float) -> np.ndarray:
    counts: Counter[str] = Counter()
    for k, n in zip(*np.unique(kind, return_counts=True), strict=True):
        for type_ in combinations[k]:
            counts[type_] += int(n)
    by_kind = np.array(
        [
            np.mean([float(max(1, counts[t])) ** -alpha for t in types]) if types else 1.0
            for types in combinations
        ]
    )
    weight = by_kind[kind] if len(kind) else np.zeros(0)
    return weight / weight.mean() if len(weight) else weight


def _held_down(weight: np.ndarray, text: np.ndarray, share: float | None) -> np.ndarray:
    """Weights of mean 1 in which text has at most its share of the total, not only of the count."""
    total, own = float(weight.sum()), float(weight[text].sum())
    if share is None or not own or own <= share * total or own == total:
        return weight
    others = total - own
    held = np.where(text, weight * (share / (1 - share) * others / own), weight)
    return held / held.mean()


def _without_much_text(
    ids: Sequence[str], kind: np.ndarray, combinations: Sequence[tuple[str, ...]], sampling: Sampling
) -> np.ndarray:
    """Positions kept: all others, and of text pairs those with the smallest hashes, up to the share."""
    if sampling.text_share is None or not len(kind):
        return np.arange(len(kind))
    text = np.array([is_text(types) for types in combinations])[kind]
    others = int(np.count_nonzero(~text))
    share = sampling.text_share
    room = len(ids) if share == 1 else int(share / (1 - share) * others)
    candidates = np.flatnonzero(text)
    order = np.argsort([_uniform(ids[i], "text", sampling.seed) for i in candidates], kind="stable")
    return np.sort(np.concatenate([np.flatnonzero(~text), candidates[order[:room]]]))


def _uniform(id_: str, what: str, seed: int) -> float:
    """(0, 1), by hash."""
    return (xxhash.xxh3_64_intdigest(f"{what}|{seed}|{id_}".encode()) + 0.5) / 2**64
