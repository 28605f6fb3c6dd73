"""The 8 orientations of a picture, and what they do to a vector: signed permutations.

Mirrors and quarter turns form the dihedral group of the square. Every real representation of it has a
basis in which each element permutes the coordinates up to sign, so an encoder built to keep to the group
can give the vectors of all 8 orientations from one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .encoder import Encoder

#: What Exif orientation k + 1 asks for, in this order: exchange rows and columns; turn the rows upside
#: down; mirror each row.
TRANSPOSED = np.array([0, 0, 0, 0, 1, 1, 1, 1], bool)
FLIPPED = np.array([0, 0, 1, 1, 0, 0, 1, 1], bool)
MIRRORED = np.array([0, 1, 1, 0, 0, 1, 1, 0], bool)


def _compose(second: int, first: int) -> int:
    """The orientation that `first`, then `second` make together."""
    # A transposition exchanges the flip and the mirror of what came before it.
    flip, mirror = FLIPPED[first], MIRRORED[first]
    if TRANSPOSED[second]:
        flip, mirror = mirror, flip
    wanted = (TRANSPOSED[first] ^ TRANSPOSED[second], flip ^ FLIPPED[second], mirror ^ MIRRORED[second])
    return next(k for k in range(8) if (TRANSPOSED[k], FLIPPED[k], MIRRORED[k]) == wanted)


#: int8 [8, 8]: `COMPOSITION[g, h]` is h first, then g. Operation k is Exif orientation k + 1.
COMPOSITION = np.array([[_compose(g, h) for h in range(8)] for g in range(8)], np.int8)
#: int8 [8]: what undoes each operation. All but the two quarter turns undo themselves.
INVERSE = np.array([int(np.flatnonzero(COMPOSITION[g] == 0)[0]) for g in range(8)], np.int8)
#: The operation that mirrors left-right.
MIRROR = 1


@dataclass(frozen=True, eq=False)
class Symmetries:
    """What turning a picture does to its vector, for each of the 8 orientations.

    Operation k makes of a picture what Exif orientation k + 1 asks a viewer to show: 0 as it is, 1 mirrored
    left-right, 2 half a turn, 3 upside down, 4 transposed, 5 a quarter turn clockwise, 6 transposed about
    the other diagonal, 7 a quarter turn counterclockwise. Component i of the turned picture's vector is
    `sign[k, i] * x[source[k, i]]`.

    Attributes:
        source: int64 [8, dim].
        sign: float32 [8, dim], 1 or -1.

    Raises:
        ValueError: not permutations with signs, or they do not compose as the orientations do.
    """

    source: np.ndarray
    sign: np.ndarray

    def __post_init__(self) -> None:
        if self.source.ndim != 2 or len(self.source) != 8 or self.sign.shape != self.source.shape:
            raise ValueError("symmetries need 8 permutations of 0..dim - 1 and as many signs")
        here = np.arange(self.dim)
        if not np.array_equal(np.sort(self.source, axis=1), np.tile(here, (8, 1))):
            raise ValueError("a symmetry's source is not a permutation of 0..dim - 1")
        if not (np.abs(self.sign) == 1).all():
            raise ValueError("the signs of a symmetry are 1 or -1")
        for g in range(8):
            for h in range(8):
                source = self.source[h][self.source[g]]
                sign = self.sign[g] * self.sign[h][self.source[g]]
                k = COMPOSITION[g, h]
                if not (np.array_equal(source, self.source[k]) and np.array_equal(sign, self.sign[k])):
                    raise ValueError(
                        f"orientation {h + 1} followed by {g + 1} must be what orientation {k + 1} does"
                    )

    @property
    def dim(self) -> int:
        return self.source.shape[1]

    def apply(self, op: int | np.ndarray, vectors: np.ndarray) -> np.ndarray:
        """[..., dim] vectors of the turned pictures, in the dtype given.

        Args:
            op: one operation 0..7, or integers of shape [...]: one per vector.
        """
        if np.ndim(op) == 0:
            return vectors[..., self.source[op]] * self.sign[op].astype(vectors.dtype)
        turned = np.take_along_axis(vectors, self.source[op], axis=-1)
        return turned * self.sign[op].astype(vectors.dtype)


def symmetries_of(encoder: Encoder) -> Symmetries | None:
    """What turning a picture does to the encoder's vectors; None where no exact rule is known."""
    return getattr(encoder, "symmetries", None)
