"""Fingerprints: of the bytes, and of what the picture looks like."""

from __future__ import annotations

import numpy as np
import xxhash
from PIL import Image
from scipy.fftpack import dct

_SIDE_PX, _KEPT = 32, 8

#: Pixels converted at once: Pillow's RGB takes four bytes per pixel besides the three of the array.
_STRIP_PX = 4_000_000


def content_id(data: bytes) -> bytes:
    """xxh3-128 of a file's bytes, big endian, 16 bytes."""
    return xxhash.xxh3_128_digest(data)


def grey_image(rgb: np.ndarray) -> Image.Image:
    """Pillow's `convert("L")` (ITU-R 601-2 luma) of uint8 [h, w, 3], in strips."""
    height, width = rgb.shape[:2]
    rows = max(1, _STRIP_PX // width)
    luma = np.empty((height, width), np.uint8)
    for top in range(0, height, rows):
        luma[top : top + rows] = np.asarray(Image.fromarray(rgb[top : top + rows]).convert("L"))
    return Image.fromarray(luma)


def phash64(grey: Image.Image) -> int:
    """Perceptual hash of a Pillow image of mode L: the bits of `imagehash.phash(grey)`.

    Lanczos to 32 x 32, two-dimensional DCT-II, lowest 8 x 8 frequencies, one bit each: above the
    median of the 64. The same transform routine as imagehash is called on purpose: a matrix product
    rounds differently, which flips bits of pictures whose coefficients are exactly zero.

    Returns:
        0 <= hash < 2**64. Row-major; the most significant bit is the constant (DC) term, so that
        `f"{h:016x}" == str(imagehash.phash(grey))`.

    Source: N. Krawetz, "Looks Like It" (hackerfactor.com, 2011), as imagehash implements it.
    """
    small = np.asarray(grey.resize((_SIDE_PX, _SIDE_PX), Image.Resampling.LANCZOS))
    low = dct(dct(small, axis=0)[:_KEPT], axis=1)[:, :_KEPT]
    bits = (low > np.median(low)).ravel()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")
