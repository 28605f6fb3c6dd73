"""Building a vector index and bringing it up to date."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DatasetError
from ..neighbors.quantizer import Quantizer, exact_quantizer, fit_quantizer
from ..neighbors.vectors import inverse_norms
from .files import DamagedIndexError, Sink, commit, locked, write_file
from .index import FORMAT, Segment, Source, VectorIndex, open_index, require_one_width, stamp_of
from .tuning import tune

#: Rows from which cells pay; below, one cell: exact search.
CELLS_FROM = 20_000
#: The quantizer is trained anew when the rows have grown by this factor since.
RETRAIN_FACTOR = 2.0
_TRAIN_PER_CELL = 64
_STEP = 16_384

Progress = Callable[[str, int, int], None]


def update_index(
    folder: Path,
    sources: Sequence[Source],
    identity: Mapping[str, Any],
    queries: np.ndarray | None = None,
    like: VectorIndex | None = None,
    progress: Progress = lambda what, done, total: None,
) -> VectorIndex:
    """The index of exactly these shards: opened if current, otherwise updated from what is there.

    Args:
        folder: its place; made when absent, made anew when damaged.
        sources: shards, any order.
        identity: what made the vectors, JSON-able; one folder holds one identity.
        queries: float [m, d] typical queries of another kind than the rows (texts), to measure recall on too.
        like: take the quantizer and the scale of codes of this index; default: those the folder's index has, or
            new ones where that is due.
        progress: called with what is being done, rows done, rows in all.

    Raises:
        DatasetError: the folder's index was made from another encoder's vectors, or widths differ between
            shards; names both.
    """
    sources = sorted(sources, key=lambda s: s.name)
    with locked(folder):
        old = _opened(folder)
        if old is not None and dict(old.identity) != dict(identity):
            raise DatasetError(
                f"{folder}: this index is of vectors by {_spell(old.identity)}, these are by {_spell(identity)}; "
                "search them apart, or delete the folder: it is made anew"
            )
        current = [(s.name, s.digest) for s in sources]
        same = old is not None and [(s.name, s.digest) for s in old.segments] == current
        if same and like is None:
            return old
        return _Builder(folder, sources, identity, old, like, progress).build(queries)


def _opened(folder: Path) -> VectorIndex | None:
    try:
        return open_index(folder)
    except DamagedIndexError:
        return None


def _spell(identity: Mapping[str, Any]) -> str:
    return ", ".join(f"{k} {v}" for k, v in sorted(identity.items()))


class _Builder:
    def __init__(
        self,
        folder: Path,
        sources: Sequence[Source],
        identity: Mapping[str, Any],
        old: VectorIndex | None,
        like: VectorIndex | None,
        progress: Progress,
    ):
        self.folder, self.sources, self.identity, self.old = folder, sources, identity, old
        self.given, self.progress = like, progress
        known = {s.name: s for s in old.segments} if old is not None else {}
        self.reused = {
            s.name: known[s.name] for s in sources if s.name in known and known[s.name].digest == s.digest
        }
        self.files: dict[str, dict[str, Any]] = {}

    def build(self, queries: np.ndarray | None) -> VectorIndex:
        began = time.perf_counter()
        segments, dim, data = self._gather()
        n = len(data)
        quantizer = self._quantizer(data)
        packed = quantizer.to_bytes() if n else b""
        codes, cells, scale = self._encode(segments, data, quantizer)
        order = np.argsort(cells, kind="stable").astype(np.int32)
        count = quantizer.cells if n else 1
        starts = np.concatenate(([0], np.cumsum(np.bincount(cells, minlength=count)))).astype(np.int64)
        stamp = stamp_of(self.identity, segments, packed)
        by_cell = np.empty_like(codes)
        np.take(codes, order, axis=0, out=by_cell)
        for name, value in (("cells", cells), ("codes", by_cell), ("order", order), ("starts", starts)):
            self.files[name] = write_file(self.folder, f"{name}-{stamp}.bin", value)
        self.files["quantizer"] = write_file(self.folder, f"quantizer-{stamp}.bin", packed)
        kept = self.old.facts if self._keeps_quantizer() else {}
        manifest = {
            "format": FORMAT,
            "identity": dict(self.identity),
            "n": n,
            "dim": dim,
            "code_dim": codes.shape[1],
            "cell_count": count,
            "scale": [float(s) for s in scale],
            "segments": [vars(s) for s in segments],
            "files": self.files,
            "facts": {"trained_rows": n, **kept},
        }
        commit(self.folder, manifest)
        if n and count > 1 and "recall" not in kept:
            self.progress("measuring recall", 0, n)
            manifest["facts"] |= tune(open_index(self.folder), queries)
        manifest["facts"] |= {
            "seconds": round(time.perf_counter() - began, 3),
            "rows_encoded": n - sum(s.count for s in self.reused.values()),
        }
        commit(self.folder, manifest)
        return open_index(self.folder)

    def _gather(self) -> tuple[list[Segment], int, np.ndarray]:
        """All vectors, ids and rows in new files: copied where the shard is known, loaded otherwise."""
        stamp = stamp_of(self.identity, [Segment(s.name, s.digest, 0, 0) for s in self.sources], b"")
        sinks = {
            name: Sink(self.folder, f"{name}-{stamp}.bin") for name in ("vectors", "inverse", "ids", "rows")
        }
        segments: list[Segment] = []
        widths: dict[str, int] = {}
        at = 0
        for done, source in enumerate(self.sources):
            self.progress("reading vectors", done, len(self.sources))
            if source.name in self.reused:
                s = self.reused[source.name]
                part = slice(s.start, s.start + s.count)
                rows, ids, vectors = self.old.rows[part], self.old.ids[part], self.old.vectors[part]
                unusable = s.unusable
            else:
                rows, ids, vectors = source.load()
                usable = _usable(vectors)
                unusable = int((~usable).sum())
                rows, ids, vectors = (a[usable] if unusable else a for a in (rows, ids, vectors))
            if len(vectors):
                widths[source.name] = vectors.shape[1]
                require_one_width(widths)
            vectors = vectors.astype(np.float16, copy=False)
            sinks["vectors"].write(vectors)
            sinks["inverse"].write(inverse_norms(vectors).astype(np.float32))
            sinks["ids"].write(ids.astype(np.uint8, copy=False))
            sinks["rows"].write(rows.astype(np.int32, copy=False))
            segments.append(Segment(source.name, source.digest, at, len(rows), unusable))
            at += len(rows)
        for name, sink in sinks.items():
            self.files[name] = sink.close()
        dim = require_one_width(widths)
        path = self.folder / self.files["vectors"]["name"]
        data = (
            np.memmap(path, np.float16, "r", shape=(at, dim)).view(np.ndarray)
            if at
            else np.zeros((0, dim), np.float16)
        )
        return segments, dim, data

    def _keeps_quantizer(self) -> bool:
        if self.old is None or self.old.quantizer is None or self.given is not None:
            return False
        rows = sum(s.count for s in self.reused.values())
        trained = self.old.facts.get("trained_rows", 0)
        return rows > 0 and self._n <= max(RETRAIN_FACTOR * trained, CELLS_FROM)

    def _quantizer(self, data: np.ndarray) -> Quantizer:
        self._n = len(data)
        if self.given is not None:
            return self.given.quantizer
        if self._keeps_quantizer():
            return self.old.quantizer
        n = len(data)
        cells = 1 if n < CELLS_FROM else int(2 ** round(np.log2(2 * np.sqrt(n))))
        self.progress("training", 0, n)
        # Every so many rows, so that the sample is the same whatever the shards' names.
        size = min(n, max(_TRAIN_PER_CELL * cells, 4_096))
        sample = _units(data[np.linspace(0, max(0, n - 1), size).astype(np.int64)])
        if cells == 1:
            return exact_quantizer(sample) if n else Quantizer(None, np.ones((1, 1), np.float32), 1)
        return fit_quantizer(sample, cells, 1)

    def _encode(
        self, segments: Sequence[Segment], data: np.ndarray, quantizer: Quantizer
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """codes int8 [n, r], cells int32 [n], scale float32 [r], in row order."""
        n = len(data)
        if not n:
            return np.zeros((0, 1), np.int8), np.zeros(0, np.int32), np.ones(1, np.float32)
        r = quantizer.projection.basis.shape[1]
        codes, cells = np.empty((n, r), np.int8), np.empty(n, np.int32)
        reuse = self.reused if self._keeps_quantizer() else {}
        if reuse:
            scale = self.old.scale
            inverse = np.empty(len(self.old), np.int64)
            inverse[self.old.order] = np.arange(len(self.old))
        elif self.given is not None:
            scale = self.given.scale
        else:
            sample = _units(data[np.linspace(0, n - 1, min(n, 16_384)).astype(np.int64)])
            largest = np.abs(sample @ quantizer.projection.basis).max(axis=0)
            scale = np.maximum(largest, 1e-6).astype(np.float32) / np.float32(127)
        for s in segments:
            part = slice(s.start, s.start + s.count)
            if s.name in reuse:
                was = reuse[s.name]
                before = slice(was.start, was.start + was.count)
                cells[part] = self.old.cells[before]
                codes[part] = self.old.codes[inverse[before]]
                continue
            for start in range(s.start, s.start + s.count, _STEP):
                here = slice(start, min(start + _STEP, s.start + s.count))
                self.progress("filing vectors", start, n)
                short = quantizer.projection.codes(_units(data[here]))
                cells[here] = quantizer.with_probes(1).assign(short)[:, 0]
                codes[here] = np.clip(np.rint(short[:, :r] / scale), -127, 127)
        return codes, cells, scale


def _usable(vectors: np.ndarray) -> np.ndarray:
    """bool [n]: finite and not zero."""
    with np.errstate(over="ignore", invalid="ignore"):
        half = np.asarray(vectors, np.float16)
    return np.isfinite(half).all(axis=1) & (half != 0).any(axis=1)


def _units(block: np.ndarray) -> np.ndarray:
    wide = np.ascontiguousarray(block, np.float32)
    return wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-20)
