"""Stage `decisions/filter`: the rules of the recipe as keep and reasons. Nothing is deleted.

Rules here read what is known of the file itself: samples, profile, metadata, quality. Rules on what
comes from embeddings belong to `filter_scores`, which is this stage under another name.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from zcurate.curation.errors import ConfigError
from zcurate.curation.filters import RuleSet, decide, parse_rules
from zcurate.curation.stage import MapStage, Resources, RowMonitor, StageSpec, field_of

from ..context import StageContext
from . import profile

_SAMPLES = {
    "source": pa.string(),
    "uri": pa.string(),
    "key": pa.string(),
    "container": pa.string(),
    "member": pa.string(),
    "offset": pa.int64(),
    "length": pa.int64(),
    "size_bytes": pa.int64(),
    "etag": pa.string(),
    "text": pa.string(),
    "metadata": pa.string(),
    "origin": pa.string(),
    "license": pa.string(),
}
OUTPUT = pa.schema(
    [
        field_of("keep", pa.bool_(), "no rule fired"),
        field_of("reasons", pa.list_(pa.string()), "names of the rules that fired, in rule order"),
    ]
)


class Config(BaseModel):
    """Rules as written in a recipe; see `zcurate.curation.filters` for the language."""

    model_config = ConfigDict(extra="forbid")

    rules: dict[str, Any] | list[dict[str, Any]] = Field(
        default_factory=dict,
        description="rule name -> {drop_if: CONDITION, reason: TEXT}, or a list with names",
    )
    sources: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="glob on the source name -> rule name -> {drop_if: CONDITION} or off; the last match "
        "decides. A new name with {drop_if, reason} is a rule of these sources alone",
    )


@lru_cache(maxsize=1)
def profiled_groups() -> Mapping[str, pa.Schema]:
    """Groups whose columns these rules may read, beside samples: what the profile stage writes of numbers and words."""
    outputs = profile.build(profile.Config(), StageContext()).spec.outputs
    return {group: schema for group, schema in outputs.items() if group != "thumbs"}


def filter_schema(groups: Mapping[str, pa.Schema] | None = None) -> pa.Schema:
    """Columns rules may read, by qualified name: of samples and `profiled_groups`, and of other groups given."""
    fields = [pa.field(f"samples.{n}", t) for n, t in _SAMPLES.items()]
    for group, schema in {**profiled_groups(), **(groups or {})}.items():
        fields += [f.with_name(f"{group}.{f.name}") for f in schema]
    return pa.schema(fields)


class FilterStage:
    """Applies a rule set; holds no state.

    Args:
        group: what it writes; also its name.
    """

    def __init__(self, rules: RuleSet, group: str = "decisions/filter"):
        self.rules = rules
        self.spec = StageSpec(
            name=group,
            version=1,
            reads=rules.columns,
            outputs={group: OUTPUT},
            config=rules.config(),
            resources=Resources(row_deadline_s=5.0),
        )

    def setup_node(self) -> None:
        pass

    def setup(self) -> None:
        pass

    def __call__(self, table: pa.Table, monitor: RowMonitor) -> pa.Table:
        if table.num_rows:
            monitor.start(0, table.num_rows - 1)
        return decide(table, self.rules).cast(OUTPUT)


def build(config: Config, ctx: StageContext) -> MapStage:
    """Check the rules and make the stage; a wrong rule raises ConfigError here, before any data."""
    try:
        rules = parse_rules(config.rules, filter_schema(), config.sources)
    except ConfigError as error:
        raise ConfigError(f"{error}{_belongs_elsewhere(config)}") from None
    return FilterStage(rules)


def _belongs_elsewhere(config: Config) -> str:
    """A sentence to add where these rules would be right in a later stage."""
    from .filter_scores import scores_schema
    from .filter_tags import tags_schema

    for stage, schema in (("filter_scores", scores_schema()), ("filter_tags", tags_schema(with_scores=True))):
        try:
            parse_rules(config.rules, schema, config.sources)
        except ConfigError:
            continue
        return f"\nscores and tags are not known yet when `filter` runs: write such rules under `{stage}`"
    return ""
