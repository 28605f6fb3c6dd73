"""Which groups decide what stays: what every later stage, the report and the exports must honor."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

    from zcurate.curation.filters import RuleSet

    from .recipe import Recipe

#: Stages of rules -> the group they write.
RULE_STAGES = {
    "filter": "decisions/filter",
    "filter_scores": "decisions/scores",
    "filter_tags": "decisions/tags",
}
GROUPS, SAMPLING = "groups", "decisions/sampling"

_STEPS = {"decisions/filter": "kept by filter", GROUPS: "unique", SAMPLING: "sampled"}


def is_decision(group: str) -> bool:
    """Does a group hold a `keep` that counts? Those under `decisions/`, of your own stages too, and duplicates'."""
    return group == GROUPS or group.startswith("decisions/")


def deciding(groups: Iterable[str]) -> tuple[str, ...]:
    """The decision groups among groups written so far: `where` of a stage that runs on kept rows only."""
    return tuple(sorted(g for g in groups if is_decision(g)))


def step_name(group: str) -> str:
    """What the rows that a decision group leaves are called in the funnel."""
    return _STEPS.get(group, f"kept by {group.removeprefix('decisions/')}")


def rule_sets(recipe: Recipe) -> dict[str, tuple[RuleSet, pa.Schema]]:
    """Group -> (rules, columns they may read), for the stages of rules in a recipe."""
    from zcurate.curation.filters import parse_rules

    from .stages.filter import Config, filter_schema
    from .stages.filter_scores import scores_schema
    from .stages.filter_tags import tags_schema

    schemas = {
        "filter": filter_schema,
        "filter_scores": scores_schema,
        "filter_tags": lambda: tags_schema("scores" in recipe.stages),
    }
    found = {}
    for stage, group in RULE_STAGES.items():
        settings = recipe.stages.get(stage)
        if settings is not None:
            config, schema = Config.model_validate(settings), schemas[stage]()
            found[group] = (parse_rules(config.rules, schema, config.sources), schema)
    return found
