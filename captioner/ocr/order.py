"""The order in which the lines of a page are read: rows, columns of running text, vertical Chinese."""

from __future__ import annotations

from collections.abc import Sequence

from .lines import OcrLine, script_of

#: Two boxes are on one line when they overlap vertically by at least this share of the lower one.
SAME_LINE_OVERLAP = 0.5

#: Both sides of a gutter need so many lines, of which half are so long (a Han character counts twice), to be columns
#: of running text. Anything shorter (prices, labels, cells) is a table, whose rows are read across.
MIN_COLUMN_LINES = 3
MIN_COLUMN_LENGTH = 10

#: Pages of more lines are not searched for columns: the search is quadratic.
MAX_COLUMN_LINES = 400

#: A box this much taller than wide, in px, is set vertically.
VERTICAL_ASPECT = 1.5


def reading_order(lines: Sequence[OcrLine], aspect: float = 1.0) -> list[OcrLine]:
    """Lines sorted as they are read.

    Rows from the top down, left to right within a row. Where an empty vertical gutter separates lines of running text
    on both sides, the left column is read to its end before the right one; a line across the gutter (a headline) ends
    the columns above it. Vertical Chinese columns side by side are read from the right.
    Equal boxes are ordered by text, so that the result does not depend on the input order.

    Args:
        lines: in any order.
        aspect: width over height of the picture in px; boxes are fractions of its sides.
    """
    ordered = sorted(lines, key=_key)
    if 2 * MIN_COLUMN_LINES <= len(ordered) <= MAX_COLUMN_LINES:
        bands = _columns(ordered, aspect)
        if bands:
            return [line for part in bands for line in reading_order(part, aspect)]
    return _rows(ordered, aspect)


def _key(line: OcrLine) -> tuple[float, float, float, float, str]:
    return (line.box[1], line.box[0], line.box[3], line.box[2], line.text)


def _rows(lines: list[OcrLine], aspect: float) -> list[OcrLine]:
    """A row gathers boxes whose vertical overlap with the row's first (topmost) is half the lower one or more."""
    rest, ordered = lines, []
    while rest:
        row, later = [rest[0]], []
        for line in rest[1:]:
            (row if _same_row(rest[0], line) else later).append(line)
        upright = sum(_vertical(line, aspect) for line in row)
        sign = -1 if 2 * upright > len(row) > 1 else 1
        ordered += sorted(row, key=lambda line: (sign * line.box[0], line.box[1], line.text, _key(line)))
        rest = later
    return ordered


def _same_row(first: OcrLine, line: OcrLine) -> bool:
    overlap = min(first.box[3], line.box[3]) - max(first.box[1], line.box[1])
    heights = sorted((first.box[3] - first.box[1], line.box[3] - line.box[1]))
    # Heights within a factor 3: a tall headline beside a paragraph must not swallow its lines.
    return overlap > 0 and overlap >= SAME_LINE_OVERLAP * heights[0] and heights[1] <= 3 * heights[0]


def _vertical(line: OcrLine, aspect: float) -> bool:
    x0, y0, x1, y1 = line.box
    return (
        len(line.text) > 1
        and line.script in ("han", "kana")
        and y1 - y0 >= VERTICAL_ASPECT * (x1 - x0) * aspect
    )


def _columns(lines: list[OcrLine], aspect: float) -> list[list[OcrLine]] | None:
    """Parts of a page in reading order if it has columns, else None. Every part is smaller than the whole."""
    if 2 * sum(_vertical(line, aspect) for line in lines) > len(lines):
        return None
    best: tuple[int, float] | None = None
    for gutter in _gutters(lines):
        held = sum(len(left) + len(right) for left, right in _bands(lines, gutter) if _running(left, right))
        if held and (best is None or held > best[0]):
            best = (held, gutter)
    if best is None:
        return None
    parts: list[list[OcrLine]] = []
    for left, right in _bands(lines, best[1]):
        if _running(left, right):
            parts += [left, right]
        else:
            parts.append(sorted(left + right, key=_key))
    crossing = [line for line in lines if line.box[0] < best[1] < line.box[2]]
    return _with_crossing(parts, crossing)


def _gutters(lines: list[OcrLine]) -> list[float]:
    """Where a vertical cut may go: the middle between the end of a line and the next beginning to its right."""
    starts = sorted({line.box[0] for line in lines})
    cuts = set()
    for end in {line.box[2] for line in lines}:
        after = next((s for s in starts if s > end), None)
        if after is not None:
            cuts.add((end + after) / 2)
    return sorted(cuts)


def _bands(lines: list[OcrLine], gutter: float) -> list[tuple[list[OcrLine], list[OcrLine]]]:
    """(left, right) of the gutter between one crossing line and the next, from the top down."""
    bands: list[tuple[list[OcrLine], list[OcrLine]]] = [([], [])]
    edges = sorted((line.box[1] + line.box[3]) / 2 for line in lines if line.box[0] < gutter < line.box[2])
    bands += [([], []) for _ in edges]
    for line in lines:
        if line.box[0] < gutter < line.box[2]:
            continue
        middle = (line.box[1] + line.box[3]) / 2
        bands[sum(edge <= middle for edge in edges)][line.box[0] >= gutter].append(line)
    return bands


def _running(left: list[OcrLine], right: list[OcrLine]) -> bool:
    """Two columns of running text beside each other."""
    if min(len(left), len(right)) < MIN_COLUMN_LINES:
        return False
    if any(
        2 * sum(_length(line.text) >= MIN_COLUMN_LENGTH for line in side) < len(side)
        for side in (left, right)
    ):
        return False
    (a0, a1), (b0, b1) = (
        (min(line.box[1] for line in side), max(line.box[3] for line in side)) for side in (left, right)
    )
    return min(a1, b1) - max(a0, b0) >= 0.5 * min(a1 - a0, b1 - b0)


def _length(text: str) -> int:
    return sum(
        2 if script_of(char) in ("han", "kana", "hangul") else 1 for char in text if not char.isspace()
    )


def _with_crossing(parts: list[list[OcrLine]], crossing: list[OcrLine]) -> list[list[OcrLine]]:
    """Crossing lines put between the parts above and below them."""
    whole: list[list[OcrLine]] = []
    rest = sorted(crossing, key=lambda line: (line.box[1] + line.box[3], _key(line)))
    for part in parts:
        if part:
            top = min(line.box[1] + line.box[3] for line in part)
            above = [line for line in rest if line.box[1] + line.box[3] <= top]
            whole += [[line] for line in above]
            rest = [line for line in rest if line not in above]
            whole.append(part)
    return whole + [[line] for line in rest]
