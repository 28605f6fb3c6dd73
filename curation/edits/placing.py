"""Where a sprite may stand in a photograph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .experts import NoProposalError
from .library import Item
from .scene import Scene
from .spec import State, Value

#: Share of a thing's place that what the picture shows may take up.
MAX_ON_SUBJECT = 0.25
#: Share of pixels of exactly one color from which on a picture is a drawing.
DRAWN_SHARE = 0.5


def pose_of(
    item: Item, scene: Scene, state: State, rng: np.random.Generator, scale: float | None = None
) -> dict[str, Value]:
    """A free place for a sprite: {x, y, scale} of an object's value, without `scale` where it is given.

    Inside the picture, towards its foot, apart from other sprites and off what the picture is of.

    Raises:
        NoProposalError: none was found.
    """
    rows, columns = scene.base.shape[:2]
    height, width = item.sprite.rgba.shape[:2]
    for _ in range(24):
        size = scale or float(rng.uniform(0.2, 0.42))
        wide = size * rows * width / height / columns
        if wide > 0.6:
            size, wide = size * 0.6 / wide, 0.6
        x = float(rng.uniform(wide / 2 + 0.02, 0.98 - wide / 2))
        y = float(rng.uniform(0.68, 0.97)) - size / 2  # what stands higher would hang in the air
        others = (value for slot, value in state.items() if slot.startswith("object/"))
        if _on_subject(scene, x, y, wide, size) <= MAX_ON_SUBJECT and not any(
            _near(x, y, wide, size, value) for value in others
        ):
            pose = {"x": round(x, 4), "y": round(max(size / 2, y), 4)}
            return pose if scale else {**pose, "scale": round(size, 3)}
    raise NoProposalError("no free place")


def _on_subject(scene: Scene, x: float, y: float, width: float, height: float) -> float:
    """Share of a box (center and sides as fractions) that hides what the picture is of."""
    subject = scene.assets.get("subject")
    if subject is None:
        return 0.0
    rows, columns = subject.shape
    at = (
        slice(max(0, int((y - height / 2) * rows)), int(np.ceil((y + height / 2) * rows))),
        slice(max(0, int((x - width / 2) * columns)), int(np.ceil((x + width / 2) * columns))),
    )
    return float(subject[at].mean()) if subject[at].size else 0.0


def is_drawn(rgb: np.ndarray) -> bool:
    """A chart, a page or clip art rather than a photograph: most of it has exactly one color."""
    pixels = rgb[::4, ::4].reshape(-1, 3).astype(np.int32)
    codes = (pixels[:, 0] << 16) | (pixels[:, 1] << 8) | pixels[:, 2]
    return float(np.unique(codes, return_counts=True)[1].max()) > DRAWN_SHARE * len(codes)


def _near(x: float, y: float, width: float, height: float, value: Mapping[str, Any]) -> bool:
    other = float(value["scale"])
    return (
        abs(x - float(value["x"])) < (width + other) / 2 and abs(y - float(value["y"])) < (height + other) / 2
    )
