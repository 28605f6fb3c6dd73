"""Stage `decisions/scores`: rules that read scores, beside everything that `filter` may read.

Put it after `scores`, and before `dedup`: else a group of duplicates goes with its keeper.
"""

from __future__ import annotations

import pyarrow as pa

from zcurate.curation.filters import parse_rules
from zcurate.curation.stage import MapStage

from ..context import StageContext
from . import scores
from .filter import Config, FilterStage, filter_schema


def scores_schema() -> pa.Schema:
    """Columns these rules may read, by qualified name."""
    # names and types are the same whatever the settings of the stage that computes them
    stage = scores.build(scores.Config(), StageContext())
    return filter_schema({"scores": stage.spec.outputs["scores"]})


def build(config: Config, ctx: StageContext) -> MapStage:
    """Check the rules and make the stage; a wrong rule raises ConfigError here, before any data."""
    return FilterStage(parse_rules(config.rules, scores_schema(), config.sources), "decisions/scores")
