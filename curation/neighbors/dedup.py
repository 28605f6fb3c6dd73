"""Deduplication of a whole dataset: identical samples, near-duplicates, keepers.

identical bytes and pixels → one node → exact k-NN, plus pHash candidates that a cosine confirms →
edges above the threshold → components → all their pair cosines → communities (CPM) → keepers. A row
is dropped only for a keeper it is itself similar enough to.

With `Settings.mirror` every cosine above is the larger of the cosines to the other picture and to
its mirror image.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..embedding.encoder import Mirror
from ..stage import field_of
from .complete import complete
from .components import component_labels, members_of
from .contract import contract_identical
from .exact import Edges, knn_edges, undirected
from .keeper import KEEPER_ORDER, keeper_rank, settle
from .leiden import communities
from .phash import hamming_candidates
from .vectors import inverse_norms, pair_cosines

UNIQUE, KEEPER = "unique", "keeper"
IDENTICAL_BYTES, IDENTICAL_PIXELS = "identical_bytes", "identical_pixels"
NEAR_DUPLICATE, MIRRORED = "near_duplicate", "mirrored"
REASONS = (UNIQUE, KEEPER, IDENTICAL_BYTES, IDENTICAL_PIXELS, NEAR_DUPLICATE, MIRRORED)

GROUPS_SCHEMA = pa.schema(
    [
        field_of("group_id", pa.binary(16), "sample_id of the group's keeper"),
        field_of("keeper_id", pa.binary(16), "sample the row would be dropped for; itself when kept"),
        field_of("keep", pa.bool_(), "false when the row repeats its keeper"),
        field_of(
            "sim_to_keeper",
            pa.float32(),
            "cosine to the keeper or to its mirror image, whichever is larger; 1 for identical samples",
            "cosine",
        ),
        field_of(
            "reason", pa.string(), f"{', '.join(REASONS)}; the last where only the mirror image is near"
        ),
        field_of("group_size", pa.int32(), "rows in the group", "samples"),
    ]
)
NEIGHBORS_SCHEMA = pa.schema(
    [
        field_of("src_id", pa.binary(16), "smaller sample_id; of identical samples, the smallest"),
        field_of("dst_id", pa.binary(16), "larger sample_id"),
        field_of("cos", pa.float32(), "cosine of the embeddings, one mirrored where `mirrored`", "cosine"),
        field_of("mirrored", pa.bool_(), "one picture is nearer to the other's mirror image"),
    ]
)
#: Columns of the table `deduplicate` takes.
COLUMNS = (
    "sample_id",
    "content_id",
    "pixel_hash",
    "phash",
    "width_px",
    "height_px",
    "file_bytes",
    "reencode_bpp",
    "text",
)


@dataclass(frozen=True)
class Settings:
    """What decides the groups.

    Attributes:
        threshold: cosine at and above which two samples are near-duplicates. Belongs to one encoder.
        floor: smallest cosine stored as an edge, at most `threshold`.
        k: neighbors per node.
        phash_radius: bits two pHashes may differ in to become a candidate pair; None for no candidates.
        phash_min_bpp: pictures whose transient JPEG is smaller (bytes per pixel) are too flat for pHash.
        keeper_order: see `keeper.keeper_rank`; of pixels, bytes_per_pixel, file_bytes, caption_chars.
        mirror: what mirroring does to the encoder's vectors; None not to look for mirrored copies.
    """

    threshold: float
    floor: float
    k: int = 100
    phash_radius: int | None = 4
    phash_min_bpp: float = 0.03
    keeper_order: Sequence[str] = KEEPER_ORDER
    mirror: Mirror | None = None

    def __post_init__(self) -> None:
        if not -1 <= self.floor <= self.threshold <= 1:
            raise ValueError(f"need -1 <= floor <= threshold <= 1, got {self.floor} and {self.threshold}")


@dataclass(frozen=True)
class Deduplicated:
    """`groups` is aligned with the rows given; `neighbors` sorted by ids; `figures` JSON-able counts."""

    groups: pa.Table
    neighbors: pa.Table
    figures: Mapping[str, Any]


def deduplicate(
    rows: pa.Table, vectors: np.ndarray | Callable[[np.ndarray], np.ndarray], settings: Settings
) -> Deduplicated:
    """Group duplicates and choose keepers. The result does not depend on the order of rows.

    Args:
        rows: the columns of COLUMNS; `sample_id` unique and not null, others may be null.
        vectors: float16 or float32 [n, d], one per row; or what gives them for row positions [m], so that
            a large dataset's vectors are held once. Need not be normalized.

    Raises:
        ValueError: rows and vectors of different length, repeated sample ids, a vector with NaN, or a
            mirror for vectors of another length.
    """
    n = rows.num_rows
    if not callable(vectors) and len(vectors) != n:
        raise ValueError(f"{n} rows but {len(vectors)} vectors")
    ids, _ = _fixed(rows["sample_id"])
    order = np.argsort(ids, kind="stable")
    sorted_ids = ids[order]
    if (sorted_ids[1:] == sorted_ids[:-1]).any():
        raise ValueError("a sample_id occurs twice; each sample must be given once")
    table = rows.select(COLUMNS).take(pa.array(order))
    (content, has_content), (pixels, has_pixels) = _fixed(table["content_id"]), _fixed(table["pixel_hash"])

    node_of = contract_identical((content, has_content), (pixels, has_pixels))
    nodes = np.unique(node_of)
    node_index = np.searchsorted(nodes, node_of)
    node_vectors = vectors(order[nodes]) if callable(vectors) else vectors[order[nodes]]
    mirror = settings.mirror
    if mirror is not None and node_vectors.shape[1] != len(mirror.source):
        raise ValueError(
            f"vectors of {node_vectors.shape[1]} dimensions, but the mirror is of {len(mirror.source)}: "
            "it belongs to another encoder"
        )
    inverse = inverse_norms(node_vectors)
    knn = knn_edges(node_vectors, settings.k, settings.floor, mirror=mirror)
    hashed, n_candidates = _confirmed_hashes(table, nodes, node_vectors, inverse, settings)
    edges = undirected(
        *(np.concatenate([getattr(knn, f), getattr(hashed, f)]) for f in ("src", "dst", "cos"))
    )

    rank = keeper_rank(_measures(table), settings.keeper_order)
    node_rank = np.full(len(nodes), n, np.int64)
    np.minimum.at(node_rank, node_index, rank)
    node_ids = sorted_ids[nodes]
    keeper_of, sim, n_components, largest = _group_nodes(
        edges, node_vectors, inverse, node_rank, node_ids, settings
    )

    best_row = np.empty(n, np.int64)  # rank -> row
    best_row[rank] = np.arange(n)
    keeper_row = best_row[node_rank][keeper_of][node_index]
    plain = pair_cosines(node_vectors, np.arange(len(nodes)), keeper_of, inverse)
    turned = plain.astype(np.float64) < settings.threshold
    groups = _group_columns(
        sorted_ids, keeper_row, sim[node_index], (content, has_content), node_of, turned[node_index]
    )
    back = np.empty(n, np.int64)
    back[order] = np.arange(n)
    edge_turned = edges.cos > pair_cosines(node_vectors, edges.src, edges.dst, inverse)
    neighbors = pa.table(
        [_to_fixed(node_ids[edges.src]), _to_fixed(node_ids[edges.dst]), pa.array(edges.cos),
         pa.array(edge_turned)],
        schema=NEIGHBORS_SCHEMA,
    )  # fmt: skip
    reasons = {r["values"]: r["counts"] for r in pc.value_counts(groups["reason"]).to_pylist()}
    figures = {
        "method": "exact",
        "recall": 1.0,  # of k-NN edges: brute force, each cosine recomputed in float64
        "threshold": settings.threshold,
        "mirror": mirror is not None,
        "rows": n,
        "nodes": len(nodes),
        "edges_knn": len(knn),
        "phash_candidates": n_candidates,
        "phash_confirmed": len(hashed.above(settings.threshold)),
        "edges_added_by_phash": len(edges) - len(knn),
        "edges_above_threshold": len(edges.above(settings.threshold)),
        "components": n_components,
        "largest_component": largest,
        "groups": int(pc.sum(groups["keep"]).as_py() or 0),
        "dropped": n - int(pc.sum(groups["keep"]).as_py() or 0),
        **{r: int(reasons.get(r, 0)) for r in REASONS},
    }
    return Deduplicated(groups.take(pa.array(back)), neighbors, figures)


def _confirmed_hashes(
    table: pa.Table, nodes: np.ndarray, vectors: np.ndarray, inverse: np.ndarray, settings: Settings
) -> tuple[Edges, int]:
    """pHash candidates as edges, each with the cosine it really has, and the number of candidates."""
    if settings.phash_radius is None:
        return undirected(*(np.zeros(0) for _ in range(3))), 0
    taken = table.select(["phash", "reencode_bpp"]).take(pa.array(nodes))
    valid = pc.is_valid(taken["phash"]).to_numpy()
    detailed = _numbers(taken["reencode_bpp"]) >= settings.phash_min_bpp
    hashes = pc.fill_null(taken["phash"], 0).to_numpy().astype(np.uint64)
    a, b = hamming_candidates(hashes, np.flatnonzero(valid & detailed), settings.phash_radius)
    found = undirected(a, b, pair_cosines(vectors, a, b, inverse, settings.mirror))
    return found.above(settings.floor), len(a)


def _group_nodes(
    edges: Edges,
    vectors: np.ndarray,
    inverse: np.ndarray,
    node_rank: np.ndarray,
    node_ids: np.ndarray,
    settings: Settings,
) -> tuple[np.ndarray, np.ndarray, int, int]:
    """Keeper node and cosine to it for every node; components of two and more, and the largest."""
    keeper_of, sim = np.arange(len(vectors)), np.ones(len(vectors), np.float32)
    strong = edges.above(settings.threshold)
    components = members_of(component_labels(len(vectors), strong.src, strong.dst), at_least=2)

    def cosines_to(one: int, many: np.ndarray) -> np.ndarray:
        return pair_cosines(vectors, np.full(len(many), one), many, inverse, settings.mirror)

    for members in components:
        unit = np.asarray(vectors[members], np.float64) * inverse[members, None]
        graph = complete(unit, settings.threshold, settings.floor, settings.mirror)
        seed = int.from_bytes(bytes(node_ids[members[0]]).ljust(16, b"\0")[:4], "big")
        labels = communities(graph, settings.threshold, seed)
        for community in members_of(labels):
            for keeper, near, cos in settle(members[community], node_rank, cosines_to, settings.threshold):
                keeper_of[near] = keeper
                sim[near] = cos
    return keeper_of, sim, len(components), max(map(len, components), default=0)


def _group_columns(
    ids: np.ndarray,
    keeper_row: np.ndarray,
    sim: np.ndarray,
    content: tuple[np.ndarray, np.ndarray],
    node_of: np.ndarray,
    turned: np.ndarray,
) -> pa.Table:
    """The groups table; `turned` bool [n]: the row is not near enough to its keeper unless mirrored."""
    values, valid = content
    n = len(ids)
    keep = keeper_row == np.arange(n)
    size = np.bincount(keeper_row, minlength=n)[keeper_row] if n else np.zeros(0, np.int64)
    same_node = node_of == node_of[keeper_row]
    same_bytes = valid & valid[keeper_row] & (values == values[keeper_row])
    reason = np.select(
        [keep & (size == 1), keep, same_bytes, same_node, turned],
        [UNIQUE, KEEPER, IDENTICAL_BYTES, IDENTICAL_PIXELS, MIRRORED],
        NEAR_DUPLICATE,
    )
    keeper_ids = _to_fixed(ids[keeper_row])
    return pa.table(
        [keeper_ids, keeper_ids, pa.array(keep), pa.array(sim), pa.array(reason, pa.string()),
         pa.array(size.astype(np.int32))],
        schema=GROUPS_SCHEMA,
    )  # fmt: skip


def _measures(table: pa.Table) -> dict[str, np.ndarray]:
    pixels = _numbers(table["width_px"]) * _numbers(table["height_px"])
    file_bytes = _numbers(table["file_bytes"])
    per_pixel = np.divide(file_bytes, pixels, out=np.full(len(pixels), np.nan), where=pixels > 0)
    chars = _numbers(pc.fill_null(pc.utf8_length(pc.cast(table["text"], pa.string())), 0))
    return {
        "pixels": pixels,
        "bytes_per_pixel": per_pixel,
        "file_bytes": file_bytes,
        "caption_chars": chars,
    }


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    """float64 [n], null as NaN."""
    return pc.fill_null(pc.cast(column, pa.float64()), float("nan")).to_numpy()


def _fixed(column: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """A fixed_size_binary(16) column as numpy bytes S16 (compares as bytes do), and which are valid."""
    valid = pc.is_valid(column).to_numpy()
    data = b"".join(v if v is not None else bytes(16) for v in column.to_pylist())
    return np.frombuffer(data, "S16"), valid


def _to_fixed(ids: np.ndarray) -> pa.Array:
    data = np.ascontiguousarray(ids).tobytes()
    return pa.Array.from_buffers(pa.binary(16), len(ids), [None, pa.py_buffer(data)])
