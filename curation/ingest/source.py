"""What a source is, and walking the files below its root."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import ConfigError, SourceError
from ..uris import base_of, check_root, decode_name, encode_name, filesystem, is_inside, is_local, quoted
from .problems import NotARegularFileError, UnreadableFolderError, UnsafePathError
from .rows import Origin

KINDS = ("folder", "webdataset", "parquet", "manifest", "video")
ORIGINS = ("camera", "rendered", "model", "unknown")

#: No sidecar is read further than this.
MAX_SIDECAR_BYTES = 1 << 20


@dataclass(frozen=True)
class SourceSpec:
    """One place images come from.

    Attributes:
        name: unique in a dataset; part of every sample id.
        root: folder or file; local path or s3://, gs://, abfs://, memory:// URL.
        kind: folder | webdataset | parquet | manifest | video (see `detect_kind`).
        origin: camera | rendered | model | unknown, of every row.
        license: of every row; a `license` column of a table overrules it.
        all_files: folder: take files of every extension, not only image ones.
        stat: manifest and path columns: fill `size_bytes` and `etag` (one request per image).
        path_column: manifest, parquet: column of image paths; None looks for the usual names.
        image_column: parquet: column of image bytes; None looks for it.
        text_column: caption column or JSON field; None looks for the usual names.
        key_column: manifest, parquet: column of keys; None uses `key`, `__key__` or `uid`, else the path.
        images_root: manifest and path columns: the folder paths are relative to; None means the
            folder of the manifest.
        storage_options: fsspec options of the root's protocol.

    Raises:
        ConfigError: a field is out of range. UnsafeUriError: the root's protocol is not allowed.
    """

    name: str
    root: str
    kind: str
    origin: str = "unknown"
    license: str | None = None
    all_files: bool = False
    stat: bool = False
    path_column: str | None = None
    image_column: str | None = None
    text_column: str | None = None
    key_column: str | None = None
    images_root: str | None = None
    storage_options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigError("source name is empty; give each source a name")
        if self.kind not in KINDS:
            raise ConfigError(f"source {self.name!r}: kind {self.kind!r} is not one of {', '.join(KINDS)}")
        if self.origin not in ORIGINS:
            raise ConfigError(
                f"source {self.name!r}: origin {self.origin!r} is not one of {', '.join(ORIGINS)}"
            )
        check_root(self.root)

    @property
    def blob_root(self) -> str:
        """The folder that the rows' `uri` is relative to: what `BlobReader` needs as this source's root."""
        return check_root(self.images_root) if self.images_root else base_of(self.root)

    @property
    def row_origin(self) -> Origin:
        return Origin(self.name, self.origin, self.license)


@dataclass
class ListingCounts:
    """What a listing left out, filled while the listing runs.

    Attributes:
        rows: rows yielded, error rows included.
        errors: error rows among them.
        skipped_extension: files that are no image by extension (sidecars are not counted).
        skipped_hidden: files and folders whose name begins with '.'.
        skipped_folder_links: symlinks to folders (never followed; their target, if inside, is listed once).
        unmatched_captions: sidecars and metadata rows for which no image was found.
    """

    rows: int = 0
    errors: int = 0
    skipped_extension: int = 0
    skipped_hidden: int = 0
    skipped_folder_links: int = 0
    unmatched_captions: int = 0


@dataclass(frozen=True)
class Entry:
    """A file below the root. `error` is set when it must not be opened."""

    name: str
    size_bytes: int = 0
    etag: str | None = None
    error: Exception | None = None


class Tree:
    """The files below a root, local or remote, in a fixed order."""

    def __init__(self, root: str, storage_options: Mapping[str, Any] | None = None) -> None:
        self.root = check_root(root)
        self.local = is_local(self.root)
        self._fs, self._path = filesystem(self.root, storage_options)

    def exists(self) -> bool:
        return os.path.lexists(self.root) if self.local else bool(self._fs.exists(self._path))

    def is_file(self) -> bool:
        return os.path.isfile(self.root) if self.local else bool(self._fs.isfile(self._path))

    def require(self) -> None:
        if not self.exists():
            raise SourceError(f"source root {quoted(self.root)} does not exist; check the path")

    def join(self, relative: str) -> str:
        """Path of a listed file for this tree's file system."""
        return os.path.join(self._path, decode_name(relative))

    def open(self, relative: str) -> Any:
        """A binary file object for forward reading with short seeks."""
        if self.local:
            return open(self.join(relative), "rb")
        return self._fs.open(self.join(relative), "rb", block_size=4 << 20, cache_type="readahead")

    def read_small(self, relative: str) -> bytes:
        """The first MAX_SIDECAR_BYTES of a regular file; empty when it cannot be read."""
        try:
            if not self.local:
                return bytes(self._fs.cat_file(self.join(relative), start=0, end=MAX_SIDECAR_BYTES))
            fd = os.open(self.join(relative), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                return os.read(fd, MAX_SIDECAR_BYTES) if stat.S_ISREG(os.fstat(fd).st_mode) else b""
            finally:
                os.close(fd)
        except OSError:
            return b""

    def stat(self, relative: str) -> tuple[int | None, str | None]:
        """(size in bytes, etag) of a file, nulls when there is none."""
        try:
            if self.local:
                found = os.stat(self.join(relative))
                return found.st_size, str(found.st_mtime_ns)
            return _size_and_etag(self._fs.info(self.join(relative)))
        except OSError:
            return None, None

    def folders(self, counts: ListingCounts) -> Iterator[tuple[str, list[Entry]]]:
        """(relative folder with trailing '/' or empty, its files by name), folders in sorted order."""
        yield from self._local_folders(counts) if self.local else self._remote_folders(counts)

    def _local_folders(self, counts: ListingCounts) -> Iterator[tuple[str, list[Entry]]]:
        real_root = os.path.realpath(self.root)
        pending = [""]  # operating-system names
        while pending:
            folder = pending.pop()
            inner: list[str] = []
            try:
                with os.scandir(os.path.join(self.root, folder) if folder else self.root) as found:
                    files = [
                        e for e in (_local_entry(d, folder, inner, real_root, counts) for d in found) if e
                    ]
            except OSError as e:
                files = [Entry(".", error=UnreadableFolderError(f"folder {quoted(folder)}: {e.strerror}"))]
            files.sort(key=lambda e: e.name)
            yield encode_name(folder), files
            pending.extend(sorted(inner, reverse=True))

    def _remote_folders(self, counts: ListingCounts) -> Iterator[tuple[str, list[Entry]]]:
        prefix = self._path.rstrip("/") + "/"
        by_folder: dict[str, list[Entry]] = {}
        for path, info in self._fs.find(self._path, detail=True).items():
            relative = encode_name(path.removeprefix(prefix))
            folder, _, name = relative.rpartition("/")
            if not name or any(part.startswith(".") for part in relative.split("/")):
                counts.skipped_hidden += 1
                continue
            size, etag = _size_and_etag(info)
            by_folder.setdefault(folder + "/" if folder else "", []).append(Entry(name, size or 0, etag))
        for folder in sorted(by_folder, key=lambda f: f.split("/")):
            yield folder, sorted(by_folder[folder], key=lambda e: e.name)


def _size_and_etag(info: Mapping[str, Any]) -> tuple[int | None, str | None]:
    etag = info.get("ETag") or info.get("etag") or info.get("md5Hash") or info.get("created")
    return info.get("size"), None if etag is None else str(etag).strip('"')


def _local_entry(
    found: os.DirEntry[str], folder: str, inner: list[str], real_root: str, counts: ListingCounts
) -> Entry | None:
    if found.name.startswith("."):
        counts.skipped_hidden += 1
        return None
    name = encode_name(found.name)
    if found.is_symlink():
        if found.is_dir():
            counts.skipped_folder_links += 1
            return None
        if not is_inside(real_root, os.path.realpath(found.path)):
            message = f"{quoted(folder + name)}: a symlink leads outside the source root"
            return Entry(name, error=UnsafePathError(message))
    elif found.is_dir(follow_symlinks=False):
        inner.append(folder + found.name + "/")
        return None
    try:
        status = found.stat()
    except OSError as e:
        return Entry(name, error=UnreadableFolderError(f"{quoted(folder + name)}: {e.strerror}"))
    if not stat.S_ISREG(status.st_mode):
        message = f"{quoted(folder + name)} is a pipe, socket or device; only regular files are read"
        return Entry(name, error=NotARegularFileError(message))
    return Entry(name, status.st_size, str(status.st_mtime_ns))
