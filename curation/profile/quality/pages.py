"""Pages, diagrams and screens for training: text and lines are what they show, so that they are not marks upon it.

Everything is drawn opaquely on plain paper. Each function draws what is left open from `rng`.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .distortions import Rng

_LETTERS = "etaoinshrdlucmfwypvbgkjqxz"
_HANDS = "一天人大有来时和地出会可下对生能子那得于着之年过发后作里用道行所然家种事成方多经么去法学"


def page(h: int, w: int, fonts: Sequence[str], rng: Rng) -> np.ndarray:
    """Columns of text with headings, or a diagram of boxes, or a chart, on light or dark paper.

    Args:
        fonts: font files to draw from; without any, diagrams and charts alone.

    Returns:
        uint8 [h, w, 3].
    """
    paper, ink = _tones(rng)
    image = Image.new("RGB", (w, h), paper)
    draw = ImageDraw.Draw(image)
    kind = rng.choice(["text", "boxes", "chart"], p=[0.5, 0.25, 0.25] if len(fonts) else [0, 0.5, 0.5])
    if kind == "text":
        _columns(draw, (0, 0, w, h), ink, fonts, rng)
    elif kind == "boxes":
        _boxes(draw, w, h, ink, fonts, rng)
    else:
        _chart(draw, w, h, ink, fonts, rng)
    out = np.array(image)
    return cv2.GaussianBlur(out, (0, 0), rng.uniform(0.3, 0.8)) if rng.random() < 0.4 else out


def _tones(rng: Rng) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Colors of paper and of ink."""
    tint = rng.integers(0, 30, 3) if rng.random() < 0.4 else np.full(3, rng.integers(0, 12))
    dark_ink = rng.integers(0, 90, 3) if rng.random() < 0.3 else np.full(3, rng.integers(0, 60))
    light, dark = tuple(int(255 - t) for t in tint), tuple(int(v) for v in dark_ink)
    return (light, dark) if rng.random() < 0.75 else (dark, light)


def _font(px: int, fonts: Sequence[str], rng: Rng) -> tuple[ImageFont.FreeTypeFont, str]:
    """A font of that size, and the letters to write with."""
    path = str(fonts[rng.integers(len(fonts))])
    chinese = "cjk" in path.lower() and rng.random() < 0.7
    return ImageFont.truetype(path, max(5, px)), _HANDS if chinese else _LETTERS


def _words(count: int, letters: str, rng: Rng) -> str:
    """Made-up words, the frequent letters the most often."""
    many = np.minimum(rng.exponential(7, (count, 9)), len(letters) - 1).astype(int)
    return " ".join("".join(letters[k] for k in row[: rng.integers(1, 10)]) for row in many)


def _columns(
    draw: ImageDraw.ImageDraw,
    box: tuple[int, int, int, int],
    ink: tuple[int, ...],
    fonts: Sequence[str],
    rng: Rng,
) -> None:
    """Text within a box [left, top, right, bottom], in one to three columns, headings larger."""
    left, top, right, bottom = box
    size = int(rng.integers(6, 22))
    font, letters = _font(size, fonts, rng)
    margin, columns = int(rng.uniform(0.01, 0.1) * (right - left)), int(rng.integers(1, 4))
    width = (right - left - margin) // columns
    for k in range(columns):
        x, y = left + margin + k * width, top + margin + int(rng.integers(0, 2 * size))
        stop = bottom - margin - int(rng.uniform(0, 0.4) * (bottom - top) * (k == columns - 1))
        while y < stop - size:
            if rng.random() < 0.08:
                heading, own = _font(int(size * rng.uniform(1.3, 2.5)), fonts, rng)
                line, step = _words(int(rng.integers(1, 4)), own, rng), int(heading.size * 1.6)
                draw.text((x, y), _cut(line, heading, width - margin), ink, font=heading)
            else:
                line, step = _words(24, letters, rng), int(size * 1.35)
                share = rng.uniform(0.2, 1) if rng.random() < 0.2 else 1
                draw.text((x, y), _cut(line, font, int((width - margin) * share)), ink, font=font)
            y += step


def _cut(line: str, font: ImageFont.FreeTypeFont, width_px: int) -> str:
    """As much of a line as fits."""
    return line[: max(1, int(len(line) * width_px / max(1, font.getlength(line))))]


def _boxes(
    draw: ImageDraw.ImageDraw, w: int, h: int, ink: tuple[int, ...], fonts: Sequence[str], rng: Rng
) -> None:
    """Boxes joined by lines, labels in them."""
    places = rng.uniform(0.05, 0.8, (rng.integers(3, 14), 2)) * [w, h]
    width = int(rng.integers(1, 4))
    for (x0, y0), (x1, y1) in zip(places, places[1:], strict=False):
        bend = [(x0, y0), (x1, y0), (x1, y1)] if rng.random() < 0.5 else [(x0, y0), (x1, y1)]
        draw.line(bend, ink, width)
    fill = tuple(int(v) for v in rng.integers(0, 256, 3)) if rng.random() < 0.5 else None
    for x, y in places.astype(int):
        wide, high = int(rng.uniform(0.05, 0.2) * w) + 6, int(rng.uniform(0.04, 0.15) * h) + 6
        round_px = int(rng.integers(0, 1 + min(8, wide // 3, high // 3)))
        draw.rounded_rectangle((x, y, x + wide, y + high), round_px, fill=fill, outline=ink, width=width)
        if len(fonts) and rng.random() < 0.7:
            font, letters = _font(int(rng.integers(7, 18)), fonts, rng)
            draw.text((x + 3, y + 2), _cut(_words(3, letters, rng), font, wide - 4), ink, font=font)


def _chart(
    draw: ImageDraw.ImageDraw, w: int, h: int, ink: tuple[int, ...], fonts: Sequence[str], rng: Rng
) -> None:
    """Axes, a grid, and curves or bars."""
    left, top, right, bottom = 0.12 * w, 0.1 * h, 0.95 * w, 0.88 * h
    pale = tuple((v + 2 * (255 - v)) // 3 if sum(ink) < 380 else v // 3 for v in ink)
    lines = int(rng.integers(0, 9))
    for k in range(lines):
        y, x = top + (bottom - top) * k / lines, left + (right - left) * (k + 1) / lines
        draw.line((left, y, right, y), pale, 1)
        if rng.random() < 0.5:
            draw.line((x, top, x, bottom), pale, 1)
    for _ in range(rng.integers(1, 4)):
        color, count = tuple(int(v) for v in rng.integers(0, 256, 3)), int(rng.integers(5, 40))
        x = np.linspace(left, right, count)
        y = np.clip(bottom - (bottom - top) * (0.4 + 0.1 * np.cumsum(rng.normal(0, 1, count))), top, bottom)
        if rng.random() < 0.6:
            draw.line(
                [(float(a), float(b)) for a, b in zip(x, y, strict=True)], color, int(rng.integers(1, 4))
            )
            continue
        for a, b in zip(x[:-1], y[:-1], strict=True):
            draw.rectangle((a, b, a + 0.6 * (right - left) / count, bottom), fill=color)
    draw.line((left, top, left, bottom, right, bottom), ink, int(rng.integers(1, 3)))
    if len(fonts):
        font, letters = _font(int(rng.integers(8, 18)), fonts, rng)
        for x, y in ((left, 0.02 * h), (0.45 * w, 0.92 * h), (0.7 * w, 0.15 * h)):
            draw.text((x, y), _cut(_words(4, letters, rng), font, int(0.25 * w)), ink, font=font)
