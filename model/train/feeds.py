"""The feed that a recipe's `data` asks for."""

from __future__ import annotations

from typing import Any

from ..data.examples import Feed
from ..pipeline_folder import Pipeline
from .errors import RecipeError
from .parallel import Group
from .recipe import known_fields

SHAPES = ("seed", "batch", "steps", "caption_mix", "dropout", "distribution", "edits", "sides_px")


def feed_of(data: dict[str, Any], seed: int, group: Group, pipeline: Pipeline) -> Feed:
    """This rank's feed. Raises RecipeError for an unknown kind or field, DataError for exports that do not serve."""
    values = dict(data)
    kind = values.pop("kind", None)
    if kind == "shapes":
        return _shapes(values, seed, group)
    if kind == "shards":
        from ..data.opening import open_feed

        return open_feed(values, seed, group.rank, group.world, pipeline)
    raise RecipeError(f"data.kind is {kind!r}; there are shapes and shards")


def _shapes(values: dict[str, Any], seed: int, group: Group) -> Feed:
    from ..data.shapes.feed import ShapesFeed
    from ..data.shapes.world import Distribution
    from .scenes import SceneFeed

    known_fields(values, SHAPES, "data of kind shapes")
    wrapped = {key: values.pop(key) for key in ("edits", "sides_px") if key in values}
    try:
        if "distribution" in values:
            values = {**values, "distribution": Distribution(**values["distribution"])}
        scenes = ShapesFeed(**{"seed": seed, **values}, rank=group.rank, ranks=group.world)
        scenes.distribution.probabilities()
        return SceneFeed(scenes, **wrapped) if wrapped else scenes
    except (TypeError, ValueError, AttributeError) as error:
        raise RecipeError(f"data of kind shapes: {error}") from error
