"""An item as a patch of premultiplied color and opacity, from the item and the scene's photograph alone.

Nothing here knows what lies below, so that an item looks the same whatever else a picture's state holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .fonts import FontBook, font_of
from .items import rgb_of
from .layout import BASE_EM, Block, laid_out
from .surfaces import Placing

#: The sheet's light is measured on the photograph blurred by this share of its shorter side, and may change colors
#: by these factors.
_LIGHT_SHARE, _LIGHT_RANGE = 0.06, (0.55, 1.25)


@dataclass(frozen=True)
class Patch:
    """What is blended into a picture.

    Attributes:
        top, left: px, may be negative. color: (h, w, 3) float32, premultiplied, levels. alpha: (h, w, 1) float32, 0..1.
        outline: (n, 2) of the block in the picture, px, clockwise from its upper left; bent where the surface is.
        lines: as they were broken.
    """

    top: int
    left: int
    color: np.ndarray
    alpha: np.ndarray
    outline: np.ndarray
    lines: tuple[str, ...]

    @property
    def box(self) -> tuple[float, float, float, float]:
        """(x0, y0, x1, y1) of the block, px."""
        return (*self.outline.min(0), *self.outline.max(0))

    def over(self, rgb: np.ndarray) -> None:
        """Blend into an (H, W, 3) uint8 picture, in place."""
        here, there = _overlap(self.top, self.left, self.alpha.shape, rgb.shape)
        if here is not None:
            below = rgb[here].astype(np.float32)
            below *= 1 - self.alpha[there]
            below += self.color[there]
            rgb[here] = np.rint(below, out=below)

    def touched(self, shape: tuple[int, ...]) -> np.ndarray:
        """(H, W) bool: pixels it changes."""
        mask = np.zeros(shape[:2], bool)
        here, there = _overlap(self.top, self.left, self.alpha.shape, shape)
        if here is not None:
            mask[here] = self.alpha[there][..., 0] > 0
        return mask


def block_of(
    item: Mapping[str, Any], book: FontBook, shape: tuple[int, ...]
) -> tuple[Block, np.ndarray, Placing]:
    """(block, (2,) upper left corner on the sheet in px, placing on the picture) of a checked item."""
    block = laid_out(item, book.face(item["font"]["id"]), shape)
    share = np.array(
        [{"l": 0.0, "m": 0.5, "r": 1.0}[item["anchor"][0]], {"t": 0.0, "m": 0.5, "b": 1.0}[item["anchor"][1]]]
    )
    size = np.array([block.width, block.height])
    at = np.array(item["position"], float) * (shape[1], shape[0]) - share * size
    at = np.rint(at)  # whole pixels keep edges crisp where nothing turns them
    return block, at, Placing(item, tuple(at + size / 2), shape)


def outline_of(item: Mapping[str, Any], book: FontBook, shape: tuple[int, ...]) -> np.ndarray:
    """(n, 2) outline of an item's block in the picture, px, without drawing it."""
    block, at, placing = block_of(item, book, shape)
    return placing.forward(_outline(at, block, placing))


def draw(item: Mapping[str, Any], book: FontBook, photo: np.ndarray) -> Patch:
    """The patch of a checked item on a photograph of (H, W, 3) uint8."""
    font = _font(item, book)
    block, at, placing = block_of(item, book, photo.shape)
    color, alpha, pad = _sheet(item, font, block)
    top, left = int(at[1]) - pad, int(at[0]) - pad
    outline = placing.forward(_outline(at, block, placing))
    if not placing.flat:
        top, left, color, alpha = _bent(color, alpha, top, left, placing, photo.shape)
    if item["light"]:
        here, there = _overlap(top, left, alpha.shape, photo.shape)
        if here is not None:
            color[there] *= _light(photo, here, float(item["light"]))
            np.minimum(color[there], 255 * alpha[there], out=color[there])
    return Patch(top, left, color, alpha, outline, block.lines)


def _font(item: Mapping[str, Any], book: FontBook) -> ImageFont.FreeTypeFont:
    face = book.face(item["font"]["id"])
    return font_of(face.path, face.index, float(item["size_px"]))


def _outline(at: np.ndarray, block: Block, placing: Placing) -> np.ndarray:
    """(n, 2) on the sheet: the corners, and points between them where straight lines become bent."""
    return at + (_CORNERS if placing.straight else _RIM) * (block.width, block.height)


_CORNERS = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float)
_STEPS = np.linspace(0, 1, 9)[:-1]
_RIM = np.concatenate(
    [
        np.stack([a + (b - a) * step for step in _STEPS])
        for a, b in zip(_CORNERS, np.roll(_CORNERS, -1, 0), strict=True)
    ]
)


