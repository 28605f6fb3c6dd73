"""The picture a model looks at: the original pixels, upright and in sRGB, without what the file says about itself."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy as np

#: Larger pictures are shrunk to this many pixels: more than any model is shown at once, enough to read one in parts.
MAX_PIXELS = 4_000_000
_QUALITY = 95
#: Decoded at once: a picture of 100 megapixels takes 300 MB.
_AT_ONCE = 2
#: Pixels of pictures held encoded at a time. A photograph takes 0.6 to 1 byte each, noise 2: at most 2 GB.
HELD_PIXELS = 1 << 30


def picture(data: bytes) -> bytes:
    """A JPEG (quality 95, 4:4:4) of an image file, upright, at most `MAX_PIXELS`.

    Always encoded anew: metadata (a camera's position, a name) is not to be sent to a server with the pixels.

    Raises:
        ImageError: the file cannot be decoded.
    """
    import simplejpeg

    from zcurate.curation.profile.decode import decode
    from zcurate.curation.profile.shrink import shrink

    rgb = decode(data).rgb
    height_px, width_px = rgb.shape[:2]
    if height_px * width_px > MAX_PIXELS:
        short_px, long_px = sorted((height_px, width_px))
        rgb = shrink(rgb, max(1, int((MAX_PIXELS * short_px / long_px) ** 0.5)), max_aspect=10**6)
    return simplejpeg.encode_jpeg(np.ascontiguousarray(rgb), quality=_QUALITY, colorsubsampling="444")


class Originals:
    """Reads and prepares original pictures for many threads.

    Args:
        reader: makes a reader of original bytes (`BlobReader`), one per thread.
    """

    def __init__(self, reader: Callable[[], Any]):
        self._reader, self._local = reader, threading.local()
        self._decoding = threading.Semaphore(_AT_ONCE)

    def picture(self, place: Sequence[Any]) -> bytes:
        """`picture` of the file at (source, uri, container, member, offset, length). Raises SampleError."""
        if not hasattr(self._local, "blobs"):
            self._local.blobs = self._reader()
        data = self._local.blobs.read(*place)
        with self._decoding:
            return picture(data)


class Room:
    """So many pixels at a time, first come first served. Belongs to one event loop."""

    def __init__(self, pixels: int = HELD_PIXELS):
        self.size = self.free = pixels
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def hold(self, width_px: int, height_px: int) -> AsyncIterator[None]:
        """Wait for the room that `picture` of a file of this size needs, and keep it inside the block."""
        pixels = min(width_px * height_px, MAX_PIXELS, self.size)
        if self._waiting or pixels > self.free:
            place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((pixels, place))
            try:
                await place  # handed over: `free` is without it already
            except asyncio.CancelledError:
                if place.done() and not place.cancelled():
                    self._leave(pixels)
                raise
        else:
            self.free -= pixels
        try:
            yield
        finally:
            self._leave(pixels)

    def _leave(self, pixels: int) -> None:
        self.free += pixels
        while self._waiting and (self._waiting[0][1].done() or self._waiting[0][0] <= self.free):
            wanted, place = self._waiting.popleft()
            if not place.done():  # else its owner was cancelled
                self.free -= wanted
                place.set_result(None)
