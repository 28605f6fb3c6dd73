"""All columns of one file from one decode: profile, metadata, quality, thumbnail."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import ImageMode

from .blockiness import blockiness
from .border import border_variance, displayed_sides, frame
from .color_cast import color_cast
from .columns import QUALITY_SCHEMA, SIDES
from .compression import compression_ratio
from .decode import Decoded, DecodeLimits, decode
from .entropy import reencode_bytes_per_px
from .errors import BlockedContentError
from .fingerprints import content_id, phashes64, tiny_grey
from .grid import grid_evidence
from .icc_cube import displayed_small
from .jpeg_quality import jpeg_quality
from .metadata import read_metadata
from .noise import noise_sigma
from .quality.glimpses import HALVED_PX, fine_copy
from .sharpness import sharpness
from .shrink import shrink, shrink_by_halves
from .survey import Survey, survey
from .thumbnail import SHORT_SIDE_PX, thumbnail
from .tones import dominant_color_share, tones

if TYPE_CHECKING:
    from .model_scores import ModelScores

#: Short side of the image that size-dependent signals are measured on, in pixels.
WORKING_SIDE_PX = 256


def profile_image(
    data: bytes,
    limits: DecodeLimits = DecodeLimits(),  # noqa: B008 (frozen)
    block: Collection[bytes] = frozenset(),
    models: ModelScores | None = None,
) -> dict[str, Any]:
    """Every column of the four groups (`columns`, `metadata.columns`) for one file.

    The full picture is gone through once after its decode (`survey.survey`).
    Color management and orientation are applied to the small copies. Measured are

    - at native resolution, as stored: noise and blockiness on the center, entropy and clipped pixels
      on evenly spaced rows, the frame on lines from the edges inward, what the models score;
    - on the thumbnail, short side 336 px: by how many bytes it is encoded;
    - on a copy of short side 256 px, as displayed: everything else, the pHash too (its bits are those of
      `imagehash.phash` of a 32 x 32 grey copy, see `fingerprints.tiny_grey`).

    Args:
        data: the file.
        limits: what `decode` refuses.
        block: content ids (16 bytes) that are refused before they are opened.
        models: what fills the columns of `QUALITY_SCHEMA`, later, see `ModelScores`; without it they stay None.

    Raises:
        BlockedContentError: the content id is in `block`.
        ImageError: see `decode`.
    """
    identity = content_id(data)
    if identity in block:
        raise BlockedContentError(f"content id {identity.hex()} is on the block list")
    image = decode(data, limits)
    seen = survey(image, HALVED_PX)
    small_stored = shrink(image.pixels, SHORT_SIDE_PX, halved=seen.halved)
    small = displayed_small(image, small_stored)
    thumb, thumb_width_px, thumb_height_px = thumbnail(small)
    working = np.ascontiguousarray(shrink(small, WORKING_SIDE_PX))
    luma = cv2.cvtColor(working, cv2.COLOR_RGB2GRAY)
    bars = displayed_sides(frame(image.pixels, small_stored), image.turn)
    row = {
        "content_id": identity,
        "file_bytes": len(data),
        "pixel_hash": seen.pixel_hash,
        **_facts(image, data),
        **_native_signals(seen),
        **{f"frame_{side}_px": bar for side, bar in zip(SIDES, bars, strict=True)},
        "reencode_bpp": reencode_bytes_per_px(thumb, thumb_width_px, thumb_height_px),
        **_working_signals(working, luma),
        "grid_evidence": grid_evidence(_within(luma, bars, image.width_px)),
        **read_metadata(data, image.format),
        **dict.fromkeys(QUALITY_SCHEMA.names),
        "thumb": thumb,
        "thumb_width_px": thumb_width_px,
        "thumb_height_px": thumb_height_px,
    }
    if image.hidden_text:
        row["ai_declared"] = True
        row["ai_evidence"].append(f"hidden in the lowest bits of pixels: {image.hidden_text}")
    if models is not None:
        models.add(row, image, fine_copy(seen.halved), small)
    return row


def _facts(image: Decoded, data: bytes) -> dict[str, Any]:
    channels = len(ImageMode.getmode(image.mode).bands)
    return {
        "width_px": image.width_px,
        "height_px": image.height_px,
        "format": image.format,
        "mode": image.mode,
        "frames": image.frames,
        "orientation": image.orientation,
        "has_icc": image.has_icc,
        "has_alpha": image.has_alpha,
        "bit_depth": image.bit_depth,
        "compression_ratio": compression_ratio(
            image.width_px, image.height_px, channels, image.bit_depth, len(data)
        ),
        "jpeg_quality": jpeg_quality(data) if image.format in ("JPEG", "MPO") else None,
    }


def _native_signals(seen: Survey) -> dict[str, Any]:
    return {
        "noise_sigma": noise_sigma(seen.center),
        "blockiness": blockiness(seen.center),
        **tones(seen.rows)._asdict(),
    }


def _working_signals(working: np.ndarray, luma: np.ndarray) -> dict[str, Any]:
    half = shrink_by_halves(working, WORKING_SIDE_PX // 2)
    phashes = phashes64(tiny_grey(luma))
    variance = border_variance(working)
    return {
        "phash": phashes[0],
        "phashes": phashes,
        "border_variance": variance.pair,
        **{f"border_variance_{side}": getattr(variance, side) for side in SIDES},
        "sharpness": sharpness(luma),
        "color_cast": color_cast(half),
        "dominant_color_share": dominant_color_share(half),
    }


def _within(luma: np.ndarray, bars: Sequence[float], width_px: int) -> np.ndarray:
    """A copy of a picture `width_px` wide without its bars (top, right, bottom, left, in px of the picture)."""
    height, width = luma.shape
    top, right, bottom, left = (math.ceil(bar * width / width_px) for bar in bars)
    return luma[top : max(top, height - bottom), left : max(left, width - right)]
