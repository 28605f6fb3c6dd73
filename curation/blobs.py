"""Reading the original bytes of a sample, from wherever its source keeps them."""

from __future__ import annotations

import errno
import io
import os
import stat
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO

import pyarrow as pa

from .errors import SampleError, UnsafeUriError
from .ingest.parquet_blobs import ParquetBlobs
from .ingest.problems import ERROR_CONTAINER, NotARegularFileError, UnsafePathError, listed_error
from .ingest.tarscan import BLOCK, header_size
from .uris import base_of, check_relative, decode_name, filesystem, is_inside, is_local, quoted, relative_to

DEFAULT_LIMIT_BYTES = 256 << 20
_MAX_OPEN_ARCHIVES = 16
_MAX_FOLDERS = 4096


class MissingFileError(SampleError):
    """The file (or table row) is not there any more, or cannot be opened."""


class ChangedFileError(SampleError):
    """The file is not what was listed; ingest the source again."""


class FileTooLargeError(SampleError):
    """More bytes than the reader's limit."""


class BlobReader:
    """Bytes of samples by their `samples` columns. Cheap to construct; opens files on first use.

    Args:
        roots: source name -> root (a folder, or the file a source consists of).
        limit_bytes: larger samples raise FileTooLargeError.
        cache_bytes: bound on cached Parquet row groups.
        storage_options: source name -> fsspec options.
    """

    def __init__(
        self,
        roots: Mapping[str, str],
        limit_bytes: int = DEFAULT_LIMIT_BYTES,
        cache_bytes: int = 256 << 20,
        storage_options: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self._roots = {name: base_of(root) for name, root in roots.items()}
        self._limit = limit_bytes
        self._cache_bytes = cache_bytes
        self._options = {name: dict(o) for name, o in (storage_options or {}).items()}
        self._folders: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._archives: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._tables = ParquetBlobs(cache_bytes)

    def __reduce__(self) -> tuple[Any, ...]:
        return BlobReader, (self._roots, self._limit, self._cache_bytes, self._options)

    def close(self) -> None:
        """Closes the archives it keeps open."""
        while self._archives:
            os.close(self._archives.popitem()[1])
        self._tables.close()

    def __enter__(self) -> BlobReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_tables"):
            self.close()

    def read(
        self,
        source: str,
        uri: str,
        container: str,
        member: str | None = None,
        offset: int | None = None,
        length: int | None = None,
    ) -> bytes:
        """The original bytes.

        Args:
            container: "file" | "tar" | "parquet" | "error", with `member`, `offset` and `length` as listed.

        Raises:
            SampleError: the typed error of an error row, or MissingFileError, ChangedFileError,
                FileTooLargeError, NotARegularFileError, UnsafePathError.
        """
        if container == ERROR_CONTAINER:
            raise listed_error(member)
        if source not in self._roots:
            raise MissingFileError(
                f"source {source!r} has no root; known: {', '.join(self._roots) or 'none'}"
            )
        root = self._roots[source]
        try:
            uri = check_relative(uri)
            if length is not None and length > self._limit:
                raise self._too_large(uri, length)
            if container == "file":
                return self._read_file(source, root, uri, length)
            if container == "tar" and offset is not None and length is not None:
                return self._read_tar(source, root, uri, member or "", offset, length)
            if container == "parquet" and offset is not None and member is not None:
                return self._read_parquet(source, root, uri, member, offset)
        except UnsafeUriError as e:
            raise e if isinstance(e, SampleError) else UnsafePathError(str(e)) from e
        except FileNotFoundError as e:
            raise MissingFileError(f"{quoted(uri)} is missing from source {source!r}; ingest it again") from e
        except OSError as e:
            raise MissingFileError(
                f"{quoted(uri)} of source {source!r} cannot be read: {e.strerror or e}"
            ) from e
        raise SampleError(
            f"{quoted(uri)}: container {container!r} lacks member, offset or length; ingest it again"
        )

    @contextmanager
    def stream(
        self,
        source: str,
        uri: str,
        container: str,
        member: str | None = None,
        offset: int | None = None,
        length: int | None = None,
    ) -> Iterator[BinaryIO]:
        """The original bytes as a seekable file, read as they are needed: for clips, which `limit_bytes` does not bind.

        Plain files are streamed; members of archives and tables are read as by `read`, within its limit.

        Raises:
            SampleError: as `read`.
        """
        if container != "file" or source not in self._roots:
            yield io.BytesIO(self.read(source, uri, container, member, offset, length))
            return
        root = self._roots[source]
        try:
            uri = check_relative(uri)
            file = self._open_table(source, root, uri)
        except UnsafeUriError as e:
            raise e if isinstance(e, SampleError) else UnsafePathError(str(e)) from e
        except FileNotFoundError as e:
            raise MissingFileError(f"{quoted(uri)} is missing from source {source!r}; ingest it again") from e
        except OSError as e:
            raise MissingFileError(
                f"{quoted(uri)} of source {source!r} cannot be read: {e.strerror or e}"
            ) from e
        with file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            if length is not None and size != length:
                raise ChangedFileError(
                    f"{quoted(uri)} has {size} bytes, but {length} when listed; ingest it again"
                )
            yield file

    def _too_large(self, uri: str, size: int) -> FileTooLargeError:
        return FileTooLargeError(f"{quoted(uri)}: {size} bytes; the limit is {self._limit}")

    # -- plain files

    def _open(self, root: str, uri: str) -> int:
        """Descriptor of a regular file inside the root. Never blocks on a pipe."""
        folder, _, name = uri.rpartition("/")
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
        path = os.path.join(self._real_folder(root, folder), decode_name(name))
        try:
            fd = os.open(path, flags | os.O_NOFOLLOW)
        except OSError as e:
            if e.errno != errno.ELOOP:
                raise
            real = os.path.realpath(path)
            if not is_inside(os.path.realpath(root), real):
                raise UnsafePathError(f"{quoted(uri)}: a symlink leads outside the source root") from e
            fd = os.open(real, flags | os.O_NOFOLLOW)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise NotARegularFileError(
                f"{quoted(uri)} is a folder, pipe, socket or device, not a regular file"
            )
        return fd

    def _real_folder(self, root: str, folder: str) -> str:
        found = self._folders.get((root, folder))
        if found is None:
            base = os.path.realpath(root)
            found = os.path.realpath(os.path.join(base, decode_name(folder)))
            if not is_inside(base, found):
                raise UnsafePathError(f"{quoted(folder)}: a symlink leads outside the source root")
            self._folders[root, folder] = found
            if len(self._folders) > _MAX_FOLDERS:
                self._folders.popitem(last=False)
        return found

    def _read_file(self, source: str, root: str, uri: str, length: int | None) -> bytes:
        if not is_local(root):
            fs, base = filesystem(root, self._options.get(source))
            path = f"{base.rstrip('/')}/{decode_name(uri)}"
            self._check_size(uri, fs.info(path)["size"], length)
            return bytes(fs.cat_file(path))
        fd = self._open(root, uri)
        try:
            size = os.fstat(fd).st_size
            self._check_size(uri, size, length)
            data = _pread(fd, 0, size + 1)
        finally:
            os.close(fd)
        self._check_size(uri, len(data), size)
        return data

    def _check_size(self, uri: str, size: int, listed: int | None) -> None:
        if listed is not None and size != listed:
            raise ChangedFileError(
                f"{quoted(uri)} has {size} bytes, but {listed} when listed; ingest it again"
            )
        if size > self._limit:
            raise self._too_large(uri, size)

    # -- archives

    def _read_tar(self, source: str, root: str, uri: str, member: str, offset: int, length: int) -> bytes:
        if offset < BLOCK or length < 0:
            raise ChangedFileError(f"{quoted(uri)}: impossible place {offset}+{length}; ingest it again")
        # the header stands right before the data: reading both tells whether the archive has changed
        start, total = offset - BLOCK, length + BLOCK
        if is_local(root):
            data = _pread(self._archive(root, uri), start, total)
        else:
            fs, base = filesystem(root, self._options.get(source))
            data = bytes(
                fs.cat_file(f"{base.rstrip('/')}/{decode_name(uri)}", start=start, end=start + total)
            )
        try:
            fits = len(data) == total and header_size(data[:BLOCK]) == length
        except ValueError:
            fits = False
        if not fits:
            raise ChangedFileError(
                f"archive {quoted(uri)} has no member {quoted(member)} of {length} bytes at byte {offset} any more; "
                "ingest it again"
            )
        return data[BLOCK:]

    def _archive(self, root: str, uri: str) -> int:
        fd = self._archives.pop((root, uri), None)
        if fd is None:
            fd = self._open(root, uri)
            if len(self._archives) >= _MAX_OPEN_ARCHIVES:
                os.close(self._archives.popitem(last=False)[1])
        self._archives[root, uri] = fd
        return fd

    # -- tables

    def _read_parquet(self, source: str, root: str, uri: str, column: str, row: int) -> bytes:
        try:
            value = self._tables.value(
                (source, uri), lambda: self._open_table(source, root, uri), column, row
            )
        except (pa.ArrowException, IndexError) as e:
            raise ChangedFileError(f"{quoted(uri)}: column {column!r}, row {row}: {e}") from e
        if isinstance(value, dict):
            data, path = value.get("bytes"), value.get("path")
            if data is None and isinstance(path, str):
                return self._read_file(source, root, relative_to(root, path), None)
            value = data
        if not isinstance(value, bytes):
            raise MissingFileError(f"{quoted(uri)}: row {row} of column {column!r} holds no image")
        if len(value) > self._limit:
            raise self._too_large(uri, len(value))
        return value

    def _open_table(self, source: str, root: str, uri: str) -> BinaryIO:
        if is_local(root):
            return os.fdopen(self._open(root, uri), "rb")
        fs, base = filesystem(root, self._options.get(source))
        return fs.open(f"{base.rstrip('/')}/{decode_name(uri)}", "rb")


def _pread(fd: int, offset: int, length: int) -> bytes:
    """Up to `length` bytes; fewer only at the end of the file."""
    data = os.pread(fd, length, offset)
    while 0 < len(data) < length:
        more = os.pread(fd, length - len(data), offset + len(data))
        if not more:
            break
        data += more
    return data
