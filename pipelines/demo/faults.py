"""Planted faults: each takes a clean picture and a random generator and gives file bytes and its parameters.

Strengths are those a person would call clearly faulty (or, for copies, clearly the same picture); they
follow from how such files come about, and were set without looking at any detector's score.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from .posters import find_fonts

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Planted:
    """Bytes of one file, its name suffix, and what was done to it."""

    data: bytes
    suffix: str
    params: dict[str, Any] = field(default_factory=dict)


Fault = Callable[[Pixels, Generator], Planted]


def jpeg(image: Pixels, quality: int) -> bytes:
    """JPEG as cameras and browsers write it: 4:2:0 below quality 90, 4:4:4 from there on."""
    out = io.BytesIO()
    Image.fromarray(image).save(out, "JPEG", quality=quality, subsampling=2 if quality < 90 else 0)
    return out.getvalue()


def png(image: Pixels, level: int = 3, comment: str | None = None) -> bytes:
    info = PngInfo()
    if comment is not None:
        info.add_text("Comment", comment)
    out = io.BytesIO()
    Image.fromarray(image).save(out, "PNG", compress_level=level, pnginfo=info)
    return out.getvalue()


def _resized(image: Pixels, scale: float) -> Pixels:
    size = (max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))


# Copies


def resized_copy(image: Pixels, rng: Generator) -> Planted:
    scale = float(rng.uniform(0.5, 0.8))
    quality = int(rng.integers(82, 93))
    return Planted(
        jpeg(_resized(image, scale), quality), ".jpg", {"scale": round(scale, 3), "quality": quality}
    )


def cropped_copy(image: Pixels, rng: Generator) -> Planted:
    """Keeps 88 to 95 percent of each side."""
    keep = float(rng.uniform(0.88, 0.95))
    h, w = image.shape[:2]
    kh, kw = round(h * keep), round(w * keep)
    y, x = int(rng.integers(0, h - kh + 1)), int(rng.integers(0, w - kw + 1))
    cut = np.ascontiguousarray(image[y : y + kh, x : x + kw])
    return Planted(jpeg(cut, 90), ".jpg", {"keep": round(keep, 3), "x_px": x, "y_px": y})


def recompressed_copy(image: Pixels, rng: Generator) -> Planted:
    quality = int(rng.integers(40, 61))
    return Planted(jpeg(image, quality), ".jpg", {"quality": quality})


def flipped_copy(image: Pixels, rng: Generator) -> Planted:
    return Planted(jpeg(np.ascontiguousarray(image[:, ::-1]), 92), ".jpg", {"axis": "horizontal"})


def identical_pixels(image: Pixels, rng: Generator) -> Planted:
    """For originals stored as PNG: same pixels, other bytes."""
    level = int(rng.choice([1, 9]))
    return Planted(png(image, level, "saved again"), ".png", {"compress_level": level})


# Degradations


def over_compression(image: Pixels, rng: Generator) -> Planted:
    quality = int(rng.integers(3, 9))
    return Planted(jpeg(image, quality), ".jpg", {"quality": quality})


def _disk(radius: float) -> NDArray[np.float32]:
    """Normalized kernel of an out-of-focus point, antialiased at the rim."""
    n = math.ceil(radius) + 1
    y, x = np.mgrid[-n : n + 1, -n : n + 1]
    kernel = np.clip(radius - np.hypot(x, y) + 0.5, 0, 1)
    return (kernel / kernel.sum()).astype(np.float32)


def defocus(image: Pixels, rng: Generator) -> Planted:
    """The whole picture out of focus; the circle of confusion is a share of the short side."""
    strength = str(rng.choice(["moderate", "strong"]))
    share = float(rng.uniform(0.010, 0.014) if strength == "moderate" else rng.uniform(0.020, 0.030))
    radius = share * min(image.shape[:2])
    blurred = cv2.filter2D(image, -1, _disk(radius), borderType=cv2.BORDER_REFLECT)
    return Planted(jpeg(blurred, 92), ".jpg", {"strength": strength, "radius_px": round(radius, 2)})


def motion_blur(image: Pixels, rng: Generator) -> Planted:
    """Camera shake along a straight line."""
    strength = str(rng.choice(["moderate", "strong"]))
    share = float(rng.uniform(0.030, 0.040) if strength == "moderate" else rng.uniform(0.055, 0.075))
    length, angle = share * min(image.shape[:2]), float(rng.uniform(0, math.pi))
    n = math.ceil(length / 2) + 2
    kernel = np.zeros((2 * n + 1, 2 * n + 1), np.float32)
    dx, dy = math.cos(angle) * length / 2, math.sin(angle) * length / 2
    ends = [(round((n + s * dx) * 16), round((n + s * dy) * 16)) for s in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 1.0, 1, cv2.LINE_8, 4)
    blurred = cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT)
    params = {"strength": strength, "length_px": round(length, 2), "angle_deg": round(math.degrees(angle), 1)}
    return Planted(jpeg(blurred, 92), ".jpg", params)


def noise(image: Pixels, rng: Generator) -> Planted:
    """Gaussian noise, independent per pixel and channel."""
    sigma = float(rng.uniform(25, 45))
    noisy = image + rng.standard_normal(image.shape, np.float32) * np.float32(sigma)
    return Planted(jpeg(np.clip(noisy, 0, 255).astype(np.uint8), 95), ".jpg", {"sigma": round(sigma, 2)})


#: Channel gains of wrong white balance: tungsten as daylight and the like.
_CASTS = {
    "orange": (1.30, 0.95, 0.50),
    "blue": (0.55, 0.85, 1.35),
    "green": (0.65, 1.25, 0.70),
    "magenta": (1.25, 0.65, 1.20),
}


def _chroma(color: Any) -> NDArray[np.float64]:
    color = np.asarray(color, np.float64)
    return color / max(color.sum(), 1e-6) - 1 / 3


def color_cast(image: Pixels, rng: Generator) -> Planted:
    """Never the tint that the scene has anyway: green light in a green forest looks right."""
    scene = _chroma(image.reshape(-1, 3).mean(0))
    name = str(rng.choice([n for n in sorted(_CASTS) if _chroma(_CASTS[n]) @ scene <= 0]))
    # A floor, because a cast also tints what should be black (fog, faded dye).
    cast = image.astype(np.float32) * _CASTS[name] * 0.9 + np.asarray(_CASTS[name]) * 12
    return Planted(jpeg(np.clip(cast, 0, 255).astype(np.uint8), 92), ".jpg", {"cast": name})


_MARKS = ("PREVIEW", "SAMPLE COPY", "stock-demo", "© DEMO")


def watermark(image: Pixels, rng: Generator) -> Planted:
    """Translucent text tiled over the picture, slanted."""
    text, alpha = str(rng.choice(_MARKS)), float(rng.uniform(0.35, 0.55))
    h, w = image.shape[:2]
    size = round(min(h, w) * float(rng.uniform(0.07, 0.11)))
    font = ImageFont.truetype(str(find_fonts().english[0]), size)
    side = math.ceil(math.hypot(h, w))
    layer = Image.new("LA", (side, side))
    draw = ImageDraw.Draw(layer)
    step_x, step_y = font.getlength(text) + size * 1.2, size * 2.6
    for row in range(math.ceil(side / step_y)):
        for column in range(-1, math.ceil(side / step_x) + 1):
            at = (column * step_x + (row % 2) * step_x / 2, row * step_y)
            draw.text(
                at,
                text,
                (255, round(255 * alpha)),
                font,
                stroke_width=1,
                stroke_fill=(60, round(255 * alpha)),
            )
    angle = float(rng.uniform(20, 40))
    layer = layer.rotate(angle, Image.Resampling.BICUBIC)
    x, y = (side - w) // 2, (side - h) // 2
    mark = np.asarray(layer.crop((x, y, x + w, y + h)), np.float32)
    weight = mark[..., 1:] / 255
    marked = image * (1 - weight) + mark[..., :1] * weight
    params = {"text": text, "alpha": round(alpha, 3), "size_px": size, "angle_deg": round(angle, 1)}
    return Planted(jpeg(np.clip(marked, 0, 255).astype(np.uint8), 92), ".jpg", params)


_FRAMES = ((255, 255, 255), (0, 0, 0), (128, 28, 40), (235, 225, 200))


def frame(image: Pixels, rng: Generator) -> Planted:
    """A border of one color on all sides, 6 to 12 percent of the short side."""
    share = float(rng.uniform(0.06, 0.12))
    border = max(round(min(image.shape[:2]) * share), 1)
    edge = np.concatenate([image[[0, -1]].reshape(-1, 3), image[:, [0, -1]].reshape(-1, 3)]).mean(0)
    # White around a white page would be no visible frame.
    visible = [c for c in _FRAMES if np.abs(edge - c).max() > 70]
    color = [int(c) for c in rng.choice(np.array(visible))]
    framed = cv2.copyMakeBorder(image, border, border, border, border, cv2.BORDER_CONSTANT, value=color)
    return Planted(jpeg(framed, 92), ".jpg", {"border_px": border, "color": color})


def letterbox(image: Pixels, rng: Generator) -> Planted:
    """Black bars above and below, each 12 to 18 percent of the picture's height."""
    bar = max(round(image.shape[0] * float(rng.uniform(0.12, 0.18))), 1)
    boxed = cv2.copyMakeBorder(image, bar, bar, 0, 0, cv2.BORDER_CONSTANT, value=[0, 0, 0])
    return Planted(jpeg(boxed, 92), ".jpg", {"bar_px": bar})


