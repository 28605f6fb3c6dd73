"""From what Exif, IPTC-IIM, XMP and PNG texts each say to one value per column.

Order of belief after the Metadata Working Group's guidelines (2.0, chapters 3 and 5): Exif first where it has
the property; between IIM and XMP, XMP, unless the stored digest shows that IIM was changed later; then what
has no place in those guidelines (Windows' XP tags, PNG texts). A field that is blank does not count.
"""

from __future__ import annotations

import re
from typing import Any

from . import iptc as iim
from .exif import checked_position, iso_time
from .facts import Facts
from .icc import profile_name
from .text import clean, clean_line
from .xmp import Xmp, places

_NAME_CHARS, _TITLE_CHARS, _CAPTION_CHARS, _KEYWORD_CHARS = 200, 500, 10_000, 100
_MAX_KEYWORDS = 200

#: Descriptions that cameras and scanners write into every file, and that say nothing of the picture.
_PLACEHOLDER = re.compile(
    r"(?:[\w .,-]{0,30}digital (?:still )?camera|[\d\W_]+|sony dsc|dcim[\\/].*|exif_?jpeg(?:_picture)?|jpeg|default|untitled|"
    r"image description|<?digimax.*|<?kenox.*|screenshot|created with .{1,40}|dav|ptr|hdr|rpt|oznor\w*|hdrpl\w*|"
    r"oppo_\w+|cof|vsco|charset=.{0,40}|binary comment|null|none)",
    re.IGNORECASE,
)
_XMP_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(Z|[+-]\d\d:?\d\d)?")
_XMP_POSITION = re.compile(r"(\d{1,3}),(\d{1,2}(?:\.\d+)?)(?:,(\d{1,2}(?:\.\d+)?))?([NSEW])")
_COMMENT_CREDIT = re.compile(
    rb"(?:CREATOR: |Created (?:with|by) |File written by )([^\0\r\n,]{2,80})", re.IGNORECASE
)


def describe(facts: Facts) -> dict[str, Any]:
    """All metadata columns but the two about AI."""
    exif, iptc, xmp, texts = facts.exif, facts.iptc, facts.xmp, facts.texts
    position = exif.gps or _xmp_position(xmp)
    return {
        "camera_make": _device(exif.make) or _device(xmp.first("tiff:Make")),
        "camera_model": _device(exif.model) or _device(xmp.first("tiff:Model")),
        "taken_at": exif.taken_at or _other_time(facts),
        "software": _first_line(
            _NAME_CHARS,
            exif.software,
            xmp.first("xmp:CreatorTool", "tiff:Software"),
            iptc.first(iim.PROGRAM),
            texts.get("software"),
            _comment_credit(facts),
        ),
        "gps_latitude": position[0] if position else None,
        "gps_longitude": position[1] if position else None,
        "title": _title(facts),
        "caption": _caption(facts),
        "keywords": _keywords(facts),
        "place": _place(facts),
        "creator": _creator(facts),
        "rights": _first_line(
            _TITLE_CHARS,
            exif.rights,
            *_iptc_and_xmp(facts, iptc.first(iim.RIGHTS), xmp.first("dc:rights")),
            texts.get("copyright"),
        ),
        "icc_name": _first_line(
            _NAME_CHARS, profile_name(facts.blocks.icc) if facts.blocks.icc else "", facts.blocks.icc_name
        ),
    }


def _iptc_and_xmp(facts: Facts, from_iptc: Any, from_xmp: Any) -> tuple[Any, Any]:
    """The two in the order to believe them."""
    return (from_iptc, from_xmp) if facts.iptc_is_newer else (from_xmp, from_iptc)


def _first_line(max_chars: int, *candidates: str | None) -> str | None:
    for candidate in candidates:
        line = clean_line(candidate, max_chars)
        if line:
            return line
    return None


def _device(text: str) -> str | None:
    """A maker or model; None for what generators keep in these fields (graphs, prompts)."""
    line = clean_line(text, _NAME_CHARS)
    return line if line and len(line) <= 80 and "{" not in line else None


