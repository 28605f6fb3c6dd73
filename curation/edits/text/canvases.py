"""Plain grounds to write on, where there is no photograph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..color_names import FOCAL
from .faults import PictureTooSmallError, TextSpecError
from .items import COLOR, rgb_of

#: Smallest side of a picture that is written on, px; and the largest of a canvas.
MIN_SIDE_PX, MAX_SIDE_PX = 64, 8192
_FIELDS = frozenset(("width_px", "height_px", "color", "to"))
_SIZES = ((512, 512), (640, 448), (448, 640), (768, 512), (512, 768))


def canvas(spec: Mapping[str, Any] | None, seed: int) -> np.ndarray:
    """(H, W, 3) uint8: a plain ground, or one that runs from a color at the top to another at the bottom.

    Args:
        spec: {width_px, height_px, color, to}; what is missing is drawn. `to`: null for a plain ground.

    Raises:
        TextSpecError: an unknown field or one out of range. PictureTooSmallError: below `MIN_SIDE_PX`.
    """
    rng = np.random.default_rng((seed, 1))
    spec = dict(spec or {})
    if set(spec) - _FIELDS:
        raise TextSpecError(
            f"canvas: unknown fields {sorted(set(spec) - _FIELDS)}; there are {sorted(_FIELDS)}"
        )
    width, height = (
        _side(spec, k, v) for k, v in zip(("width_px", "height_px"), _SIZES[rng.integers(5)], strict=True)
    )
    if min(width, height) < MIN_SIDE_PX or max(width, height) > MAX_SIDE_PX:
        raise PictureTooSmallError(
            f"canvas of {width} x {height} px; sides are {MIN_SIDE_PX} to {MAX_SIDE_PX} px"
        )
    focal = np.array(list(FOCAL.values())[int(rng.integers(len(FOCAL)))])
    start = np.clip(focal * rng.uniform(0.75, 1) + rng.uniform(0, 60), 0, 255)
    other = np.clip(start * rng.uniform(0.6, 0.95) + rng.uniform(0, 30, 3), 0, 255)
    runs = rng.random() < 0.5
    if "color" in spec:
        start = _color(spec, "color")
    end = _color(spec, "to") if spec.get("to") is not None else other if runs and "to" not in spec else start
    share = np.linspace(0, 1, height)[:, None, None]
    rows = start * (1 - share) + end * share
    return np.rint(np.broadcast_to(rows, (height, width, 3))).astype(np.uint8)


def _side(spec: Mapping[str, Any], name: str, drawn: int) -> int:
    value = spec.get(name, drawn)
    if isinstance(value, bool) or not isinstance(value, int):
        raise TextSpecError(f"canvas: {name} = {value!r}; a whole number of px")
    return value


def _color(spec: Mapping[str, Any], name: str) -> np.ndarray:
    value = spec[name]
    if not isinstance(value, str) or not COLOR.fullmatch(value):
        raise TextSpecError(f"canvas: {name} = {value!r}; #rrggbb in lower case")
    return np.array(rgb_of(value), float)
