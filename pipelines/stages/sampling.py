"""Stage `decisions/sampling`: rates and quotas per source, over the rows that earlier decisions keep.

Put it after `dedup`, and a quota counts unique pictures; before it, duplicates use the quota up too.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from zcurate.curation.sampling import Share, cut, decide, ranks, share_of, unit
from zcurate.curation.stage import GlobalInput, GlobalResult, GlobalStage, Resources, StageSpec, field_of

from ..decisions import SAMPLING, deciding

if TYPE_CHECKING:
    from zcurate.pipelines.context import StageContext

VERSION = 1
_SOURCE = "samples.source"
OUTPUT = pa.schema(
    [
        field_of("keep", pa.bool_(), "inside the rate and the quota of its source"),
        field_of("reason", pa.string(), "rate | quota: which of them left the row out; null where kept"),
        field_of("u", pa.float64(), "hash of id and seed, 0..1: smaller stays longer"),
    ]
)


class SourceShare(BaseModel):
    """How much of the matching sources stays; of each of them, where several match."""

    model_config = ConfigDict(extra="forbid")

    rate: float = Field(1.0, ge=0, le=1, description="share of the rows that stays")
    quota: int | None = Field(None, ge=0, description="rows that stay at most, of those the rate leaves")


class Config(BaseModel):
    """Rates and quotas; a source that no glob matches stays whole."""

    model_config = ConfigDict(extra="forbid")

    seed: int = Field(0, ge=0, lt=2**63, description="another seed draws other rows")
    sources: dict[str, SourceShare] = Field(
        default_factory=dict,
        description="glob on the source name -> {rate, quota}; the last glob that matches decides",
    )


class SamplingStage:
    """Two passes over ids: where each quota cuts its source off, then what stays."""

    def __init__(self, config: Config, where: tuple[str, ...] = (), profiled: bool = False):
        self._seed = config.seed
        self._shares = [(glob, Share(s.rate, s.quota)) for glob, s in config.sources.items()]
        # profile is read so that pictures that cannot be opened do not use up a quota
        reads = (_SOURCE, *(("profile.content_id",) if profiled else ()))
        self.spec = StageSpec(
            name=SAMPLING,
            version=VERSION,
            reads=reads,
            outputs={SAMPLING: OUTPUT},
            config={
                "seed": config.seed,
                "sources": [[glob, s.rate, s.quota] for glob, s in self._shares],
            },
            where=where,
            resources=Resources(row_deadline_s=5.0),
        )

    def setup_node(self) -> None:
        pass

    def setup(self) -> None:
        pass

    def run(self, data: GlobalInput) -> GlobalResult:
        shards = sorted(data.shards())
        gathered: dict[str, list[np.ndarray]] = defaultdict(list)
        for shard in shards:
            for source, ranked, rows in self._sources(data.read(shard, (_SOURCE,))):
                if share_of(source, self._shares).quota is not None:
                    gathered[source].append(ranked[rows])
        cuts = {s: cut(np.concatenate(parts), share_of(s, self._shares)) for s, parts in gathered.items()}
        counts: Counter[str] = Counter()
        aligned = [(shard, self._decide(data.read(shard, (_SOURCE,)), cuts, counts)) for shard in shards]
        return GlobalResult(aligned, facts=dict(counts))

    def _sources(self, table: pa.Table) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """(source, ranks of all rows, its rows) for every source of a table."""
        ranked = ranks(table.column("sample_id"), self._seed)
        names = np.array([n or "" for n in table.column(_SOURCE).to_pylist()], dtype=object)
        for source in sorted(set(names.tolist())):
            yield source, ranked, np.flatnonzero(names == source)

    def _decide(self, table: pa.Table, cuts: Mapping[str, Any], counts: Counter[str]) -> pa.Table:
        reasons = np.full(table.num_rows, None, dtype=object)
        u = np.zeros(table.num_rows)
        for source, ranked, rows in self._sources(table):
            u[rows] = unit(ranked[rows])
            reasons[rows] = decide(ranked[rows], share_of(source, self._shares), cuts.get(source))
        counts.update("kept" if r is None else f"left out by {r}" for r in reasons)
        keep = [r is None for r in reasons]
        return pa.table([pa.array(keep, pa.bool_()), pa.array(reasons, pa.string()), u], schema=OUTPUT)


def build(config: Config, ctx: StageContext) -> GlobalStage:
    return SamplingStage(config, deciding(ctx.groups), ctx.has("profile"))
