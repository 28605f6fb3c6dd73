"""Stage `weights`: sampling weights from the rarity of concepts, over the whole dataset.

With `stages` (a sampling plan) it also solves which samples every training stage sees, and writes the group
`plans` and its side tables; `weight` is then the first stage's keep probability, at mean 1. The formulas are in
`zcurate.graph.weights` (no plan), `zcurate.graph.raking` and `zcurate.graph.nesting` (plan).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from zcurate.curation.errors import ConfigError
from zcurate.curation.stage import GlobalInput, GlobalResult, GlobalStage, Resources, StageSpec, field_of
from zcurate.graph.bm25 import K1, B, Postings, count, postings
from zcurate.graph.weights import WeightRule, concept_shares, effective_sample_size, rarity, weights

from ..balancing import NODES, PATH
from ..decisions import deciding
from ..drawing import UNMAPPED_COLUMN, draw_plan
from ..plans import Compiled, PlanStage, compile_stage, earlier_schemas, signature
from .concepts import graph_identity, open_graph

if TYPE_CHECKING:
    from zcurate.pipelines.context import StageContext

VERSION = 1
#: Raised when plans come out otherwise; weights without a plan are not touched by it.
SOLVER = 2
COLUMN = "concepts.concepts"
_PLAN_FIELDS = {"graph", "stages", "seed"}
OUTPUT = pa.schema(
    [
        field_of("weight", pa.float64(), "sampling weight, mean 1 over selected rows"),
        field_of(
            "rarity", pa.float32(), "mean BM25 score of the rarest concepts; null without concepts", "nats"
        ),
    ]
)
CONCEPTS = pa.schema(
    [
        field_of("concept", pa.string(), "concept name"),
        field_of("df", pa.int64(), "selected images that have it", "images"),
        field_of("share_before", pa.float64(), "share of uniform draws that show it"),
        field_of("share_after", pa.float64(), "share of weighted draws that show it"),
    ]
)


PLANS = pa.schema(
    [
        field_of("keep_probability", pa.list_(pa.float32()), "of every stage of the plan, in order"),
        field_of("stages", pa.list_(pa.string()), "stages of the plan that draw the sample, in order"),
    ]
)
SAMPLES = pa.schema(
    [
        field_of("stage", pa.string(), "stage of the plan"),
        field_of("position", pa.int64(), "place in the stage's list, from 0"),
        field_of("sample_id", pa.binary(16), "the sample"),
        field_of("keep_probability", pa.float32(), "probability with which it was drawn"),
        field_of(
            "caption", pa.string(), "caption column to train on, by the stage's mix; null without a mix"
        ),
    ]
)
BUDGETS = pa.schema(
    [
        field_of("stage", pa.string(), "stage of the plan"),
        field_of("concept", pa.string(), "name; community:N for communities; unmapped"),
        field_of("node", pa.int64(), "node of the graph; null without"),
        field_of("supply", pa.int64(), "eligible samples that have it", "samples"),
        field_of(
            "asked", pa.float64(), "what its share of the stage would be, however few there are", "samples"
        ),
        field_of("budget", pa.float64(), "what is wanted of it, up to its supply", "samples"),
        field_of("expected", pa.float64(), "what the keep probabilities give", "samples"),
        field_of("drawn", pa.int64(), "what was drawn", "samples"),
        field_of("feasible", pa.bool_(), "the budget can be met beside all others"),
    ]
)
STAGE_FIGURES = pa.schema(
    [
        field_of("stage", pa.string(), "stage of the plan"),
        field_of("when", pa.string(), "before: all eligible samples; after: what is drawn"),
        field_of("samples", pa.float64(), "expected", "samples"),
        field_of("kl", pa.float64(), "divergence of concept shares from the prior", "nats"),
        field_of("effective_sample_size", pa.float64(), "Kish", "samples"),
        field_of("tail_share", pa.float64(), "occurrences of the rarer half of concepts"),
        field_of("head_share", pa.float64(), "occurrences of the commonest hundredth of concepts"),
        field_of("covered", pa.int64(), "concepts with at least one expected sample", "concepts"),
    ]
)
UNMAPPED = pa.schema(
    [
        field_of("tag", pa.string(), "folded tag without a node"),
        field_of("samples", pa.int64(), "samples that have it", "samples"),
    ]
)
VOIDS = pa.schema(
    [
        field_of("concept", pa.string(), "kept concept of the graph without a sample, most wanted first"),
        field_of("prior", pa.float64(), "its share of all kept concepts' weight"),
    ]
)
PLAN_TABLES = {
    "plan_samples": SAMPLES,
    "plan_budgets": BUDGETS,
    "plan_figures": STAGE_FIGURES,
    "unmapped": UNMAPPED,
    "voids": VOIDS,
}


class Config(BaseModel):
    """Settings of the balance stage."""

    model_config = ConfigDict(extra="forbid")

    per_image: int = Field(3, ge=1, description="rarest concepts of an image that count")
    strength: float = Field(1.0, ge=0, description="0 = uniform weights, 1 = proportional to rarity")
    max_ratio: float = Field(5.0, ge=1, description="largest weight, in multiples of the median image's")
    k1: float = Field(K1, ge=0, description="BM25 saturation")
    b: float = Field(B, ge=0, le=1, description="BM25 discount of long tag lists")
    graph: str | None = Field(None, description="graph directory, the same as of the concepts stage")
    stages: list[PlanStage] = Field(
        default_factory=list, description="sampling plan, in the order of training"
    )
    seed: int = Field(0, ge=0, lt=2**63, description="another seed draws other samples")


class BalanceStage:
    """Two passes over the shards for rarity, one more for the table of concepts."""

    def __init__(
        self,
        config: Config,
        where: tuple[str, ...] = (),
        plan: tuple[Compiled, ...] = (),
        extra: tuple[str, ...] = (),
    ):
        rule = config.model_dump(exclude=_PLAN_FIELDS)
        self._rule = WeightRule(**rule)
        self._config, self._plan = config, plan
        self._extra = tuple(dict.fromkeys([*extra, *(c for stage in plan for c in stage.columns)]))
        planned = {}
        if plan:
            planned = {"seed": config.seed, "plan": [signature(c) for c in plan], "solver": SOLVER}
        self.spec = StageSpec(
            name="weights",
            version=VERSION,
            reads=tuple(dict.fromkeys([COLUMN, *self._extra])),
            outputs={"weights": OUTPUT, **({"plans": PLANS} if plan else {})},
            config={**rule, **planned},
            models={"graph": graph_identity(config.graph)} if config.graph else {},
            where=where,
            corrected=("captions",),
            side_tables={"concepts": CONCEPTS, **(PLAN_TABLES if plan else {})},
            resources=Resources(row_deadline_s=5.0),
        )

    def setup_node(self) -> None:
        pass

    def setup(self) -> None:
        pass

    def run(self, data: GlobalInput) -> GlobalResult:
        shards = sorted(data.shards())
        corpus = count(data.read(shard, (COLUMN,))[COLUMN] for shard in shards)

        def shard_postings() -> Iterator[Postings]:
            for shard in shards:
                yield postings(data.read(shard, (COLUMN,))[COLUMN], corpus)

        rarities = [rarity(p, corpus, self._rule) for p in shard_postings()]
        bounds = np.cumsum([len(r) for r in rarities])[:-1]
        every = np.concatenate(rarities) if rarities else np.zeros(0)
        w = weights(every, self._rule)
        parts = np.split(w, bounds) if rarities else []
        before, after = concept_shares(zip(shard_postings(), parts, strict=True), corpus)
        table = pa.table(
            [corpus.concepts, pa.array(corpus.df), pa.array(before), pa.array(after)], schema=CONCEPTS
        )
        aligned = [
            (shard, pa.table([pa.array(part), _nullable(r)], schema=OUTPUT))
            for shard, part, r in zip(shards, parts, rarities, strict=True)
        ]
        facts = {
            "n": len(w),
            "effective_sample_size": effective_sample_size(w),
            "concepts": len(corpus.df),
            "n_without_concepts": int(np.isnan(every).sum()),
        }
        if not self._plan:
            return GlobalResult(aligned, {"concepts": table}, facts)
        return self._planned(data, shards, aligned, table, facts)

    def _planned(
        self,
        data: GlobalInput,
        shards: list[str],
        aligned: list[tuple[str, pa.Table]],
        concepts: pa.Table,
        facts: dict[str, Any],
    ) -> GlobalResult:
        graph = open_graph(self._config.graph, "balance.graph") if self._config.graph else None
        tables = [data.read(shard, self.spec.reads) for shard in shards]
        found = draw_plan(tables, self._plan, graph, self._config.seed)
        first = found.probability[0].astype(np.float64)
        mean = float(first.mean()) if len(first) and first.sum() > 0 else 1.0
        at, parts = 0, []
        for (shard, weighed), table in zip(aligned, tables, strict=True):
            rows = slice(at, at + len(table))
            at += len(table)
            weighed = weighed.set_column(0, OUTPUT.field("weight"), pa.array(first[rows] / mean))
            parts.append((shard, _beside(weighed, found.columns(rows, PLANS))))
        made = {name: t.cast(PLAN_TABLES[name]) for name, t in found.tables.items()}
        return GlobalResult(parts, {"concepts": concepts, **made}, {**facts, "plan": found.facts})


def _beside(left: pa.Table, right: pa.Table) -> pa.Table:
    return pa.table([*left.columns, *right.columns], schema=pa.schema([*left.schema, *right.schema]))


def _nullable(rarities: np.ndarray) -> pa.Array:
    return pa.array(rarities.astype(np.float32), mask=np.isnan(rarities))


def build(config: Config, ctx: StageContext) -> GlobalStage:
    """The stage; a wrong plan raises ConfigError here, before any data."""
    where = deciding(ctx.groups)
    if not config.stages:
        if config.graph:
            raise ConfigError("balance.graph is used by a sampling plan: give balance.stages too")
        return BalanceStage(config, where)
    names = [s.name for s in config.stages]
    if len(set(names)) < len(names):
        raise ConfigError(f"balance.stages: {max(names, key=names.count)!r} is given twice; rename one")
    graph = (ctx.settings.get("concepts") or {}).get("graph")
    if config.graph != graph:
        raise ConfigError(
            f"balance.graph is {config.graph!r}, concepts.graph {graph!r}: give both the same graph"
        )
    communities = (PATH,) if ctx.has("communities") else ()
    for stage in config.stages:
        if stage.by == "communities" and not communities:
            raise ConfigError(
                f"balance.stages: {stage.name!r} is by communities; put that stage before balance"
            )
    schema = earlier_schemas(ctx)
    plan = tuple(compile_stage(stage, schema) for stage in config.stages)
    return BalanceStage(config, where, plan, ((NODES, UNMAPPED_COLUMN) if graph else ()) + communities)
