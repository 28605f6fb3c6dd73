"""Slots of things: sprites set into a picture: slots `object/K`.

Everything is computed from the scene's own picture and the value, never from what lies below: otherwise one more
object would change the light on all others, and specs would no longer compose.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from ..scene import Scene
    from ..spec import State, Value

#: How far a sprite's mean color is drawn towards that of its place: luma, chroma.
LIGHT_SHARE, CHROMA_SHARE = 0.35, 0.2
SHADOW = 0.42
#: Colors a ground may have, RGB.
GROUNDS = {"white": (250, 250, 250), "gray": (150, 150, 150), "black": (12, 12, 12), "green": (40, 160, 70)}


@dataclass(frozen=True)
class Sprite:
    """A cut-out. `rgba`: (h, w, 4) uint8, straight alpha, cropped to it. `stands`: it rests on its lower edge."""

    rgba: np.ndarray
    stands: bool = True


@dataclass(frozen=True)
class Placed:
    """A sprite at its place: premultiplied color and alpha over a rectangle of the picture."""

    top: int
    left: int
    color: np.ndarray  # (h, w, 3) float32, levels times alpha
    alpha: np.ndarray  # (h, w, 1) float32, 0..1
    shadow: np.ndarray  # (h, w, 1) float32, 0..1: light taken away below


@dataclass(frozen=True)
class ObjectLayer:
    """`object/K` = {sprite, x, y, scale, flip?, rotation?, hue?, color?}.

    `x`, `y`: center, fractions of the sides; `scale`: height as a share of the picture's; `hue`: degrees by which
    colors turn (`color` names the result). The sprite is `scene.assets["sprite:" + sprite]`.
    """

    def draw(self, rgb: np.ndarray, values: Mapping[str, Value], scene: Scene, state: State) -> np.ndarray:
        out = rgb.copy()
        for name in sorted(values, key=lambda n: (float(values[n].get("z", 0)), n)):
            blend(out, place(scene, values[name]))
        return out

    def footprint(self, name: str, value: Value, scene: Scene) -> np.ndarray:
        mask = np.zeros(scene.base.shape[:2], bool)
        placed = place(scene, value)
        height, width = placed.alpha.shape[:2]
        at = (slice(placed.top, placed.top + height), slice(placed.left, placed.left + width))
        mask[at] = (placed.alpha + placed.shadow)[..., 0] > 0
        return mask


def blend(rgb: np.ndarray, placed: Placed) -> None:
    """Set a placed sprite, shadow first, into a picture, in place."""
    height, width = placed.alpha.shape[:2]
    part = rgb[placed.top : placed.top + height, placed.left : placed.left + width]
    below = part * (1 - placed.shadow)
    part[:] = np.clip(np.rint(below * (1 - placed.alpha) + placed.color), 0, 255).astype(np.uint8)


def place(scene: Scene, value: Mapping[str, Any]) -> Placed:
    """A sprite in the light of its place in the scene's own picture, cut off at the picture's edge.

    Raises:
        KeyError: a sprite that the scene does not have.
    """
    sprite: Sprite = scene.assets[f"sprite:{value['sprite']}"]
    rows, columns = scene.base.shape[:2]
    rgba = shaped(sprite.rgba, value, float(value["scale"]) * rows)
    height, width = rgba.shape[:2]
    top, left = round(float(value["y"]) * rows - height / 2), round(float(value["x"]) * columns - width / 2)
    margin = max(4, round(0.18 * height))
    canvas = cv2.copyMakeBorder(rgba, margin, margin, margin, margin, cv2.BORDER_CONSTANT, value=(0, 0, 0, 0))
    top, left = top - margin, left - margin
    alpha = canvas[..., 3:].astype(np.float32) / 255
    color = lit(canvas[..., :3].astype(np.float32), alpha, _around(scene.base, top, left, canvas.shape))
    shadow = _shadow(alpha, margin, sprite.stands)
    cut_top, cut_left = max(0, -top), max(0, -left)
    cut_bottom = min(canvas.shape[0], rows - top)
    cut_right = min(canvas.shape[1], columns - left)
    if cut_bottom <= cut_top or cut_right <= cut_left:
        empty = np.zeros((0, 0, 1), np.float32)
        return Placed(0, 0, np.zeros((0, 0, 3), np.float32), empty, empty)
    at = (slice(cut_top, cut_bottom), slice(cut_left, cut_right))
    return Placed(top + cut_top, left + cut_left, (color * alpha)[at], alpha[at], shadow[at])


def shaped(rgba: np.ndarray, value: Mapping[str, Any], height_px: float) -> np.ndarray:
    """A sprite flipped, recolored, sized and turned, in this order. Colors are filtered premultiplied, without fringes."""
    if value.get("flip"):
        rgba = rgba[:, ::-1]
    if value.get("hue") is not None:
        rgba = np.dstack([turn_hue(np.ascontiguousarray(rgba[..., :3]), float(value["hue"])), rgba[..., 3]])
    factor = max(height_px, 4.0) / rgba.shape[0]
    size = (max(2, round(rgba.shape[1] * factor)), max(2, round(rgba.shape[0] * factor)))
    alpha = rgba[..., 3:].astype(np.float32) / 255
    flat = np.dstack([rgba[..., :3] * alpha, alpha * 255])
    flat = cv2.resize(flat, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
    degrees = float(value.get("rotation") or 0)
    if degrees:
        flat = _turned(flat, degrees)
    alpha = np.clip(flat[..., 3:], 0, 255)
    color = np.clip(flat[..., :3] * 255 / np.maximum(alpha, 1), 0, 255)
    return np.rint(np.dstack([color, alpha])).astype(np.uint8)


def turn_hue(rgb: np.ndarray, degrees: float) -> np.ndarray:
    """Colors turned by an angle at their own lightness (in CIE Lab); greys stay grey."""
    lab = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    angle = np.float32(np.deg2rad(degrees))
    a, b = lab[..., 1].copy(), lab[..., 2].copy()
    lab[..., 1], lab[..., 2] = a * np.cos(angle) - b * np.sin(angle), a * np.sin(angle) + b * np.cos(angle)
    return np.clip(np.rint(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB) * 255), 0, 255).astype(np.uint8)


def lit(color: np.ndarray, alpha: np.ndarray, around: np.ndarray) -> np.ndarray:
    """A sprite's colors drawn towards the mean color of its place, in luma and chroma, as one gain per channel."""
    weight = float(alpha.sum())
    if weight < 1:
        return color
    own = np.maximum((color * alpha).sum(axis=(0, 1)) / weight, 1)
    luma = np.array([0.299, 0.587, 0.114], np.float32)
    light = (float(around @ luma) / float(own @ luma)) ** LIGHT_SHARE
    tint = np.maximum(around, 1) / max(1.0, float(around @ luma))
    gain = np.clip(light, 0.7, 1.25) * np.clip(tint, 0.7, 1.4) ** CHROMA_SHARE
    return np.clip(color * gain.astype(np.float32), 0, 255)


