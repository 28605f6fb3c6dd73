"""Reading a picture back: how much of each drawn text a reader finds. The reader is handed in."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import cv2
import numpy as np

from ..spec import EditSpec, State

#: Strings drawn smaller than this are not asked for, px.
MIN_SIZE_PX = 24.0
#: Size to which a text is brought for a second look, px.
READ_AT_PX = 40.0

Box = tuple[float, float, float, float]


class Line(Protocol):
    """What a reader finds. `box`: (x0, y0, x1, y1) as fractions of the sides."""

    text: str
    box: tuple[float, float, float, float]


class Reader(Protocol):
    """Anything that reads lines of text from an (H, W, 3) uint8 picture."""

    def read(self, rgb: np.ndarray) -> Sequence[Any]: ...


def read_back(
    ocr: Reader,
    rgb: np.ndarray,
    state: State,
    boxes: Mapping[str, Box] | None = None,
) -> dict[str, float]:
    """Slot -> share of its text that is read in order, 0..1: of the characters of Chinese, of the words of English.

    Compared without case, spaces and width of characters. A text that is not read whole from the picture is looked at
    once more by itself, at a size that readers are used to: a detector misses lone and very large characters.

    Args:
        rgb: (H, W, 3) uint8, the picture in `state`.
        boxes: slot -> (x0, y0, x1, y1) px of its block; lines are then sought only where they should stand. Without
            boxes there is no second look.
    """
    texts = {k: v for k, v in state.items() if k.startswith("text/") and v is not None}
    if not texts:
        return {}
    rows, columns = rgb.shape[:2]
    lines = list(ocr.read(rgb))
    found: dict[str, float] = {}
    for slot, value in texts.items():
        near = [x for x in lines if boxes is None or _inside(x.box, boxes[slot], columns, rows)]
        found[slot] = share_read(value["text"], value["lang"], _joined(near, value["vertical"]))
        if boxes is not None and found[slot] < 1:
            again = ocr.read(_closer(rgb, boxes[slot], float(value["size_px"])))
            read = _joined(again, value["vertical"])
            found[slot] = max(found[slot], share_read(value["text"], value["lang"], read))
    return found


def share_read(wanted: str, lang: str, read: str) -> float:
    """Share of a text that another holds in order: of its words in English, of its characters in Chinese.

    A word counts when all of its letters stand together in `read`.
    """
    a, b = plain(wanted), plain(read)
    if not a:
        return 1.0
    if lang == "en":
        words = [plain(w) for w in wanted.split()]
        start = count = 0
        for word in words:
            at = b.find(word, start)
            if at >= 0:
                start, count = at + len(word), count + 1
        return count / len(words)
    # A stretch not much longer than the text: characters strewn over a page are no reading of it.
    reach = len(a) + max(2, len(a) // 3)
    starts = range(max(1, len(b) - reach + 1))
    return max(_common(a, b[s : s + reach]) for s in starts) / len(a)


def of_new(spec: EditSpec, recalls: Mapping[str, float], least_px: float = MIN_SIZE_PX) -> dict[str, float]:
    """Of the target's recalls, those of strings that the edit has written."""
    return {
        c.slot: recalls[c.slot]
        for c in spec.changes
        if c.slot in recalls
        and c.after["size_px"] >= least_px
        and (c.before is None or c.before["text"] != c.after["text"])
    }


def plain(text: str) -> str:
    """Compatibility forms, no case, no spaces; quotation marks and dashes of one kind."""
    text = unicodedata.normalize("NFKC", text).casefold()
    for marks, one in (("‘’`´", "'"), ("‐‑‒–—−", "-"), ("·•・", "·")):
        text = "".join(one if c in marks else c for c in text)
    return "".join(text.split())


def _common(a: str, b: str) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(b) + 1)
    for c in a:
        before = 0
        for j, d in enumerate(b, 1):
            before, row[j] = row[j], before + 1 if c == d else max(row[j], row[j - 1])
    return row[-1]


def _joined(lines: Sequence[Any], vertical: bool) -> str:
    """What was read as one text; columns run from right to left, each from top to bottom."""
    if vertical:
        lines = sorted(lines, key=lambda x: (-round(x.box[0] + x.box[2], 1), x.box[1]))
    return "".join(x.text for x in lines)


def _closer(rgb: np.ndarray, box: Box, size_px: float) -> np.ndarray:
    """The text of a box with some of its surroundings, scaled to `READ_AT_PX`."""
    gap = max(8.0, 0.7 * size_px)
    x0, y0 = (max(0, int(v - gap)) for v in box[:2])
    part = rgb[y0 : int(box[3] + gap) + 1, x0 : int(box[2] + gap) + 1]
    factor = min(READ_AT_PX / size_px, 1600 / max(part.shape[:2]))
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    part = cv2.resize(part, None, fx=factor, fy=factor, interpolation=way)
    # Detectors want room around a text, whatever it is filled with.
    room = int(1.5 * READ_AT_PX)
    return cv2.copyMakeBorder(part, room, room, room, room, cv2.BORDER_REPLICATE)


def _inside(line: Sequence[float], box: Sequence[float], columns: int, rows: int) -> bool:
    """Whether most of a line lies in a box."""
    x0, y0, x1, y1 = line[0] * columns, line[1] * rows, line[2] * columns, line[3] * rows
    width = min(x1, box[2]) - max(x0, box[0])
    height = min(y1, box[3]) - max(y0, box[1])
    return width > 0 and height > 0 and width * height >= 0.5 * (x1 - x0) * (y1 - y0)
