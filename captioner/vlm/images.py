"""Pictures as a vision-language model wants them: upright, no larger than its token budget, encoded once.

Qwen's vision encoders make one token of 28 x 28 px (Qwen2.5-VL) or 32 x 32 px (Qwen3-VL); servers of other families
are of the same order, so a budget in tokens is a budget in pixels.
"""

from __future__ import annotations

import base64
import io
from collections import OrderedDict

from PIL import Image, ImageOps

from ..chat import ChatError

PATCH_PX = 28
#: Larger pictures are refused before decoding: nothing upstream makes them, and a decoder would need gigabytes.
MAX_PIXELS = 89_000_000
_MIME = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
_ORIENTATION = 0x0112


def fit(data: bytes, tokens: int, scale: float = 1.0, patch_px: int = PATCH_PX) -> tuple[bytes, str]:
    """An encoded picture within a budget, and its media type.

    Args:
        data: JPEG, PNG or WebP.
        tokens: budget; the picture gets at most `tokens * patch_px**2` pixels. Smaller ones are never enlarged.
        scale: of the sides, in addition, (0, 1].

    Returns:
        The bytes as they came where nothing has to change; else a JPEG (quality 92) without alpha, on white.

    Raises:
        ChatError: `rejected`, for bytes that are no such picture.
    """
    try:
        with Image.open(io.BytesIO(data), formats=tuple(_MIME)) as image:
            width_px, height_px = image.size
            if width_px * height_px > MAX_PIXELS:
                raise ChatError(
                    "rejected", f"the picture has {width_px} x {height_px} px, too many to decode"
                )
            factor = scale * min(1.0, (tokens * patch_px**2 / (width_px * height_px)) ** 0.5)
            turned = image.getexif().get(_ORIENTATION, 1) not in (0, 1)
            if factor >= 1 and not turned and image.mode in ("RGB", "L"):
                return data, _MIME.get(image.format or "", "image/jpeg")
            return _encode(image, factor), "image/jpeg"
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as e:
        if isinstance(e, ChatError):
            raise
        raise ChatError("rejected", f"the picture cannot be decoded: {e}") from e


def _encode(image: Image.Image, factor: float) -> bytes:
    size = tuple(max(1, int(side * factor)) for side in image.size)
    image.draft("RGB", size)
    upright = ImageOps.exif_transpose(image)
    if upright.has_transparency_data:
        upright = upright.convert("RGBA")
        white = Image.new("RGBA", upright.size, "white")
        upright = Image.alpha_composite(white, upright)
    upright = upright.convert("RGB")
    if factor < 1:
        swapped = image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
        upright = upright.resize(size[::-1] if swapped else size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    out = io.BytesIO()
    upright.save(out, "JPEG", quality=92)
    return out.getvalue()


def data_url(data: bytes, mime: str) -> bytes:
    return b"data:%b;base64,%b" % (mime.encode("ascii"), base64.b64encode(data))


class UrlCache:
    """Data URLs of the pictures asked about last, so that the calls about one picture encode it once.

    Args:
        max_bytes: of all URLs kept; the least recently used goes first.
    """

    def __init__(self, max_bytes: int = 256 << 20):
        self._urls: OrderedDict[tuple[str, float], bytes] = OrderedDict()
        self._max_bytes, self._bytes = max_bytes, 0

    def get(self, digest: str, scale: float) -> bytes | None:
        url = self._urls.get((digest, scale))
        if url is not None:
            self._urls.move_to_end((digest, scale))
        return url

    def put(self, digest: str, scale: float, url: bytes) -> None:
        self._bytes += len(url) - len(self._urls.pop((digest, scale), b""))
        self._urls[(digest, scale)] = url
        while self._bytes > self._max_bytes and self._urls:
            _, dropped = self._urls.popitem(last=False)
            self._bytes -= len(dropped)
