"""Edits that copies go through, and recolorings that make another picture: what dedup_real.py is made of. Pillow only."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

Edit = Callable[[Image.Image], Image.Image]


def again(image: Image.Image, kind: str, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, kind, quality=quality)
    return Image.open(io.BytesIO(file.getvalue())).convert("RGB")


def scaled(image: Image.Image, x: float, y: float | None = None) -> Image.Image:
    size = (max(8, round(image.width * x)), max(8, round(image.height * (y or x))))
    return image.resize(size, Image.Resampling.LANCZOS)


def cut(
    image: Image.Image, left: float = 0, top: float = 0, right: float = 0, bottom: float = 0
) -> Image.Image:
    """Less these shares of its width and height."""
    w, h = image.size
    return image.crop((round(w * left), round(h * top), round(w * (1 - right)), round(h * (1 - bottom))))


def gamma(image: Image.Image, power: float) -> Image.Image:
    return image.point([round(255 * (v / 255) ** power) for v in range(256)] * 3)


def noisy(image: Image.Image, sigma: float) -> Image.Image:
    rng = np.random.default_rng(image.width * 7919 + image.height)
    x = np.asarray(image, np.float32) + rng.normal(0, sigma, (image.height, image.width, 3))
    return Image.fromarray(np.clip(x, 0, 255).astype(np.uint8))


def lettered(image: Image.Image, text: str, share: float) -> Image.Image:
    image = image.copy()
    draw, size = ImageDraw.Draw(image), max(8, round(image.height * share))
    draw.text((size // 2, image.height - 2 * size), text, (255, 255, 255), stroke_width=max(1, size // 12),
              stroke_fill=(0, 0, 0), font_size=size)  # fmt: skip
    return image


def letterboxed(image: Image.Image, share: float, color: tuple[int, int, int]) -> Image.Image:
    """Bars above and below, of this share of the height each."""
    bar = round(image.height * share)
    out = Image.new("RGB", (image.width, image.height + 2 * bar), color)
    out.paste(image, (0, bar))
    return out


def listed_edits() -> dict[str, Edit]:
    """What the descriptor is meant to see through."""
    edits: dict[str, Edit] = {}
    for f in (0.25, 0.5, 0.75, 1.5, 2.0):
        edits[f"resize {f:g}"] = lambda i, f=f: scaled(i, f)
    edits["resize 0.6 x 0.66"] = lambda i: scaled(i, 0.6, 0.66)
    for q in (20, 40, 60, 80, 95):
        edits[f"jpeg {q}"] = lambda i, q=q: again(i, "JPEG", q)
    for q in (20, 60, 90):
        edits[f"webp {q}"] = lambda i, q=q: again(i, "WEBP", q)
    for c in (0.02, 0.05, 0.1):
        edits[f"crop {c:.0%} centered"] = lambda i, c=c: cut(i, c / 2, c / 2, c / 2, c / 2)
        edits[f"crop {c:.0%} of one corner"] = lambda i, c=c: cut(i, c, c)
        edits[f"crop {c:.0%} of other corner"] = lambda i, c=c: cut(i, 0, c, c)
        edits[f"crop {c:.0%} of top"] = lambda i, c=c: cut(i, 0, c)
        edits[f"crop {c:.0%} of right"] = lambda i, c=c: cut(i, right=c)
        edits[f"crop {c:.0%} off center"] = lambda i, c=c: cut(i, 0.8 * c, 0.3 * c, 0.2 * c, 0.7 * c)
    for b in (0.75, 0.9, 1.1, 1.25):
        edits[f"brightness {b:g}"] = lambda i, b=b: ImageEnhance.Brightness(i).enhance(b)
        edits[f"contrast {b:g}"] = lambda i, b=b: ImageEnhance.Contrast(i).enhance(b)
    for g in (0.75, 1.35):
        edits[f"gamma {g:g}"] = lambda i, g=g: gamma(i, g)
    for r in (0.002, 0.005, 0.01):
        edits[f"blur {r:g} of side"] = lambda i, r=r: i.filter(ImageFilter.GaussianBlur(r * min(i.size)))
    return edits


def further_edits() -> dict[str, Edit]:
    """Other copies met in the wild."""
    turns = {
        "mirrored": Image.Transpose.FLIP_LEFT_RIGHT, "upside down": Image.Transpose.FLIP_TOP_BOTTOM,
        "turned 90": Image.Transpose.ROTATE_90, "turned 180": Image.Transpose.ROTATE_180,
        "turned 270": Image.Transpose.ROTATE_270, "transposed": Image.Transpose.TRANSPOSE,
    }  # fmt: skip
    edits: dict[str, Edit] = {k: lambda i, t=t: again(i.transpose(t), "JPEG", 85) for k, t in turns.items()}
    for s in (0.7, 1.3):
        edits[f"saturation {s:g}"] = lambda i, s=s: ImageEnhance.Color(i).enhance(s)
    for s in (5, 15):
        edits[f"noise {s}"] = lambda i, s=s: noisy(i, s)
    edits["small text"] = lambda i: lettered(i, "shop.example.com", 0.04)
    edits["larger text"] = lambda i: lettered(i, "SALE -30 %", 0.08)
    edits["white frame 3%"] = lambda i: ImageOps.expand(i, round(0.03 * min(i.size)), (255, 255, 255))
    edits["black bars 5%"] = lambda i: letterboxed(i, 0.05, (0, 0, 0))
    edits["resize 0.5, jpeg 60, crop 5%"] = lambda i: again(cut(scaled(i, 0.5), 0.05, 0, 0, 0.05), "JPEG", 60)
    edits["crop 10%, jpeg 40"] = lambda i: again(cut(i, 0.1, 0.05, 0, 0.05), "JPEG", 40)
    edits["brightness 1.15, resize 0.6, webp 50"] = lambda i: again(
        scaled(ImageEnhance.Brightness(i).enhance(1.15), 0.6), "WEBP", 50
    )
    edits["mirrored, crop 5%"] = lambda i: cut(ImageOps.mirror(i), 0.05, 0.05)
    return edits


def hue_turned(image: Image.Image, degrees: float) -> Image.Image:
    h, s, v = image.convert("HSV").split()
    return Image.merge(
        "HSV", (h.point([(x + round(degrees * 256 / 360)) % 256 for x in range(256)]), s, v)
    ).convert("RGB")


#: Other pictures: the colors of the whole turned by a third or a half.
RECOLORED: dict[str, Edit] = {f"hue {d}": lambda i, d=d: hue_turned(i, d) for d in (120, 180)}


def colorful(image: Image.Image) -> bool:
    """Whether turning hues makes another picture: a tenth of the pixels are clearly colored."""
    small = np.asarray(scaled(image, 64 / image.width, 64 / image.height).convert("HSV"))
    return bool(((small[..., 1] > 90) & (small[..., 2] > 50)).mean() > 0.1)