def _title(facts: Facts) -> str | None:
    ordered = _iptc_and_xmp(facts, facts.iptc.first(iim.TITLE), facts.xmp.first("dc:title"))
    return _meaningful(facts, _first_line(_TITLE_CHARS, *ordered, facts.exif.title, facts.texts.get("title")))


def _caption(facts: Facts) -> str | None:
    candidates = (
        facts.exif.description,
        *_iptc_and_xmp(facts, facts.iptc.first(iim.CAPTION), facts.xmp.first("dc:description")),
        facts.exif.subject,
        facts.texts.get("description"),
    )
    for candidate in candidates:
        text = _meaningful(facts, clean(candidate, _CAPTION_CHARS))
        if text and not text.startswith(
            ("{", "[{", "workflow:{", "prompt:{", "Workflow:{", "Prompt:{", "<?xml")
        ):
            return text
    return None


def _meaningful(facts: Facts, text: str | None) -> str | None:
    """The text, unless a device wrote it: a known placeholder, a bare number, or its own name."""
    if text is None or len(text) > 100:
        return text
    names = (facts.exif.make.strip().lower(), facts.exif.model.strip().lower())
    return None if _PLACEHOLDER.fullmatch(text) or text.lower() in names else text


def _keywords(facts: Facts) -> list[str]:
    ordered = _iptc_and_xmp(facts, facts.iptc.all(iim.KEYWORDS), facts.xmp.all("dc:subject"))
    for candidates in (*ordered, facts.exif.keywords, (facts.texts.get("keywords") or "").split(",")):
        lines = [line for line in (clean_line(c, _KEYWORD_CHARS) for c in candidates[:1000]) if line]
        if lines:
            return list(dict.fromkeys(lines))[:_MAX_KEYWORDS]
    return []


def _place(facts: Facts) -> str | None:
    order = (iim.SUBLOCATION, iim.CITY, iim.STATE, iim.COUNTRY)
    from_iptc = [v for v in (facts.iptc.first(n) for n in order) if v]
    for parts in _iptc_and_xmp(facts, from_iptc, places(facts.xmp)):
        lines = [line for line in (clean_line(p, _NAME_CHARS) for p in parts) if line]
        if lines:
            return ", ".join(dict.fromkeys(lines))[:_TITLE_CHARS]
    return None


def _creator(facts: Facts) -> str | None:
    many = _iptc_and_xmp(facts, facts.iptc.all(iim.CREATOR), facts.xmp.all("dc:creator"))
    for names in ([facts.exif.creator], *many, [facts.texts.get("author") or ""]):
        lines = [line for line in (clean_line(n, _NAME_CHARS) for n in names[:50]) if line]
        if lines:
            return "; ".join(dict.fromkeys(lines))[:_TITLE_CHARS]
    return None


def _other_time(facts: Facts) -> str | None:
    from_xmp = None
    for name in ("photoshop:DateCreated", "exif:DateTimeOriginal"):
        match = _XMP_TIME.match(facts.xmp.first(name).strip())
        if match:
            year, month, day, hour, minute, second, fraction, zone = match.groups()
            clock = f"{year}:{month}:{day} {hour}:{minute}:{second or '00'}"
            from_xmp = from_xmp or iso_time(clock, fraction or "", zone or "")
    first, second = _iptc_and_xmp(facts, facts.iptc.taken_at(), from_xmp)
    return first or second


def _xmp_position(xmp: Xmp) -> tuple[float, float] | None:
    angles = []
    for name, hemispheres in (("exif:GPSLatitude", "NS"), ("exif:GPSLongitude", "EW")):
        match = _XMP_POSITION.fullmatch(xmp.first(name).strip()[:40])
        if not match or match.group(4) not in hemispheres:
            return None
        degrees, minutes, seconds, side = match.groups()
        angle = float(degrees) + float(minutes) / 60 + float(seconds or 0) / 3600
        angles.append(-angle if side in "SW" else angle)
    return checked_position(*angles)


def _comment_credit(facts: Facts) -> str:
    """The program that a JPEG or GIF comment credits, in the usual phrases; comments are no captions."""
    for comment in facts.blocks.comments:
        match = _COMMENT_CREDIT.match(comment[:200].strip())
        if match:
            return match.group(1).decode("latin-1")
    return ""
