"""Typed errors found while listing, and how a listing row carries one.

A listing never drops what it cannot use: the item becomes a row with `container` = "error" and
`member` = "ErrorClass: message". Reading the bytes of such a row raises that error, so it shows up
as the row's status in the first stage that opens images. The row's metadata repeats it under
`INGEST_ERROR_KEY` and `INGEST_MESSAGE_KEY`.
"""

from __future__ import annotations

from ..errors import SampleError, UnsafeUriError

ERROR_CONTAINER = "error"
INGEST_ERROR_KEY = "_ingest_error"
INGEST_MESSAGE_KEY = "_ingest_message"
_MAX_MESSAGE_CHARS = 400


class UnsafePathError(SampleError, UnsafeUriError):
    """The row's path or member name leads outside its source."""


class NotARegularFileError(SampleError):
    """A link, device, pipe or sparse entry where a plain file was expected."""


class DuplicateMemberError(SampleError):
    """A second archive member of the same name."""


class DamagedArchiveError(SampleError):
    """An archive or compressed list that breaks off or makes no sense from some byte on."""


class UnsupportedArchiveError(SampleError):
    """An archive whose members cannot be read in place."""


class UnreadableFolderError(SampleError):
    """A folder or file that the operating system refuses to open."""


class BadLineError(SampleError):
    """A manifest line that is not valid, or has no path."""


class DownloadFailedError(SampleError):
    """A row of a downloader's table whose download had failed."""


class ConflictingSizeError(SampleError):
    """Two headers of one archive member disagree about its length."""


INGEST_ERRORS: dict[str, type[SampleError]] = {
    c.__name__: c
    for c in (
        UnsafePathError,
        NotARegularFileError,
        DuplicateMemberError,
        DamagedArchiveError,
        UnsupportedArchiveError,
        UnreadableFolderError,
        BadLineError,
        DownloadFailedError,
        ConflictingSizeError,
    )
}


def error_text(error: Exception) -> str:
    """The `member` value of an error row."""
    message = str(error).encode("utf-8", "replace").decode("utf-8").replace("\0", " ")
    return f"{type(error).__name__}: {message[:_MAX_MESSAGE_CHARS]}"


def listed_error(member: str | None) -> SampleError:
    """The error that an error row carries, ready to raise."""
    name, _, message = (member or "").partition(": ")
    return INGEST_ERRORS.get(name, SampleError)(message or name or "the listing row carries an unnamed error")
