"""`zcurate dedup-audit`: pairs by cosine, to set an encoder's duplicate threshold by eye."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash

from zcurate.curation.embedding.encoder import Encoder
from zcurate.curation.embedding.symmetry import MIRROR, Symmetries, symmetries_of
from zcurate.curation.errors import ConfigError, DatasetError
from zcurate.curation.neighbors.vectors import inverse_norms
from zcurate.curation.store.tables import read_parts

from .context import StageContext
from .report.audit import AuditBin, AuditPage, AuditPair, AuditPicture, render_audit
from .view import View, open_view

#: Samples whose neighbors are searched for bins below the neighbors table's floor.
SEARCHED = 512
_BLOCK = 16_384


@dataclass(frozen=True)
class Pair:
    """Two samples. `orientation`: Exif orientation in which the second is near the first; `merged`: one group."""

    first: str
    second: str
    cos: float
    orientation: int
    merged: bool


@dataclass(frozen=True)
class Bin:
    """low <= cosine < high (the last bin holds its upper end, too).

    Attributes:
        pairs: counted in the neighbors table, or, where `estimated`, extrapolated from a search of some samples.
        merged: of the pairs looked at, the share in one group; None without any.
        examples: drawn evenly by a hash, the same on every run.
    """

    low: float
    high: float
    pairs: int
    estimated: bool
    merged: float | None
    examples: tuple[Pair, ...]


@dataclass(frozen=True)
class Audit:
    """What `audit` found. `floor`: smallest cosine the neighbors table holds."""

    dataset: str
    encoder: str
    threshold: float
    floor: float
    samples: int
    searched: int
    bins: tuple[Bin, ...]

    def plain(self) -> dict[str, Any]:
        return asdict(self)


def audit(
    url: str,
    encoder: str | None = None,
    low: float = 0.8,
    high: float = 1.0,
    step: float = 0.01,
    per_bin: int = 12,
    seed: int = 0,
) -> Audit:
    """Count and sample pairs of samples per bin of cosine.

    Pairs at or above the dedup stage's floor come from its neighbors table (identical files are one there; at most k
    neighbors a sample); below, `SEARCHED` samples drawn by hash are compared with all others.

    Args:
        encoder: the model string the vectors were made with; given only to be checked.
        low, high: range of cosines; step: width of a bin.
        per_bin: examples of a bin at most.

    Raises:
        ConfigError: the dataset was embedded by another encoder, or the range is empty.
        DatasetError: nothing was embedded or deduplicated yet.
    """
    if not (-1 <= low < high <= 1 and 0 < step <= high - low + 1e-9 and (high - low) / step <= 1_000):
        raise ConfigError(
            f"--low {low}, --high {high}, --step {step}: need -1 <= low < high <= 1 and at most 1,000 bins"
        )
    view = open_view(url)
    stage = next((s for s in view.plan.stages if "neighbors" in s.bound.spec.side_tables), None)
    if stage is None or not view.has("groups") or not view.has("embedding"):
        raise DatasetError(
            f"{url} has no duplicate groups yet; run 'zcurate build' with a recipe that has dedup"
        )
    used = view.recipe.stages.get("embed", {}).get("model", "embedded")
    if encoder is not None and encoder != used:
        raise ConfigError(
            f"--encoder {encoder!r}, but the vectors of {url} were made by {used!r}: a threshold belongs to one "
            "encoder; embed with the other one first"
        )
    config = stage.bound.spec.config
    groups, vectors = _rows(view)
    if len(groups) < 2:
        raise DatasetError(f"{url}: {len(groups)} samples with vectors and groups, need two")
    path = stage.bound.table_path("neighbors")
    edges = np.array(np.linspace(low, high, round((high - low) / step) + 1))
    group_of = dict(zip(groups["ids"], groups["groups"], strict=True))
    columns = ["src_id", "dst_id", "cos", "orientation"]
    tables = [_stored_pairs(rows, group_of) for rows in read_parts(view.dataset, path, columns)]
    known = StageContext().encoder(used)
    floor, draws = float(config["floor"]), 0
    found = [p for table in tables for p in table if p.cos >= floor]
    searched: list[Pair] = []
    if low < floor:
        searched, draws = _searched_pairs(
            groups["ids"], vectors, group_of, low, _turns(known, bool(config.get("mirror"))), seed
        )
    bins = []
    for start, end in zip(edges[:-1], edges[1:], strict=True):
        last = end == edges[-1]
        searches = bool(start < floor - 1e-9)
        source = searched if searches else found
        here = [p for p in source if start <= p.cos and (p.cos < end or (last and p.cos <= end + 1e-3))]
        scale = _scale(len(groups["ids"]), draws) if searches else 1.0
        bins.append(
            Bin(
                round(float(start), 6), round(float(end), 6), round(len(here) * scale), searches and draws < len(group_of),
                round(sum(p.merged for p in here) / len(here), 4) if here else None,
                tuple(_drawn(here, per_bin, seed)),
            )
        )  # fmt: skip
    return Audit(
        view.dataset.storage.url, used, float(config["threshold"]), floor, len(group_of), draws, tuple(bins)
    )


def write_page(found: Audit, out: Path) -> None:
    """The audit as one HTML file with thumbnails."""
    view = open_view(found.dataset)
    wanted = {i for b in found.bins for p in b.examples for i in (p.first, p.second)}
    pictures = _pictures(view, wanted)
    blank = AuditPicture("", None)
    bins = tuple(
        AuditBin(
            b.low, b.high, b.pairs, b.estimated, b.merged,
            tuple(
                AuditPair(pictures.get(p.first, blank), pictures.get(p.second, blank), p.cos, p.orientation, p.merged)
                for p in sorted(b.examples, key=lambda p: -p.cos)
            ),
        )
        for b in reversed(found.bins)
    )  # fmt: skip
    page = AuditPage(
        found.dataset, found.encoder, found.threshold, found.floor, found.samples, found.searched, bins
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(render_audit(page), encoding="utf-8")


def _rows(view: View) -> tuple[dict[str, list[Any]], np.ndarray]:
    """Ids (hex) and group ids of the rows dedup saw, and their vectors [n, d], sorted by id."""
    ids, groups, blocks = [], [], []
    for _, table in view.tables(["embedding.vector", "groups.group_id"]):
        there = table["live"].to_numpy() & table["embedding.vector"].is_valid().to_numpy()
        there &= table["groups.group_id"].is_valid().to_numpy()
        table = table.take(np.flatnonzero(there))
        if not len(table):
            continue
        ids += [i.hex() for i in table["sample_id"].to_pylist()]
        groups += table["groups.group_id"].to_pylist()
        blocks.append(
            table["embedding.vector"]
            .combine_chunks()
            .flatten()
            .to_numpy(zero_copy_only=False)
            .reshape(len(table), -1)
        )
    order = np.argsort(np.array(ids)) if ids else []
    vectors = np.concatenate(blocks)[order] if blocks else np.zeros((0, 1), np.float16)
    return {"ids": [ids[i] for i in order], "groups": [groups[i] for i in order]}, vectors


def _stored_pairs(rows: pa.Table, group_of: dict[str, bytes]) -> list[Pair]:
    values = zip(*(column.to_pylist() for column in rows.columns), strict=True)
    named = ((a.hex(), b.hex(), cos, turn) for a, b, cos, turn in values)
    return [
        Pair(a, b, cos, turn, group_of[a] == group_of[b])
        for a, b, cos, turn in named
        if a in group_of and b in group_of
    ]


def _turns(encoder: Encoder, mirror: bool) -> tuple[Symmetries | None, tuple[int, ...]]:
    symmetries = symmetries_of(encoder) if mirror else None
    return symmetries, (0,) if symmetries is None else (0, MIRROR)


def _searched_pairs(
    ids: Sequence[str],
    vectors: np.ndarray,
    group_of: dict[str, bytes],
    low: float,
    turns: tuple[Symmetries | None, tuple[int, ...]],
    seed: int,
) -> tuple[list[Pair], int]:
    """Pairs at or above `low` of some samples with all, each once, and how many samples were drawn."""
    order = sorted(range(len(ids)), key=lambda i: _mark(seed, ids[i]))[:SEARCHED]
    drawn = np.sort(np.array(order))
    inverse = inverse_norms(vectors)
    queries = vectors[drawn].astype(np.float32) * inverse[drawn, None].astype(np.float32)
    symmetries, ops = turns
    turned = [queries if symmetries is None else symmetries.apply(op, queries) for op in ops]
    is_drawn = np.zeros(len(ids), bool)
    is_drawn[drawn] = True
    pairs = []
    for start in range(0, len(ids), _BLOCK):
        block = vectors[start : start + _BLOCK].astype(np.float32)
        block *= inverse[start : start + _BLOCK, None].astype(np.float32)
        cosines = np.stack([t @ block.T for t in turned])
        best, which = cosines.max(axis=0), cosines.argmax(axis=0)
        for i, j in zip(*np.nonzero(best >= low), strict=True):
            a, b = int(drawn[i]), int(j) + start
            if a == b or (is_drawn[b] and b < a):
                continue
            first, second = ids[min(a, b)], ids[max(a, b)]
            pairs.append(
                Pair(
                    first,
                    second,
                    float(best[i, j]),
                    ops[which[i, j]] + 1,
                    group_of[first] == group_of[second],
                )
            )
    return pairs, len(drawn)


def _scale(n: int, drawn: int) -> float:
    """All pairs over those that hold a drawn sample."""
    return (n * (n - 1) / 2) / max(1.0, drawn * (drawn - 1) / 2 + drawn * (n - drawn))


def _drawn(pairs: Sequence[Pair], count: int, seed: int) -> list[Pair]:
    return sorted(sorted(pairs, key=lambda p: _mark(seed, p.first + p.second))[:count], key=lambda p: -p.cos)


def _mark(seed: int, text: str) -> int:
    return xxhash.xxh3_64_intdigest(text.encode(), seed)


def _pictures(view: View, ids: set[str]) -> dict[str, AuditPicture]:
    columns = ["samples.source", "samples.key"] + (["thumbs.thumb"] if view.plan.path("thumbs") else [])
    found = {}
    for _, table in view.tables(columns):
        here = np.flatnonzero([i.hex() in ids for i in table["sample_id"].to_pylist()])
        for row in table.take(here).to_pylist():
            label = f"{row['samples.source']}/{row['samples.key']}"
            found[row["sample_id"].hex()] = AuditPicture(label, row.get("thumbs.thumb"))
    return found
