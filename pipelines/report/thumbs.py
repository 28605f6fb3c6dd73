"""Images small enough to live inside the page."""

from __future__ import annotations

import base64
import io
import warnings

import xxhash
from PIL import Image, ImageOps, UnidentifiedImageError

#: Longest side of an embedded image, in pixels.
LONG_SIDE_PX = 180
JPEG_QUALITY = 72

# Stored thumbnails are at most a few hundred pixels; anything much larger is not one of ours.
_MAX_PIXELS = 40_000_000
_FORMATS = ("JPEG", "PNG", "WEBP")


class ThumbBank:
    """Encodes images as data URIs within a byte budget; the same image is encoded once.

    Args:
        budget_bytes: base64 bytes after which images are left out (each is a grey box then).
    """

    def __init__(self, budget_bytes: int = 4_000_000) -> None:
        self.left_bytes = budget_bytes
        self.omitted = 0
        self._known: dict[bytes, tuple[str, int, int] | None] = {}

    def embed(self, image: bytes | None) -> tuple[str, int, int] | None:
        """(data URI, width_px, height_px), or None where there is no image, it cannot be decoded, or
        the budget is spent."""
        if not image:
            return None
        mark = xxhash.xxh3_128_digest(image)
        if mark not in self._known:
            self._known[mark] = _encode(image)
        found = self._known[mark]
        if found is None:
            return None
        if len(found[0]) > self.left_bytes:
            self.omitted += 1
            return None
        self.left_bytes -= len(found[0])
        return found


def _encode(image: bytes) -> tuple[str, int, int] | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(image), formats=_FORMATS) as opened:
                if opened.width * opened.height > _MAX_PIXELS:
                    return None
                opened.draft("RGB", (LONG_SIDE_PX, LONG_SIDE_PX))
                picture = ImageOps.exif_transpose(opened)
                if picture.mode in ("RGBA", "LA", "PA", "P"):
                    picture = picture.convert("RGBA")
                    backdrop = Image.new("RGBA", picture.size, (236, 236, 232, 255))
                    picture = Image.alpha_composite(backdrop, picture)
                picture = picture.convert("RGB")
        picture.thumbnail((LONG_SIDE_PX, LONG_SIDE_PX), Image.Resampling.LANCZOS, reducing_gap=3.0)
        out = io.BytesIO()
        picture.save(out, "JPEG", quality=JPEG_QUALITY, optimize=True, progressive=True)
    except (
        UnidentifiedImageError,
        OSError,
        ValueError,
        SyntaxError,  # Pillow's PNG reader
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    ):
        return None
    text = base64.b64encode(out.getvalue()).decode("ascii")
    return f"data:image/jpeg;base64,{text}", picture.width, picture.height
