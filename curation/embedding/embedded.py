"""The `embedded` encoder: a small visual descriptor for finding copies. Needs no download; see EMBEDDED_CARD.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from ..errors import ConfigError
from .encoder import Mirror
from .layout import KINDS, Layout
from .symmetry import FLIPPED, MIRROR, MIRRORED, TRANSPOSED, Symmetries

WEIGHTS_FILE = Path(__file__).with_name("embedded.safetensors")

#: Short side, in pixels, the weights were learned at: that of stored thumbnails.
THUMB_SIDE_PX = 336


@dataclass(frozen=True, eq=False)
class Weights:
    """Linear maps from `layout.Parts` to the descriptor, all float32.

    Attributes:
        mean: [n_0], of the first kind; by symmetry all others have mean 0.
        single: four maps [k_i, n_i], one per entry of `layout.KINDS`.
        pair: [k, p], applied to x and to y of the pairs alike.
    """

    mean: np.ndarray
    single: tuple[np.ndarray, ...]
    pair: np.ndarray

    @property
    def dim(self) -> int:
        return sum(len(m) for m in self.single) + 2 * len(self.pair)

    def save(self, file: Path, metadata: Mapping[str, str]) -> None:
        """As safetensors."""
        from safetensors.numpy import save_file

        tensors = {
            "mean": self.mean,
            "pair": self.pair,
            **{f"single{i}": m for i, m in enumerate(self.single)},
        }
        save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, file, dict(metadata))

    @classmethod
    def load(cls, file: Path) -> Weights:
        """Raises:
        ConfigError: the file is missing or not one `save` wrote.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            t = load_file(file)
            weights = cls(t["mean"], tuple(t[f"single{i}"] for i in range(4)), t["pair"])
        except (OSError, KeyError, SafetensorError) as e:
            raise ConfigError(f"embedded: cannot read {file}: {e}; install zcurate again") from e
        return weights


def project(weights: Weights, kinds: Sequence[np.ndarray]) -> np.ndarray:
    """L2-normalized descriptors [..., dim] from coefficients [..., n_i]: four single kinds, then x and y.

    In float64, whatever is given: the result must not depend on how a matrix product is cut into blocks.
    """
    shifted = [np.asarray(k, np.float64) for k in kinds]
    shifted[0] = shifted[0] - weights.mean
    maps = (*weights.single, weights.pair, weights.pair)
    vector = np.concatenate([k @ m.T.astype(np.float64) for k, m in zip(shifted, maps, strict=True)], axis=-1)
    return vector / np.maximum(1e-12, np.linalg.norm(vector, axis=-1, keepdims=True))


class EmbeddedEncoder:
    """Descriptor of layout, color and edges. Deterministic; CPU only; no text.

    The picture is averaged down to 128, 64 and 32 px squares (aspect ratio ignored) in CIELAB. Low DCT coefficients of
    lightness, chroma, color phases and edge orientations (`layout.py`) go through linear maps learned to keep what
    tells look-alikes apart and to drop what edits change (`train_embedded.py`); the whole is L2-normalized.

    Mirrors and quarter turns of the picture act on the vector as signed permutations, exactly: `symmetries`.

    Args:
        weights: others than the bundled ones, e.g. in training.
    """

    name = "embedded"
    version = 3
    has_text = False

    def __init__(self, weights: Weights | None = None) -> None:
        self._weights = weights if weights is not None else _bundled()
        self._layout = Layout()
        self.dim = self._weights.dim
        self.symmetries = _symmetries(self._weights)
        self.mirror = Mirror(self.symmetries.source[MIRROR], self.symmetries.sign[MIRROR])

    def load(self) -> None:
        """Nothing left to read."""

    def encode_images(self, images: list[np.ndarray]) -> np.ndarray:
        """Descriptors of uint8 [h, w, 3] sRGB images: float32 [n, dim], L2-normalized."""
        out = np.empty((len(images), self.dim), np.float32)
        for i, image in enumerate(images):
            parts = self._layout.parts(image)
            out[i] = project(self._weights, (*parts.single, parts.x, parts.y))
        return out

    def encode_texts(self, texts: list[str]) -> None:
        """None: there is no text tower."""
        return None


@cache
def _bundled() -> Weights:
    return Weights.load(WEIGHTS_FILE)


def _symmetries(weights: Weights) -> Symmetries:
    """Kinds keep their place and change sign; x and y change sign and, transposed, places."""
    counts, p = [len(m) for m in weights.single], len(weights.pair)
    first = sum(counts)
    pairs = np.arange(first, first + 2 * p).reshape(2, p)
    source, sign = [], []
    for transposed, flipped, mirrored in zip(TRANSPOSED, FLIPPED, MIRRORED, strict=True):
        singles = [
            (m if flipped else 1) * (m if mirrored else 1) * (t if transposed else 1) for m, t in KINDS
        ]
        source.append(np.concatenate([np.arange(first), (pairs[::-1] if transposed else pairs).ravel()]))
        sign.append(np.concatenate(
            [np.repeat(singles, counts), np.full(p, -1 if mirrored else 1), np.full(p, -1 if flipped else 1)]
        ))  # fmt: skip
    return Symmetries(np.array(source, np.int64), np.array(sign, np.float32))
