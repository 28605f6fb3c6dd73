"""A scene draws any state of one picture. Layers draw in one fixed order, so that a state has exactly one picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import cv2
import numpy as np

from .rendering import degrading, geometry, photometric, styles, weather
from .rendering.parts import BackgroundLayer, ExtractLayer, PartLayer
from .rendering.sprites import ObjectLayer
from .rendering.versions import ImageLayer
from .spec import EditSpec, State, Value

#: Kinds of slots in the order in which they are drawn. Geometry comes last: it moves the finished picture.
ORDER = (
    *("image", "background", "part", "object", "extract", "text", "box"),
    *("light", "weather", "style", "photometric", "pixel", "geometry"),
)


class Layer(Protocol):
    """Draws all slots of one kind."""

    def draw(self, rgb: np.ndarray, values: Mapping[str, Value], scene: Scene, state: State) -> np.ndarray:
        """The picture with the slots of this kind drawn.

        Args:
            rgb: (H, W, 3) uint8, what is below; not to be written to.
            values: name of the slot (after the `/`) -> value, never None.
            state: the whole state, for layers that depend on each other.
        """

    def footprint(self, name: str, value: Value, scene: Scene) -> np.ndarray | None:
        """(H, W) bool: pixels that a value of this slot may touch, shadows included; None for all of them."""


@dataclass(frozen=True)
class Scene:
    """One real picture and what may be drawn on it.

    Attributes:
        key: id of the group: pictures of one key never lie on both sides of a train/validation split.
        base: (H, W, 3) uint8, the real picture, sides multiples of 16 px by cropping, never resampled.
        layers: kind of slot -> its layer. The kinds of `LAYERS` are there without being named.
        assets: what layers draw from, by name (sprites, backgrounds, versions made elsewhere).
    """

    key: str
    base: np.ndarray
    layers: Mapping[str, Layer] = field(default_factory=dict)
    assets: dict[str, Any] = field(default_factory=dict)

    def render(self, state: State) -> np.ndarray:
        """(H', W', 3) uint8, the picture in a state. Geometry may change its size.

        Raises:
            KeyError: a slot or a value that no layer can draw.
        """
        rgb = self.base
        by_kind = _by_kind(state)
        for kind in ORDER:
            if kind in by_kind:
                rgb = self.layer(kind).draw(rgb, by_kind.pop(kind), self, state)
        if by_kind:
            raise KeyError(f"no layer draws slots of kind {sorted(by_kind)}; there are {', '.join(ORDER)}")
        return rgb

    def mask(self, spec: EditSpec, source: State) -> np.ndarray | None:
        """(H, W) bool: where the edit may change pixels, before geometry; None where geometry itself changes.

        Analytic, from values alone: a picture drawn wrong outside of it is found by the checks.
        """
        if any(c.slot.startswith("geometry/") for c in spec.changes):
            return None
        mask = np.zeros(self.base.shape[:2], bool)
        for change in spec.changes:
            kind, _, name = change.slot.partition("/")
            for value in (change.before, change.after):
                found = None if value is None else self.layer(kind).footprint(name, value, self)
                if value is not None and found is None:
                    return np.ones_like(mask)
                if found is not None:
                    mask |= found
        reach = max(reach_px(state, self.base.shape) for state in (source, spec.apply(source)))
        if reach:
            mask = cv2.dilate(
                mask.astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
            ).astype(bool)
        moved = source.get("geometry/0")
        return mask if moved is None else geometry.render(mask.astype(np.uint8), moved).astype(bool)

    def layer(self, kind: str) -> Layer:
        found = self.layers.get(kind) or LAYERS.get(kind)
        if found is None:
            raise KeyError(f"this scene draws no {kind!r}; give it a layer")
        return found


def on_grid(rgb: np.ndarray, grid_px: int = geometry.GRID) -> np.ndarray:
    """The middle of a picture whose sides are multiples of the grid. ValueError where nothing is left."""
    height, width = (side // grid_px * grid_px for side in rgb.shape[:2])
    if not height or not width:
        raise ValueError(f"a picture of {rgb.shape[1]} x {rgb.shape[0]} px is smaller than {grid_px} px")
    top, left = (rgb.shape[0] - height) // 2, (rgb.shape[1] - width) // 2
    return np.ascontiguousarray(rgb[top : top + height, left : left + width])


def reduced(rgb: np.ndarray, max_side_px: int) -> np.ndarray:
    """The picture, its longer side at most `max_side_px`."""
    factor = max_side_px / max(rgb.shape[:2])
    return rgb if factor >= 1 else cv2.resize(rgb, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)


def reach_px(state: State, shape: tuple[int, ...]) -> int:
    """How far, in px, a changed pixel spreads through the filters of a state."""
    reach = 0.0
    for slot, value in state.items():
        kind, _, name = slot.partition("/")
        if value is None:
            continue
        if kind == "style":
            reach += {"sketch": 3 * max(2.0, min(shape[:2]) / 90) + 12, "posterize": 10, "cartoon": 22}.get(
                value["name"], 4
            ) + (min(shape[:2]) / 64 if value["name"] == "pixelate" else 0)
        elif slot == "photometric/sharpness":
            reach += 8
        elif kind == "pixel" and name in _PIXEL_REACH:
            strength = float(value["strength"] if isinstance(value, Mapping) else value)
            reach += _PIXEL_REACH[name](strength)
    return int(np.ceil(reach))


#: JPEG at half color resolution works on blocks of 16 px and smooths colors over their edges.
_PIXEL_REACH = {"blur": lambda s: s + 1.5, "downscale": lambda s: 4 * s, "jpeg": lambda s: 18}


@dataclass(frozen=True)
class _Tones:
    """Photometric and pixel slots: everything, one after the other in the order of the renderers."""

    renderers: Mapping[str, Any]

    def draw(self, rgb: np.ndarray, values: Mapping[str, Value], scene: Scene, state: State) -> np.ndarray:
        unknown = sorted(set(values) - set(self.renderers))
        if unknown:
            raise KeyError(f"no renderer for {unknown}; there are {', '.join(self.renderers)}")
        for name, function in self.renderers.items():
            if name in values:
                rgb = function(rgb, values[name])
        return rgb

    def footprint(self, name: str, value: Value, scene: Scene) -> None:
        return None


@dataclass(frozen=True)
class _Whole:
    """A kind with one slot that draws the whole picture."""

    function: Any

    def draw(self, rgb: np.ndarray, values: Mapping[str, Value], scene: Scene, state: State) -> np.ndarray:
        (value,) = values.values()
        return self.function(rgb, value)

    def footprint(self, name: str, value: Value, scene: Scene) -> None:
        return None


#: Layers that come with every scene; what they draw from lies in its assets.
LAYERS: Mapping[str, Layer] = {
    "photometric": _Tones(photometric.RENDERERS),
    "pixel": _Tones(degrading.RENDERERS),
    "light": _Whole(weather.light),
    "weather": _Whole(weather.weather),
    "style": _Whole(styles.render),
    "geometry": _Whole(geometry.render),
    "image": ImageLayer(),
    "object": ObjectLayer(),
    "part": PartLayer(),
    "extract": ExtractLayer(),
    "background": BackgroundLayer(),
}


def _by_kind(state: State) -> dict[str, dict[str, Value]]:
    found: dict[str, dict[str, Value]] = {}
    for slot, value in sorted(state.items()):
        if value is not None:
            kind, _, name = slot.partition("/")
            found.setdefault(kind, {})[name] = value
    return found
