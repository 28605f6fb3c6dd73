"""What can be said about a picture by measuring it: shape, colors and where they lie, light, focus."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import numpy as np

from .colors import color_index, shares, srgb_to_lab
from .schema import CaptionError

#: Aspect ratios people use; a picture within 2 % of one is said to have it.
ASPECTS = ((1, 1), (5, 4), (4, 3), (3, 2), (16, 10), (16, 9), (2, 1), (21, 9), (3, 1))

# Words are used only where a measurement is far from the middle, so that they are seldom disputed.
DARK_L, VERY_DARK_L, BRIGHT_L, VERY_BRIGHT_L = 32, 18, 72, 85
LOW_CONTRAST_L, HIGH_CONTRAST_L = 9, 28
MUTED_CHROMA, VIVID_CHROMA, GRAY_CHROMA = 9, 38, 2.5
WARM_B, COOL_B = 12, -8
SOFT_SHARPNESS, CRISP_SHARPNESS = 5, 100


@dataclass(frozen=True)
class PictureFacts:
    """Attributes:
    shape: vertical, horizontal or square.
    aspect: such as "3:4" (width:height), or None if it is no usual ratio.
    colors: (English color name, share 0..1), largest first, at most four of at least 6 %.
    bands: main color of the top, middle and bottom third, None where no color has 45 % of it.
    edge: the color all around, if at least 85 % of the outer 6 % has it.
    brightness: very dark, dark, bright, very bright or None.
    contrast: low, high or None.
    saturation: gray (no color at all), muted, vivid or None.
    temperature: warm, cool or None.
    focus: soft, crisp or None.
    """

    shape: str
    aspect: str | None
    colors: tuple[tuple[str, float], ...]
    bands: tuple[str | None, str | None, str | None]
    edge: str | None
    brightness: str | None
    contrast: str | None
    saturation: str | None
    temperature: str | None
    focus: str | None


def shape_of(width_px: int, height_px: int) -> str:
    ratio = width_px / height_px
    return "square" if 0.95 <= ratio <= 1.05 else "vertical" if ratio < 1 else "horizontal"


def aspect_of(width_px: int, height_px: int) -> str | None:
    ratio = max(width_px, height_px) / min(width_px, height_px)
    long, short = min(ASPECTS, key=lambda a: abs(math.log(ratio * a[1] / a[0])))
    if abs(ratio * short / long - 1) > 0.02 or long == short:
        return None
    return f"{long}:{short}" if width_px > height_px else f"{short}:{long}"


def measure(image: bytes, width_px: int, height_px: int, sharpness: float | None = None) -> PictureFacts:
    """Measure an encoded thumbnail. Raises CaptionError when it cannot be decoded."""
    if width_px < 1 or height_px < 1:
        raise CaptionError(f"profile.width_px x height_px is {width_px} x {height_px}; both must be >= 1")
    lab = srgb_to_lab(_small_rgb(image))
    index = color_index(lab)
    rows, columns = index.shape
    colors = tuple(shares(index)[:4])
    thirds = np.array_split(index, 3, axis=0) if rows >= 3 else [index] * 3
    bands = tuple(_main(third) for third in thirds)
    margin = max(1, round(0.06 * min(rows, columns)))
    ring = np.ones(index.shape, bool)
    ring[margin : rows - margin, margin : columns - margin] = False
    edge = shares(index[ring], 0.85)
    lightness = lab[..., 0]
    chroma = np.hypot(lab[..., 1], lab[..., 2])
    mean_l, mean_b, mean_c = lightness.mean(), lab[..., 2].mean(), chroma.mean()
    gray = np.percentile(chroma, 99) < GRAY_CHROMA
    return PictureFacts(
        shape=shape_of(width_px, height_px),
        aspect=aspect_of(width_px, height_px),
        colors=colors,
        bands=bands,
        edge=edge[0][0] if edge else None,
        brightness=_word(
            mean_l,
            ((VERY_DARK_L, "very dark"), (DARK_L, "dark")),
            ((VERY_BRIGHT_L, "very bright"), (BRIGHT_L, "bright")),
        ),
        contrast=_word(lightness.std(), ((LOW_CONTRAST_L, "low"),), ((HIGH_CONTRAST_L, "high"),)),
        saturation="gray" if gray else _word(mean_c, ((MUTED_CHROMA, "muted"),), ((VIVID_CHROMA, "vivid"),)),
        temperature=None if gray else _word(mean_b, ((COOL_B, "cool"),), ((WARM_B, "warm"),)),
        focus=None
        if sharpness is None or not math.isfinite(sharpness)
        else _word(sharpness, ((SOFT_SHARPNESS, "soft"),), ((CRISP_SHARPNESS, "crisp"),)),
    )


def _small_rgb(image: bytes, side_px: int = 96) -> np.ndarray:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(image), formats=("JPEG", "PNG", "WEBP")) as opened:
            rgb = opened.convert("RGB")
            rgb.thumbnail((side_px, side_px), Image.Resampling.BOX)
            return np.asarray(rgb)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as e:
        raise CaptionError(f"thumbs.thumb cannot be decoded ({e}); run the profile stage again") from e


def _main(index: np.ndarray) -> str | None:
    found = shares(index, 0.45)
    return found[0][0] if found else None


def _word(
    value: float, low: tuple[tuple[float, str], ...], high: tuple[tuple[float, str], ...]
) -> str | None:
    """The first bound passed, outermost first."""
    for bound, word in low:
        if value < bound:
            return word
    for bound, word in high:
        if value > bound:
            return word
    return None
