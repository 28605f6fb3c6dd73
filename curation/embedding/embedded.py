"""The `embedded` encoder: a fixed, hand-made visual descriptor that needs no weights."""

from __future__ import annotations

import numpy as np

from .encoder import Mirror

_GRID_PX = 64

#: Radius, in half-cycles per side, of the DCT coefficients kept.
_LUMA_RADIUS, _CHROMA_RADIUS = 7, 6

#: Centers of orientation cells per side, and the width of their Gaussian windows in cells.
_CELLS, _CELL_SIGMA = 5, 0.9

#: Frequencies of the color distribution's characteristic function, in radians per CIELAB unit: one
#: period of the slowest is about the range photographs cover.
_COLOR_STEP = np.array([np.pi / 60, np.pi / 40, np.pi / 40])
_COLOR_ORDER = 2

#: Mean and standard deviation of the pixels of ordinary photographs in CIELAB: what the color block is
#: measured against. Rounded from the seven color photographs that ship with scikit-image and scikit-learn (astronaut,
#: chelsea, coffee, rocket, motorcycle, china, flower).
_TYPICAL_LAB = np.array([43.0, 8.0, 10.0])
_TYPICAL_SPREAD = np.array([24.0, 16.0, 19.0])

#: Below this norm a block counts less than its weight: flat or grey pictures have nothing to normalize.
#: Units: lightness DCT, chroma DCT (both CIELAB, orthonormal over 64 x 64), gradient, color block.
_SOFT_NORMS = (100.0, 300.0, 0.05, 0.5)

#: Share of each block in the squared length.
_SHARES = (0.25, 0.25, 0.25, 0.25)


class EmbeddedEncoder:
    """Descriptor of layout, color and texture. Deterministic; CPU only; no text.

    The picture is averaged down to 64 x 64 (aspect ratio ignored) and converted to CIELAB. Four
    blocks follow, each signed and centered, so that unrelated photographs have cosines around 0:

    1. lightness layout: DCT-II coefficients within a radius of 7 half-cycles, without the mean, times
       the square root of their frequency: half way to evening out the 1/f spectrum of natural images,
       as far as a mild crop allows;
    2. color layout: the same of a* and b* within a radius of 6, with the mean;
    3. orientation: on 5 x 5 overlapping cells, the gradient's cos 2θ, sin 2θ, cos 4θ, sin 4θ weighted by
       the square root of its magnitude, and that weight less its mean over the cells;
    4. color distribution: the empirical characteristic function of all pixels at a lattice of
       frequencies, less that of a normal distribution with the typical mean and spread.

    Each block is divided by sqrt(|block|² + s²) with a fixed s and weighted; the whole is L2-normalized.

    Mirroring the picture left-right negates the DCT coefficients of odd horizontal frequency, exchanges
    the cells of a row and negates their sines, and leaves the colors alone: `mirror`.
    """

    name = "embedded"
    version = 2
    has_text = False

    def __init__(self) -> None:
        self._luma = _frequencies(_LUMA_RADIUS, with_mean=False)
        self._chroma = _frequencies(_CHROMA_RADIUS, with_mean=True)
        self._luma_gain = np.sqrt(np.hypot(*self._luma))
        self._chroma_gain = np.sqrt(np.maximum(1.0, np.hypot(*self._chroma)))
        self._windows = _cell_windows()
        self._lattice = _color_lattice()
        self._typical = _typical_color(self._lattice)
        self.dim = (
            self._luma_gain.size + 2 * self._chroma_gain.size + 5 * _CELLS * _CELLS + 2 * len(self._lattice)
        )
        self.mirror = self._mirror()

    def load(self) -> None:
        """Nothing to read."""

    def encode_images(self, images: list[np.ndarray]) -> np.ndarray:
        """Descriptors of uint8 [h, w, 3] sRGB images: float32 [n, dim], L2-normalized."""
        out = np.empty((len(images), self.dim), np.float32)
        for i, image in enumerate(images):
            out[i] = self._describe(image)
        return out

    def encode_texts(self, texts: list[str]) -> None:
        """None: there is no text tower."""
        return None

    def _describe(self, image: np.ndarray) -> np.ndarray:
        import cv2

        # In float, since rounding to bytes depends on the direction of the sums. One axis at a time, since
        # OpenCV averages areas only where neither axis grows, and otherwise samples the one that shrinks.
        small = np.asarray(image, np.float32)
        for size in ((_GRID_PX, small.shape[0]), (_GRID_PX, _GRID_PX)):
            small = cv2.resize(small, size, interpolation=cv2.INTER_AREA)
        lab = cv2.cvtColor(small / np.float32(255), cv2.COLOR_RGB2LAB).astype(np.float64)
        spectra = [cv2.dct(np.ascontiguousarray(lab[..., c])) for c in range(3)]
        blocks = (
            spectra[0][self._luma] * self._luma_gain,
            np.concatenate([spectra[c][self._chroma] * self._chroma_gain for c in (1, 2)]),
            self._orientation(lab[..., 0]),
            self._color(lab.reshape(-1, 3)),
        )
        scaled = [
            np.sqrt(share) * block / np.sqrt(block @ block + soft * soft)
            for block, soft, share in zip(blocks, _SOFT_NORMS, _SHARES, strict=True)
        ]
        vector = np.concatenate(scaled)
        return vector / max(1e-12, np.sqrt(vector @ vector))

    def _mirror(self) -> Mirror:
        luma, chroma = (np.where(columns % 2, -1.0, 1.0) for columns in (self._luma[1], self._chroma[1]))
        cells = np.arange(5 * _CELLS * _CELLS).reshape(5, _CELLS, _CELLS)
        sines = np.array([1.0, -1.0, 1.0, -1.0, 1.0])  # cos 2θ, sin 2θ, cos 4θ, sin 4θ, weight
        first_cell = luma.size + 2 * chroma.size
        source = np.arange(self.dim)
        source[first_cell : first_cell + cells.size] = first_cell + cells[:, :, ::-1].ravel()
        sign = np.concatenate(
            [luma, chroma, chroma, np.repeat(sines, _CELLS * _CELLS), np.ones(2 * len(self._lattice))]
        )
        return Mirror(source, sign.astype(np.float32))

    def _orientation(self, lightness: np.ndarray) -> np.ndarray:
        dy, dx = np.gradient(lightness)
        gradient = dx + 1j * dy
        weight = np.sqrt(np.abs(gradient))
        unit = gradient / np.maximum(np.abs(gradient), 1e-9)
        double, fourfold = weight * unit**2, weight * unit**4
        maps = np.stack([double.real, double.imag, fourfold.real, fourfold.imag, weight])
        cells = maps.reshape(5, -1) @ self._windows  # [5, cells]
        cells[4] -= cells[4].mean()
        return cells.ravel()

    def _color(self, lab: np.ndarray) -> np.ndarray:
        phases = lab @ self._lattice.T
        found = np.concatenate([np.cos(phases).mean(axis=0), np.sin(phases).mean(axis=0)])
        return found - self._typical