def _around(base: np.ndarray, top: int, left: int, shape: tuple[int, ...]) -> np.ndarray:
    part = base[max(0, top) : max(1, top + shape[0]), max(0, left) : max(1, left + shape[1])]
    return (part if part.size else base).reshape(-1, 3).mean(axis=0).astype(np.float32)


def _shadow(alpha: np.ndarray, margin: int, stands: bool) -> np.ndarray:
    """Light taken away around a sprite: a flat contact shadow below what stands, a soft one around what lies.

    The blur ends inside the margin, so that a footprint never cuts a shadow off.
    """
    height, width = alpha.shape[:2]
    if stands:
        foot = np.nonzero(alpha[..., 0].max(axis=1) > 0.5)[0]
        bottom = int(foot[-1]) if len(foot) else height - margin
        band = alpha[max(0, bottom - max(3, height // 8)) : bottom + 1, :, 0].max(axis=0)
        squashed = np.zeros((height, width), np.float32)
        squashed[max(0, bottom - margin // 6) : min(height, bottom + max(2, margin // 4))] = band
    else:
        squashed = np.roll(alpha[..., 0], (margin // 5, margin // 7), axis=(0, 1))
    soft = cv2.GaussianBlur(squashed, (0, 0), max(1.0, margin / 8)) * SHADOW
    rim = np.minimum(
        np.minimum(np.arange(height), np.arange(height)[::-1])[:, None],
        np.minimum(np.arange(width), np.arange(width)[::-1])[None, :],
    )
    soft *= np.clip(rim / max(1, margin // 3), 0, 1)
    return np.where(soft > 1 / 255, soft, 0).astype(np.float32)[..., None]


def _turned(flat: np.ndarray, degrees: float) -> np.ndarray:
    height, width = flat.shape[:2]
    c, s = abs(np.cos(np.deg2rad(degrees))), abs(np.sin(np.deg2rad(degrees)))
    size = (int(np.ceil(width * c + height * s)), int(np.ceil(width * s + height * c)))
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), -degrees, 1)
    matrix[:, 2] += (size[0] - width) / 2, (size[1] - height) / 2
    return cv2.warpAffine(flat, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
