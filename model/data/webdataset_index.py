"""Facts of the samples of exported tar shards, without reading a picture.

A picture's place comes from the member index (`index.parquet`); its size and texts from `KEY.json` and `KEY.txt`, the
members behind it.
Shards of edit pairs have no index: their tar headers are walked, and of each picture only the header is
read. Scans are done once and cached by the caller.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from .decoding import picture_size
from .errors import BadSampleError, SchemaError
from .rows import MOST_REFERENCES
from .storage import Folder

INDEX_NAME = "index.parquet"
_BLOCK = 512
#: Of a record behind its picture that is read at once; longer ones in a second go.
_TAIL_BYTES = 8192
_MOST_TAIL_BYTES = 64 << 20
#: Of a picture, to find its size; where that is not enough all of it.
_HEAD_BYTES = 65_536
_COLUMNS = ("shard", "sample_id", "offset", "length", "weight", "caption_kind")
#: Range reads at once of a scan behind a network.
_REMOTE_READS = 32


@dataclass(frozen=True, eq=False)
class Found:
    """One sample of a scan. `facts`: its JSON; `size_px`, `references_px`: only where the pictures were looked at;
    `caption_kind`: of the text chosen at export."""

    id: str
    shard: str
    start: int
    length: int
    picture: int
    weight: float | None
    facts: dict[str, Any]
    size_px: tuple[int, int] | None = None
    references_px: tuple[tuple[int, int], ...] = ()
    caption_kind: str | None = None


def read_index(folder: Folder) -> pa.Table:
    """The member index. Raises SchemaError where it is none."""
    try:
        table = pq.read_table(io.BytesIO(folder.read(INDEX_NAME)))
    except (OSError, pa.ArrowException) as error:
        raise SchemaError(
            f"{folder.url}/{INDEX_NAME}: no member index: {error}; export the data anew"
        ) from error
    missing = [name for name in _COLUMNS if name not in table.column_names]
    if missing:
        raise SchemaError(f"{folder.url}/{INDEX_NAME}: lacks {', '.join(missing)}; export the data anew")
    return table.select(list(_COLUMNS))


def scan_pictures(folder: Folder) -> Iterator[Found | BadSampleError]:
    """Samples of a WebDataset export, in order; an error in place of each that cannot be read."""
    index, read = read_index(folder), partial(_picture, folder)
    with ThreadPoolExecutor(_REMOTE_READS) as pool:
        mapped = pool.map if folder.remote else map
        for batch in index.to_batches(max_chunksize=4096):
            yield from mapped(read, batch.to_pylist())


def _picture(folder: Folder, row: dict[str, Any]) -> Found | BadSampleError:
    shard, start, size = row["shard"], row["offset"], row["length"]
    if not isinstance(shard, str) or start is None or size is None or start < 0 or size < 1:
        return BadSampleError(
            f"{folder.url}/{INDEX_NAME}: sample {row['sample_id']}: shard {shard}, {start}+{size}"
        )
    behind = start + -(-size // _BLOCK) * _BLOCK
    try:
        texts, length = _texts(folder, shard, behind)
    except BadSampleError as error:
        return error
    end = behind + length
    kind = row["caption_kind"]
    return Found(row["sample_id"], shard, start, end - start, size, row["weight"], texts, caption_kind=kind)


def _texts(folder: Folder, shard: str, at: int) -> tuple[dict[str, Any], int]:
    """(texts and facts of the sample whose `KEY.json` begins here, bytes that they take)."""
    size = _TAIL_BYTES
    while True:
        tail = folder.read_range(shard, at, size, most=True)
        try:
            return text_members(tail, f"{folder.url}/{shard} at byte {at}")
        except BadSampleError:
            if len(tail) < size or size >= _MOST_TAIL_BYTES:
                raise
            size *= 8


def text_members(tail: bytes, where: str) -> tuple[dict[str, Any], int]:
    """(the object of `KEY.json` with the text of `KEY.txt` as its `caption`, bytes that both take).

    Raises BadSampleError where one of them is missing or cut short.
    """
    found: list[bytes] = []
    try:
        with tarfile.open(fileobj=io.BytesIO(tail), mode="r:") as tar:
            for ending in (".json", ".txt"):
                info = tar.next()
                if info is None or not info.name.endswith(ending):
                    raise BadSampleError(
                        f"{where}: {info.name if info else 'nothing'} in place of KEY{ending}"
                    )
                end = info.offset_data + info.size
                found.append(tail[info.offset_data : end])
                if len(found[-1]) < info.size:
                    raise BadSampleError(f"{where}: {info.name} is cut short")
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise BadSampleError(f"{where}: no tar header: {error}") from error
    return {**object_of(found[0], where), "caption": found[1].decode("utf-8", "replace")}, end


def object_of(data: bytes, where: str) -> dict[str, Any]:
    try:
        facts = json.loads(data)
    except ValueError as error:
        raise BadSampleError(f"{where}: not JSON: {error}") from error
    if not isinstance(facts, dict):
        raise BadSampleError(f"{where}: not a JSON object")
    return facts


def members(record: bytes, where: str) -> dict[str, bytes]:
    """Members of a piece of a tar, by name behind the key's first dot. Raises BadSampleError where one is cut short."""
    found: dict[str, bytes] = {}
    try:
        # A record ends with its last member's data; a tar wants whole blocks.
        whole = io.BytesIO(record + bytes(-len(record) % _BLOCK))
        with tarfile.open(fileobj=whole, mode="r:") as tar:
            while (info := tar.next()) is not None:
                data = record[info.offset_data : info.offset_data + info.size]
                if len(data) < info.size:
                    raise BadSampleError(f"{where}: {info.name} is cut short")
                found[info.name.rsplit("/", 1)[-1].partition(".")[2]] = data
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise BadSampleError(f"{where}: not a piece of a tar: {error}") from error
    return found


