"""Stage `weights`: sampling weights from the rarity of concepts, over the whole dataset."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from zcurate.curation.stage import GlobalInput, GlobalResult, GlobalStage, Resources, StageSpec, field_of
from zcurate.graph.bm25 import K1, B, Postings, count, postings
from zcurate.graph.weights import WeightRule, concept_shares, effective_sample_size, rarity, weights

from ..decisions import deciding

if TYPE_CHECKING:
    from zcurate.pipelines.context import StageContext

VERSION = 1
COLUMN = "concepts.concepts"
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


class Config(BaseModel):
    """Settings of the balance stage; the formula is in `zcurate.graph.weights`."""

    model_config = ConfigDict(extra="forbid")

    per_image: int = Field(3, ge=1, description="rarest concepts of an image that count")
    strength: float = Field(1.0, ge=0, description="0 = uniform weights, 1 = proportional to rarity")
    max_ratio: float = Field(5.0, ge=1, description="largest weight, in multiples of the median image's")
    k1: float = Field(K1, ge=0, description="BM25 saturation")
    b: float = Field(B, ge=0, le=1, description="BM25 discount of long tag lists")


class BalanceStage:
    """Two passes over the shards for rarity, one more for the table of concepts."""

    def __init__(self, config: Config, where: tuple[str, ...] = ()):
        self._rule = WeightRule(**config.model_dump())
        self.spec = StageSpec(
            name="weights",
            version=VERSION,
            reads=(COLUMN,),
            outputs={"weights": OUTPUT},
            config=config.model_dump(),
            where=where,
            side_tables={"concepts": CONCEPTS},
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
        return GlobalResult(aligned, {"concepts": table}, facts)


def _nullable(rarities: np.ndarray) -> pa.Array:
    return pa.array(rarities.astype(np.float32), mask=np.isnan(rarities))


def build(config: Config, ctx: StageContext) -> GlobalStage:
    """The stage; reads nothing yet."""
    return BalanceStage(config, deciding(ctx.groups))
