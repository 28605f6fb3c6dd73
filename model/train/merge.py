"""Model soups: weighted means of checkpoints of one ancestor (report, section 4.4; arXiv 2203.05482).

Sums run in float32, one tensor at a time, and are rounded once to the dtype of the first model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..config import S3DiTConfig
from ..errors import WeightsError
from ..state_layouts import official_shapes
from ..weights import Source, official_reader, open_source

#: Cosine of two models' weights below which they do not look like descendants of one.
RELATED = 0.5


@dataclass(frozen=True)
class Ingredient:
    """A transformer to merge: its name in messages and how its official tensors are read."""

    name: str
    read: Callable[[str], Tensor]


def ingredient(path: Path | str | Source, config: S3DiTConfig) -> Ingredient:
    """From a transformer folder or file. Raises WeightsError unless it holds exactly this model."""
    source = path if isinstance(path, Source) else open_source(path)
    return Ingredient(source.name, official_reader(source, config))


def check_weights(weights: Sequence[float], count: int) -> list[float]:
    """Weights that sum to 1. Raises ValueError for another number of them, or a sum of 0 or below."""
    if len(weights) != count or not count:
        raise ValueError(f"{len(weights)} weights for {count} models")
    total = sum(weights)
    if not all(w == w and abs(w) < float("inf") for w in weights) or total <= 0:
        raise ValueError(f"weights {list(weights)}: they must be finite and sum to more than 0")
    return [w / total for w in weights]


@torch.no_grad()
def soup(
    ingredients: Sequence[Ingredient], weights: Sequence[float], config: S3DiTConfig
) -> dict[str, Tensor]:
    """sum w_i theta_i with sum w_i = 1, official names. Raises WeightsError for unrelated models."""
    weights = check_weights(weights, len(ingredients))
    check_related(ingredients, config)
    out = {}
    for name in official_shapes(config):
        parts = [one.read(name) for one in ingredients]
        # Differences from the first: equal ingredients give exactly what they are.
        first = parts[0].float()
        mixed = first.clone()
        for weight, part in zip(weights[1:], parts[1:], strict=True):
            mixed += weight * (part.float() - first)
        out[name] = mixed.to(parts[0].dtype)
    return out


def check_related(ingredients: Sequence[Ingredient], config: S3DiTConfig) -> None:
    """Raise WeightsError where the matrices of a model point elsewhere than the first's.

    Random weights in thousands of dimensions are all but orthogonal, so models that were trained from
    different beginnings have a cosine near 0, and their mean is no model.
    """
    names = [n for n, shape in official_shapes(config).items() if len(shape) == 2 and "layers." in n]
    for other in ingredients[1:]:
        products = torch.zeros(3, dtype=torch.float64)
        for name in names:
            a, b = ingredients[0].read(name).float().flatten(), other.read(name).float().flatten()
            products += torch.stack([a @ b, a @ a, b @ b]).double()
        cosine = float(products[0] / (products[1] * products[2]).sqrt().clamp_min(1e-30))
        if cosine < RELATED:
            raise WeightsError(
                f"{other.name}: its weights have a cosine of {cosine:.2f} with those of {ingredients[0].name}; "
                "only models of one ancestor can be merged"
            )


@dataclass(frozen=True)
class Greedy:
    """Outcome of a greedy soup. order: names by own score; kept: those in it, which score `score` together."""

    scores: Mapping[str, float]
    kept: tuple[str, ...]
    score: float
    state: dict[str, Tensor]


def greedy_soup(
    ingredients: Sequence[Ingredient], config: S3DiTConfig, score: Callable[[dict[str, Tensor]], float]
) -> Greedy:
    """Best model first, then each other in order of its score where the mean scores no worse with it.

    score: of official tensors on held-out prompts, higher is better. Names must differ.
    """
    scores = {one.name: score(soup([one], [1.0], config)) for one in ingredients}
    order = sorted(ingredients, key=lambda one: -scores[one.name])
    kept, best = [order[0]], scores[order[0].name]
    state = soup(kept, [1.0], config)
    for one in order[1:]:
        tried = soup([*kept, one], [1.0] * (len(kept) + 1), config)
        value = score(tried)
        if value >= best:
            kept, best, state = [*kept, one], value, tried
    return Greedy(scores, tuple(one.name for one in kept), best, state)
