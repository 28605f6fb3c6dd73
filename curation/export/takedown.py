"""Removing samples from a finished export, without a trace."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..errors import DatasetError
from .datacomp import UIDS_NAME, remove_uids, write_uids
from .finish import write_card_and_record
from .record import Tally, describe, load_record
from .shards import INDEX_NAME, write_index
from .target import replacing
from .tarshard import TarShard, read_members


def remove_from_export(out_dir: str | Path, sample_ids: set[bytes]) -> int:
    """Remove samples from an export made by this package (a folder with only a uid list included).

    Shards that hold any of them are rewritten, the others are kept as they are (hard-linked, not
    copied) and renumbered where a shard became empty; index, uid list, card and record are made
    anew. The directory is swapped in one step at the end: nobody sees half a takedown.

    Args:
        sample_ids: 16-byte ids; ids the export does not hold are ignored.

    Returns:
        How many samples were removed.

    Raises:
        DatasetError: not an export, or an unknown format of one.
    """
    out_dir = Path(out_dir)
    record = load_record(out_dir)
    if record is None and (out_dir / UIDS_NAME).is_file():
        return remove_uids(out_dir / UIDS_NAME, sample_ids)
    if record is None:
        raise DatasetError(f"{out_dir} is not an export (no export.json); give the directory of one")
    removed_ids = {i.hex() for i in sample_ids}
    listed = [u for u in record["unreadable"] if u["sample_id"] not in removed_ids]
    rewrite = {"webdataset": _rewrite_webdataset, "parquet": _rewrite_parquet}.get(record["format"])
    if rewrite is None:
        raise DatasetError(f"{out_dir}: unknown export format {record['format']!r}")
    if not removed_ids & _ids(out_dir, record) and len(listed) == len(record["unreadable"]):
        return 0
    with replacing(out_dir) as work:
        tally, files, ids = rewrite(out_dir, work, record, removed_ids)
        write_uids(work / UIDS_NAME, (bytes.fromhex(i) for i in ids))
        removed = record["exported"]["rows"] - tally.rows
        record["unreadable"] = listed
        record["taken_down"] += removed
        record["exported"] = tally.to_dict()
        record["files"] = files | {UIDS_NAME: describe(work / UIDS_NAME)}
        write_card_and_record(work, record)
    return removed


def _ids(out_dir: Path, record: dict[str, Any]) -> set[str]:
    names = [INDEX_NAME] if record["format"] == "webdataset" else _shard_names(record, ".parquet")
    ids: set[str] = set()
    for name in names:
        ids.update(pq.read_table(out_dir / name, columns=["sample_id"])["sample_id"].to_pylist())
    return ids


def _shard_names(record: dict[str, Any], suffix: str) -> list[str]:
    return [n for n in record["files"] if n.endswith(suffix) and n != INDEX_NAME]


def _keep_file(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, target)


Result = tuple[Tally, dict[str, dict[str, Any]], list[str]]


def _rewrite_webdataset(out_dir: Path, work: Path, record: dict[str, Any], removed: set[str]) -> Result:
    rows = pq.read_table(out_dir / INDEX_NAME).to_pylist()
    by_shard: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_shard.setdefault(row["shard"], []).append(row)
    tally, kept, files = Tally(), [], {}
    for name, members in by_shard.items():
        left = [row for row in members if row["sample_id"] not in removed]
        if not left:
            continue
        new_name = f"{len(files):05d}.tar"
        if len(left) == len(members):
            _keep_file(out_dir / name, work / new_name)
            files[new_name] = record["files"][name]
        else:
            offsets, files[new_name] = _copy_members(
                out_dir / name, work / new_name, {r["key"] for r in left}
            )
            left = [row | {"offset": offsets[row["member"]]} for row in left]
        for row in left:
            tally.add(row)
            kept.append(row | {"shard": new_name})
    write_index(work, kept)
    files[INDEX_NAME] = describe(work / INDEX_NAME)
    return tally, files, [row["sample_id"] for row in kept]


def _copy_members(source: Path, target: Path, keys: set[str]) -> tuple[dict[str, int], dict[str, Any]]:
    """Copy the members of some keys; returns their new offsets by name, and the new file's facts."""
    shard, offsets = TarShard(target), {}
    for name, data in read_members(source):
        if name.partition(".")[0] in keys:  # keys hold no dots
            offsets[name] = shard.add(name, data)
    shard.close()
    return offsets, shard.facts


def _rewrite_parquet(out_dir: Path, work: Path, record: dict[str, Any], removed: set[str]) -> Result:
    tally, ids, files = Tally(), [], {}
    counted = ["sample_id", "source", "origin", "license", "engine", "caption_kind", "placeholder", "weight"]
    for name in _shard_names(record, ".parquet"):
        rows = pq.read_table(out_dir / name, columns=counted).to_pylist()
        left = [row for row in rows if row["sample_id"] not in removed]
        if not left:
            continue
        new_name = f"captions-{len(files):05d}.parquet"
        if len(left) == len(rows):
            _keep_file(out_dir / name, work / new_name)
            files[new_name] = record["files"][name]
        else:
            _copy_rows(out_dir / name, work / new_name, removed)
            files[new_name] = describe(work / new_name)
        ids += [row["sample_id"] for row in left]
        for row in left:
            tally.add(row)
    return tally, files, ids


def _copy_rows(source: Path, target: Path, removed: set[str]) -> None:
    ids = pa.array(sorted(removed), type=pa.string())
    with (
        pq.ParquetFile(source) as file,
        pq.ParquetWriter(target, file.schema_arrow, compression="zstd") as writer,
    ):
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            keep = pc.invert(pc.is_in(table["sample_id"], value_set=ids))
            writer.write_table(table.filter(keep))
