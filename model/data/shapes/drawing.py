"""Scenes as pictures: coverage masks of shapes, four samples per pixel side, composed over one color."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from .rare import RARE
from .world import BACKGROUNDS, COLORS, GLYPHS, SIDE_PX, SceneSpec, Thing

#: Samples per side of a pixel.
_FINE = 4


def render(spec: SceneSpec) -> np.ndarray:
    """(SIDE_PX, SIDE_PX, 3) uint8."""
    picture = np.empty((SIDE_PX, SIDE_PX, 3), np.float64)
    picture[:] = BACKGROUNDS[spec.background]
    for thing in spec.things:
        cover = coverage(thing)[..., None]
        picture += cover * (np.array(COLORS[thing.color]) - picture)
    return np.rint(picture).astype(np.uint8)


def coverage(thing: Thing) -> np.ndarray:
    """(SIDE_PX, SIDE_PX) float64, share of every pixel that a thing covers, 0..1."""
    mask = stamp(thing.kind, thing.size_px, thing.glyph)
    x, y = thing.center_px
    top, left = y - mask.shape[0] // 2, x - mask.shape[1] // 2
    whole = np.zeros((SIDE_PX, SIDE_PX))
    whole[top : top + mask.shape[0], left : left + mask.shape[1]] = mask
    return whole


@lru_cache(maxsize=512)
def stamp(kind: str, size_px: int, glyph: str = "") -> np.ndarray:
    """(h, w) float64, coverage of a thing in its own box; read-only."""
    if kind == "glyph":
        mask = np.array([[float(c == "#") for c in row] for row in GLYPHS[glyph]])
        mask = np.kron(mask, np.ones((1, 1)))
    else:
        n = size_px * _FINE
        y, x = np.mgrid[0:n, 0:n]
        inside = _inside(kind, (x + 0.5) / n * 2 - 1, (y + 0.5) / n * 2 - 1)
        mask = inside.reshape(size_px, _FINE, size_px, _FINE).mean(axis=(1, 3))
    mask.setflags(write=False)
    return mask


def _inside(shape: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Points of the square -1..1 that belong to a shape; y grows downwards."""
    radius = np.hypot(x, y)
    if shape == "circle":
        found = radius <= 1
    elif shape == "square":
        found = np.maximum(abs(x), abs(y)) <= 0.9
    elif shape == "triangle":
        found = abs(x) <= (y + 1) / 2
    elif shape == "diamond":
        found = abs(x) + abs(y) <= 1
    elif shape == "cross":
        found = (np.minimum(abs(x), abs(y)) <= 0.3) & (np.maximum(abs(x), abs(y)) <= 1)
    elif shape == "ring":
        found = (radius <= 1) & (radius >= 0.55)
    elif shape == "bar":
        found = (abs(x) <= 1) & (abs(y) <= 0.35)
    elif shape == "star":
        angle = np.arctan2(x, -y)
        folded = abs((angle + np.pi / 5) % (2 * np.pi / 5) - np.pi / 5)
        # A five-pointed star between radius 1 (points) and 0.42 (notches), straight edges.
        px, py = np.sin(folded) * radius, np.cos(folded) * radius
        nx, ny = 0.42 * np.sin(np.pi / 5), 0.42 * np.cos(np.pi / 5)
        found = (nx * (py - 1) - (ny - 1) * px) <= 0
    elif shape in RARE:
        found = RARE[shape](x, y)
    else:
        raise ValueError(f"unknown shape {shape!r}")
    return found.astype(np.float64)