def tiny(image: Pixels, rng: Generator) -> Planted:
    """Short side 48 to 140 px."""
    short = int(rng.integers(48, 141))
    return Planted(jpeg(_resized(image, short / min(image.shape[:2])), 90), ".jpg", {"short_side_px": short})


def flat(rng: Generator) -> Planted:
    """Nothing to see: one color, or a smooth gradient, with sensor noise below one gray level."""
    h, w = int(rng.integers(360, 640)), int(rng.integers(360, 640))
    kind = str(rng.choice(["uniform", "gradient"]))
    a = rng.uniform(30, 225, 3)
    b = a if kind == "uniform" else np.clip(a + rng.uniform(-70, 70, 3), 0, 255)
    t = (np.arange(w) / (w - 1))[None, :, None] * 0.4 + (np.arange(h) / (h - 1))[:, None, None] * 0.6
    pixels = a * (1 - t) + b * t + rng.standard_normal((h, w, 1)) * 0.8
    return Planted(jpeg(np.clip(pixels + 0.5, 0, 255).astype(np.uint8), 92), ".jpg", {"kind": kind})


# Files that are not pictures any more


def truncated(image: Pixels, rng: Generator) -> Planted:
    data = jpeg(image, 90)
    kept = float(rng.uniform(0.25, 0.6))
    return Planted(data[: int(len(data) * kept)], ".jpg", {"kind": "truncated", "kept": round(kept, 3)})