def _sheet(
    item: Mapping[str, Any], font: ImageFont.FreeTypeFont, block: Block
) -> tuple[np.ndarray, np.ndarray, int]:
    """(premultiplied color, opacity, margin in px) of the flat block: shadow, then stroke, then letters."""
    stroke, shadow, size = item["stroke"], item["shadow"], float(item["size_px"])
    pad = 2 + int(np.ceil(0.3 * size + (float(stroke["width_px"]) if stroke else 0)))
    if shadow:
        pad += int(np.ceil(max(abs(shadow["dx_px"]), abs(shadow["dy_px"])) + 3 * shadow["blur_px"]))
    extent = (int(np.ceil(block.width)) + 2 * pad, int(np.ceil(block.height)) + 2 * pad)
    letters = _ink(item, font, block, extent, pad, 0.0)
    alpha = letters
    color = letters[..., None] * np.array(rgb_of(item["color"]), np.float32)
    if stroke:
        alpha = np.maximum(_ink(item, font, block, extent, pad, float(stroke["width_px"])), letters)
        color += (alpha - letters)[..., None] * np.array(rgb_of(stroke["color"]), np.float32)
    if shadow:
        shift = np.array([[1, 0, shadow["dx_px"]], [0, 1, shadow["dy_px"]]], np.float32)
        dark = cv2.warpAffine(alpha, shift, extent)
        if shadow["blur_px"]:
            dark = cv2.GaussianBlur(dark, (0, 0), float(shadow["blur_px"]))
        dark = np.where(dark < 1 / 512, 0, dark * float(shadow["opacity"])).astype(np.float32)
        alpha = alpha + (1 - alpha) * dark  # the shadow is black: it adds no color
    return color, alpha[..., None], pad


def _ink(
    item: Mapping[str, Any],
    font: ImageFont.FreeTypeFont,
    block: Block,
    extent: tuple[int, int],
    pad: int,
    stroke: float,
) -> np.ndarray:
    """(h, w) float32 0..1, the coverage of all letters, widened by a stroke."""
    image = Image.new("L", extent)
    pen = ImageDraw.Draw(image)
    upright = item["vertical"]
    for text, x, y in block.runs:
        if upright:
            _stand(pen, text, x + pad, y + pad, font, stroke, float(item["size_px"]))
        else:
            pen.text((x + pad, y + pad), text, 255, font, "ls", stroke_width=stroke)
    return np.asarray(image, np.float32) / 255


def _stand(
    pen: ImageDraw.ImageDraw,
    c: str,
    x: float,
    y: float,
    font: ImageFont.FreeTypeFont,
    stroke: float,
    size: float,
) -> None:
    """One character of a column, centered in its cell. Marks take the form that columns have, where a font has one."""
    features = ["vert"] if ord(c) >= 0x2E80 and font.layout_engine == ImageFont.Layout.RAQM else None
    baseline = y + (BASE_EM - 0.62) * size
    pen.text((x, baseline), c, 255, font, "ms", stroke_width=stroke, features=features)


def _bent(
    color: np.ndarray, alpha: np.ndarray, top: int, left: int, placing: Placing, shape: tuple[int, ...]
) -> tuple[int, int, np.ndarray, np.ndarray]:
    """The sheet's patch as it lies in the picture, cut to the picture."""
    rows, columns = alpha.shape[:2]
    x, y = np.linspace(0, columns, 17), np.linspace(0, rows, 17)
    rim = np.array([(a, b) for a in x for b in (0, rows)] + [(a, b) for b in y for a in (0, columns)])
    out = placing.forward(rim + np.array((left, top)))
    low = np.maximum(np.floor(out.min(0)).astype(int) - 1, 0)
    high = np.minimum(np.ceil(out.max(0)).astype(int) + 2, (shape[1], shape[0]))
    if (high <= low).any():
        return 0, 0, np.zeros((1, 1, 3), np.float32), np.zeros((1, 1, 1), np.float32)
    map_x, map_y = placing.back(np.arange(low[0], high[0]), np.arange(low[1], high[1]))
    map_x -= left
    map_y -= top
    both = cv2.remap(np.dstack([color, alpha]), map_x, map_y, cv2.INTER_LINEAR, borderValue=(0, 0, 0, 0))
    return int(low[1]), int(low[0]), np.ascontiguousarray(both[..., :3]), np.ascontiguousarray(both[..., 3:])


def _light(photo: np.ndarray, here: tuple[slice, slice], strength: float) -> np.ndarray:
    """(h, w, 1) factors: the photograph's light around each pixel, relative to its mean."""
    factor = 48 / max(photo.shape[:2])
    small = cv2.resize(
        cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA
    )
    soft = cv2.GaussianBlur(small.astype(np.float32), (0, 0), max(0.8, _LIGHT_SHARE * min(small.shape)))
    whole = cv2.resize(soft, (photo.shape[1], photo.shape[0]), interpolation=cv2.INTER_LINEAR)[here]
    shade = np.clip((whole + 24) / (float(soft.mean()) + 24), *_LIGHT_RANGE)
    return (1 + strength * (shade - 1))[..., None]


def _overlap(top: int, left: int, patch: tuple[int, ...], canvas: tuple[int, ...]) -> Any:
    y0, x0 = max(0, top), max(0, left)
    y1, x1 = min(canvas[0], top + patch[0]), min(canvas[1], left + patch[1])
    if y1 <= y0 or x1 <= x0:
        return None, None
    return np.s_[y0:y1, x0:x1], np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
