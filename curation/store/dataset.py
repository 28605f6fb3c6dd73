"""A dataset directory: shard-aligned column groups over one list of samples."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from ..errors import DatasetError, ShardInvalidError
from .index import GroupIndex
from .lineage import SAMPLES
from .shard import ShardMeta, read_table, serialize
from .storage import ObjectInfo, Storage

MARKER = "dataset.json"
STAGE_CACHES = "_index/stages"
FORMAT = 1


class Dataset:
    """An opened dataset. Cheap to open, and to construct again in a worker.

    Attributes:
        storage: its root.
        rows_per_shard: fixed when the dataset was created.
    """

    def __init__(self, storage: Storage, facts: dict[str, Any]):
        self.storage = storage
        self.facts = facts
        self.rows_per_shard = int(facts["rows_per_shard"])

    @classmethod
    def open(cls, url: str | os.PathLike[str], options: dict[str, Any] | None = None) -> Dataset:
        """Raises DatasetError when there is no dataset of a known format."""
        storage = Storage(url, options)
        try:
            facts = json.loads(storage.get(MARKER))
        except FileNotFoundError:
            raise DatasetError(
                f"{storage.url}: no dataset here (no {MARKER}); make one with 'zcurate ingest'"
            ) from None
        except ValueError as e:
            raise DatasetError(f"{storage.url}/{MARKER}: not JSON ({e})") from e
        if not isinstance(facts, dict) or not isinstance(facts.get("rows_per_shard", 0), int):
            raise DatasetError(
                f"{storage.url}/{MARKER}: not a dataset of zcurate; move it away or name another folder"
            )
        if facts.get("format") != FORMAT or "rows_per_shard" not in facts:
            raise DatasetError(
                f"{storage.url}: dataset format {facts.get('format')!r}, this version reads {FORMAT}; update zcurate"
            )
        return cls(storage, facts)

    @classmethod
    def create(
        cls, url: str | os.PathLike[str], rows_per_shard: int = 1000, options: dict[str, Any] | None = None
    ) -> Dataset:
        """Open a dataset, making it first when there is none (safe with several makers at once)."""
        if rows_per_shard < 1:
            raise DatasetError(f"rows_per_shard is {rows_per_shard}; it must be at least 1")
        storage = Storage(url, options)
        facts = {"format": FORMAT, "rows_per_shard": rows_per_shard}
        storage.create(MARKER, (json.dumps(facts, indent=1) + "\n").encode())
        return cls.open(url, options)

    def index(self, path: str) -> GroupIndex:
        """A fresh look at one group folder."""
        return GroupIndex(self.storage, path).refresh()

    def samples(self) -> GroupIndex:
        return self.index(SAMPLES)

    def read(self, path: str, shard: str, columns: Sequence[str] | None = None) -> pa.Table:
        """One shard of a group folder, checked.

        Raises:
            ShardInvalidError: absent or damaged (with `path` and `shard` attributes).
        """
        name = f"{path}/{shard}.parquet"
        try:
            return read_table(self.storage.get(name), name, columns)[0]
        except FileNotFoundError:
            error = ShardInvalidError(f"{name}: absent")
        except ShardInvalidError as e:
            error = e
        error.shard_id = (path, shard)
        # The cached listing believed in this shard: without it the next look reads everything.
        with contextlib.suppress(OSError):
            self.storage.delete(GroupIndex(self.storage, path).cache_path)
        raise error

    def commit(self, path: str, table: pa.Table, meta: ShardMeta) -> tuple[ObjectInfo, ShardMeta]:
        """Put one shard, whole or not at all."""
        data, meta = serialize(table, meta)
        return self.storage.put(f"{path}/{meta.shard}.parquet", data), meta

    def stage_cache(self, name: str, folder: str) -> Path | None:
        """Where a stage may keep files between runs that can be deleted at any time; None where not on local disk."""
        root = self.storage.local
        return root / STAGE_CACHES / name.replace("/", "__") / folder if root else None

    def drop_stage_caches(self) -> None:
        """Delete all of them, e.g. because samples in them were taken down."""
        if self.storage.local:
            shutil.rmtree(self.storage.local / STAGE_CACHES, ignore_errors=True)

    def groups(self) -> dict[str, list[str]]:
        """Group name -> its folders, of everything in the dataset but `samples`."""
        found: dict[str, list[str]] = {}

        def look(prefix: str) -> None:
            for name in self.storage.folders(prefix):
                path = f"{prefix}/{name}" if prefix else name
                if not prefix and (name.startswith("_") or name in (SAMPLES, "overlay")):
                    continue
                if _is_folder_name(name):
                    found.setdefault(prefix, []).append(path)
                elif prefix.count("/") < 2:
                    look(path)

        look("")
        return found


def _is_folder_name(name: str) -> bool:
    head, dash, tail = name.partition("-")
    return (
        dash == "-"
        and len(head) == 8
        and len(tail) == 6
        and all(c in "0123456789abcdef" for c in head + tail)
    )
