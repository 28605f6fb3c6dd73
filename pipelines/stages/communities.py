"""Stage `communities`: where each sample lies in a hierarchy of communities of similar pictures."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Annotated

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from zcurate.curation.errors import DatasetError, MissingDependencyError
from zcurate.curation.neighbors.hierarchy import Engine, community_path, modularity
from zcurate.curation.neighbors.medoids import medoids
from zcurate.curation.neighbors.pairs import SearchSettings, near_pairs
from zcurate.curation.neighbors.vectors import inverse_norms
from zcurate.curation.stage import GlobalInput, GlobalResult, GlobalStage, Resources, StageSpec, field_of

from ..decisions import deciding

if TYPE_CHECKING:
    from zcurate.pipelines.context import StageContext

VERSION = 1
VECTOR = "embedding.vector"
OUTPUT = pa.schema(
    [
        field_of(
            "path",
            pa.list_(pa.int32()),
            "communities the sample is in, coarse to fine: ids of the side table `communities`",
        ),
        field_of("community", pa.int32(), "the finest of them"),
        field_of("community_size", pa.int32(), "members of the finest", "samples"),
    ]
)
COMMUNITIES = pa.schema(
    [
        field_of("id", pa.int32(), "unique over all levels, level 0 first"),
        field_of("parent", pa.int32(), "the community of the level before that it lies in; null on level 0"),
        field_of("level", pa.int32(), "0 is the coarsest"),
        field_of("size", pa.int32(), "members", "samples"),
        field_of("medoid", pa.binary(16), "sample_id of the member nearest the members' mean"),
        field_of("mean_cos", pa.float32(), "mean cosine of the members to the medoid", "cosine"),
    ]
)


class Config(BaseModel):
    """A k-NN graph, cut at several resolutions of modularity."""

    model_config = ConfigDict(extra="forbid")

    k: int = Field(15, ge=1, le=1_000, description="nearest neighbors per sample")
    floor: float = Field(0.0, ge=0, le=1, description="smallest cosine of an edge")
    engine: Engine = Field("networkit", description="networkit, or leidenalg (the reference; much slower)")
    resolutions: list[Annotated[float, Field(gt=0, allow_inf_nan=False)]] | None = Field(
        None,
        min_length=1,
        max_length=16,
        description="resolution of modularity per level, coarse to fine; a larger one, smaller communities; "
        "default: 1, 10, 100, ... as long as there are 100 samples for each unit",
    )
    min_size: int = Field(10, ge=1, description="a community of fewer members is not divided any further")
    seed: int = Field(0, ge=0, lt=2**31, description="of the engine's random choices")


class CommunitiesStage:
    """Reads every vector, builds the graph, writes every shard."""

    def __init__(self, config: Config, where: tuple[str, ...]):
        self.config = config
        self.spec = StageSpec(
            name="communities",
            version=VERSION,
            reads=(VECTOR,),
            outputs={"communities": OUTPUT},
            config=config.model_dump(),
            models={"communities": _engine_identity(config.engine)},
            where=where,
            side_tables={"communities": COMMUNITIES},
            resources=Resources(memory_bytes=4 << 30),
        )

    def setup_node(self) -> None:
        pass

    def setup(self) -> None:
        pass

    def run(self, data: GlobalInput) -> GlobalResult:
        shards = data.shards()
        tables = [data.read(s, (VECTOR,)) for s in shards]
        lengths = [len(t) for t in tables]
        if not sum(lengths):
            empty = [(s, OUTPUT.empty_table()) for s in shards]
            return GlobalResult(empty, {"communities": COMMUNITIES.empty_table()}, {"rows": 0})
        ids = np.concatenate([_ids(t) for t in tables])
        # by id, so that neither shards nor their order matter
        order = np.lexsort((ids[:, 1], ids[:, 0]))
        blocks = [_vectors(s, t) for s, t in zip(shards, tables, strict=True) if len(t)]
        if len({b.shape[1] for b in blocks}) > 1:
            widths = sorted({b.shape[1] for b in blocks})
            raise DatasetError(f"{VECTOR} has {widths} dimensions in different shards; run embed again")
        vectors = np.concatenate(blocks)[order]
        del tables, blocks
        path, figures = self._path(vectors, data)
        columns, communities = _tables(path, vectors, ids[order])
        back = np.empty(len(order), np.int64)
        back[order] = np.arange(len(order))
        return GlobalResult(
            _cut(columns.take(pa.array(back)), shards, lengths), {"communities": communities}, figures
        )

    def _path(self, vectors: np.ndarray, data: GlobalInput) -> tuple[np.ndarray, dict[str, object]]:
        """int32 [n, levels] numbers within the level, and figures. Identical vectors are one node."""
        c = self.config
        rows = np.ascontiguousarray(vectors)
        whole = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1])))[:, 0]
        _, first, inverse = np.unique(whole, return_index=True, return_inverse=True)
        nodes = np.sort(first)
        node_of = np.searchsorted(nodes, first)[inverse]
        # Neighbors of meaning, not copies: a tenth of the farther ones missed changes no community worth its name.
        wanted = SearchSettings(c.k, c.floor, c.floor, recall=0.9, seed=c.seed, full_lists=True)
        found = near_pairs(vectors[nodes], wanted, fan_out=data.fan_out)
        edges = found.edges
        path = community_path(edges, len(nodes), c.engine, c.resolutions, c.seed, c.min_size)
        figures = {
            "rows": len(vectors),
            "nodes": len(nodes),
            "edges": len(edges),
            "recall": found.facts["recall"],
            "engine": _engine_identity(c.engine),
            "communities": [int(n) + 1 for n in path.max(axis=0)],
            "modularity": [round(modularity(edges, level, len(nodes)), 6) for level in path.T],
        }
        return path[node_of], figures


def _engine_identity(engine: str) -> str:
    """Package and version. Raises MissingDependencyError where it is not installed."""
    try:
        return f"{engine}=={version(engine)}"
    except PackageNotFoundError as e:
        raise MissingDependencyError(f"communities.engine {engine!r}: pip install {engine}") from e


def _ids(table: pa.Table) -> np.ndarray:
    """uint64 [n, 2]: sample ids as big-endian halves, which compare as the ids do."""
    data = b"".join(table["sample_id"].to_pylist())
    return np.frombuffer(data, ">u8").reshape(-1, 2).astype(np.uint64)


def _vectors(shard: str, table: pa.Table) -> np.ndarray:
    """[n, d] in the dtype stored. Raises DatasetError where a selected row has no vector."""
    column = table[VECTOR].combine_chunks()
    if column.null_count:
        raise DatasetError(
            f"shard {shard}: {column.null_count} selected rows have no {VECTOR}; run embed again"
        )
    return column.flatten().to_numpy(zero_copy_only=False).reshape(len(table), -1)


def _tables(path: np.ndarray, vectors: np.ndarray, ids: np.ndarray) -> tuple[pa.Table, pa.Table]:
    """The aligned columns in the order of the rows given, and the side table."""
    counts = path.max(axis=0).astype(np.int64) + 1
    start = np.cumsum(counts) - counts
    numbered = (path + start).astype(np.int32)
    inverse = inverse_norms(vectors)
    found = [medoids(vectors, inverse, level) for level in path.T]
    parents = [np.zeros(c, np.int32) for c in counts]
    for level in range(1, len(counts)):
        parents[level][path[:, level]] = numbered[:, level - 1]
    medoid = np.concatenate([f.medoid for f in found])
    table = pa.table(
        [
            pa.array(np.arange(counts.sum(), dtype=np.int32)),
            pa.array(np.concatenate(parents), mask=np.arange(counts.sum()) < counts[0]),
            pa.array(np.repeat(np.arange(len(counts), dtype=np.int32), counts)),
            pa.array(np.concatenate([f.size for f in found]).astype(np.int32)),
            _binary(ids[medoid]),
            pa.array(np.concatenate([f.mean_cos for f in found])),
        ],
        schema=COMMUNITIES,
    )
    offsets = np.arange(len(path) + 1, dtype=np.int32) * path.shape[1]
    columns = pa.table(
        [
            pa.ListArray.from_arrays(pa.array(offsets), pa.array(numbered.ravel())),
            pa.array(numbered[:, -1]),
            pa.array(found[-1].size[path[:, -1]].astype(np.int32)),
        ],
        schema=OUTPUT,
    )
    return columns, table


def _binary(ids: np.ndarray) -> pa.Array:
    return pa.Array.from_buffers(pa.binary(16), len(ids), [None, pa.py_buffer(ids.astype(">u8").tobytes())])


def _cut(columns: pa.Table, shards: list[str], lengths: list[int]) -> Iterator[tuple[str, pa.Table]]:
    at = 0
    for shard, length in zip(shards, lengths, strict=True):
        yield shard, columns.slice(at, length)
        at += length


def build(config: Config, ctx: StageContext) -> GlobalStage:
    """The stage; runs on rows that every earlier decision keeps, duplicates' keepers among them."""
    return CommunitiesStage(config, deciding(ctx.groups))
