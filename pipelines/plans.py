"""Stages of a sampling plan as written in a recipe, checked, and their columns evaluated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field

from zcurate.curation.errors import ConfigError
from zcurate.curation.filters import Expression, compile_expression
from zcurate.curation.filters.check import NUMBER, bind
from zcurate.curation.filters.expression import as_array, column_names, evaluate
from zcurate.curation.filters.syntax import Node, parse, problem, unparse
from zcurate.graph.complexity import caption_chars, complexity

from .caption_mix import PLACEHOLDER, check_mix, columns_of
from .context import StageContext
from .registry import stage_module

#: Names that stand for what is computed here -> the columns each needs.
COMPUTED: dict[str, tuple[str, ...]] = {
    "bytes_per_pixel": ("profile.reencode_bpp",),
    "elements": ("captions.en_tags", "captions.zh_tags"),
    "text_density": ("ocr.text", "profile.width_px", "profile.height_px"),
    "caption_chars": ("captions.en_long", "captions.zh_long"),
}
PLAN = "plan"
_Text = Annotated[str, Field(min_length=1, max_length=2000)]


class PlanStage(BaseModel):
    """One training stage. Expressions are those of the filter rules, over any column of earlier stages."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$", description="unique in the plan")
    preset: Literal["sft"] | None = Field(
        None, description="a ready stage; fields given here replace its own"
    )
    size: float | str = Field("100%", description="samples to draw: a number, or a share such as 10%")
    temperature: float = Field(1.0, ge=0, le=1, description="0 natural frequencies .. 1 the prior")
    by: Literal["concepts", "communities"] = Field("concepts", description="tree that is balanced")
    select: _Text | None = Field(None, description="condition a sample must meet")
    weight: _Text | None = Field(
        None, description="number >= 0 by which samples are wanted; null counts as 0"
    )
    best_first: list[_Text] = Field(
        default_factory=list,
        description="numbers, higher is better: of every concept the best samples are taken, by their mean rank",
    )
    order: _Text | None = Field(
        None, description="number the list is sorted by, ascending; default: a fixed random order"
    )
    captions: dict[str, float] = Field(
        default_factory=dict,
        description="caption kind (en_long, zh_short, ..., text for the alt text) -> share; a sample's missing kinds "
        "go to its others, samples without any are left out",
    )
    include_placeholders: bool = Field(
        False, description="train on captions that no model wrote too; else they count as missing"
    )

    def filled(self) -> PlanStage:
        """With the preset's fields where none are given here. Raises ConfigError for a wrong size or caption kind."""
        stage = self
        if self.preset:
            given = self.model_dump(exclude_unset=True, exclude={"preset"})
            stage = PlanStage.model_validate({**PRESETS[self.preset], **given})
        stage.samples(1)
        check_mix(stage.captions, f"stage {stage.name!r}: captions")
        return stage

    def samples(self, n: int) -> float:
        """The size, of n samples. Raises ConfigError."""
        text = str(self.size).strip()
        try:
            value = float(text.removesuffix("%")) * (n / 100 if text.endswith("%") else 1)
        except ValueError:
            value = -1.0
        if not 0 <= value < float("inf"):
            raise ConfigError(f"stage {self.name!r}: size {self.size!r}: write a number of samples, or 10%")
        return value


#: `sft`: the best of every concept by aesthetics, alignment and technical quality; long and enhanced captions.
PRESETS: dict[str, dict[str, Any]] = {
    "sft": {
        "size": "10%",
        "temperature": 1.0,
        "best_first": [
            "scores.aesthetic",
            "scores.text_image",
            "0 - max(quality.blur, quality.noise, quality.jpeg_artifacts)",
        ],
        "captions": {"en_long": 0.35, "zh_long": 0.35, "en_enhanced": 0.15, "zh_enhanced": 0.15},
    }
}


@dataclass(frozen=True)
class Compiled:
    """A stage, bound to columns.

    Attributes:
        columns: qualified names of all columns it reads.
        captions: kind -> share, of kinds that there are, sums to 1; empty for no mix.
    """

    stage: PlanStage
    select: Expression | None
    weight: Node | None
    best_first: tuple[Node, ...]
    order: Node | None
    captions: Mapping[str, float]
    columns: tuple[str, ...]


def earlier_schemas(ctx: StageContext) -> pa.Schema:
    """Columns of all earlier stages of a recipe, by qualified name, and the computed ones as `plan.NAME`."""
    from .stages.filter import filter_schema

    fields = {f.name: f for f in filter_schema({})} if ctx.has("profile") else {}
    fields |= {f.name: f for f in filter_schema({}) if f.name.startswith("samples.")}
    groups: set[str] = set()
    for name, settings in ctx.settings.items():
        module = stage_module(name)
        before = {k: v for k, v in ctx.settings.items() if k != name}
        spec = module.build(
            module.Config.model_validate(dict(settings)),
            replace(ctx, groups=frozenset(groups), settings=before),
        ).spec
        groups |= set(spec.outputs)
        for group, schema in spec.outputs.items():
            fields |= {f"{group}.{f.name}": f.with_name(f"{group}.{f.name}") for f in schema}
    for name, needs in COMPUTED.items():
        if all(column in fields for column in needs):
            fields[f"{PLAN}.{name}"] = pa.field(f"{PLAN}.{name}", pa.float64())
    if any(f"{PLAN}.{name}" in fields for name in COMPUTED):
        fields[f"{PLAN}.complexity"] = pa.field(f"{PLAN}.complexity", pa.float64())
    return pa.schema(list(fields.values()))


