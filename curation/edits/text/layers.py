"""Layers of scenes: text items, and the colored boxes that point at them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ..color_names import FOCAL
from ..spec import State, Value, canonical
from .drawing import Patch, draw
from .fonts import FontBook
from .items import checked

if TYPE_CHECKING:
    from ..scene import Scene

#: Patches kept: those of a group, which draws each many times.
_KEPT = 24


@dataclass
class TextLayer:
    """Draws `text/K` slots (see `items.py`), in the order of their names."""

    book: FontBook
    _photo: np.ndarray | None = field(default=None, repr=False)
    _patches: OrderedDict[str, Patch] = field(default_factory=OrderedDict, repr=False)
    _seen: dict[int, tuple[Value, Patch]] = field(default_factory=dict, repr=False)

    def draw(self, rgb: np.ndarray, values: Mapping[str, Value], scene: Scene, state: State) -> np.ndarray:
        """Raises TextSpecError for a value that is no text item, or a font that is not there."""
        rgb = rgb.copy()
        for value in values.values():
            self.patch(value, scene).over(rgb)
        return rgb

    def footprint(self, name: str, value: Value, scene: Scene) -> np.ndarray:
        return self.patch(value, scene).touched(scene.base.shape)

    def patch(self, value: Value, scene: Scene) -> Patch:
        """The patch of one item; drawn once. Values are not to be changed after that."""
        if self._photo is not scene.base:
            self._photo = scene.base  # held, so that no other photograph can take its place in memory
            self._patches.clear()
            self._seen.clear()
        seen = self._seen.get(id(value))  # most values are the very same object in all states of a group
        if seen is not None and seen[0] is value:
            return seen[1]
        key = canonical(value)
        found = self._patches.get(key)
        if found is None:
            found = self._patches[key] = draw(checked(value), self.book, scene.base)
            if len(self._patches) > _KEPT:
                self._patches.popitem(last=False)
        else:
            self._patches.move_to_end(key)
        if len(self._seen) >= _KEPT:
            self._seen.clear()
        self._seen[id(value)] = (value, found)
        return found


@dataclass(frozen=True)
class BoxLayer:
    """`box/K` = {color, box: [x0, y0, x1, y1] px, width_px, around}: a frame around the text of slot `around`."""

    def draw(self, rgb: np.ndarray, values: Mapping[str, Value], scene: Scene, state: State) -> np.ndarray:
        rgb = rgb.copy()
        for name, value in values.items():
            rgb[self.footprint(name, value, scene)] = FOCAL[value["color"]]
        return rgb

    def footprint(self, name: str, value: Value, scene: Scene) -> np.ndarray:
        mask = np.zeros(scene.base.shape[:2], bool)
        x0, y0, x1, y1 = (max(0, int(v)) for v in value["box"])
        width = int(value["width_px"])
        mask[y0:y1, x0:x1] = True
        mask[y0 + width : y1 - width, x0 + width : x1 - width] = False
        return mask
