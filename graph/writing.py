"""Writes a graph directory: all of it in a folder of its own first, which then takes the name in one step."""

from __future__ import annotations

import fcntl
import glob
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from . import journal
from .errors import GraphError
from .store import ALIASES, EDGE_TYPES, FORMAT, NODES, Graph

_ROW_GROUP = 1 << 16
_EDGE_BLOCK_ROWS = 1 << 20


def write_graph(
    path: str | Path,
    nodes: pa.Table,
    aliases: pa.Table,
    edges: Mapping[str, tuple[np.ndarray, np.ndarray]],
    languages: Sequence[str],
    sources: Sequence[Mapping[str, Any]],
    counts: Mapping[str, Any],
    update: bool = False,
) -> Graph:
    """Write a graph and open it.

    Args:
        nodes: columns of `store.NODES`. aliases: columns of `store.ALIASES`, in any order of rows.
        edges: type -> CSR (indptr, indices) over the nodes; types not given are empty. is_a must be acyclic.
        counts: figures of the build, kept in `graph.json`.
        update: replace a graph at `path`; its journal (weights, added concepts, judgements) goes on.

    Raises:
        GraphError: something is at `path` already (without `update`), or edges do not fit the nodes.
    """
    path = Path(path)
    check_target(path, update)
    n = nodes.num_rows
    # what people change meanwhile waits, and then finds a new build
    alone = journal.locked(path / journal.CHANGES) if (path / "graph.json").is_file() else nullcontext()
    with alone, _replacing(path) as folder:
        pq.write_table(
            nodes.select(NODES.names).cast(NODES), folder / "nodes.parquet", row_group_size=_ROW_GROUP
        )
        ordered = aliases.select(ALIASES.names).cast(ALIASES).sort_by("folded")
        pq.write_table(ordered, folder / "aliases.parquet", row_group_size=_ROW_GROUP)
        empty = (np.zeros(n + 1, np.int64), np.zeros(0, np.int32))
        full = {kind: edges.get(kind, empty) for kind in EDGE_TYPES}
        for kind, (indptr, indices) in full.items():
            _check(kind, indptr, indices, n)
            (folder / "edges").mkdir(exist_ok=True)
            np.save(folder / "edges" / f"{kind}.indptr.npy", np.ascontiguousarray(indptr, np.int64))
            np.save(folder / "edges" / f"{kind}.indices.npy", np.ascontiguousarray(indices, np.int32))
        write_edge_table(folder / "edges.parquet", full)
        version = 1
        if path.exists():
            earlier = Graph.open(path)
            version = earlier.version + 1
            _carry_over(path, folder)
        meta = {
            "format": FORMAT,
            "version": version,
            "build": uuid.uuid4().hex,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "languages": list(languages),
            "sources": list(sources),
            "counts": {
                **counts,
                "nodes": n,
                "aliases": ordered.num_rows,
                **{f"edges_{kind}": len(e[1]) for kind, e in full.items()},
            },
        }
        (folder / "graph.json").write_text(json.dumps(meta, indent=1, ensure_ascii=False), encoding="utf-8")
    return Graph.open(path)


def check_target(path: Path, update: bool) -> None:
    """Raises GraphError unless a graph can be written there. Call it before long work.

    What killed builds left beside it is cleaned up first.
    """
    if path.parent.is_dir():
        clean_up(path)
    if not path.exists():
        return
    if not (path / "graph.json").is_file():
        if path.is_dir() and not any(path.iterdir()):
            return
        raise GraphError(f"{path}: exists and is no graph; choose another --out")
    if not update:
        raise GraphError(
            f"{path}: there is a graph already; --update builds a new version of it (weights and added "
            "concepts go along), or choose another --out"
        )


def write_edge_table(path: Path, edges: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """source, target (int32 node numbers) and type, block by block."""
    schema = pa.schema(
        [("source", pa.int32()), ("target", pa.int32()), ("type", pa.dictionary(pa.int8(), pa.string()))]
    )
    types = pa.array(list(edges), pa.string())
    with pq.ParquetWriter(
        path,
        schema,
        use_dictionary=["type"],
        column_encoding={"source": "DELTA_BINARY_PACKED", "target": "DELTA_BINARY_PACKED"},
    ) as out:
        for code, (indptr, indices) in enumerate(edges.values()):
            starts = np.searchsorted(indptr, np.arange(0, len(indices), _EDGE_BLOCK_ROWS), side="right") - 1
            for block, first in enumerate(starts):
                low = block * _EDGE_BLOCK_ROWS
                high = min(low + _EDGE_BLOCK_ROWS, len(indices))
                last = int(np.searchsorted(indptr, high, side="left"))
                inside = np.clip(indptr[first : last + 1], low, high)
                source = np.repeat(np.arange(first, last, dtype=np.int32), np.diff(inside))
                kind = pa.DictionaryArray.from_arrays(np.full(high - low, code, np.int8), types)
                columns = [pa.array(source), pa.array(np.asarray(indices[low:high], np.int32)), kind]
                out.write_table(pa.table(columns, schema=schema))


def _check(kind: str, indptr: np.ndarray, indices: np.ndarray, n: int) -> None:
    if len(indptr) != n + 1 or indptr[0] != 0 or indptr[-1] != len(indices):
        raise GraphError(f"{kind} edges are no CSR over {n} nodes")
    if len(indices) and not 0 <= int(indices.min()) <= int(indices.max()) < n:
        raise GraphError(f"a {kind} edge points outside the nodes 0..{n - 1}")


def _carry_over(old: Path, folder: Path) -> None:
    """The journal and the judgements of people and models; prune runs stay with the build they were of."""
    if (old / journal.CHANGES).exists():
        shutil.copy2(old / journal.CHANGES, folder / journal.CHANGES)
    if (old / "decisions").is_dir():
        keep_out = shutil.ignore_patterns("prune-*.parquet")
        shutil.copytree(old / "decisions", folder / "decisions", ignore=keep_out)


def clean_up(path: Path) -> None:
    """Finish what a killed build left beside `path`.

    A graph that was being replaced takes its name again if the new one has not taken it yet; other hidden folders of
    builds that no process holds are removed.
    """
    for old in sorted(path.parent.glob(f".{glob.escape(path.name)}.replaced-*")):
        if not path.exists() and (old / "graph.json").is_file():
            os.rename(old, path)
        else:
            shutil.rmtree(old, ignore_errors=True)
    for folder in path.parent.glob(f".{glob.escape(path.name)}.building-*"):
        with suppress(OSError), _held(folder):
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Lock a folder while the process lives. Raises BlockingIOError: another one holds it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A new folder beside `path` that takes its place at the end, or is removed when anything fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = path.with_name(f".{path.name}.building-{uuid.uuid4().hex[:8]}")
    folder.mkdir()
    try:
        with _held(folder):
            yield folder
            if path.exists():
                old = path.with_name(f".{path.name}.replaced-{uuid.uuid4().hex[:8]}")
                os.rename(path, old)
                os.rename(folder, path)
                shutil.rmtree(old)
            else:
                os.rename(folder, path)
    finally:
        if folder.exists():
            shutil.rmtree(folder)
