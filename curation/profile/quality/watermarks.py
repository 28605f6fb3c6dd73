"""Watermarks for training: text, dates, logos, plates, and tiles of them. How they are laid over a picture: `blending`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .blending import blend
from .distortions import Rng

_WORDS = (
    "sample preview proof copyright stock photo image studio demo draft watermark confidential gallery "
    "archive media press design agency visual shot frame lens pixel depot bank trial do not copy all rights "
    "reserved unlicensed review only original portfolio wedding events travel"
).split()
_CHINESE = "版权所有样张仅供预览图片网摄影素材水印原创禁止转载商用文字测试视觉中国设计工作室影像"
#: Logarithms of the least and the greatest width of a stamp, as a share of the picture's short side.
_STAMP_LOG_SHARES = math.log(0.18), math.log(1.5)


def find_fonts(folders: Sequence[str | Path]) -> tuple[str, ...]:
    """TrueType and OpenType files below the folders, sorted."""
    found = (f for folder in folders for f in Path(folder).rglob("*"))
    return tuple(sorted(str(f) for f in found if f.suffix.lower() in (".ttf", ".otf", ".ttc")))


def watermark(rgb: np.ndarray, fonts: Sequence[str], rng: Rng) -> np.ndarray:
    """One visible watermark of a random kind: `blend` of a `watermark_mask`.

    Args:
        rgb: uint8 [h, w, 3].
        fonts: font files to draw from.
    """
    return blend(rgb, watermark_mask(*rgb.shape[:2], fonts, rng), rng)


def watermark_mask(h: int, w: int, fonts: Sequence[str], rng: Rng) -> np.ndarray:
    """Where a watermark of a random kind covers a picture of that size.

    Returns:
        uint8 [h, w, 2], 255 = all: its strokes, and the ground under them (a plate, the field of a logo), of which there
        mostly is none.
    """
    kind = rng.choice(["text", "logo", "both", "tiles", "cross"], p=[0.37, 0.25, 0.13, 0.2, 0.05])
    if kind == "tiles":
        return _tiled(h, w, fonts, rng)
    if kind == "cross":
        return _without_ground(_cross(h, w, rng))
    share = math.exp(rng.uniform(*_STAMP_LOG_SHARES))
    stamp = _stamp(kind, max(24, int(min(h, w) * share)), fonts, rng)
    if rng.random() < (0.4 if kind == "logo" else 0.15):
        stamp = _on_ground(stamp, rng)
    return _placed(stamp, h, w, rng)


def _without_ground(strokes: np.ndarray) -> np.ndarray:
    return np.stack([strokes, np.zeros_like(strokes)], axis=2)


def _on_ground(stamp: np.ndarray, rng: Rng) -> np.ndarray:
    """A stamp [h, w, 2] on a plate: a rectangle, a rounded one or an ellipse, at times as an outline."""
    h, w = stamp.shape[:2]
    around = rng.uniform(0.1, 0.8, 2) * min(h, w)
    down, right = (max(2, int(a)) for a in around)
    stamp = np.pad(stamp, ((down, down), (right, right), (0, 0)))
    h, w = stamp.shape[:2]
    plate = Image.new("L", (w, h))
    draw, round_by = ImageDraw.Draw(plate), rng.choice([0, 0.2, 0.5]) * min(h, w)
    width = max(1, int(0.08 * min(h, w)))
    fill = {"fill": 255} if rng.random() < 0.85 else {"outline": 255, "width": width}
    if rng.random() < 0.2:
        draw.ellipse((0, 0, w - 1, h - 1), **fill)
    else:
        draw.rounded_rectangle((0, 0, w - 1, h - 1), round_by, **fill)
    stamp[..., 1] = plate
    return stamp


def lettering(width_px: int, fonts: Sequence[str], rng: Rng) -> np.ndarray:
    """One to three random words: uint8 [h, about width_px], 255 = ink."""
    return _text_mask(_phrase(rng, fonts_chinese=False), width_px, fonts, rng)


def emblem(side_px: int, rng: Rng) -> np.ndarray:
    """A made-up emblem: uint8 [side_px, side_px], 255 = ink."""
    return _logo_mask(side_px, rng)


def _phrase(rng: Rng, fonts_chinese: bool) -> str:
    if fonts_chinese:
        start = rng.integers(0, len(_CHINESE) - 8)
        return _CHINESE[start : start + rng.integers(3, 8)]
    words = [str(rng.choice(_WORDS)) for _ in range(rng.integers(1, 4))]
    style = rng.integers(7)
    if style == 6:
        return _date(rng)
    if style == 0:
        return "© " + " ".join(words).title()
    if style == 1:
        return "www." + "".join(words[:2]) + rng.choice([".com", ".net", ".cn", ".org"])
    if style == 2:
        return " ".join(words).upper()
    if style == 3:
        return "@" + "_".join(words[:2]) + str(rng.integers(1, 999))
    if style == 4:
        return "".join(words).title() + "®"
    return " ".join(words)


def _date(rng: Rng) -> str:
    """As cameras and telephones print it into a corner."""
    year, month, day = rng.integers(1995, 2030), rng.integers(1, 13), rng.integers(1, 29)
    forms = f"{year}/{month:02}/{day:02}", f"{month} {day} '{year % 100:02}", f"{day:02}.{month:02}.{year}"
    time = f" {rng.integers(24)}:{rng.integers(60):02}" if rng.random() < 0.5 else ""
    return str(rng.choice(forms)) + time


def _text_mask(text: str, width_px: int, fonts: Sequence[str], rng: Rng) -> np.ndarray:
    """Letters as uint8 [h, w], about `width_px` wide."""
    font = None
    for _ in range(8):
        path = str(rng.choice(fonts))
        chinese = any(k in path.lower() for k in ("cjk", "sim", "hei", "song", "chinese", "sourcehan"))
        if chinese and rng.random() < 0.7:
            text = _phrase(rng, fonts_chinese=True)
        try:
            font = ImageFont.truetype(path, 48)
            left, top, right, bottom = font.getbbox(text)
        except OSError:
            continue
        if right - left > 8 and bottom - top > 4:
            break
    size = int(np.clip(48 * width_px / max(1, right - left), 7, 220))
    font = ImageFont.truetype(path, size)
    outline = int(size > 24 and rng.random() < 0.2) * max(1, size // 24)
    left, top, right, bottom = font.getbbox(text, stroke_width=outline)
    image = Image.new("L", (max(2, right - left), max(2, bottom - top)))
    draw = ImageDraw.Draw(image)
    if outline:  # letters drawn as outlines only
        draw.text((-left, -top), text, 255, font=font, stroke_width=outline)
        draw.text((-left, -top), text, 0, font=font)
    else:
        draw.text((-left, -top), text, 255, font=font)
    return np.asarray(image)


def _logo_mask(side_px: int, rng: Rng) -> np.ndarray:
    """A made-up emblem: rings, stars, polygons and bars on one another. uint8 [side, side]."""
    scale = 4
    side = max(8, side_px) * scale
    image = Image.new("L", (side, side))
    draw = ImageDraw.Draw(image)
    c, r = side / 2, side * 0.46
    for layer in range(rng.integers(1, 4)):
        fill, radius = 255 * (layer % 2 == 0), r * 0.72**layer
        kind = rng.integers(6)
        if kind == 0:
            draw.ellipse((c - radius, c - radius, c + radius, c + radius), fill=fill)
        elif kind == 1:
            width = max(1, int(radius * rng.uniform(0.08, 0.3)))
            draw.ellipse((c - radius, c - radius, c + radius, c + radius), outline=fill, width=width)
        elif kind == 2:
            n, inner, turn = rng.integers(3, 9), rng.uniform(0.35, 0.8), rng.uniform(0, math.pi)
            reach = [radius * (1 if k % 2 == 0 else inner) for k in range(2 * n)]
            draw.polygon(
                [
                    (c + q * math.cos(turn + math.pi * k / n), c + q * math.sin(turn + math.pi * k / n))
                    for k, q in enumerate(reach)
                ],
                fill=fill,
            )
        elif kind == 3:
            n, turn = rng.integers(3, 7), rng.uniform(0, math.pi)
            draw.polygon(
                [
                    (
                        c + radius * math.cos(turn + 2 * math.pi * k / n),
                        c + radius * math.sin(turn + 2 * math.pi * k / n),
                    )
                    for k in range(n)
                ],
                fill=fill,
            )
        elif kind == 4:
            draw.rounded_rectangle(
                (c - radius, c - radius * 0.7, c + radius, c + radius * 0.7), radius * 0.2, fill=fill
            )
        else:
            start = rng.uniform(0, 360)
            draw.pieslice(
                (c - radius, c - radius, c + radius, c + radius),
                start,
                start + rng.uniform(90, 300),
                fill=fill,
            )
    return np.asarray(image.resize((side // scale, side // scale), Image.Resampling.BOX))


def _stamp(kind: str, width_px: int, fonts: Sequence[str], rng: Rng) -> np.ndarray:
    """Text, an emblem, or both beside each other: uint8 [h, about width_px, 2], see `watermark_mask`."""
    if kind == "logo":
        return _without_ground(_logo_mask(int(width_px * 0.5), rng))
    text = _text_mask(_phrase(rng, fonts_chinese=False), width_px, fonts, rng)
    if kind == "text":
        if rng.random() < 0.2:  # two lines
            second = _text_mask(_phrase(rng, fonts_chinese=False), int(width_px * 0.7), fonts, rng)
            width = max(text.shape[1], second.shape[1])
            rows = [
                np.pad(
                    m, ((0, 3), ((width - m.shape[1]) // 2, width - m.shape[1] - (width - m.shape[1]) // 2))
                )
                for m in (text, second)
            ]
            return _without_ground(np.concatenate(rows))
        return _without_ground(text)
    logo = _logo_mask(max(10, int(text.shape[0] * rng.uniform(1.2, 2.5))), rng)
    height = max(logo.shape[0], text.shape[0])
    parts = [
        np.pad(m, ((g := (height - m.shape[0]) // 2, height - m.shape[0] - g), (0, 4))) for m in (logo, text)
    ]
    return _without_ground(np.concatenate(parts, axis=1))


def _rotated(mask: np.ndarray, degrees: float) -> np.ndarray:
    """Turned about its middle, in a frame that has room for it."""
    if abs(degrees) < 1:
        return mask
    h, w = mask.shape[:2]
    turn = cv2.getRotationMatrix2D(((w - 1) / 2, (h - 1) / 2), degrees, 1)
    cos, sin = abs(turn[0, 0]), abs(turn[0, 1])
    width, height = math.ceil(w * cos + h * sin), math.ceil(w * sin + h * cos)
    turn[:, 2] += (width - w) / 2, (height - h) / 2
    return cv2.warpAffine(mask, turn, (width, height), flags=cv2.INTER_LINEAR)


def _placed(stamp: np.ndarray, h: int, w: int, rng: Rng) -> np.ndarray:
    """The stamp in a corner, at an edge, in the middle or anywhere; uint8 [h, w, 2]."""
    stamp = _rotated(stamp, float(rng.choice([0, 0, 0, rng.uniform(-45, 45), 90])))
    scale = min(1.0, 0.98 * w / stamp.shape[1], 0.98 * h / stamp.shape[0])
    if scale < 1:
        size = (max(1, int(stamp.shape[1] * scale)), max(1, int(stamp.shape[0] * scale)))
        stamp = cv2.resize(stamp, size, interpolation=cv2.INTER_AREA)
    sh, sw = stamp.shape[:2]
    margin = rng.uniform(0, 0.05)
    spots = [(margin, margin), (margin, 1 - margin), (1 - margin, margin), (1 - margin, 1 - margin)]
    spots += [(0.5, 0.5), (0.5, 0.5), (1 - margin, 0.5), tuple(rng.uniform(0, 1, 2))]
    y, x = spots[rng.integers(len(spots))]
    top, left = int(y * (h - sh)), int(x * (w - sw))
    mask = np.zeros((h, w, 2), np.uint8)
    mask[top : top + sh, left : left + sw] = stamp
    return mask


def _tiled(h: int, w: int, fonts: Sequence[str], rng: Rng) -> np.ndarray:
    kind = str(rng.choice(["text", "text", "logo", "both"]))
    stamp = _stamp(kind, int(min(h, w) * rng.uniform(0.15, 0.55)), fonts, rng)
    gap_y, gap_x = (
        int(rng.uniform(0.4, 2.5) * stamp.shape[0]) + 6,
        int(rng.uniform(0.1, 0.8) * stamp.shape[1]) + 6,
    )
    cell = np.pad(stamp, ((0, gap_y), (0, gap_x), (0, 0)))
    reach = int(math.hypot(h, w)) + max(cell.shape)
    row = np.tile(cell, (1, 2 + reach // cell.shape[1], 1))[:, :reach]
    shift = cell.shape[1] // 2 if rng.random() < 0.6 else 0
    pair = np.concatenate([row, np.roll(row, shift, axis=1)])
    field = np.tile(pair, (2 + reach // pair.shape[0], 1, 1))[:reach]
    angle = float(rng.choice([0, -30, 30, -45, 45, rng.uniform(-60, 60)]))
    center = (reach / 2, reach / 2)
    turned = cv2.warpAffine(field, cv2.getRotationMatrix2D(center, angle, 1), (reach, reach))
    top, left = (reach - h) // 2, (reach - w) // 2
    return turned[top : top + h, left : left + w]


def _cross(h: int, w: int, rng: Rng) -> np.ndarray:
    mask = np.zeros((h, w), np.uint8)
    width = max(1, int(min(h, w) * rng.uniform(0.004, 0.012)))
    for _ in range(rng.integers(1, 3)):
        cv2.line(mask, (0, 0), (w, h), 255, width, cv2.LINE_AA)
        cv2.line(mask, (0, h), (w, 0), 255, width, cv2.LINE_AA)
    if rng.random() < 0.5:
        step = int(min(h, w) * rng.uniform(0.15, 0.35))
        for offset in range(-h, w, step):
            cv2.line(mask, (offset, 0), (offset + h, h), 255, width, cv2.LINE_AA)
            cv2.line(mask, (offset, h), (offset + h, 0), 255, width, cv2.LINE_AA)
    return mask
