"""Which rows a stage runs on. Selection is not identity: it never changes a row's values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from ..stage import OK
from .corrections import Text
from .dataset import Dataset
from .digest import json_digest
from .index import GroupIndex
from .lineage import SAMPLES, BoundStage, Limit
from .overlay import Overlay, read_overlay
from .samples import read_sources

#: Kind of a source whose rows are clips.
CLIPS = "video"


@dataclass(frozen=True)
class ShardBase:
    """What is known of a shard's rows before any stage.

    Attributes:
        dead: positions that are tombstones, superseded or taken down.
        dropped: positions people decided to drop.
        kept: positions people decided to keep, whatever the rules say.
        cut: rows from this position on are outside a trial run; None for no cut.
        fraction: share of ids inside a trial run; None for all.
        previous: shards that hold superseded rows of samples of this shard; results are looked
            for there too, so they are no part of the digest.
        corrections: position -> caption column -> what a person wrote there. An input of its own of the stages that
            read it, so that it is no part of the digest either.
    """

    dead: tuple[int, ...] = ()
    dropped: tuple[int, ...] = ()
    kept: tuple[int, ...] = ()
    cut: int | None = None
    fraction: float | None = None
    previous: tuple[str, ...] = ()
    corrections: Mapping[int, Mapping[str, Text]] = field(default_factory=dict, hash=False)

    @property
    def digest(self) -> str:
        return json_digest([self.dead, self.dropped, self.kept, self.cut, self.fraction])


@dataclass
class Selection:
    """Base selections of every shard of a dataset, as of one moment.

    Attributes:
        shards: names of the shards that have rows in scope, in order.
        bases: shard -> ShardBase.
        rows: shard -> number of rows.
    """

    shards: list[str]
    bases: dict[str, ShardBase]
    rows: dict[str, int] = field(default_factory=dict)


def read_selection(
    dataset: Dataset,
    samples: GroupIndex,
    limit: Limit | None = None,
    corrections: Mapping[bytes, Mapping[str, Text]] | None = None,
) -> Selection:
    """Work out liveness, overlays and the trial-run limit.

    Only shards that supersede rows are read, unless people have decided on samples or corrected them: then
    the ids of every shard are.

    Args:
        corrections: sample id -> caption column -> text, of whoever runs stages on the selection.
    """
    limit = limit or Limit()
    overlay = read_overlay(dataset)
    names = sorted(samples.metas)
    last = _last_positions(dataset, samples, names)
    previous: dict[str, set[str]] = {}
    bases, rows, before = {}, {}, 0
    in_scope = []
    for order, shard in enumerate(names):
        n = samples.metas[shard].rows
        dead, dropped, kept = _positions(dataset, shard, order, last, overlay, names, previous)
        live = n - len(dead)
        cut = None
        if limit.rows is not None and before + live > limit.rows:
            left = max(0, limit.rows - before)
            alive = np.delete(np.arange(n), list(dead))
            cut = int(alive[left]) if left else 0
        before += live
        if cut == 0:
            continue
        in_scope.append(shard)
        texts = _corrections(dataset, shard, corrections, dead) if corrections else {}
        bases[shard] = ShardBase(dead, dropped, kept, cut, limit.fraction, corrections=texts)
        rows[shard] = n
    for shard, others in previous.items():
        if shard in bases:
            bases[shard] = replace(bases[shard], previous=tuple(sorted(others)))
    return Selection(in_scope, bases, rows)


def _last_positions(
    dataset: Dataset, samples: GroupIndex, names: Sequence[str]
) -> dict[bytes, tuple[int, int, bool]]:
    """id -> (shard order, row, is it a tombstone) of the last row of every id that was ever superseded."""
    last: dict[bytes, tuple[int, int, bool]] = {}
    for order, shard in enumerate(names):
        if not samples.metas[shard].facts.get("supersedes"):
            continue
        t = dataset.read(SAMPLES, shard, ["sample_id", "op", "supersedes"])
        for i, row in enumerate(t.to_pylist()):
            if row["sample_id"] is not None and (row["supersedes"] or row["op"] == "tombstone"):
                last[row["sample_id"]] = (order, i, row["op"] == "tombstone")
    return last


def _positions(
    dataset: Dataset,
    shard: str,
    order: int,
    last: dict,
    overlay: Overlay,
    names: Sequence[str],
    previous: dict[str, set[str]],
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """(dead, dropped, kept) positions of one shard; notes in `previous` where superseded rows went."""
    if not last and not overlay:
        return (), (), ()
    ids = dataset.read(SAMPLES, shard, ["sample_id"]).column(0).to_pylist()
    dead, dropped, kept = [], [], []
    for i, sample_id in enumerate(ids):
        at = last.get(sample_id)
        if (
            sample_id is None
            or sample_id in overlay.removed
            or (at is not None and ((order, i) != at[:2] or at[2]))
        ):
            dead.append(i)
            if at is not None and at[0] > order:
                previous.setdefault(names[at[0]], set()).add(shard)
        elif sample_id in overlay.forced:
            (kept if overlay.forced[sample_id] else dropped).append(i)
    return tuple(dead), tuple(dropped), tuple(kept)


def _corrections(
    dataset: Dataset, shard: str, corrections: Mapping[bytes, Mapping[str, Text]], dead: tuple[int, ...]
) -> dict[int, Mapping[str, Text]]:
    ids = dataset.read(SAMPLES, shard, ["sample_id"]).column(0).to_pylist()
    found = {row: corrections[i] for row, i in enumerate(ids) if i in corrections}
    return {row: texts for row, texts in found.items() if row not in dead}


def base_mask(base: ShardBase, ids: pa.ChunkedArray) -> np.ndarray:
    """bool [rows]: live and inside the trial run. `ids` are the shard's sample ids."""
    mask = np.ones(len(ids), bool)
    mask[list(base.dead)] = False
    if base.cut is not None:
        mask[base.cut :] = False
    if base.fraction is not None:
        mask &= sampled(ids.to_pylist(), base.fraction)
    return mask