def compile_stage(stage: PlanStage, schema: pa.Schema) -> Compiled:
    """Check a stage against the columns there are.

    Raises:
        ConfigError: naming the stage, the field and the place in its text. Of a preset, parts whose columns no
            stage writes are left out instead.
    """
    full = stage.filled()
    own = stage.model_fields_set

    def number(field: str, text: str) -> Node | None:
        try:
            return _number(text, schema)
        except ConfigError as e:
            if stage.preset and field not in own:
                return None
            raise ConfigError(f"stage {stage.name!r}: {field}: {e}") from e

    try:
        select = compile_expression(full.select, schema) if full.select else None
    except ConfigError as e:
        raise ConfigError(f"stage {stage.name!r}: select: {e}") from e
    best = tuple(node for text in full.best_first if (node := number("best_first", text)) is not None)
    weight = number("weight", full.weight) if full.weight else None
    order = number("order", full.order) if full.order else None
    there = {k: v for k, v in full.captions.items() if v > 0 and set(columns_of(k)) <= set(schema.names)}
    if full.captions and not there:
        raise ConfigError(
            f"stage {stage.name!r}: captions: no stage before writes {', '.join(full.captions)}"
        )
    total = sum(there.values())
    names = set(select.columns if select else ())
    for node in (*best, *(n for n in (weight, order) if n is not None)):
        names |= column_names(node)
    columns: set[str] = {c for k in there for c in columns_of(k)}
    if there and PLACEHOLDER in schema.names:
        columns.add(PLACEHOLDER)
    for name in names:
        short = name.removeprefix(f"{PLAN}.")
        if not name.startswith(f"{PLAN}."):
            columns.add(name)
        elif short == "complexity":
            columns |= {c for k, needs in COMPUTED.items() if f"{PLAN}.{k}" in schema.names for c in needs}
        else:
            columns |= set(COMPUTED[short])
    mix = {k: v / total for k, v in there.items()}
    return Compiled(full, select, weight, best, order, mix, tuple(sorted(columns)))


def signature(compiled: Compiled) -> dict[str, Any]:
    """JSON-able normal form for a stage's fingerprint."""
    c = compiled
    return {
        **c.stage.model_dump(exclude={"preset"}),
        "select": c.select.text if c.select else None,
        "weight": unparse(c.weight) if c.weight is not None else None,
        "best_first": [unparse(n) for n in c.best_first],
        "order": unparse(c.order) if c.order is not None else None,
        "captions": dict(sorted(c.captions.items())),
    }


def with_computed(table: pa.Table) -> pa.Table:
    """The table with `plan.NAME` columns for all computed values its columns allow."""
    values: dict[str, np.ndarray] = {}
    names = set(table.column_names)
    if set(COMPUTED["bytes_per_pixel"]) <= names:
        values["bytes_per_pixel"] = _floats(table["profile.reencode_bpp"])
    if set(COMPUTED["elements"]) <= names:
        counts = [_floats(pc.list_value_length(table[c])) for c in COMPUTED["elements"]]
        values["elements"] = np.fmax(*counts)
    if set(COMPUTED["text_density"]) <= names:
        chars = np.nan_to_num(_floats(pc.utf8_length(table["ocr.text"])))
        pixels = _floats(table["profile.width_px"]) * _floats(table["profile.height_px"])
        values["text_density"] = chars / np.maximum(pixels, 1) * 1e6
    if set(COMPUTED["caption_chars"]) <= names:
        english, chinese = (_floats(pc.utf8_length(table[c])) for c in COMPUTED["caption_chars"])
        values["caption_chars"] = caption_chars(english, chinese)
    if values:
        table = table.append_column(f"{PLAN}.complexity", pa.array(complexity(values)))
    for name, value in values.items():
        table = table.append_column(f"{PLAN}.{name}", pa.array(value, from_pandas=True))
    return table


def numbers(node: Node, table: pa.Table) -> np.ndarray:
    """float64 [n] of an expression, NaN where null."""
    return _floats(as_array(evaluate(node, table), table.num_rows, pa.float64()))


def mean_rank(nodes: Sequence[Node], table: pa.Table, eligible: np.ndarray) -> np.ndarray:
    """float64 [n], 0 (worst) .. 1 (best) among eligible rows: mean rank over the expressions that have a value; NaN
    for rows without any."""
    total, known = np.zeros(table.num_rows), np.zeros(table.num_rows)
    for node in nodes:
        values = numbers(node, table)
        use = eligible & ~np.isnan(values)
        if use.any():
            _, inverse = np.unique(values[use], return_inverse=True)
            total[use] += inverse / max(1, inverse.max())
            known[use] += 1
    return np.where(known > 0, total / np.maximum(known, 1), np.nan)


def _number(text: str, schema: pa.Schema) -> Node:
    tree = parse(text)
    node, kind = bind(tree, schema, text)
    if kind != NUMBER:
        raise problem(text, tree.at, tree.end, f"a number is wanted here, this is a {kind}")
    return node


def _floats(column: pa.ChunkedArray | pa.Array) -> np.ndarray:
    return np.asarray(pc.cast(column, pa.float64()).to_numpy(zero_copy_only=False) if isinstance(column, pa.Array)
                      else pc.cast(column, pa.float64()).to_numpy(), np.float64)  # fmt: skip
