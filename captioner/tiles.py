"""Reading a dense picture in parts: where a model loops or runs out of room, less lettering at a time helps."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace

from .ocr_pass import cell_of, fold_lettering
from .schema import CaptionError, OcrString

#: Parts, and how far neighbors overlap, as a share of a part: more than a line of dense text is high.
PARTS = 3
OVERLAP = 0.12
#: Pictures at least this much wider than high are cut into columns instead.
COLUMNS_ASPECT = 2.0
#: How many strings at a seam are looked at for having been read twice.
SEAM_STRINGS = 12
MAX_PIXELS = 120_000_000


def cut(image: bytes, parts: int = PARTS) -> list[tuple[bytes, tuple[float, float, float, float]]]:
    """Bands of full width from the top down (columns of a wide picture), with their boxes in fractions of it.

    Bands, because lines run across: no line of horizontal text is cut in its middle. PNG, so that small
    lettering does not suffer another time.

    Raises:
        CaptionError: the picture cannot be decoded, or has more than `MAX_PIXELS` pixels.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(image), formats=("JPEG", "PNG", "WEBP")) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise CaptionError(
                    f"the picture has {opened.width} x {opened.height} pixels, too many to cut"
                )
            rgb = ImageOps.exif_transpose(opened).convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as e:
        raise CaptionError(f"the picture to caption cannot be decoded ({e})") from e
    columns = rgb.width >= COLUMNS_ASPECT * rgb.height
    found = []
    for start, end in _spans(parts):
        box = (start, 0.0, end, 1.0) if columns else (0.0, start, 1.0, end)
        pixels = [round(v * side) for v, side in zip(box, (rgb.width, rgb.height) * 2, strict=True)]
        pixels[2], pixels[3] = max(pixels[2], pixels[0] + 1), max(pixels[3], pixels[1] + 1)
        buffer = io.BytesIO()
        rgb.crop(tuple(pixels)).save(buffer, "PNG", compress_level=1)
        found.append((buffer.getvalue(), box))
    return found


def _spans(parts: int) -> list[tuple[float, float]]:
    length = 1 / (parts - (parts - 1) * OVERLAP)
    starts = [i * length * (1 - OVERLAP) for i in range(parts)]
    return [(start, min(1.0, start + length)) for start in starts]


def join(
    readings: Sequence[tuple[Sequence[OcrString], tuple[float, float, float, float]]],
) -> list[OcrString]:
    """Readings of the parts as one, in order: places in the whole picture, strings of a seam once.

    A string counts as read twice when the end of one part and the beginning of the next have the same run of
    strings.
    """
    joined: list[OcrString] = []
    for strings, box in readings:
        placed = [_placed(s, box) for s in strings]
        joined += placed[_shared(joined, placed) :]
    return joined


def _shared(before: Sequence[OcrString], after: Sequence[OcrString]) -> int:
    """Longest run that ends the one list and begins the other; the first entry of a run may be cut by the seam."""
    a = [fold_lettering(s.text) for s in before[-SEAM_STRINGS:]]
    b = [fold_lettering(s.text) for s in after[:SEAM_STRINGS]]
    for size in range(min(len(a), len(b)), 0, -1):
        if a[-size:] == b[:size]:
            return size
    return 0


def _placed(string: OcrString, part: tuple[float, float, float, float]) -> OcrString:
    x0, y0, x1, y1 = part
    width, height = x1 - x0, y1 - y0
    if string.box is None:
        # A ninth of a part says little about the whole: the part's own middle line does.
        columns = height == 1.0
        cell = cell_of((x0 + x1) / 2, _row_of(string.cell)) if columns else None
        cell = cell or cell_of(_column_of(string.cell), (y0 + y1) / 2)
        return replace(string, cell=cell if string.cell else None)
    a, b, c, d = string.box
    box = (x0 + a * width, y0 + b * height, x0 + c * width, y0 + d * height)
    return replace(string, box=box, cell=cell_of((box[0] + box[2]) / 2, (box[1] + box[3]) / 2))


def _row_of(cell: str | None) -> float:
    return 0.1 if (cell or "").startswith("top") else 0.9 if (cell or "").startswith("bottom") else 0.5


def _column_of(cell: str | None) -> float:
    return 0.1 if (cell or "").endswith("left") else 0.9 if (cell or "").endswith("right") else 0.5
