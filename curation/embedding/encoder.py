"""What an encoder is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np


@dataclass(frozen=True, eq=False)
class Mirror:
    """What mirroring a picture left-right does to its vector: a signed permutation of the components.

    Component i of the mirror image's vector is `sign[i] * x[source[i]]`. Mirroring twice gives the
    vector back; with orthonormal components that makes cos(x, M y) = cos(M x, y).

    Attributes:
        source: int64 [dim].
        sign: float32 [dim], 1 or -1.

    Raises:
        ValueError: not a permutation with signs, or twice is not the identity.
    """

    source: np.ndarray
    sign: np.ndarray

    def __post_init__(self) -> None:
        d = len(self.source)
        if not np.array_equal(np.sort(self.source), np.arange(d)) or self.sign.shape != (d,):
            raise ValueError("a mirror needs a permutation of 0..dim - 1 and as many signs")
        if not (np.abs(self.sign) == 1).all():
            raise ValueError("the signs of a mirror are 1 or -1")
        back = self.source[self.source]
        if not np.array_equal(back, np.arange(d)) or (self.sign * self.sign[self.source] < 0).any():
            raise ValueError("mirroring twice must give the vector back")

    def apply(self, vectors: np.ndarray) -> np.ndarray:
        """[..., dim] vectors of the mirror images, in the dtype given."""
        return vectors[..., self.source] * self.sign.astype(vectors.dtype)


@runtime_checkable
class Encoder(Protocol):
    """Images and texts to unit vectors in one space.

    Construction is cheap: no weights are read before `load`. An encoder whose vectors change in a known
    way when a picture is mirrored or turned may also have `mirror: Mirror` and `symmetries: Symmetries`; see
    `mirror_of` and `symmetry.symmetries_of`.

    Attributes:
        name: the model string that makes this encoder.
        dim: length of its vectors. Reads the model's configuration, not its weights.
        has_text: whether `encode_texts` gives vectors.
    """

    name: str

    @property
    def dim(self) -> int: ...

    @property
    def has_text(self) -> bool: ...

    def load(self) -> None:
        """Read the weights; encoding does so by itself when this was not called."""

    def encode_images(self, images: list[np.ndarray]) -> np.ndarray:
        """uint8 [h, w, 3] sRGB images of any sizes to float32 [n, dim], L2-normalized."""

    def encode_texts(self, texts: list[str]) -> np.ndarray | None:
        """Texts to float32 [n, dim], L2-normalized; None where there is no text tower."""


def mirror_of(encoder: Encoder) -> Mirror | None:
    """What mirroring a picture does to the encoder's vectors; None where no exact rule is known.

    Learned encoders have none: their features of a picture and of its mirror image are two
    evaluations of the network, usually near each other because the training pictures face both ways.
    """
    return getattr(encoder, "mirror", None)
