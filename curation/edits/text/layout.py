"""Where the characters of an item go: one rule for both sides of every pair.

A block is as large as its advance widths and line pitch say, not as its ink does, so that a text replaced by another
keeps its baseline and its margins.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from .fonts import Face, font_of

#: Pitch of lines and of columns, of the characters of a column, and where the baseline lies in a line; in em.
LINE_EM, CELL_EM, BASE_EM = 1.28, 1.06, 0.98
#: Marks that do not begin a line of Chinese.
_NO_START = frozenset("，。、！？：；）》」』％,.!?:;)%")


@dataclass(frozen=True)
class Block:
    """A laid-out text, px. `runs`: (text, x, baseline y) within the block; whole lines, or characters of columns."""

    width: float
    height: float
    runs: tuple[tuple[str, float, float], ...]
    lines: tuple[str, ...]


def laid_out(item: Mapping[str, Any], face: Face, shape: tuple[int, ...]) -> Block:
    """The block of a checked item on a picture of (height, width, ...) px."""
    if item["vertical"]:
        return _columns(item["text"], float(item["size_px"]), item["width"] * shape[0])
    size_px, most_px = float(item["size_px"]), item["width"] * shape[1]
    return _rows(item["text"], face.path, face.index, item["align"], size_px, most_px)


@lru_cache(maxsize=1024)
def _rows(content: str, path: str, index: int, align: str, size_px: float, most_px: float) -> Block:
    font = font_of(path, index, size_px)  # not a key: open fonts are large
    lines = [part for line in content.split("\n") for part in _broken(line, font, most_px)]
    widths = [font.getlength(line) for line in lines]
    width, pitch = max(widths), LINE_EM * size_px
    share = {"left": 0.0, "center": 0.5, "right": 1.0}[align]
    runs = tuple(
        (line, (width - own) * share, i * pitch + BASE_EM * size_px)
        for i, (line, own) in enumerate(zip(lines, widths, strict=True))
    )
    return Block(width, pitch * len(lines), runs, tuple(lines))


def _broken(line: str, font: Any, most_px: float) -> list[str]:
    """A line broken where words end or between Chinese characters, as evenly as the number of lines allows."""
    whole = font.getlength(line)
    if whole <= most_px:
        return [line]
    units = _units(line)
    count = math.ceil(whole / most_px)
    # Even lines look set; the last one is not left with one word.
    for limit in (whole / count * 1.12, most_px):
        lines = _filled(units, font, min(limit, most_px))
        if len(lines) <= count:
            return lines
    return lines


def _filled(units: list[str], font: Any, most_px: float) -> list[str]:
    lines = [units[0]]
    for unit in units[1:]:
        if font.getlength((lines[-1] + unit).strip()) <= most_px:
            lines[-1] += unit
        else:
            lines.append(unit)
    return [line.strip() for line in lines if line.strip()]


def _units(line: str) -> list[str]:
    """What may not be broken: words with the space before them, single Chinese characters with marks after them."""
    units: list[str] = []
    for c in line:
        wide = ord(c) >= 0x2E80
        if units and (c in _NO_START or (c != " " and not wide and ord(units[-1][-1]) < 0x2E80)):
            units[-1] += c
        else:
            units.append(c)
    return units


@lru_cache(maxsize=1024)
def _columns(content: str, size_px: float, most_px: float) -> Block:
    cell, pitch = CELL_EM * size_px, LINE_EM * size_px
    most = max(1, int(most_px / cell))
    columns: list[str] = []
    for line in content.split("\n"):
        count = math.ceil(len(line) / most)
        size = math.ceil(len(line) / max(1, count))
        columns += [line[i : i + size] for i in range(0, len(line), size)]
    width = pitch * len(columns)
    runs = tuple(
        (c, width - (i + 0.5) * pitch, (j + 0.5) * cell)
        for i, column in enumerate(columns)
        for j, c in enumerate(column)
        if c != " "
    )
    return Block(width, cell * max(map(len, columns)), runs, tuple(columns))
