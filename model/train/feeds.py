"""The feed that a recipe's `data` asks for."""

from __future__ import annotations

from typing import Any

from ..data.examples import Feed
from .errors import RecipeError
from .parallel import Group
from .recipe import known_fields

SHAPES = ("seed", "batch", "steps", "caption_mix", "dropout", "distribution")


def feed_of(data: dict[str, Any], seed: int, group: Group) -> Feed:
    """This rank's feed. Raises RecipeError for an unknown kind or field."""
    values = dict(data)
    kind = values.pop("kind", None)
    if kind == "shapes":
        return _shapes(values, seed, group)
    raise RecipeError(f"data.kind is {kind!r}; there is shapes")


def _shapes(values: dict[str, Any], seed: int, group: Group) -> Feed:
    from ..data.shapes.feed import ShapesFeed
    from ..data.shapes.world import Distribution

    known_fields(values, SHAPES, "data of kind shapes")
    try:
        if "distribution" in values:
            values = {**values, "distribution": Distribution(**values["distribution"])}
        return ShapesFeed(**{"seed": seed, **values}, rank=group.rank, ranks=group.world)
    except (TypeError, ValueError) as error:
        raise RecipeError(f"data of kind shapes: {error}") from error