def _frequencies(radius: int, with_mean: bool) -> tuple[np.ndarray, np.ndarray]:
    """Row and column indices of the DCT coefficients within a radius."""
    v, u = np.mgrid[: radius + 1, : radius + 1]
    kept = u * u + v * v <= radius * radius
    kept[0, 0] = with_mean
    return np.nonzero(kept)


def _cell_windows() -> np.ndarray:
    """Gaussian windows [pixels, cells], each summing to 1."""
    position = (np.arange(_GRID_PX) + 0.5) / _GRID_PX * _CELLS
    centers = np.arange(_CELLS) + 0.5
    profile = np.exp(-0.5 * ((position[:, None] - centers) / _CELL_SIGMA) ** 2)
    profile /= profile.sum(axis=0)
    return np.einsum("ya,xb->yxab", profile, profile).reshape(_GRID_PX**2, -1)


def _color_lattice() -> np.ndarray:
    """Frequencies [k, 3]: one half of the integer lattice within a radius, the other being its conjugate."""
    axis = np.arange(-_COLOR_ORDER, _COLOR_ORDER + 1)
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    near = (points**2).sum(axis=1) <= _COLOR_ORDER**2
    first_half = [tuple(p) > (0, 0, 0) for p in points]
    return points[near & np.array(first_half)] * _COLOR_STEP


def _typical_color(lattice: np.ndarray) -> np.ndarray:
    """Characteristic function of the typical normal distribution: real parts, then imaginary."""
    damping = np.exp(-0.5 * ((lattice * _TYPICAL_SPREAD) ** 2).sum(axis=1))
    phase = lattice @ _TYPICAL_LAB
    return np.concatenate([np.cos(phase) * damping, np.sin(phase) * damping])
