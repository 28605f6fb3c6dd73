"""What a decode may cost, and what comes out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xxhash
from PIL import Image

from .color import displayed_pixels


@dataclass(frozen=True)
class DecodeLimits:
    """What is refused, unopened or half way.

    Attributes:
        max_pixels: most pixels (width x height) of a picture.
        max_file_bytes: most bytes of a file.
        decode_s: longest decode in the decoder process, wall time in seconds. Files decoded in this
            process are those whose headers bound the work (see `trust.py`).
        memory_bytes: most memory one decode may take in the decoder process.
    """

    max_pixels: int = 200_000_000
    max_file_bytes: int = 256 << 20
    decode_s: float = 30.0
    memory_bytes: int = 2 << 30


@dataclass(frozen=True)
class Decoded:
    """A decoded picture, and the facts of its file.

    What costs much at full size and little on a small copy, color management and turning, is left
    undone: `displayed` does it to a copy, `rgb` to the whole picture.

    Attributes:
        pixels: uint8 [h, w, 3], or [h, w] for grey, as stored: before `icc` and `turn`. Transparency
            is shown on white, deep or float grey scaled to 8 bits.
        icc: profile still to be applied to `pixels`; empty when they are sRGB.
        turn: Exif orientation still to be applied to `pixels`, 1..8.
        format: Pillow's name of the format, e.g. JPEG, PNG, HEIF.
        mode: Pillow's mode of the stored pixels, e.g. RGB, L, P, CMYK, I;16.
        bit_depth: bits per channel as stored, e.g. 1, 8, 10, 12, 16, 32.
        frames: pictures in the file (animation, pages); only the first is decoded.
        orientation: Exif orientation of the file, 1..8; 1 where the format's own decoder applies it.
        has_icc: the file carries an ICC profile.
        has_alpha: some pixel of the file is not opaque, see `color.has_alpha`.
        stored_hash: the `pixel_hash` where the stored pixels are not `pixels` as they are (palette, transparency, deep
            values); empty where they are.
        hidden_text: how a text in the lowest bits of the stored pixels begins, see `hidden_text`; empty where there is none.
    """

    pixels: np.ndarray
    icc: bytes
    turn: int
    format: str
    mode: str
    bit_depth: int
    frames: int
    orientation: int
    has_icc: bool
    has_alpha: bool
    stored_hash: bytes = b""
    hidden_text: str = ""

    @property
    def width_px(self) -> int:
        """Width as displayed."""
        return self.pixels.shape[0 if self.turn >= 5 else 1]

    @property
    def height_px(self) -> int:
        """Height as displayed."""
        return self.pixels.shape[1 if self.turn >= 5 else 0]

    @cached_property
    def pixel_hash(self) -> bytes:
        """xxh3-128 of mode, size, palette, transparent color and the stored pixels, before ICC and orientation (TIFF:
        after orientation, which Pillow applies on loading). Big endian, 16 bytes."""
        if self.stored_hash:
            return self.stored_hash
        hasher = pixel_hasher(self.mode, self.pixels.shape)
        hasher.update(self.pixels)
        return hasher.digest()

    @cached_property
    def rgb(self) -> np.ndarray:
        """The whole picture as displayed: uint8 [height_px, width_px, 3], sRGB."""
        return self.displayed(self.pixels)

    def displayed(self, copy: np.ndarray) -> np.ndarray:
        """A copy of `pixels`, of any size, as displayed.

        Args:
            copy: uint8 [h, w, 3] or [h, w] like `pixels`.

        Returns:
            uint8 [h, w, 3] (or [w, h, 3]), sRGB: the ICC profile applied where it differs from sRGB,
            then the orientation. Contiguous.
        """
        if self.icc or copy.ndim == 2:
            copy = displayed_pixels(Image.fromarray(copy), self.icc)
        return oriented(copy, self.turn)


def pixel_hasher(mode: str, shape: Sequence[int]) -> xxhash.xxh3_128:
    """The running hash behind `Decoded.pixel_hash`, to be fed the stored pixels.

    Args:
        mode: Pillow's.
        shape: height, width.
    """
    return xxhash.xxh3_128(f"{mode} {shape[1]} {shape[0]}\0".encode())


def oriented(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Pixels [h, w, ...] turned as Exif orientation 1..8 asks for, contiguous."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
