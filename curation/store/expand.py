"""Child datasets: what an expanding stage makes of a shard, as samples of a dataset of its own.

A child lies at `_children/STAGE/FOLDER/` in its parent. Its shards have the parents' names; the bytes of the children
of one shard are one tar archive, put before the shard that points into it. Tables about them (`_tables/NAME/SHARD`)
are put before it too: where the sample list is, all else is.
"""

from __future__ import annotations

import io
import json
import tarfile
import time
from collections.abc import Collection, Mapping
from dataclasses import asdict

import numpy as np
import pyarrow as pa
import xxhash

from ..errors import DatasetError
from ..stage import ExpandStage, RowMonitor, field_of
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
    made = stage.expand(parents, shifted) if len(parents) else None
    children = made.samples.to_pylist() if made else []
    monitor.start(-1, -1)
    _make_child(dataset, bound, root)
    facts = (bound.stage_facts, bound.fingerprint, bound.lineage, dict(inputs))
    for name, table in (made.tables if made else {}).items():
        dataset.commit(f"{root}/_tables/{name}", table, ShardMeta(name, shard, *facts))
    archive = f"blobs/{shard}.tar"
    tar, places = _archive([(c["key"], c["bytes"]) for c in children])
    dataset.storage.put(f"{root}/{archive}", tar)
    rows = []
    for child, (offset, length) in zip(children, places, strict=True):
        if not child["parent_ids"]:
            raise DatasetError(f"stage {bound.spec.name!r}: child {child['key']!r} names no parent")
        identity = b"|".join([bound.spec.name.encode(), *child["parent_ids"], child["key"].encode()])
        rows.append(
            {
                "sample_id": xxhash.xxh3_128_digest(identity),
                "source": bound.spec.name,
                "uri": archive,
                "key": child["key"],
                "container": "tar",
                "member": child["key"],
                "offset": offset,
                "length": length,
                "size_bytes": length,
                "text": child.get("text"),
                "metadata": child.get("metadata"),
                "origin": child.get("origin") or "unknown",
                "license": child.get("license"),
                "op": "put",
                "supersedes": False,
                "parent_ids": child["parent_ids"],
            }
        )
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


def _archive(members: list[tuple[str, bytes]]) -> tuple[bytes, list[tuple[int, int]]]:
    """A tar archive with fixed headers, and (offset, length) of every member's data."""
    keys = [k for k, _ in members]
    if len(set(keys)) < len(keys):
        raise DatasetError(
            f"an expanding stage gave the key {next(k for k in keys if keys.count(k) > 1)!r} twice"
        )
    sink, places = io.BytesIO(), []
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for key, data in members:
            info = tarfile.TarInfo(key)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
            padded = -(-len(data) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
            places.append((tar.offset - padded, len(data)))
    return sink.getvalue(), places
