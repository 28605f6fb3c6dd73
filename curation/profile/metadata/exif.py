"""Facts of an Exif block (CIPA DC-008 / Exif 3.0, and the XP tags of Windows)."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import datetime

from .text import decode_text, decode_utf16
from .tiff import Field, open_tiff

_DESCRIPTION, _MAKE, _MODEL, _SOFTWARE, _ARTIST, _COPYRIGHT = 0x010E, 0x010F, 0x0110, 0x0131, 0x013B, 0x8298
_XP_TITLE, _XP_KEYWORDS, _XP_SUBJECT = 0x9C9B, 0x9C9E, 0x9C9F
_EXIF_DIRECTORY, _GPS_DIRECTORY = 0x8769, 0x8825
_TAKEN, _TAKEN_OFFSET, _TAKEN_FRACTION, _USER_COMMENT = 0x9003, 0x9011, 0x9291, 0x9286

_FIRST_TAGS = frozenset(
    {
        _DESCRIPTION,
        _MAKE,
        _MODEL,
        _SOFTWARE,
        _ARTIST,
        _COPYRIGHT,
        _XP_TITLE,
        _XP_KEYWORDS,
        _XP_SUBJECT,
        _EXIF_DIRECTORY,
        _GPS_DIRECTORY,
    }
)
_EXIF_TAGS = frozenset({_TAKEN, _TAKEN_OFFSET, _TAKEN_FRACTION, _USER_COMMENT})
_GPS_TAGS = frozenset({1, 2, 3, 4})

_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)|(Z)", re.ASCII)
_EXIF_TIME = re.compile(
    r"(\d{4})[:\-/.](\d\d)[:\-/.](\d\d)[ T](\d\d):(\d\d):(\d\d)"
    r"(?:[.,](\d+))?\s*([+-]\d\d:?\d\d|Z)?",
    re.ASCII,
)
#: Software writes 0001 for "none"; archives date what they scanned by its century.
_FIRST_YEAR = 1000


@dataclass(frozen=True)
class Exif:
    """Texts as written (not cleaned), empty where absent.

    Attributes:
        taken_at: ISO 8601 time of the original, with fraction and UTC offset where given; None if
            absent, a placeholder or no real date.
        gps: (latitude, longitude) in decimal degrees, south and west negative; None if either is
            absent, has no hemisphere or is out of range, or if both are zero.
        rights: photographer's copyright.
        keywords: Windows' keywords, split at semicolons.
    """

    make: str = ""
    model: str = ""
    software: str = ""
    taken_at: str | None = None
    gps: tuple[float, float] | None = None
    description: str = ""
    title: str = ""
    subject: str = ""
    keywords: tuple[str, ...] = ()
    creator: str = ""
    rights: str = ""
    user_comment: str = ""


def read_exif(block: bytes) -> Exif:
    """Facts of the block's first directory and of the Exif and GPS directories it points to.

    Args:
        block: from its TIFF header on.
    """
    tiff = open_tiff(block)
    if tiff is None:
        return Exif()
    first = tiff.fields(tiff.first_directory, _FIRST_TAGS)

    def directory(tag: int, wanted: frozenset[int]) -> dict[int, Field]:
        pointer = first[tag].numbers() if tag in first else []
        # A pointer back to the first directory finds none of the wanted tags there, and stops.
        return tiff.fields(int(pointer[0]), wanted) if pointer and 0 < pointer[0] < len(block) else {}

    exif, gps = directory(_EXIF_DIRECTORY, _EXIF_TAGS), directory(_GPS_DIRECTORY, _GPS_TAGS)
    return Exif(
        make=_text(first, _MAKE),
        model=_text(first, _MODEL),
        software=_text(first, _SOFTWARE),
        taken_at=iso_time(_text(exif, _TAKEN), _text(exif, _TAKEN_FRACTION), _text(exif, _TAKEN_OFFSET)),
        gps=_position(gps),
        description=_text(first, _DESCRIPTION),
        title=_wide(first, _XP_TITLE),
        subject=_wide(first, _XP_SUBJECT),
        keywords=tuple(_wide(first, _XP_KEYWORDS).split(";")),
        creator=_text(first, _ARTIST),
        rights=_text(first, _COPYRIGHT),
        user_comment=_user_comment(exif.get(_USER_COMMENT)),
    )


def iso_time(time: str, fraction: str = "", offset: str = "") -> str | None:
    """`YYYY:MM:DD HH:MM:SS`, sub-second digits and UTC offset as ISO 8601; None if no real date.

    Some programs write the latter two behind the time, where they count if no field of their own gives them.
    """
    match = _EXIF_TIME.match(time.strip())
    if not match:
        return None
    *clock, own_fraction, own_offset = match.groups()
    try:
        moment = datetime(*(int(part) for part in clock))
    except ValueError:
        return None
    if moment.year < _FIRST_YEAR:
        return None
    digits = fraction.strip() or own_fraction or ""
    text = moment.isoformat() + (f".{digits[:9]}" if digits.isascii() and digits.isdigit() else "")
    zone = _OFFSET.fullmatch(offset.strip() or own_offset or "")
    if not zone:
        return text
    if zone.group(4):
        return text + "+00:00"
    if int(zone.group(2)) > 15 or int(zone.group(3)) > 59:
        return text
    return f"{text}{zone.group(1)}{zone.group(2)}:{zone.group(3)}"


def checked_position(latitude: float, longitude: float) -> tuple[float, float] | None:
    """The pair in decimal degrees to 7 places (1 cm); None if out of range, not finite, or both zero."""
    if not (math.isfinite(latitude) and math.isfinite(longitude)):
        return None
    if abs(latitude) > 90 or abs(longitude) > 180 or (latitude == 0 and longitude == 0):
        return None
    return round(latitude, 7), round(longitude, 7)


def _text(fields: dict[int, Field], tag: int) -> str:
    return fields[tag].text() if tag in fields else ""


def _wide(fields: dict[int, Field], tag: int) -> str:
    return decode_utf16(fields[tag].raw, "<") if tag in fields else ""


def _position(fields: dict[int, Field]) -> tuple[float, float] | None:
    degrees = []
    for reference, value, hemispheres in ((1, 2, "NS"), (3, 4, "EW")):
        side = _text(fields, reference).strip().upper()[:1]
        parts = fields[value].numbers()[:3] if value in fields else []
        if not parts or not side or side not in hemispheres or any(p < 0 for p in parts):
            return None
        angle = sum(p / 60**i for i, p in enumerate(parts))
        degrees.append(-angle if side in "SW" else angle)
    return checked_position(*degrees)


def _user_comment(field: Field | None) -> str:
    """The comment behind its 8-byte name of a character set."""
    if field is None:
        return ""
    name, raw = field.raw[:8], field.raw[8:]
    if name[:7] == b"UNICODE":
        return decode_utf16(raw, field.order)
    if name[:3] == b"JIS":
        return raw.decode("iso2022_jp", "replace")
    if name[:5] != b"ASCII" and name.strip(b"\0 "):
        raw = field.raw  # some writers leave the name out
    return decode_text(raw.strip(b"\0"))
