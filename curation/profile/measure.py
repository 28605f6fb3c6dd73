"""All profile columns of one file from one decode."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import cv2
import numpy as np

from .border import border_variance
from .color_cast import color_cast
from .compression import compression_ratio
from .decode import DecodeLimits, decode
from .entropy import reencode_bytes_per_px
from .errors import BlockedContentError
from .fingerprints import content_id, grey_image, phash64
from .noise import center_window, noise_sigma
from .sharpness import sharpness
from .shrink import shrink, shrink_by_integer
from .thumbnail import SHORT_SIDE_PX, thumbnail

#: Short side of the image that size-dependent signals are measured on, in pixels.
WORKING_SIDE_PX = 256
#: Short side above which a picture is first shrunk by a whole factor.
_COARSE_SIDE_PX = 512


def profile_image(
    data: bytes,
    limits: DecodeLimits = DecodeLimits(),  # noqa: B008 (frozen)
    block: Collection[bytes] = frozenset(),
) -> dict[str, Any]:
    """Every column of `columns.PROFILE_SCHEMA` and `columns.THUMBS_SCHEMA` for one file.

    The pHash is taken from the full picture (the same bits as `imagehash.phash` of the displayed
    image), noise from its center at native resolution, all else from a copy of short side 256 px.

    Args:
        data: the file.
        limits: what `decode` refuses.
        block: content ids (16 bytes) that are refused before they are opened.

    Raises:
        BlockedContentError: the content id is in `block`.
        ImageError: see `decode`.
    """
    identity = content_id(data)
    if identity in block:
        raise BlockedContentError(f"content id {identity.hex()} is on the block list")
    image = decode(data, limits)
    rgb = image.rgb
    coarse = shrink_by_integer(rgb, _COARSE_SIDE_PX)
    small = shrink(coarse, SHORT_SIDE_PX)
    thumb, thumb_width_px, thumb_height_px = thumbnail(small)
    working = np.ascontiguousarray(shrink(small, WORKING_SIDE_PX))
    return {
        "content_id": identity,
        "width_px": image.width_px,
        "height_px": image.height_px,
        "format": image.format,
        "mode": image.mode,
        "file_bytes": len(data),
        "frames": image.frames,
        "orientation": image.orientation,
        "has_icc": image.has_icc,
        "has_alpha": image.has_alpha,
        "pixel_hash": image.pixel_hash,
        "phash": phash64(grey_image(rgb)),
        "compression_ratio": compression_ratio(image.width_px, image.height_px, len(data)),
        "border_variance": border_variance(working),
        "reencode_bpp": reencode_bytes_per_px(working),
        "sharpness": sharpness(cv2.cvtColor(working, cv2.COLOR_RGB2GRAY)),
        "noise_sigma": noise_sigma(cv2.cvtColor(center_window(rgb), cv2.COLOR_RGB2GRAY)),
        "color_cast": color_cast(working),
        "thumb": thumb,
        "thumb_width_px": thumb_width_px,
        "thumb_height_px": thumb_height_px,
    }
