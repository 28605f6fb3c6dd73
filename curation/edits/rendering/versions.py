"""Slot `image/0`: a version of the whole picture that was made elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ..scene import Scene
    from ..spec import State, Value


@dataclass(frozen=True)
class ImageLayer:
    """`image/0` = {version, type, instruction}: the pixels of `scene.assets["image:" + version]`."""

    def draw(self, rgb: np.ndarray, values: Mapping[str, Value], scene: Scene, state: State) -> np.ndarray:
        (value,) = values.values()
        return scene.assets[f"image:{value['version']}"].rgb

    def footprint(self, name: str, value: Value, scene: Scene) -> np.ndarray | None:
        return scene.assets[f"image:{value['version']}"].mask
