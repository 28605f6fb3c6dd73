"""Fingerprints: of the bytes, and of what the picture looks like."""

from __future__ import annotations

import cv2
import numpy as np
import xxhash
from PIL import Image
from scipy.fftpack import dct

from .decoded import oriented

_SIDE_PX, _KEPT = 32, 8
#: Where the pixels of a small copy are in the 8 orientations: [8, 32, 32] into the flat copy.
_TURNS = np.stack(
    [oriented(np.arange(_SIDE_PX**2).reshape(_SIDE_PX, _SIDE_PX), orientation) for orientation in range(1, 9)]
)


def content_id(data: bytes) -> bytes:
    """xxh3-128 of a file's bytes, big endian, 16 bytes."""
    return xxhash.xxh3_128_digest(data)


def phash64(grey: np.ndarray) -> int:
    """Perceptual hash of a grey picture: the bits of `imagehash.phash(Image.fromarray(grey))`.

    Lanczos to 32 x 32, two-dimensional DCT-II, lowest 8 x 8 frequencies, one bit each: above the
    median of the 64. The same transform routine as imagehash is called on purpose: a matrix product
    rounds differently, which flips bits of pictures whose coefficients are exactly zero.

    Args:
        grey: uint8 [h, w], any size.

    Returns:
        0 <= hash < 2**64. Row-major; the most significant bit is the constant (DC) term, so that
        `f"{h:016x}" == str(imagehash.phash(...))`.

    Source: N. Krawetz, "Looks Like It" (hackerfactor.com, 2011), as imagehash implements it.
    """
    return _hashes(_tiny(grey)[None])[0]


def phashes64(grey: np.ndarray) -> list[int]:
    """The pHash of a picture in its 8 orientations.

    The picture is shrunk once: hash k is `phash64` of the 32 x 32 copy, turned as Exif orientation
    k + 1 asks for. Shrinking after the turn would give the same but for rounding.

    Args:
        grey: uint8 [h, w], any size.

    Returns:
        8 hashes, in the order of Exif orientations 1..8; the first is `phash64(grey)`.
    """
    tiny = _tiny(grey)
    return _hashes(tiny.take(_TURNS))


def tiny_grey(luma: np.ndarray) -> np.ndarray:
    """A grey copy to take the pHash of: 32 x 32 by area average, which leaves nothing for Lanczos to do.

    On photographs its hash is half a bit from that of the full picture, on average, and as stable
    under resizing; Lanczos from full size would cost as much as decoding.

    Args:
        luma: uint8 [h, w].

    Returns:
        uint8 [32, 32], or the picture itself when a side is under 32 px.
    """
    if min(luma.shape) < _SIDE_PX:
        return luma
    return cv2.resize(luma, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA)


def _tiny(grey: np.ndarray) -> np.ndarray:
    if grey.shape == (_SIDE_PX, _SIDE_PX):
        return grey
    return np.asarray(Image.fromarray(grey).resize((_SIDE_PX, _SIDE_PX), Image.Resampling.LANCZOS))


def _hashes(tiny: np.ndarray) -> list[int]:
    """Hashes of uint8 [n, 32, 32]."""
    low = dct(dct(tiny, axis=1)[:, :_KEPT], axis=2)[:, :, :_KEPT].reshape(len(tiny), -1)
    ordered = np.sort(low, axis=1)
    middle = low.shape[1] // 2
    bits = (
        low > ((ordered[:, middle - 1] + ordered[:, middle]) / 2)[:, None]
    )  # np.median, in a third of the time
    return [int.from_bytes(row.tobytes(), "big") for row in np.packbits(bits, axis=1)]
