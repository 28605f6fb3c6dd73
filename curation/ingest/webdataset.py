"""WebDataset archives: one row per image member, pointing into the tar."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from ..errors import SourceError, UnsafeUriError, ZcurateError
from ..uris import check_relative, quoted
from .problems import (
    DuplicateMemberError,
    UnreadableFolderError,
    UnsafePathError,
    UnsupportedArchiveError,
)
from .rows import BatchBuilder, clean_text, is_image_name, metadata_json, parse_object, split_text
from .source import MAX_SIDECAR_BYTES, ListingCounts, SourceSpec, Tree
from .tarscan import Member, ReadAt, scan_tar

COMPRESSED = (".tar.gz", ".tgz", ".tar.zst", ".tar.bz2", ".tar.xz")
_SIDECARS = frozenset({"txt", "json", "cls"})
#: Rows of one archive kept waiting for their sidecars. Sidecars usually stand beside the image.
_MAX_WAITING = 100_000


def list_webdataset(spec: SourceSpec, counts: ListingCounts) -> Iterator[pa.RecordBatch]:
    """Rows of every .tar below the root (or of the one the root names), archives in sorted order."""
    tree = Tree(spec.root, spec.storage_options)
    tree.require()
    rows = BatchBuilder(spec.row_origin)
    if tree.is_file():
        name = tree.root.rsplit("/", 1)[1]
        if name.lower().endswith(COMPRESSED):
            raise SourceError(_compressed_message(name))
        parent = Tree(tree.root.rsplit("/", 1)[0] or "/", spec.storage_options)
        yield from _list_archive(spec, parent, name, rows, counts)
    else:
        for folder, files in tree.folders(counts):
            for entry in files:
                uri, name = folder + entry.name, entry.name.lower()
                if entry.error is not None and (entry.name == "." or name.endswith(".tar")):
                    rows.add_error(uri, entry.error)
                elif name.endswith(COMPRESSED):
                    rows.add_error(uri, UnsupportedArchiveError(_compressed_message(uri)), etag=entry.etag)
                elif name.endswith(".tar"):
                    yield from _list_archive(spec, tree, uri, rows, counts)
                elif not name.endswith((".parquet", ".json")):  # what downloaders put beside their tars
                    counts.skipped_extension += 1
    yield from rows.take(force=True)


def _compressed_message(name: str) -> str:
    return (
        f"{quoted(name)} is compressed, so its images cannot be read in place; decompress it first "
        "(images hardly shrink), e.g. `gunzip FILE.tar.gz`"
    )


def _list_archive(
    spec: SourceSpec, tree: Tree, uri: str, rows: BatchBuilder, counts: ListingCounts
) -> Iterator[pa.RecordBatch]:
    size, etag = tree.stat(uri)
    try:
        file = tree.open(uri)
    except OSError as e:
        rows.add_error(uri, UnreadableFolderError(f"archive {quoted(uri)}: {e.strerror or e}"), etag=etag)
        return
    with file:
        archive = _Archive(spec, uri, etag, rows, counts, _reader(file))
        for item in scan_tar(archive.read_at, size or 0):
            if isinstance(item, Member):
                archive.member(item)
            else:
                archive.flush()
                rows.add_error(uri, type(item)(f"archive {quoted(uri)} is {item}"), etag=etag)
            if archive.is_full():
                archive.flush()
                yield from rows.take()
        archive.flush()
        counts.unmatched_captions += archive.unused()
    yield from rows.take()


def _reader(file: Any) -> ReadAt:
    """Positioned reads; a local file is read with `pread`, which is half the calls of seek and read."""
    try:
        fd = file.fileno()
    except (OSError, AttributeError):

        def read_remote(offset: int, length: int) -> bytes:
            file.seek(offset)
            return bytes(file.read(length))

        return read_remote
    return lambda offset, length: os.pread(fd, length, offset)


class _Archive:
    """Joins the sidecars of one archive to its images."""

    def __init__(
        self,
        spec: SourceSpec,
        uri: str,
        etag: str | None,
        rows: BatchBuilder,
        counts: ListingCounts,
        read_at: ReadAt,
    ) -> None:
        self._spec, self._uri, self._etag, self._rows, self._counts = spec, uri, etag, rows, counts
        self.read_at = read_at
        self._names: set[str] = set()
        self._waiting: list[tuple[Member, str | ZcurateError, str]] = []
        self._sidecars: dict[tuple[str, str, str], bytes] = {}
        self._used: set[tuple[str, str, str]] = set()

    def is_full(self) -> bool:
        return len(self._waiting) >= _MAX_WAITING

    def unused(self) -> int:
        return len(self._sidecars)

    def member(self, member: Member) -> None:
        if member.is_folder:
            return
        try:
            name = check_relative(member.name)
            base = name.rsplit("/", 1)[-1]
            if member.problem is None and base.startswith("."):
                self._counts.skipped_hidden += 1
                return
            if member.problem is not None:
                raise member.problem
            if name in self._names:
                raise DuplicateMemberError(f"{quoted(member.name)} occurs twice; the first one is used")
        except ZcurateError as e:
            error = UnsafePathError(str(e)) if isinstance(e, UnsafeUriError) else e
            self._waiting.append((member, error, ""))
            return
        self._names.add(name)
        # webdataset's rule: the key ends at the first dot of the file name
        stem, _, extension = base.partition(".")
        key = name[: len(name) - len(base)] + stem
        prefix, _, last = extension.lower().rpartition(".")
        if last in _SIDECARS:
            data = self.read_at(member.offset, min(member.length, MAX_SIDECAR_BYTES))
            self._sidecars[key, prefix, last] = data
        elif is_image_name(base) or (self._spec.all_files and extension):
            self._waiting.append((member, key, prefix))
        else:
            self._counts.skipped_extension += 1

    def flush(self) -> None:
        """Adds the waiting rows; a sidecar with the same prefix (a.left.txt) wins over a.txt."""
        used = set()
        for member, key, prefix in self._waiting:
            if isinstance(key, ZcurateError):
                offset = member.header_offset
                self._rows.add_error(self._uri, key, what=member.name, offset=offset, etag=self._etag)
                continue
            text, values = None, {}
            for name in dict.fromkeys(("", prefix)):
                place = (key, name, "json")
                if place in self._sidecars:
                    used.add(place)
                    found, rest = split_text(parse_object(self._sidecars[place]), self._spec.text_column)
                    text, values = found if found is not None else text, {**values, **rest}
            for name in dict.fromkeys(("", prefix)):
                for last in ("txt", "cls"):
                    place = (key, name, last)
                    if place not in self._sidecars:
                        continue
                    used.add(place)
                    value = clean_text(self._sidecars[place].decode("utf-8", "replace").strip())
                    if last == "txt":
                        text = value
                    else:
                        values["cls"] = value
            self._rows.add(
                self._uri,
                key,
                "tar",
                member=member.name,
                offset=member.offset,
                length=member.length,
                size_bytes=member.length,
                etag=self._etag,
                text=text,
                metadata=metadata_json(values),
            )
        self._waiting.clear()
        for place in used:
            del self._sidecars[place]
