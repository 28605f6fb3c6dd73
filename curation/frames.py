"""Frames of moving or paged pictures (GIF, WebP, APNG, TIFF), as pictures of their own."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np

from .errors import SampleError
from .profile.decode import FORMATS, decode


class FrameError(SampleError):
    """A picture whose frames cannot be read."""


def frames(data: bytes, most: int = 8, max_pixels: int = 100_000_000) -> Iterator[tuple[int, bytes]]:
    """(frame number, PNG bytes) of at most `most` frames, evenly spaced, first and last included.

    A picture of a single frame has none. Transparency is composited on white, as everywhere.

    Raises:
        SampleError: unreadable, too large, or of a format that is not allowed.
    """
    from PIL import Image

    first = decode(data)  # all checks of untrusted bytes are made there
    if first.frames < 2:
        return
    if first.width_px * first.height_px > max_pixels:
        raise FrameError(
            f"{first.width_px} x {first.height_px} px per frame; the limit is {max_pixels} pixels"
        )
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        for n in sorted(set(np.linspace(0, first.frames - 1, min(most, first.frames)).astype(int).tolist())):
            try:
                image.seek(n)
                rgba = image.convert("RGBA")
            except (EOFError, OSError, ValueError, SyntaxError) as e:
                raise FrameError(f"frame {n} of {first.frames}: {e}") from e
            white = Image.new("RGBA", rgba.size, "white")
            sink = io.BytesIO()
            Image.alpha_composite(white, rgba).convert("RGB").save(sink, "PNG")
            yield n, sink.getvalue()
