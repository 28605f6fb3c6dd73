"""The name of an ICC profile (ICC.1:2022 section 9.2.41, and version 2 textDescriptionType)."""

from __future__ import annotations

from .text import decode_text

_MAX_TAGS = 200


def profile_name(profile: bytes) -> str:
    """Text of the profile's `desc` tag: English where there is a choice. Empty if it cannot be read."""
    for i in range(min(int.from_bytes(profile[128:132], "big"), _MAX_TAGS)):
        entry = profile[132 + 12 * i : 144 + 12 * i]
        if entry[:4] == b"desc":
            start = int.from_bytes(entry[4:8], "big")
            return _description(profile[start : start + min(int.from_bytes(entry[8:12], "big"), 1 << 16)])
    return ""


def _description(tag: bytes) -> str:
    if tag[:4] == b"desc":
        count = int.from_bytes(tag[8:12], "big")
        return decode_text(tag[12 : 12 + count].split(b"\0", 1)[0])
    if tag[:4] != b"mluc":
        return ""
    name = ""
    for i in range(min(int.from_bytes(tag[8:12], "big"), _MAX_TAGS)):
        record = tag[16 + 12 * i : 28 + 12 * i]
        length, start = int.from_bytes(record[4:8], "big"), int.from_bytes(record[8:12], "big")
        text = tag[start : start + length].decode("utf-16-be", "ignore")
        if record[:2] == b"en" and text:
            return text
        name = name or text
    return name