def sampled(ids: Sequence[bytes], fraction: float) -> np.ndarray:
    """bool [n]: xxh3-64 of the id below `fraction` of its range; samples of larger fractions contain smaller ones."""
    hashes = np.fromiter((xxhash.xxh3_64_intdigest(i or b"", seed=1) for i in ids), np.uint64, len(ids))
    return hashes < np.uint64(min(int(fraction * 2**64), 2**64 - 1))


def keep_mask(base: ShardBase, keep: pa.ChunkedArray) -> np.ndarray:
    """bool [rows]: one decision group's `keep`, then the decisions of people."""
    mask = pc.fill_null(keep, False).to_numpy().astype(bool)
    mask[list(base.kept)] = True
    mask[list(base.dropped)] = False
    return mask


def selected_mask(dataset: Dataset, bound: BoundStage, shard: str, base: ShardBase) -> np.ndarray:
    """bool [rows]: the rows a stage runs on: live, ok in every group it reads, kept by every group in `where`."""
    ids = dataset.read(SAMPLES, shard, ["sample_id"]).column(0)
    mask = base_mask(base, ids) & media_mask(dataset, bound, shard, len(ids))
    for group in bound.input_groups:
        if group != SAMPLES:
            status = dataset.read(bound.paths[group], shard, ["_status"]).column(0)
            mask &= pc.equal(status, OK).to_numpy()
    for group in bound.spec.where:
        mask &= keep_mask(base, dataset.read(bound.paths[group], shard, ["keep"]).column(0))
    return mask


def media_mask(dataset: Dataset, bound: BoundStage, shard: str, rows: int) -> np.ndarray:
    """bool [rows]: what a stage can read at all, by the kind of the row's source."""
    clips = [n for n, s in read_sources(dataset).items() if s.kind == CLIPS] if bound.spec.stills else []
    if not clips:
        return np.ones(rows, bool)
    source = dataset.read(SAMPLES, shard, ["source"]).column(0)
    return ~pc.is_in(source, pa.array(clips, source.type)).to_numpy()


def expected_inputs(
    bound: BoundStage, shard: str, indexes: Mapping[str, GroupIndex], base: ShardBase
) -> dict[str, str] | None:
    """Digests of everything this stage reads of a shard, from the footers alone; None while an input is missing."""
    inputs = {"base": base.digest}
    for group in bound.input_groups:
        meta = indexes[bound.paths[group]].metas.get(shard)
        if meta is None:
            return None
        columns = bound.columns_of(group)
        columns += ["sample_id"] if group == SAMPLES else ["_status"]
        for c in columns:
            if c not in meta.columns:
                return None
            inputs[f"{group}.{c}"] = meta.columns[c]
    for group in bound.spec.where:
        meta = indexes[bound.paths[group]].metas.get(shard)
        if meta is None:
            return None
        inputs[f"where:{group}"] = meta.columns["keep"]
    if base.corrections and set(bound.spec.corrected) & set(bound.input_groups):
        inputs["corrections"] = json_digest(sorted(base.corrections.items()))
    return inputs
