"""Listing sources: one pass over folders, archives, tables and manifests, without opening images.

`list_source` yields batches of `LISTING_SCHEMA`, in an order that depends only on what is listed.
Reading the bytes a row points to is the business of `zcurate.curation.blobs`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from ..errors import SourceError
from ..uris import quoted
from .folder import METADATA_FILES, list_folder
from .ids import sample_id, tar_safe_key
from .manifest import list_manifest
from .parquet import list_parquet
from .problems import ERROR_CONTAINER, INGEST_ERROR_KEY, INGEST_MESSAGE_KEY
from .rows import LISTING_SCHEMA, is_image_name, is_video_name
from .source import KINDS, ListingCounts, SourceSpec, Tree
from .webdataset import COMPRESSED, list_webdataset

_LISTERS = {
    "folder": list_folder,
    "webdataset": list_webdataset,
    "parquet": list_parquet,
    "manifest": list_manifest,
    "video": list_folder,
}
_MANIFEST_SUFFIXES = (".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz", ".csv", ".csv.gz")


def list_source(spec: SourceSpec, counts: ListingCounts | None = None) -> Iterator[pa.RecordBatch]:
    """All samples of a source, one row each.

    Items that cannot be used become error rows (see `problems`); they never end the listing.

    Args:
        counts: filled while the batches are consumed.

    Raises:
        SourceError: the root does not exist, or holds nothing of its kind.
        UnsafeUriError: the root's protocol is not allowed.
    """
    counts = counts if counts is not None else ListingCounts()
    for batch in _LISTERS[spec.kind](spec, counts):
        if batch.num_rows:
            counts.rows += batch.num_rows
            errors = pc.sum(pc.equal(batch.column("container"), ERROR_CONTAINER)).as_py()
            counts.errors += int(errors or 0)
            yield batch
    if counts.rows == 0:
        raise SourceError(
            f"source {spec.name!r}: nothing to ingest in {quoted(spec.root)} as kind {spec.kind!r} "
            f"({counts.skipped_extension} files of other kinds); check root and kind"
        )


def detect_kind(root: str) -> str:
    """The kind of a source, from the root's suffix or from the first folders of files below it.

    Whichever there are more of, archives or image files; only without either, tables and manifests:
    downloaders put a table of metadata beside each tar, and folders of images have metadata tables. Clips only where
    there is nothing else: a folder of both is two sources, one of them with `kind: video`.

    Raises:
        SourceError: the root does not exist or nothing below it is recognized.
    """
    tree = Tree(root)
    tree.require()
    if tree.is_file():
        names = [tree.root.rsplit("/", 1)[1]]
    else:
        names = []
        for _, files in tree.folders(ListingCounts()):
            names += [e.name for e in files]
            if len(names) > 10_000:
                break
    lower = [n.lower() for n in names]
    archives = sum(n.endswith((".tar", *COMPRESSED)) for n in lower)
    images = sum(is_image_name(n) for n in lower)
    if archives or images:
        return "webdataset" if archives > images else "folder"
    if any(n.endswith(".parquet") for n in lower):
        return "parquet"
    if any(n.endswith(_MANIFEST_SUFFIXES) for n in lower):
        return "manifest"
    if any(is_video_name(n) for n in names):
        return "video"
    raise SourceError(
        f"{quoted(root)} holds no images, clips, .tar, .parquet, .jsonl or .csv files; check the path or give the kind"
    )


__all__ = [
    "ERROR_CONTAINER",
    "INGEST_ERROR_KEY",
    "INGEST_MESSAGE_KEY",
    "KINDS",
    "LISTING_SCHEMA",
    "METADATA_FILES",
    "ListingCounts",
    "SourceSpec",
    "detect_kind",
    "list_source",
    "sample_id",
    "tar_safe_key",
]
