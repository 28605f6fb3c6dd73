"""Which recognized lines are marks laid over a picture rather than part of it."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from dataclasses import replace

from .lines import WATERMARK, OcrLine

#: Strings that say so themselves: copyright signs, web addresses, names of stock agencies.
EVIDENT = re.compile(
    r"©|\(c\)\s*\d{4}|copyright|all rights reserved|版权所有|水印"
    r"|\bwww\s*\.|https?:"
    r"|\bshutter\s*stock|\bgetty\s*images?\b|\bi\s?stock\b|\balamy\b|\bdreamstime|\bdeposit\s*photos"
    r"|\b123\s?rf\b|\badobe\s*stock|\bbigstock|\bcanstock|\bfotolia|\bfreepik|\bpngtree"
    r"|视觉中国|图虫创意|千图网|包图网|摄图网|昵图网|千库网|站酷海洛|全景网|东方ic",
    re.IGNORECASE,
)

#: A string this often, spread over rows and columns, is a tiled mark. A table repeats in one column
#: and a headline in one row, so both spreads are asked for.
TILED_REPEATS = 4
TILED_MIN_LETTERS = 3
TILED_SPREAD = 0.2


def mark_watermarks(lines: list[OcrLine]) -> list[OcrLine]:
    """The same lines with `kind` set to "watermark" where that is evident, else unchanged."""
    tiled = _tiled_strings(lines)
    return [
        replace(line, kind=WATERMARK)
        if EVIDENT.search(unicodedata.normalize("NFKC", line.text)) or _key(line.text) in tiled
        else line
        for line in lines
    ]


def _key(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKC", text).casefold() if c.isalnum())


def _tiled_strings(lines: list[OcrLine]) -> set[str]:
    places: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for line in lines:
        key = _key(line.text)
        if sum(c.isalpha() for c in key) >= TILED_MIN_LETTERS:
            x0, y0, x1, y1 = line.box
            places[key].append(((x0 + x1) / 2, (y0 + y1) / 2))
    return {
        key
        for key, points in places.items()
        if len(points) >= TILED_REPEATS
        and all(max(axis) - min(axis) >= TILED_SPREAD for axis in zip(*points, strict=True))
    }
