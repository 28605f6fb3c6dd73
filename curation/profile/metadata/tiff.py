"""TIFF directories (TIFF 6.0, BigTIFF), the structure of Exif blocks too. Wrong offsets, types and counts
cost the field they belong to, no more; directories are read by a fixed plan, so that they cannot loop."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from .blocks import MAX_JUMBF_BYTES, Blocks
from .photoshop import read_resources
from .text import decode_text

_TYPE_BYTES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
    129: 1,  # UTF-8, Exif 3.0
}
_INTEGERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_RATIONALS = {5: "I", 10: "i"}

_TEXTS = frozenset({1, 2, 7, 129})

_MAX_FIELDS = 1000
_MAX_NUMBERS = 16

XMP, IPTC, PHOTOSHOP, ICC, C2PA = 0x02BC, 0x83BB, 0x8649, 0x8773, 0xCD41


@dataclass(frozen=True, slots=True)
class Field:
    """One field: TIFF type, value bytes as stored, byte order ("<" or ">")."""

    type: int
    raw: bytes
    order: str

    def text(self) -> str:
        """The first string that is not blank (an ASCII field may hold several, each ended by NUL)."""
        if self.type not in _TEXTS:
            return ""
        for part in self.raw.split(b"\0", 8)[:8]:
            if part.strip():
                return decode_text(part)
        return ""

    def numbers(self) -> list[float]:
        """Integers and rationals as numbers; a rational with denominator 0 is NaN. Else empty."""
        if self.type in _RATIONALS:
            pairs = self._unpacked(_RATIONALS[self.type], 4, 2 * _MAX_NUMBERS)
            return [n / d if d else float("nan") for n, d in zip(pairs[::2], pairs[1::2], strict=False)]
        if self.type in _INTEGERS:
            return list(self._unpacked(_INTEGERS[self.type], _TYPE_BYTES[self.type], _MAX_NUMBERS))
        return []

    def _unpacked(self, code: str, size: int, max_count: int) -> tuple[int, ...]:
        count = min(len(self.raw) // size, max_count)
        return struct.unpack_from(f"{self.order}{count}{code}", self.raw)


@dataclass(frozen=True, slots=True)
class Tiff:
    """A TIFF stream: where its first directory is, and how to read one."""

    data: bytes
    order: str
    big: bool
    first_directory: int

    def fields(self, offset: int, wanted: frozenset[int]) -> dict[int, Field]:
        """The wanted tags of the directory at `offset` (first occurrence of each).

        Returns:
            tag -> field. Fields that point outside the data, or have an unknown type, are left out.
        """
        data, order = self.data, "little" if self.order == "<" else "big"
        count_bytes, entry_bytes, inline_bytes = (8, 20, 8) if self.big else (2, 12, 4)
        entry = struct.Struct(self.order + ("HHQ8s" if self.big else "HHI4s"))
        start = offset + count_bytes
        count = min(int.from_bytes(data[offset:start], order), _MAX_FIELDS)
        table = data[start : start + count * entry_bytes]
        found: dict[int, Field] = {}
        for tag, kind, length, value in entry.iter_unpack(table[: len(table) // entry_bytes * entry_bytes]):
            if tag not in wanted or tag in found or kind not in _TYPE_BYTES:
                continue
            length *= _TYPE_BYTES[kind]
            if length > inline_bytes:
                at = int.from_bytes(value, order)
                if at + length > len(data) or length > MAX_JUMBF_BYTES:
                    continue
                value = data[at : at + length]
            else:
                value = value[:length]
            found[tag] = Field(kind, value, self.order)
        return found


def open_tiff(data: bytes) -> Tiff | None:
    """The stream that begins with a TIFF or BigTIFF header; None if `data` is none."""
    mark = data[:4]
    if mark in (b"II*\0", b"MM\0*"):
        order = "<" if mark[:1] == b"I" else ">"
        return Tiff(data, order, False, int.from_bytes(data[4:8], "little" if order == "<" else "big"))
    if mark in (b"II+\0", b"MM\0+"):
        order = "<" if mark[:1] == b"I" else ">"
        return Tiff(data, order, True, int.from_bytes(data[8:16], "little" if order == "<" else "big"))
    return None


def read_tiff(data: bytes) -> Blocks:
    """The metadata blocks of a TIFF file: its first directory serves as the Exif block as well."""
    blocks = Blocks()
    tiff = open_tiff(data)
    if tiff is None:
        return blocks
    blocks.exif.append(data)
    fields = tiff.fields(tiff.first_directory, frozenset({XMP, IPTC, PHOTOSHOP, ICC, C2PA}))
    if PHOTOSHOP in fields:
        read_resources(fields[PHOTOSHOP].raw, blocks)
    if XMP in fields:
        blocks.add_xmp(fields[XMP].raw)
    if IPTC in fields and not blocks.iptc:
        blocks.add_iptc(fields[IPTC].raw)
    if ICC in fields:
        blocks.add_icc(fields[ICC].raw)
    if C2PA in fields:
        blocks.add_jumbf(fields[C2PA].raw)
    return blocks