def scan_pairs(folder: Folder) -> Iterator[Found | BadSampleError]:
    """Edit pairs of tar shards, in order; an error in place of each that cannot be read, and for the rest of a shard."""
    for shard in folder.names(".tar"):
        try:
            with folder.open(shard) as f, tarfile.open(fileobj=f, mode="r:") as tar:
                yield from _pairs(folder, shard, tar)
        except (OSError, EOFError, tarfile.TarError) as error:
            yield BadSampleError(f"{folder.url}/{shard}: {error}")


def _pairs(folder: Folder, shard: str, tar: tarfile.TarFile) -> Iterator[Found | BadSampleError]:
    pictures: dict[str, tarfile.TarInfo] = {}
    start = 0
    while (info := tar.next()) is not None:
        _, _, name = info.name.rsplit("/", 1)[-1].partition(".")
        if name != "json":
            pictures[name.partition(".")[0]] = info
            continue
        end = info.offset_data + info.size
        try:
            yield _pair(folder, shard, start, end, info, pictures)
        except BadSampleError as error:
            yield error
        pictures, start = {}, -(-end // _BLOCK) * _BLOCK


def _pair(
    folder: Folder,
    shard: str,
    start: int,
    end: int,
    info: tarfile.TarInfo,
    pictures: dict[str, tarfile.TarInfo],
) -> Found:
    where = f"{folder.url}/{shard} at byte {start}"
    facts = object_of(folder.read_range(shard, info.offset_data, info.size), where)
    sources = [pictures[k] for k in sorted(pictures) if k.startswith("source")][:MOST_REFERENCES]
    if "target" not in pictures or not sources or not isinstance(facts.get("pair_id"), str):
        raise BadSampleError(f"{where}: no pair: it has {', '.join(sorted(pictures)) or 'no pictures'}")
    sizes = [_size(folder, shard, p) for p in (pictures["target"], *sources)]
    weight = facts.get("weight")
    return Found(facts["pair_id"], shard, start, end - start, 0, weight, facts, sizes[0], tuple(sizes[1:]))


def _size(folder: Folder, shard: str, info: tarfile.TarInfo) -> tuple[int, int]:
    head = min(info.size, _HEAD_BYTES)
    try:
        return picture_size(folder.read_range(shard, info.offset_data, head))
    except BadSampleError:
        if head == info.size:
            raise
        return picture_size(folder.read_range(shard, info.offset_data, info.size))
