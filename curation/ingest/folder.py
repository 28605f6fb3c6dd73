"""Folders of image files, or of clips, with sidecar captions or a metadata table (Hugging Face imagefolder)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from .lines import open_table_file, read_rows
from .rows import (
    TEXT_NAMES,
    BatchBuilder,
    clean_text,
    find_name,
    is_image_name,
    is_video_name,
    metadata_json,
    parse_object,
)
from .rows import split_text as split_caption
from .source import Entry, ListingCounts, SourceSpec, Tree

#: Tables that describe the images of their folder and the folders below, by a file name column.
METADATA_FILES = ("metadata.jsonl", "metadata.csv", "captions.jsonl", "captions.csv")
FILE_NAME_COLUMNS = ("file_name", "filename", "file", "path", "image", "image_path")

Described = tuple[str | None, dict[str, Any]]


def list_folder(spec: SourceSpec, counts: ListingCounts) -> Iterator[pa.RecordBatch]:
    """One row per image file; of kind `video`, per clip. `length` is the size seen now, so a later change is noticed on reading."""
    tree = Tree(spec.root, spec.storage_options)
    tree.require()
    rows = BatchBuilder(spec.row_origin)
    described: dict[str, Described] = {}
    for folder, files in tree.folders(counts):
        for entry in files:
            if entry.name.lower() in METADATA_FILES and entry.error is None:
                described.update(_read_table(tree, folder, entry.name, spec.text_column))
        _add_folder(spec, tree, folder, files, described, rows, counts)
        yield from rows.take()
    counts.unmatched_captions += len(described)
    yield from rows.take(force=True)


def _add_folder(
    spec: SourceSpec,
    tree: Tree,
    folder: str,
    files: list[Entry],
    described: dict[str, Described],
    rows: BatchBuilder,
    counts: ListingCounts,
) -> None:
    wanted = is_video_name if spec.kind == "video" else is_image_name
    images, sidecars = [], {}
    for entry in files:
        stem, _, extension = entry.name.rpartition(".")
        if entry.name.lower() in METADATA_FILES:
            continue
        if entry.name == "." or wanted(entry.name):
            images.append(entry)
        elif stem and extension.lower() in {"txt", "json"} and entry.error is None:
            sidecars[stem, extension.lower()] = entry.name
        elif spec.all_files:
            images.append(entry)
        else:
            counts.skipped_extension += 1
    stems: dict[str, int] = {}
    for entry in images:
        stem = _stem(entry.name)
        stems[stem] = stems.get(stem, 0) + 1
    used: set[tuple[str, str]] = set()
    for entry in images:
        uri = folder + entry.name
        if entry.error is not None:
            rows.add_error(uri.removesuffix("/.") or ".", entry.error)
            continue
        stem = _stem(entry.name)
        text, values = described.pop(uri, (None, {}))
        if (stem, "json") in sidecars:
            used.add((stem, "json"))
            found, rest = split_caption(
                parse_object(tree.read_small(folder + sidecars[stem, "json"])), spec.text_column
            )
            text, values = found if text is None else text, {**values, **rest}
        if (stem, "txt") in sidecars:
            used.add((stem, "txt"))
            data = tree.read_small(folder + sidecars[stem, "txt"])
            text = clean_text(data.decode("utf-8", "replace").removeprefix("\ufeff").strip())
        # a.jpg and a.png in one folder are two samples and need two keys
        key = stem if stems[stem] == 1 else entry.name.replace(".", "_")
        rows.add(
            uri,
            folder + key,
            "file",
            length=entry.size_bytes,
            size_bytes=entry.size_bytes,
            etag=entry.etag,
            text=text,
            metadata=metadata_json(values),
        )
    unused = [k for k in sidecars if k not in used]
    if spec.all_files:
        for key in unused:
            uri = folder + sidecars[key]
            entry = next(e for e in files if e.name == sidecars[key])
            rows.add(uri, uri, "file", None, None, entry.size_bytes, entry.size_bytes, entry.etag)
    else:
        counts.unmatched_captions += len(unused)


def _stem(name: str) -> str:
    return name.rpartition(".")[0] or name


def _read_table(tree: Tree, folder: str, name: str, text_column: str | None) -> dict[str, Described]:
    """uri -> (caption, metadata) of a metadata table; lines that are no objects describe nothing."""
    result: dict[str, Described] = {}
    with open_table_file(tree, folder + name) as file:
        for row in read_rows(file, name):
            if isinstance(row.value, Exception):
                continue
            values = row.value
            column = find_name(list(values), FILE_NAME_COLUMNS)
            path = values.get(column) if column else None
            if not isinstance(path, str):
                continue
            text, rest = split_caption({k: v for k, v in values.items() if k != column}, text_column)
            result[folder + path.removeprefix("./")] = (text, rest)
    return result


__all__ = ["METADATA_FILES", "TEXT_NAMES", "list_folder"]
