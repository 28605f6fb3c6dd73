"""Child datasets: what an expanding stage makes of a shard, as samples of a dataset of its own.

A child lies at `_children/STAGE/FOLDER/` in its parent. Its shards have the parents' names; the bytes of the children
of one shard are one tar archive, put before the shard that points into it. Tables about them (`_tables/NAME/SHARD`)
are put before it too: where the sample list is, all else is. The archive grows in a temporary file, so that memory
holds one piece of an expansion at a time.
"""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash

from ..errors import DatasetError
from ..stage import ExpandStage, Expansion, RowMonitor, field_of, iter_rows
from .dataset import FORMAT, MARKER, Dataset
from .digest import ID_TYPE
from .lineage import SAMPLES, BoundStage
from .rows import ShardMonitor, ShardResult, read_input
from .samples import SCHEMA, SourceInfo
from .selection import ShardBase
from .shard import ShardMeta

CHILD_SCHEMA = SCHEMA.append(field_of("parent_ids", pa.list_(ID_TYPE), "samples this one was made from"))


def child_path(bound: BoundStage) -> str:
    """Where the child dataset of an expanding stage lies in its parent."""
    return f"_children/{bound.spec.name}/{bound.folder}"


def run_expand_shard(
    dataset: Dataset,
    bound: BoundStage,
    stage: ExpandStage,
    shard: str,
    base: ShardBase,
    inputs: Mapping[str, str],
    monitor: RowMonitor,
    quarantined: Collection[int] = (),
) -> ShardResult:
    """Compute and commit the children of one shard.

    Args:
        quarantined: shard positions of parents not to be run; they have no children.

    Raises:
        ShardInvalidError: an input shard is absent or damaged.
        DatasetError: a child without parents, or two children of one key.
    """
    started = time.perf_counter()
    root = child_path(bound)
    given = read_input(dataset, bound, shard, base)
    todo = np.flatnonzero(~np.isin(given.positions, list(quarantined)))
    parents, shifted = given.table.take(todo), ShardMonitor(monitor, given.positions[todo])
    _make_child(dataset, bound, root)
    archive = f"blobs/{shard}.tar"
    rows: list[dict[str, Any]] = []
    tables: dict[str, list[pa.Table]] = {}
    with tempfile.TemporaryFile() as spool:
        with tarfile.open(fileobj=spool, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for made in pieces(stage, parents, shifted):
                rows += _added(tar, made.samples, bound.spec.name, archive)
                for name, table in made.tables.items():
                    tables.setdefault(name, []).append(table)
        _check_keys([row["key"] for row in rows], bound.spec.name)
        monitor.start(-1, -1)
        facts = (bound.stage_facts, bound.fingerprint, bound.lineage, dict(inputs))
        for name, parts in tables.items():
            dataset.commit(
                f"{root}/_tables/{name}",
                pa.concat_tables(parts).combine_chunks(),
                ShardMeta(name, shard, *facts),
            )
        dataset.storage.put_file(f"{root}/{archive}", spool)
    table = pa.Table.from_pylist(rows, schema=CHILD_SCHEMA)
    meta = ShardMeta(
        SAMPLES,
        shard,
        bound.stage_facts,
        bound.fingerprint,
        bound.lineage,
        dict(inputs),
        facts={"supersedes": 0},
    )
    path = f"{root}/{SAMPLES}"
    return ShardResult(
        shard, {path: dataset.commit(path, table, meta)}, len(parents), 0, time.perf_counter() - started
    )


def _make_child(dataset: Dataset, bound: BoundStage, root: str) -> None:
    """The child's marker and its only source: itself."""
    facts = {"format": FORMAT, "rows_per_shard": dataset.rows_per_shard, "parent": dataset.storage.url}
    dataset.storage.create(f"{root}/{MARKER}", (json.dumps(facts, indent=1) + "\n").encode())
    source = SourceInfo(bound.spec.name, f"{dataset.storage.url}/{root}", "webdataset")
    data = (json.dumps(asdict(source), indent=1) + "\n").encode()
    dataset.storage.create(f"{root}/_sources/{bound.spec.name}.json", data)


def pieces(stage: ExpandStage, parents: pa.Table, monitor: RowMonitor) -> Iterator[Expansion]:
    """What a stage makes of parents, piece by piece; nothing for none."""
    if len(parents):
        made = stage.expand(parents, monitor)
        yield from (made,) if isinstance(made, Expansion) else made


def _added(tar: tarfile.TarFile, children: pa.Table, stage: str, archive: str) -> Iterator[dict[str, Any]]:
    """Rows of `CHILD_SCHEMA` of children, whose bytes go into the archive with fixed headers."""
    for child in iter_rows(children):
        if not child["parent_ids"]:
            raise DatasetError(f"stage {stage!r}: child {child['key']!r} names no parent")
        data, info = child["bytes"], tarfile.TarInfo(child["key"])
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
        identity = b"|".join([stage.encode(), *child["parent_ids"], child["key"].encode()])
        yield {
            "sample_id": xxhash.xxh3_128_digest(identity),
            "source": stage,
            "uri": archive,
            "key": child["key"],
            "container": "tar",
            "member": child["key"],
            "offset": tar.offset - -(-len(data) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE,
            "length": len(data),
            "size_bytes": len(data),
            "text": child.get("text"),
            "metadata": child.get("metadata"),
            "origin": child.get("origin") or "unknown",
            "license": child.get("license"),
            "op": "put",
            "supersedes": False,
            "parent_ids": child["parent_ids"],
        }


def _check_keys(keys: list[str], stage: str) -> None:
    if len(set(keys)) < len(keys):
        twice = next(k for k, n in Counter(keys).items() if n > 1)
        raise DatasetError(f"stage {stage!r} gave the key {twice!r} twice")
