"""Bytes of a picture to RGB pixels of a given size. The picture is covered, never stretched: what the shapes differ is cut
off evenly at both ends."""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image, ImageOps

from .errors import BadSampleError

#: Pictures beyond are refused before they are decoded: small files can unfold to gigabytes.
MOST_PIXELS = 200_000_000
_ORIENTATION = 0x0112


def _opened(data: bytes) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadSampleError(f"not a picture that can be read: {error}") from error
    if image.width * image.height > MOST_PIXELS:
        raise BadSampleError(f"{image.width}x{image.height} px: more than {MOST_PIXELS} px")
    return image


def picture_size(data: bytes) -> tuple[int, int]:
    """(width, height) as displayed, from the header. Raises BadSampleError."""
    image = _opened(data)
    turned = _orientation(image) >= 5
    return (image.height, image.width) if turned else (image.width, image.height)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except (OSError, ValueError, TypeError, SyntaxError):
        return 1  # broken Exif is no reason to lose a picture


def decode(data: bytes, size_px: tuple[int, int]) -> np.ndarray:
    """uint8 [height, width, 3] sRGB of `size_px` (width, height), as displayed; transparency on white.

    JPEGs are decoded at the smallest scale of the format that is not below twice the size, then reduced.
    Raises BadSampleError for anything that cannot be decoded whole.
    """
    image = _opened(data)
    pixels = _jpeg(data, image, size_px) if _is_plain_jpeg(image) else None
    if pixels is None:
        try:
            pixels = _any(image)
        except (OSError, ValueError, SyntaxError, MemoryError, EOFError) as error:
            raise BadSampleError(f"{image.format}: cannot be decoded: {error}") from error
    return cover(pixels, size_px)


def _is_plain_jpeg(image: Image.Image) -> bool:
    return image.format == "JPEG" and image.mode in ("RGB", "L") and "icc_profile" not in image.info


def _jpeg(data: bytes, image: Image.Image, size_px: tuple[int, int]) -> np.ndarray | None:
    import simplejpeg

    orientation = _orientation(image)
    width, height = size_px[::-1] if orientation >= 5 else size_px
    try:
        pixels = simplejpeg.decode_jpeg(data, "RGB", min_height=2 * height, min_width=2 * width)
    except ValueError as error:
        raise BadSampleError(f"JPEG: {error}") from error
    return pixels if orientation == 1 else _turned(pixels, orientation)


def _turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """As Exif orientation 2..8 asks for."""
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def _any(image: Image.Image) -> np.ndarray:
    image = ImageOps.exif_transpose(image)
    if image.mode in ("I;16", "I;16B", "I", "F"):
        raise BadSampleError(f"mode {image.mode}: deep grey is not trained on")
    profile = image.info.get("icc_profile")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    elif profile and image.mode in ("RGB", "L", "CMYK"):
        image = _srgb(image, profile)
    return np.asarray(image.convert("RGB"))


def _srgb(image: Image.Image, profile: bytes) -> Image.Image:
    from PIL import ImageCms

    try:
        return ImageCms.profileToProfile(
            image,
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            outputMode="RGB",
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image  # a broken profile: the numbers as they are


def cover(pixels: np.ndarray, size_px: tuple[int, int]) -> np.ndarray:
    """uint8 [height, width, 3] of `size_px` (width, height): the largest middle part of that shape, resized."""
    import cv2

    width, height = size_px
    rows, columns = pixels.shape[:2]
    if (columns, rows) == (width, height):
        return np.ascontiguousarray(pixels)
    scale = max(width / columns, height / rows)
    keep_columns, keep_rows = (min(columns, round(width / scale)), min(rows, round(height / scale)))
    left, top = (columns - keep_columns) // 2, (rows - keep_rows) // 2
    part = pixels[top : top + keep_rows, left : left + keep_columns]
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(part, (width, height), interpolation=method)
