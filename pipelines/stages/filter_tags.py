"""Stage `decisions/tags`: rules that read what a model tagged (`people`, `nsfw`, `objects`...), beside all others.

Put it after `tags`. Where the recipe has `scores` too, a column that both have is written in full: `tags.people`.
"""

from __future__ import annotations

import pyarrow as pa

from zcurate.curation.filters import parse_rules
from zcurate.curation.stage import MapStage

from ..context import StageContext
from . import scores, tags
from .filter import Config, FilterStage, filter_schema


def tags_schema(with_scores: bool) -> pa.Schema:
    """Columns these rules may read, by qualified name."""
    groups = {"tags": tags.OUTPUT}
    if with_scores:
        groups["scores"] = scores.build(scores.Config(), StageContext()).spec.outputs["scores"]
    return filter_schema(groups)


def build(config: Config, ctx: StageContext) -> MapStage:
    """Check the rules and make the stage; a wrong rule raises ConfigError here, before any data."""
    rules = parse_rules(config.rules, tags_schema(ctx.has("scores")), config.sources)
    return FilterStage(rules, "decisions/tags")
