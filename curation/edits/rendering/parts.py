"""The one thing a picture shows on plain ground: taken out, moved, recolored, set on other ground.

Slots `part/0`, `extract/0` and `background/0` of scenes that hold a cut-out of their own picture in `assets["part"]`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from ..cutout import own_colors
from .sprites import GROUNDS, shaped, turn_hue

if TYPE_CHECKING:
    from ..cutout import Cutout
    from ..scene import Scene
    from ..spec import State, Value


@dataclass(frozen=True)
class PartLayer:
    """`part/0` = {removed: true} or {x?, y?, scale?, flip?, rotation?, hue?, color?}: where it is not said, as it stands.

    `x`, `y`: center of the thing, fractions of the sides; `scale`: relative to its own size.
    """

    def draw(self, rgb: np.ndarray, values: Mapping[str, Value], scene: Scene, state: State) -> np.ndarray:
        (value,) = values.values()
        backdrop = state.get("background/0")
        ground = scene.assets["part"].ground if backdrop is None else ground_of(scene, backdrop)
        if value.get("removed"):
            return ground
        if set(value) <= {"hue", "color"}:
            alpha = scene.assets["part"].alpha[..., None].astype(np.float32) / 255
            turned = turn_hue(scene.base, float(value["hue"])).astype(np.float32)
            return np.clip(np.rint(rgb + (turned - scene.base) * alpha), 0, 255).astype(np.uint8)
        return _pasted(ground, scene, value)

    def footprint(self, name: str, value: Value, scene: Scene) -> np.ndarray:
        part: Cutout = scene.assets["part"]
        mask = (part.alpha > 0) | (part.ground != scene.base).any(axis=2)
        if not value.get("removed") and not set(value) <= {"hue", "color"}:
            top, left, rgba = _posed(scene, value)
            _paste(mask[..., None], top, left, (rgba[..., 3:] > 0), lambda below, above: below | above)
        return mask


@dataclass(frozen=True)
class ExtractLayer:
    """`extract/0` = {ground: white|gray|black|green}: the thing alone on one color."""

    def draw(self, rgb: np.ndarray, values: Mapping[str, Value], scene: Scene, state: State) -> np.ndarray:
        (value,) = values.values()
        return _over(np.broadcast_to(np.array(GROUNDS[value["ground"]], np.uint8), scene.base.shape), scene)

    def footprint(self, name: str, value: Value, scene: Scene) -> np.ndarray:
        return scene.assets["part"].alpha < 255


@dataclass(frozen=True)
class BackgroundLayer:
    """`background/0` = name of a photograph in `assets["background:NAME"]`, cut to cover the picture."""

    def draw(self, rgb: np.ndarray, values: Mapping[str, Value], scene: Scene, state: State) -> np.ndarray:
        (value,) = values.values()
        return _over(ground_of(scene, value), scene)

    def footprint(self, name: str, value: Value, scene: Scene) -> np.ndarray:
        return scene.assets["part"].alpha < 255


def ground_of(scene: Scene, name: str) -> np.ndarray:
    """(H, W, 3) uint8, a background photograph that covers the scene, its middle kept, a little out of focus."""
    photo = scene.assets[f"background:{name}"]
    rows, columns = scene.base.shape[:2]
    factor = max(rows / photo.shape[0], columns / photo.shape[1])
    size = (max(columns, round(photo.shape[1] * factor)), max(rows, round(photo.shape[0] * factor)))
    photo = cv2.resize(photo, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
    top, left = (photo.shape[0] - rows) // 2, (photo.shape[1] - columns) // 2
    return cv2.GaussianBlur(photo[top : top + rows, left : left + columns], (0, 0), 1.2)


def _over(ground: np.ndarray, scene: Scene) -> np.ndarray:
    """The thing where it stands, over other ground. Its soft edge is freed of the old ground's color."""
    part: Cutout = scene.assets["part"]
    alpha = part.alpha[..., None].astype(np.float32) / 255
    own = own_colors(scene.base, part.alpha)
    return np.clip(np.rint(ground * (1 - alpha) + own * alpha), 0, 255).astype(np.uint8)


def _posed(scene: Scene, value: Mapping[str, Any]) -> tuple[int, int, np.ndarray]:
    """(top, left, RGBA) of the thing in another pose."""
    part: Cutout = scene.assets["part"]
    x0, y0, x1, y1 = part.box
    own = np.dstack([own_colors(scene.base, part.alpha), part.alpha])[y0:y1, x0:x1]
    rgba = shaped(own, value, float(value.get("scale", 1)) * (y1 - y0))
    rows, columns = scene.base.shape[:2]
    x, y = float(value.get("x", (x0 + x1) / 2 / columns)), float(value.get("y", (y0 + y1) / 2 / rows))
    return round(y * rows - rgba.shape[0] / 2), round(x * columns - rgba.shape[1] / 2), rgba


def _pasted(ground: np.ndarray, scene: Scene, value: Mapping[str, Any]) -> np.ndarray:
    top, left, rgba = _posed(scene, value)
    out = ground.copy()

    def over(below: np.ndarray, above: np.ndarray) -> np.ndarray:
        alpha = above[..., 3:].astype(np.float32) / 255
        return np.clip(np.rint(below * (1 - alpha) + above[..., :3] * alpha), 0, 255)

    _paste(out, top, left, rgba, over)
    return out


def _paste(canvas: np.ndarray, top: int, left: int, patch: np.ndarray, join: Any) -> None:
    """canvas[...] = join(canvas[...], patch) where both meet, in place."""
    y0, x0 = max(0, top), max(0, left)
    y1, x1 = min(canvas.shape[0], top + patch.shape[0]), min(canvas.shape[1], left + patch.shape[1])
    if y1 > y0 and x1 > x0:
        canvas[y0:y1, x0:x1] = join(canvas[y0:y1, x0:x1], patch[y0 - top : y1 - top, x0 - left : x1 - left])