def broken_chunk(image: Pixels, rng: Generator) -> Planted:
    """PNG with bytes in the middle of its pixel data overwritten: the checksum no longer matches."""
    data = bytearray(png(image))
    start = len(data) // 2
    data[start : start + 64] = rng.bytes(64)
    return Planted(bytes(data), ".png", {"kind": "broken_chunk", "at_byte": start})


def random_bytes(rng: Generator) -> Planted:
    return Planted(rng.bytes(int(rng.integers(4_000, 40_000))), ".jpg", {"kind": "random_bytes"})


def empty(rng: Generator) -> Planted:
    return Planted(b"", ".jpg", {"kind": "empty"})


def html(rng: Generator) -> Planted:
    """What a crawler stores when the server answers with an error page."""
    page = "<!DOCTYPE html>\n<html><head><title>404</title></head><body><h1>Not found</h1></body></html>\n"
    return Planted(page.encode(), ".jpg", {"kind": "html"})


#: Copies of an original, and how many of each are planted.
COPIES: dict[str, tuple[Fault, int]] = {
    "identical_pixels": (identical_pixels, 8),
    "resize": (resized_copy, 12),
    "crop": (cropped_copy, 12),
    "recompress": (recompressed_copy, 12),
    "flip": (flipped_copy, 8),
}

#: Same bytes under another name.
EXACT_COPIES = 8

DEGRADATIONS: dict[str, tuple[Fault, int]] = {
    "over_compression": (over_compression, 10),
    "defocus": (defocus, 8),
    "motion_blur": (motion_blur, 8),
    "noise": (noise, 8),
    "color_cast": (color_cast, 8),
    "watermark": (watermark, 8),
    "frame": (frame, 6),
    "letterbox": (letterbox, 6),
    "tiny": (tiny, 6),
}

FLATS = 8

CORRUPT_PICTURES: tuple[tuple[Fault, int], ...] = ((truncated, 3), (broken_chunk, 2))
CORRUPT_FILES: tuple[tuple[Callable[[Generator], Planted], int], ...] = (
    (random_bytes, 2),
    (empty, 2),
    (html, 2),
)

DUPLICATE_FAULTS = ("exact_copy", *COPIES)
"""Names of the faults that are pairs; `corrupt` and the keys of `DEGRADATIONS` and `flat` are single rows."""
DEGRADATION_FAULTS = (*DEGRADATIONS, "flat")
CORRUPT = "corrupt"
