"""IPTC-IIM datasets (IPTC-NAA Information Interchange Model 4.2)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from .exif import iso_time
from .text import decode_text, text_encoding

TITLE, CAPTION, KEYWORDS, CREATOR, RIGHTS, CREDIT = 5, 120, 25, 80, 116, 110
CITY, SUBLOCATION, STATE, COUNTRY = 90, 92, 95, 101
_DATE, _TIME, PROGRAM = 55, 60, 65

_WANTED = frozenset(
    {
        TITLE,
        CAPTION,
        KEYWORDS,
        CREATOR,
        RIGHTS,
        CREDIT,
        CITY,
        SUBLOCATION,
        STATE,
        COUNTRY,
        _DATE,
        _TIME,
        PROGRAM,
    }
)
_MAX_DATASETS = 5000
_MAX_REPEATS = 1000
_UTF8 = b"\x1b%G"


@dataclass(frozen=True)
class Iptc:
    """Datasets of the application record: number -> texts in file order (not cleaned).

    Attributes:
        digest: MD5 of the block, 16 bytes; what Photoshop stores to see later whether IIM changed.
    """

    values: dict[int, list[str]] = field(default_factory=dict)
    digest: bytes = b""

    def all(self, dataset: int) -> list[str]:
        return self.values.get(dataset, [])

    def first(self, dataset: int) -> str:
        """The first value that is not blank; empty if none."""
        return next((v for v in self.all(dataset) if v.strip()), "")

    def taken_at(self) -> str | None:
        """Date and time created, as ISO 8601; None if absent or no real date."""
        day, time = self.first(_DATE).strip(), self.first(_TIME).strip()
        if len(day) != 8 or len(time) < 6:
            return None
        clock = f"{day[:4]}:{day[4:6]}:{day[6:]} {time[:2]}:{time[2:4]}:{time[4:6]}"
        return iso_time(clock, offset=time[6:])


def read_iptc(block: bytes) -> Iptc:
    """The wanted datasets; reading stops at the first one that is malformed."""
    raw: dict[int, list[bytes]] = {}
    position, utf8 = 0, False
    for _ in range(_MAX_DATASETS):
        if block[position : position + 1] != b"\x1c" or position + 5 > len(block):
            break
        record, dataset = block[position + 1], block[position + 2]
        size = int.from_bytes(block[position + 3 : position + 5], "big")
        position += 5
        if size & 0x8000:  # extended: the low bits say how many bytes of length follow
            width = size & 0x7FFF
            if width > 4:
                break
            size = int.from_bytes(block[position : position + width], "big")
            position += width
        value = block[position : position + size]
        if len(value) < size:
            break
        position += size
        if record == 1 and dataset == 90:
            utf8 = value == _UTF8
        elif record == 2 and dataset in _WANTED:
            values = raw.setdefault(dataset, [])
            if len(values) < _MAX_REPEATS:
                values.append(value)
    encoding = _encoding([v for values in raw.values() for v in values])
    texts = {
        n: [v.decode("utf-8", "replace") if utf8 else decode_text(v, encoding) for v in values]
        for n, values in raw.items()
    }
    return Iptc(texts, hashlib.md5(block).digest())


def _encoding(values: list[bytes]) -> str:
    """The one encoding of a block that declares none: a keyword of one ideograph says too little by itself.

    Values of UTF-8 may each be cut within their last character, which no decoder forgives in the midst of a text.
    """
    if all(text_encoding(value) == "utf-8" for value in values):
        return "utf-8"
    return text_encoding(b"\n".join(values))
