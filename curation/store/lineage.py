"""Where a stage's output lives, and when it is done.

A group's folder is `GROUP/FINGERPRINT-LINEAGE/`: the first part says what computes a row
(stage name, version, config, models), the second also covers the inputs' own folders and the
selection. Two recipes therefore never write the same folder unless they mean the same thing,
and a folder with an equal first part holds rows that can be reused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from ..errors import ConfigError
from ..stage import StageSpec
from .digest import ID_TYPE, json_digest

SAMPLES = "samples"

#: Columns the store adds to every group, after the stage's own.
BOOKKEEPING = pa.schema(
    [
        pa.field("_status", pa.string(), metadata={"meaning": "ok | error | not_selected"}),
        pa.field("_error_class", pa.string(), metadata={"meaning": "type of the error, null when ok"}),
        pa.field("_error_message", pa.string(), metadata={"meaning": "what is wrong with this sample"}),
        pa.field("_key", ID_TYPE, metadata={"meaning": "xxh3-128 of the row's inputs; reuse goes by it"}),
    ]
)


@dataclass(frozen=True)
class Limit:
    """A trial run: the first `rows` rows of the dataset, or a `fraction` of ids by hash."""

    rows: int | None = None
    fraction: float | None = None

    def __bool__(self) -> bool:
        return self.rows is not None or self.fraction is not None


@dataclass(frozen=True)
class BoundStage:
    """A stage of a recipe with its place in the dataset.

    Attributes:
        spec: the declaration.
        fingerprint: what computes a row, 32 hex digits.
        lineage: fingerprint, inputs' lineages and selection, 32 hex digits.
        paths: every group this stage reads, selects by or writes -> its path in the dataset.
        limit: the trial-run limit, part of the lineage.
    """

    spec: StageSpec
    fingerprint: str
    lineage: str
    paths: Mapping[str, str]
    limit: Limit = field(default_factory=Limit)

    @property
    def folder(self) -> str:
        return folder_name(self.fingerprint, self.lineage)

    @property
    def stage_facts(self) -> dict[str, object]:
        s = self.spec
        return {"name": s.name, "version": s.version, "config": dict(s.config), "models": dict(s.models)}

    @property
    def input_groups(self) -> list[str]:
        """Groups read, in a fixed order; `samples` first."""
        return sorted(
            {SAMPLES, *(split_column(c)[0] for c in self.spec.reads)}, key=lambda g: (g != SAMPLES, g)
        )

    def columns_of(self, group: str) -> list[str]:
        """Columns read of one group, sorted."""
        return sorted(split_column(c)[1] for c in self.spec.reads if split_column(c)[0] == group)

    def table_path(self, name: str) -> str:
        """Folder of a side table, see `tables`."""
        return f"_tables/{name}/{self.folder}"


def folder_name(fingerprint: str, lineage: str) -> str:
    return f"{fingerprint[:8]}-{lineage[:6]}"


def split_column(qualified: str) -> tuple[str, str]:
    """`decisions/filter.keep` -> (`decisions/filter`, `keep`)."""
    group, dot, column = qualified.rpartition(".")
    if not dot or not group or not column:
        raise ConfigError(f"{qualified!r} is not GROUP.COLUMN")
    return group, column


def bind(specs: Sequence[StageSpec], limit: Limit | None = None) -> list[BoundStage]:
    """Give every stage of a recipe its folder. Stages may read groups of earlier ones only.

    Raises:
        ConfigError: a stage reads a group or column that no earlier stage writes, or two
            stages write one group.
    """
    limit = limit or Limit()
    lineages = {SAMPLES: json_digest({"limit": [limit.rows, limit.fraction]} if limit else {})}
    paths = {SAMPLES: SAMPLES}
    schemas: dict[str, set[str]] = {}
    bound = []
    for spec in specs:
        needed = {split_column(c)[0] for c in spec.reads} | set(spec.where) | {SAMPLES}
        for group in sorted(needed):
            if group not in paths:
                raise ConfigError(
                    f"stage {spec.name!r} needs group {group!r}: no earlier stage of the recipe writes it"
                )
        for column in spec.reads:
            group, name = split_column(column)
            if group != SAMPLES and name not in schemas[group]:
                raise ConfigError(
                    f"stage {spec.name!r} reads {column!r}: {group!r} has {', '.join(sorted(schemas[group]))}"
                )
        for group in spec.where:
            if "keep" not in schemas[group]:
                raise ConfigError(f"stage {spec.name!r} selects by {group!r}, which has no 'keep' column")
        fingerprint = json_digest(
            {
                "name": spec.name,
                "version": spec.version,
                "config": dict(spec.config),
                "models": dict(spec.models),
                "columns": {g: [f"{f.name}:{f.type}" for f in s] for g, s in spec.outputs.items()},
            }
        )
        lineage = json_digest(
            {
                "stage": fingerprint,
                "reads": {g: lineages[g] for g in needed},
                "columns": sorted(spec.reads),
                "where": sorted(spec.where),
            }
        )
        folder = folder_name(fingerprint, lineage)
        mine = {g: paths[g] for g in needed}
        for group, schema in spec.outputs.items():
            if group in paths:
                raise ConfigError(
                    f"stage {spec.name!r} writes group {group!r}, which an earlier stage writes"
                )
            mine[group] = paths[group] = f"{group}/{folder}"
            lineages[group] = lineage
            schemas[group] = set(schema.names) | set(BOOKKEEPING.names)
        bound.append(BoundStage(spec, fingerprint, lineage, mine, limit))
    return bound
