"""Reading tar headers only: where each member's bytes are, without trusting any field.

Understands ustar, GNU long names and base-256 numbers, and POSIX (PAX) headers. Layout: POSIX.1-2017
`pax`, sections "ustar Interchange Format" and "pax Extended Header".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..uris import encode_name, quoted
from .problems import ConflictingSizeError, DamagedArchiveError, NotARegularFileError

BLOCK = 512
#: Longest PAX header or GNU long name read; real ones are below a few KiB.
MAX_EXTENDED_BYTES = 1 << 20
#: Sizes from here on do not fit the octal field; PAX writers then leave it 0.
_OCTAL_LIMIT_BYTES = 8**11

ReadAt = Callable[[int, int], bytes]

_REGULAR = frozenset(b"0\x007")
_KIND_NAMES = {
    ord("1"): "a hard link",
    ord("2"): "a symbolic link",
    ord("3"): "a character device",
    ord("4"): "a block device",
    ord("6"): "a named pipe",
    ord("S"): "a sparse file",
}


@dataclass(frozen=True)
class Member:
    """One member.

    Attributes:
        name: as stored, bytes that are not UTF-8 escaped by `encode_name`.
        header_offset: byte offset of the 512-byte header that describes it.
        offset, length: where its data is. 0 bytes for folders and links.
        is_folder: a folder entry.
        problem: why its bytes must not be used.
    """

    name: str
    header_offset: int
    offset: int
    length: int
    is_folder: bool = False
    problem: Exception | None = None


def parse_number(field: bytes) -> int:
    """A numeric header field: octal digits, or base-256 when the first bit is set.

    Raises:
        ValueError: neither, or negative.
    """
    if field[0] & 0x80:
        if field[0] & 0x40:
            raise ValueError("negative number")
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    digits = field.split(b"\0", 1)[0].strip(b" ")
    if not digits:
        return 0
    if not all(0x30 <= c <= 0x37 for c in digits):
        raise ValueError("not an octal number")
    return int(digits, 8)


def header_size(header: bytes) -> int:
    """The size field of a header block whose checksum holds.

    Raises:
        ValueError: the block is no tar header.
    """
    if len(header) != BLOCK:
        raise ValueError("the archive ends inside a header")
    stored = parse_number(header[148:156])
    summed = sum(header) - sum(header[148:156]) + 8 * 32
    if stored != summed:
        high = sum(c >= 0x80 for c in header[:148] + header[156:])
        if stored != summed - 256 * high:  # some old writers sum signed bytes
            raise ValueError("checksum does not match")
    return parse_number(header[124:136])


def scan_tar(read_at: ReadAt, total_bytes: int) -> Iterator[Member | DamagedArchiveError]:
    """Members in archive order; on damage, one error that says where, and then the end.

    Args:
        read_at: (offset, length) -> bytes; fewer bytes at the end of the file.
        total_bytes: size of the archive.
    """
    position = 0
    long_name: bytes | None = None
    pax: dict[bytes, bytes] = {}
    while position < total_bytes:
        header = read_at(position, BLOCK)
        if not header.strip(b"\0") and len(header) == BLOCK:
            return
        try:
            size = header_size(header)
            data = position + BLOCK
            kind = header[156]
            if kind in b"xgLK":
                if size > MAX_EXTENDED_BYTES:
                    raise ValueError(f"an extended header claims {size} bytes")
                body = read_at(data, size)
                if len(body) != size:
                    raise ValueError("the archive ends inside an extended header")
                if kind == ord("x"):
                    pax = _parse_pax(body)
                elif kind == ord("L"):
                    long_name = body.split(b"\0", 1)[0]
                position = data + _padded(size)
                continue
            member, position = _member(header, position, size, pax, long_name, read_at)
        except ValueError as e:
            yield DamagedArchiveError(f"damaged at byte {position}: {e}; later members are lost")
            return
        pax, long_name = {}, None
        if member.offset + member.length > total_bytes:
            yield DamagedArchiveError(
                f"damaged at byte {member.header_offset}: member {quoted(member.name)} of {member.length} "
                f"bytes goes beyond the end of the archive ({total_bytes} bytes); later members are lost"
            )
            return
        yield member
        if position > total_bytes:
            yield DamagedArchiveError(
                f"cut off at byte {total_bytes}, inside padding; later members are lost"
            )


def _member(
    header: bytes,
    position: int,
    size: int,
    pax: dict[bytes, bytes],
    long_name: bytes | None,
    read_at: ReadAt,
) -> tuple[Member, int]:
    """The member of a header, and the position of the next header."""
    kind = header[156]
    data = position + BLOCK
    name = pax.get(b"path") or long_name or _ustar_name(header)
    text = encode_name(name.decode("utf-8", "surrogateescape"))
    if b"size" in pax:
        if not pax[b"size"].isdigit() or len(pax[b"size"]) > 20:
            raise ValueError("the PAX size is not a number")
        real = int(pax[b"size"])
    else:
        real = size
    problem: Exception | None = None
    if real != size and not (size == 0 and real >= _OCTAL_LIMIT_BYTES):
        # Readers that ignore one of the two see different members: a known smuggling trick.
        message = f"{quoted(text)}: the PAX header says {real} bytes, the tar header {size}"
        problem = ConflictingSizeError(message)
    is_folder = kind == ord("5") or (kind == 0 and name.endswith(b"/"))  # pre-POSIX folders
    has_data = not is_folder and kind not in b"123456"
    if kind in _KIND_NAMES or any(k.startswith(b"GNU.sparse.") for k in pax):
        what = _KIND_NAMES.get(kind, "a sparse file")
        problem = NotARegularFileError(f"{quoted(text)} is {what}; only regular members are read")
    elif not is_folder and kind not in _REGULAR:
        message = f"{quoted(text)} has the unknown member type {chr(kind)!r}; only regular members are read"
        problem = NotARegularFileError(message)
    if kind == ord("S"):
        more = header[482]
        while more:
            block = read_at(data, BLOCK)
            if len(block) != BLOCK:
                raise ValueError("the archive ends inside a sparse map")
            data, more = data + BLOCK, block[504]
    length = real if has_data else 0
    return Member(text, position, data, length, is_folder, problem), data + _padded(length)


def _ustar_name(header: bytes) -> bytes:
    name = header[:100].split(b"\0", 1)[0]
    if header[257:263] == b"ustar\0":  # GNU's "ustar  \0" has no prefix field
        prefix = header[345:500].split(b"\0", 1)[0]
        if prefix:
            return prefix + b"/" + name
    return name


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _parse_pax(body: bytes) -> dict[bytes, bytes]:
    """Records `LENGTH KEY=VALUE\\n` of a PAX header.

    Raises:
        ValueError: a record's length is no number or does not fit.
    """
    records: dict[bytes, bytes] = {}
    at = 0
    while at < len(body) and body[at] != 0:
        space = body.find(b" ", at, at + 20)
        digits = body[at:space] if space > 0 else b""
        if not digits.isdigit():
            raise ValueError("a PAX record has no length")
        end = at + int(digits)
        if end > len(body) or end <= space or body[end - 1 : end] != b"\n":
            raise ValueError("a PAX record has a wrong length")
        key, separator, value = body[space + 1 : end - 1].partition(b"=")
        if not separator:
            raise ValueError("a PAX record has no value")
        records[key] = value
        at = end
    return records
