"""Layout, edges and colors of a picture as numbers that know what a mirror or a quarter turn does to them.

Maps of 64 x 64 or 32 x 32 (lightness, chroma, color phases, edge orientations) are reduced to their lowest
DCT-II coefficients. Mirrors change the sign of a coefficient, a transposition exchanges two; sums and
differences of those two then split into the five irreducible parts of the group of the square:

- four one-dimensional kinds, told apart by two signs: of either mirror, and of the transposition;
- pairs (x, y), where one mirror negates x, the other y, and the transposition exchanges them.

A linear map that treats every pair alike and mixes coefficients of one kind only commutes with the group
(Schur's lemma), so what is learned on top keeps the symmetry exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Sides of the maps: edges are taken at all three, colors at the last two.
FINE_PX, GRID_PX, COARSE_PX = 128, 64, 32

#: Signs of the mirrors and of the transposition for the one-dimensional kinds, in this order.
KINDS = ((1, 1), (1, -1), (-1, 1), (-1, -1))

#: Radius, in half-cycles per side, of the coefficients kept of each sort of map.
_LIGHTNESS_RADIUS, _CHROMA_RADIUS, _COLOR_RADIUS, _EDGE_RADIUS = 7, 6, 4, 6

#: Frequencies of the color phases, in radians per CIELAB unit: one period of the slowest is about the
#: range photographs cover. Of the integer lattice within a radius of 2, the half that is not conjugate.
_COLOR_STEP = np.array([np.pi / 60, np.pi / 40, np.pi / 40])
_COLOR_ORDER = 2

#: Norms under which a block is not scaled up: flat or grey pictures have nothing to normalize. Lightness and
#: chroma in CIELAB units (mean square over the grid), edges in square roots of units per pixel.
_SOFT_LIGHTNESS, _SOFT_CHROMA, _SOFT_EDGE = 3.0, 6.0, 0.3


@dataclass(frozen=True)
class Parts:
    """Coefficients by kind, float32.

    Attributes:
        single: four arrays [n_i], one per entry of KINDS.
        x, y: [p] each, the pairs.
    """

    single: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
    x: np.ndarray
    y: np.ndarray


class Layout:
    """Reduces pictures to `Parts`; the same places hold the same quantities for every picture."""

    def __init__(self) -> None:
        self._lattice = _color_lattice()
        phases = 2 * len(self._lattice)
        # (maps, radius, with the mean, mirror sign, transposition sign)
        scalar, edge = (1, 1), ((1, -1), (-1, 1), (1, 1), (-1, -1), (1, 1))
        self._blocks = (
            _Block([scalar], _LIGHTNESS_RADIUS, GRID_PX, with_mean=False),
            _Block([scalar] * 2, _CHROMA_RADIUS, GRID_PX),
            _Block([scalar] * phases, _COLOR_RADIUS, COARSE_PX),
            *(_Block(edge, _EDGE_RADIUS, side) for side in (FINE_PX, GRID_PX, COARSE_PX)),
        )

    def parts(self, image: np.ndarray) -> Parts:
        """Coefficients of a uint8 [h, w, 3] sRGB image; its aspect ratio is ignored."""
        fine = _small_lab(image)
        lab = _halved(fine)
        coarse = _halved(lab)
        lightness, chroma = lab[..., 0], np.moveaxis(lab[..., 1:], -1, 0)
        centered = lightness - lightness.mean()
        phase = np.moveaxis(coarse @ self._lattice.T, -1, 0)
        maps = (
            centered[None] / np.sqrt((centered**2).mean() + _SOFT_LIGHTNESS**2),
            chroma / np.sqrt((chroma**2).sum(axis=0).mean() + _SOFT_CHROMA**2),
            np.concatenate([np.cos(phase), np.sin(phase)]),
            *(_edges(level[..., 0]) for level in (fine, lab, coarse)),
        )
        found = [block.reduce(m) for block, m in zip(self._blocks, maps, strict=True)]
        return Parts(
            tuple(np.concatenate([f.single[k] for f in found]) for k in range(4)),
            np.concatenate([f.x for f in found]),
            np.concatenate([f.y for f in found]),
        )


class _Block:
    """Maps of one size, of which the same frequencies are kept."""

    def __init__(self, signs, radius: int, size_px: int, with_mean: bool = True) -> None:
        place = (np.arange(size_px) + 0.5) * np.pi / size_px
        self._basis = np.cos(np.arange(radius + 1)[:, None] * place) * np.sqrt(2) / size_px
        self._basis[0] /= np.sqrt(2)
        self._basis = self._basis.astype(np.float32)
        single: list[list[tuple[int, int, int, int, float]]] = [[], [], [], []]
        pairs: list[tuple[int, int, int, int]] = []
        for c, (mirror, transposition) in enumerate(signs):
            for v in range(radius + 1):
                for u in range(radius + 1):
                    if u * u + v * v > radius * radius or (u == v == 0 and not with_mean):
                        continue
                    across, down = mirror * (-1) ** u, mirror * (-1) ** v
                    if across != down:
                        if across < 0:
                            pairs.append((c, v, u, transposition))
                    elif u == v:
                        single[KINDS.index((across, transposition))].append((c, v, u, 0, 1.0))
                    elif u < v:
                        for t in (1, -1):
                            single[KINDS.index((across, t))].append(
                                (c, v, u, t * transposition, np.sqrt(0.5))
                            )
        self._single = [tuple(np.array(column) for column in zip(*entries, strict=True)) if entries else None
                        for entries in single]  # fmt: skip
        self._pairs = tuple(np.array(column) for column in zip(*pairs, strict=True))

    def reduce(self, maps: np.ndarray) -> Parts:
        spectra = self._basis @ maps @ self._basis.T
        single = []
        for entries in self._single:
            if entries is None:
                single.append(np.zeros(0))
                continue
            c, v, u, sign, scale = entries
            single.append((spectra[c, v, u] + sign * spectra[c, u, v]) * scale)
        c, v, u, sign = self._pairs
        return Parts(tuple(single), spectra[c, v, u], spectra[c, u, v] * sign)


def _small_lab(image: np.ndarray) -> np.ndarray:
    """CIELAB float32 [128, 128, 3]."""
    import cv2

    # In float, since rounding to bytes depends on the direction of the sums. One axis at a time, since
    # OpenCV averages areas only where neither axis grows, and otherwise samples the one that shrinks.
    small = np.asarray(image, np.float32)
    for size in ((FINE_PX, small.shape[0]), (FINE_PX, FINE_PX)):
        small = cv2.resize(small, size, interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small / np.float32(255), cv2.COLOR_RGB2LAB)


def _halved(lab: np.ndarray) -> np.ndarray:
    """Means over 2 x 2 pixels."""
    rows = lab[::2] + lab[1::2]
    return (rows[:, ::2] + rows[:, 1::2]) * np.float32(0.25)


def _edges(lightness: np.ndarray) -> np.ndarray:
    """[5, h, w]: cos 2θ, sin 2θ, cos 4θ, sin 4θ of the gradient, weighted by the square root of its size, and
    that weight; over the weight's root mean square."""
    dy, dx = np.gradient(lightness)
    squares = dx * dx + dy * dy
    size = np.sqrt(squares)
    weight = np.sqrt(size)
    safe = np.maximum(squares, np.float32(1e-12))
    cosine, sine = (dx * dx - dy * dy) / safe, 2 * dx * dy / safe
    maps = np.stack([cosine, sine, cosine * cosine - sine * sine, 2 * cosine * sine, np.ones_like(size)])
    maps *= weight / np.sqrt(size.mean() + np.float32(_SOFT_EDGE**2))
    return maps


def _color_lattice() -> np.ndarray:
    """Frequencies [k, 3]: one half of the integer lattice within a radius, the other being its conjugate."""
    axis = np.arange(-_COLOR_ORDER, _COLOR_ORDER + 1)
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    near = (points**2).sum(axis=1) <= _COLOR_ORDER**2
    first_half = [tuple(p) > (0, 0, 0) for p in points]
    return (points[near & np.array(first_half)] * _COLOR_STEP).astype(np.float32)
