"""Any allowed format through Pillow: the facts of the file, and its pixels strip by strip."""

from __future__ import annotations

import io
import re
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

import numpy as np
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from .bit_depth import stored_bits
from .color import MAX_ICC_BYTES, displayed_strips, has_alpha, pending_profile, strips
from .decoded import DecodeLimits, pixel_hasher
from .errors import (
    DecodeMemoryError,
    DecompressionBombError,
    EmptyImageError,
    ImageTooLargeError,
    TruncatedImageError,
    UnreadableImageError,
    UnsupportedFormatError,
)
from .hidden_text import hidden_signature
from .jpeg_header import exif_orientation
from .jpeg_xl import is_jpeg_xl, jpeg_xl_size, open_jpeg_xl

#: Formats that are opened, in the order tried. HEIF is added to them where pillow-heif reads it, JPEG
#: XL where pillow-jxl-plugin is installed.
#: Left out on purpose: what runs another program or script (EPS, PDF, WMF), stubs that only name a
#: file (FITS, GRIB, HDF5, BUFR, MPEG), bare or textual bitmaps without a reliable signature (DIB, XBM,
#: XPM, SPIDER, MSP, IM), game textures (BLP, DDS, FTEX, WAL), and obsolete animation (FLI). TGA has no
#: signature and comes last. MPO (several JPEGs in one) is opened as JPEG.
FORMATS = (
    "JPEG",
    "PNG",
    "WEBP",
    "AVIF",
    "GIF",
    "BMP",
    "TIFF",
    "JPEG2000",
    "ICO",
    "PPM",
    "QOI",
    "PSD",
    "SGI",
    "PCX",
    "TGA",
)

_HEIF_BRANDS = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
)

#: Pixels of three bytes per byte of file, from where on a picture over the limit is called a bomb.
#: JPEG reaches about 250, deflate about 1,000, both on a picture of a single color.
_BOMB_RATIO = 200

#: What decoders throw at damaged input, besides the errors of this package. `MemoryError` is not one.
_DECODER_ERRORS = (
    OSError,
    EOFError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    BufferError,
    RuntimeError,
    struct.error,
    zlib.error,
)
_BOMB_ERRORS = (Image.DecompressionBombError, Image.DecompressionBombWarning)

# Pillow's pixel limit and Python's warning filters are process-wide: held only while they are ours.
_pillow_lock = threading.RLock()


@contextmanager
def opened(
    data: bytes, limits: DecodeLimits
) -> Iterator[tuple[dict[str, Any], int, int, Iterator[np.ndarray]]]:
    """A decoded picture whose pixels are still with Pillow.

    Yields:
        the fields of `Decoded` without `pixels`, then height and width of those, and the pixels as
        strips, uint8 [rows, width, 3] each, to be read once and inside the context.

    Raises:
        ImageError: see `decode.decode`, also for what is wrong only inside the context.
    """
    try:
        with _pillow_limits(limits), _open(data, limits) as opened_first:
            check_size(*opened_first.size, limits, len(data))
            image, frames = _counted(opened_first, data, limits)
            tiff = image.format == "TIFF"
            _refuse_misread(image)
            orientation = image.tag_v2.get(0x0112, 1) if tiff else 1
            bits = stored_bits(image, data)
            image.load()
            _put_transparency_right(image, bits)
            check_size(*image.size, limits, len(data))
            if not (image.width and image.height):
                raise EmptyImageError(f"{image.format} of {image.width} x {image.height} pixels")
            if not tiff and image.format != "JXL":
                orientation = exif_orientation(image.info.get("exif") or b"")
            # a TIFF may have it as a fraction, which equals a whole number and is none
            orientation = int(orientation) if orientation in range(1, 9) else 1
            icc = image.info.get("icc_profile") or b""
            alpha = has_alpha(image)
            later = pending_profile(icc, "RGB") if image.mode == "RGB" and not alpha else b""
            facts = {
                "icc": later,
                "turn": 1 if tiff else orientation,  # Pillow turns TIFFs on loading
                "format": str(image.format),
                "mode": image.mode,
                "bit_depth": bits,
                "frames": frames,
                "orientation": orientation,
                "has_icc": bool(icc),
                "has_alpha": alpha,
                "stored_hash": _pixel_hash(image),
                "hidden_text": hidden_signature(image),
            }
            yield facts, image.height, image.width, displayed_strips(image, b"" if later else icc, alpha)
    except _BOMB_ERRORS as e:
        claimed = re.search(r"\((\d+) pixels\)", str(e))
        check_size(int(claimed[1]) if claimed else limits.max_pixels + 1, 1, limits, len(data))
        raise UnreadableImageError(str(e)) from e
    except UnidentifiedImageError as e:
        _raise_if_cut(data, e)
        _raise_unidentified(data, e)
    except _DECODER_ERRORS as e:
        _raise_if_cut(data, e)
        _raise_unreadable(e)


def check_size(width_px: int, height_px: int, limits: DecodeLimits, file_bytes: int) -> None:
    """Refuse a picture of more pixels than allowed.

    Raises:
        ImageTooLargeError: over `max_pixels`.
        DecompressionBombError: so, and 200 times the size of the file or more.
    """
    pixels = width_px * height_px
    if pixels <= limits.max_pixels:
        return
    size = f"{width_px} x {height_px}" if height_px > 1 else f"{pixels:,}"
    message = f"{size} pixels is over max_pixels = {limits.max_pixels:,}"
    if 3 * pixels > _BOMB_RATIO * file_bytes:
        raise DecompressionBombError(
            f"{message} in a file of only {file_bytes:,} bytes; raise it if you trust the file"
        )
    raise ImageTooLargeError(f"{message}; raise it to accept the image")


