"""Small print on very large pictures: parts read at more resolution, and the readings joined."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .lines import OcrLine

#: A picture reduced at least this much is looked at again in parts if lines this low (in px after the reduction)
#: stand on it: below about 12 px the recognizer guesses.
MIN_REDUCTION = 2.0
SMALL_PX = 16
#: Parts are read at this reduction, where text of 24 px is 12 px high.
PART_REDUCTION = 2.0
#: Share of its side by which a part overlaps the next one. A line shorter than that is whole in one of them.
OVERLAP = 0.25
#: More parts than this are not read.
MAX_PARTS = 24
#: Two boxes are the same line when they share this much of the smaller one.
SAME_LINE = 0.5


def has_small_print(lines: list[OcrLine], height_px: int, reduction: float) -> bool:
    """Whether parts are worth reading: `height_px` is that of the reduced picture on which `lines` were read."""
    return reduction > MIN_REDUCTION and any(
        (line.box[3] - line.box[1]) * height_px < SMALL_PX for line in lines
    )


def parts(width_px: int, height_px: int, side_px: int) -> list[tuple[int, int, int, int]]:
    """(x0, y0, x1, y1) of overlapping parts that cover a picture, none larger than `side_px`; [] for too many."""
    cuts = [(x0, y0, x1, y1) for y0, y1 in _spans(height_px, side_px) for x0, x1 in _spans(width_px, side_px)]
    return cuts if len(cuts) <= MAX_PARTS else []


def _spans(length: int, side: int) -> Iterator[tuple[int, int]]:
    if length <= side:
        yield 0, length
        return
    count = int(np.ceil((length - side) / (side * (1 - OVERLAP)))) + 1
    for start in np.linspace(0, length - side, count).round().astype(int):
        yield int(start), int(start) + side


def placed(
    lines: list[OcrLine], part: tuple[int, int, int, int], width_px: int, height_px: int
) -> list[OcrLine]:
    """Lines of a part as lines of the picture, without those that an inner edge of the part cuts."""
    x0, y0, x1, y1 = part
    whole = []
    for line in lines:
        a, b, c, d = line.box
        left, top, right, bottom = (
            x0 + a * (x1 - x0),
            y0 + b * (y1 - y0),
            x0 + c * (x1 - x0),
            y0 + d * (y1 - y0),
        )
        margin = max(4.0, 0.25 * min(bottom - top, right - left))
        cut = (
            (left - x0 < margin and x0 > 0)
            or (x1 - right < margin and x1 < width_px)
            or (top - y0 < margin and y0 > 0)
            or (y1 - bottom < margin and y1 < height_px)
        )
        if not cut:
            box = (left / width_px, top / height_px, right / width_px, bottom / height_px)
            whole.append(OcrLine(line.text, line.script, line.score, box, line.kind))
    return whole


def joined(coarse: list[OcrLine], fine: list[OcrLine]) -> list[OcrLine]:
    """Lines of all parts once, and of the whole picture what no part has.

    Of two lines in one place the longer box wins: the other is a piece of it. A line of the whole picture goes
    where the parts cover half of it or more, together.
    """
    kept: list[OcrLine] = []
    for line in sorted(fine, key=lambda s: (-_area(s), s.box, s.text)):
        if not any(_shared(line, other) > SAME_LINE * _area(line) for other in kept):
            kept.append(line)
    rest = []
    for line in coarse:
        over = [other for other in kept if _shared(line, other) > SAME_LINE * _area(other)]
        if sum(_shared(line, other) for other in over) < SAME_LINE * _area(line):
            # The parts found pieces of a line too long for them.
            kept = [other for other in kept if other not in over]
            rest.append(line)
    return kept + rest


def _area(line: OcrLine) -> float:
    x0, y0, x1, y1 = line.box
    return (x1 - x0) * (y1 - y0)


def _shared(a: OcrLine, b: OcrLine) -> float:
    width = min(a.box[2], b.box[2]) - max(a.box[0], b.box[0])
    height = min(a.box[3], b.box[3]) - max(a.box[1], b.box[1])
    return max(0.0, width) * max(0.0, height)