def _pixel_hash(image: Image.Image) -> bytes:
    hasher = pixel_hasher(image.mode, image.size[::-1])
    if image.palette is not None:
        hasher.update(image.palette.mode.encode() + bytes(image.palette.tobytes()))
    if "transparency" in image.info:
        hasher.update(repr(image.info["transparency"]).encode())
    for strip in strips(image):
        hasher.update(strip.tobytes())
    return hasher.digest()


@contextmanager
def _pillow_limits(limits: DecodeLimits) -> Iterator[None]:
    """Our pixel limit as Pillow's, any excess an error; other warnings about odd files are not news."""
    with _pillow_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        before = Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK
        # the latter bounds profiles too, and those of calibrated displays are larger than a text
        Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK = limits.max_pixels, MAX_ICC_BYTES
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK = before


def _open(data: bytes, limits: DecodeLimits) -> Image.Image:
    """The lazily opened image. HEIF goes to its own class: registering it would be process-wide."""
    if data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS and not _is_avif(data):
        from pillow_heif import HeifImageFile

        return HeifImageFile(io.BytesIO(data))
    if is_jpeg_xl(data):
        check_size(*jpeg_xl_size(data), limits, len(data))  # its plugin decodes on opening
        return open_jpeg_xl(data)
    return Image.open(io.BytesIO(data), formats=FORMATS)


def _is_avif(data: bytes) -> bool:
    """Whether a file whose first brand is that of any HEIF says further on that it is AV1."""
    brands = data[16 : min(int.from_bytes(data[:4], "big"), 16 + 4 * 64)]
    return any(brands[at : at + 4] in (b"avif", b"avis") for at in range(0, len(brands), 4))


def _counted(image: Image.Image, data: bytes, limits: DecodeLimits) -> tuple[Image.Image, int]:
    """The image, and how many pictures its file holds; of a file that is damaged behind its first picture, how many can be
    reached."""
    try:
        return image, min(max(1, int(getattr(image, "n_frames", 1))), 2**31 - 1)
    except _DECODER_ERRORS:
        reached = _open(data, limits)  # after that error an image may be anywhere in its file
    count = 1
    with suppress(*_DECODER_ERRORS):
        while True:
            reached.seek(count)
            count += 1
    return _open(data, limits), count


def _refuse_misread(image: Image.Image) -> None:
    """Refuse what Pillow reads without an error, and wrongly."""
    if image.format != "TIFF":
        return
    bits, compression, planes = (image.tag_v2.get(tag, 1) for tag in (258, 259, 284))
    if planes == 2 and compression == 1 and isinstance(bits, tuple) and len(bits) > 2 and max(bits) > 8:
        raise UnreadableImageError(
            "TIFF of separate 16-bit planes without compression is not read; save it compressed, or with its samples together"
        )


def _put_transparency_right(image: Image.Image, bits: int) -> None:
    """The transparent color of a PNG in units of its pixels: Pillow scales these to 8 bits, and it not.

    Of 16-bit colors Pillow keeps the upper halves; so is done with the transparent one.
    """
    color = image.info.get("transparency")
    if image.format != "PNG" or color is None:
        return
    if image.mode in ("1", "L") and bits < 8 and isinstance(color, int):
        most = (1 << bits) - 1
        if color > most:
            del image.info["transparency"]
        else:
            image.info["transparency"] = color * 255 // most
    elif image.mode == "RGB" and bits == 16 and isinstance(color, tuple):
        image.info["transparency"] = tuple(value >> 8 for value in color)


def _raise_if_cut(data: bytes, error: BaseException) -> None:
    """Call a file truncated that says itself how long it is, and is not."""
    if data[:4] == b"RIFF":
        length = 8 + int.from_bytes(data[4:8], "little")
    elif data[4:8] in (b"ftyp", b"JXL ", b"jP  "):
        length = 0
        while 0 <= len(data) - length >= 8:  # boxes, one behind another
            size = int.from_bytes(data[length : length + 4], "big")
            if size == 1:
                size = int.from_bytes(data[length + 8 : length + 16], "big")
            if size < 8:  # up to the end, or nonsense
                return
            length += size
    else:
        return
    if length > len(data):
        raise TruncatedImageError(f"{len(data):,} bytes of {length:,}: the file ends too early") from error


def _raise_unidentified(data: bytes, error: BaseException) -> NoReturn:
    prefix = data[:16]
    for name in FORMATS:
        accept = Image.OPEN[name][1]
        if accept is not None and accept(prefix) is True:
            raise UnreadableImageError(
                f"starts like {name}, but its header is corrupt, or of a variant that is not read"
            ) from error
    raise UnsupportedFormatError(
        f"not an image of a supported format (starts with {prefix!r}); supported: {', '.join(FORMATS)}, HEIF, JXL"
    ) from error


def _raise_unreadable(error: BaseException) -> NoReturn:
    message = " ".join(str(error).split()) or type(error).__name__
    lowered = message.lower()
    if isinstance(error, EOFError) or any(
        sign in lowered for sign in ("truncated", "end of file", "premature", "not enough", "unexpected end")
    ):
        raise TruncatedImageError(message) from error
    if "decompressed data too large" in lowered or "too much memory used in text chunks" in lowered:
        raise DecompressionBombError(f"a metadata chunk is a decompression bomb: {message}") from error
    if "security limit" in lowered:
        raise ImageTooLargeError(f"{message} (a limit of the decoder that cannot be raised)") from error
    if "memory" in lowered:
        raise DecodeMemoryError(f"{message}; raise memory_bytes to accept the file") from error
    raise UnreadableImageError(message) from error
