"""One safe decode of untrusted bytes: what every pixel signal is measured on."""

from __future__ import annotations

import io
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import simplejpeg
import xxhash
from PIL import Image, UnidentifiedImageError

from .color import has_alpha, strips, to_srgb
from .errors import ImageTooLargeError, TruncatedImageError, UnreadableImageError, UnsupportedFormatError
from .jpeg_header import JpegHeader, exif_orientation, read_jpeg_header

#: Formats that are opened, in the order tried. HEIF is added to them where pillow-heif reads it.
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

#: More scans than any encoder writes: a progressive file of that many is a known way to burn hours.
_MAX_JPEG_SCANS = 200

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


@dataclass(frozen=True)
class DecodeLimits:
    """What is refused unopened.

    Attributes:
        max_pixels: most pixels (width x height) of a picture.
        max_file_bytes: most bytes of a file.
    """

    max_pixels: int = 100_000_000
    max_file_bytes: int = 256 << 20


@dataclass(frozen=True)
class Decoded:
    """A picture as displayed, and the facts of its file.

    Attributes:
        rgb: uint8 [height, width, 3], sRGB: Exif orientation applied, ICC profile applied where it
            differs from sRGB, transparency shown on white, deep or float grey scaled to 8 bits.
        format: Pillow's name of the format, e.g. JPEG, PNG, HEIF.
        mode: Pillow's mode of the stored pixels, e.g. RGB, L, P, CMYK, I;16.
        frames: pictures in the file (animation, pages); only the first is decoded.
        orientation: Exif orientation of the file, 1..8; 1 where the format's own decoder applies it.
        has_icc: the file carries an ICC profile.
        has_alpha: the file carries transparency.
        pixel_hash: xxh3-128 of mode, size, palette, transparent color and the stored pixels, before ICC and orientation
            (TIFF: after orientation, which Pillow applies on loading). Big endian, 16 bytes.
    """

    rgb: np.ndarray
    format: str
    mode: str
    frames: int
    orientation: int
    has_icc: bool
    has_alpha: bool
    pixel_hash: bytes

    @property
    def width_px(self) -> int:
        return self.rgb.shape[1]

    @property
    def height_px(self) -> int:
        return self.rgb.shape[0]


def decode(data: bytes, limits: DecodeLimits = DecodeLimits()) -> Decoded:
    """Decode the first picture of an image file.

    Args:
        data: the whole file. Nothing about it is trusted.
        limits: what to refuse.

    Raises:
        UnsupportedFormatError: not a format of `FORMATS` or HEIF.
        UnreadableImageError: corrupt, or a variant that is not read.
        TruncatedImageError: the file ends too early.
        ImageTooLargeError: over `limits`.
    """
    if not data:
        raise UnreadableImageError("the file is empty")
    if len(data) > limits.max_file_bytes:
        raise ImageTooLargeError(
            f"{len(data):,} bytes is over max_file_bytes = {limits.max_file_bytes:,}; raise it to accept the file"
        )
    header = read_jpeg_header(data)
    if header is not None:
        _check_size(header.width_px, header.height_px, limits)
        scans = data.count(b"\xff\xda") if header.process == 0xC2 else 1
        if scans > _MAX_JPEG_SCANS:
            raise UnreadableImageError(f"JPEG with {scans} scans, more than {_MAX_JPEG_SCANS}")
        decoded = _decode_plain_jpeg(data, header)
        if decoded is not None:
            return decoded
    return _decode_with_pillow(data, limits)


def _check_size(width: int, height: int, limits: DecodeLimits) -> None:
    if width * height > limits.max_pixels:
        raise ImageTooLargeError(
            f"{width} x {height} pixels is over max_pixels = {limits.max_pixels:,}; raise it to accept the image"
        )


def _decode_plain_jpeg(data: bytes, header: JpegHeader) -> Decoded | None:
    """8-bit grey or three-component Huffman JPEG through libjpeg-turbo; None for the rest."""
    ordinary = header.process in (0xC0, 0xC1, 0xC2) and header.bits == 8 and header.components in (1, 3)
    if not ordinary or header.multi_picture or not (header.width_px and header.height_px):
        return None
    mode = "L" if header.components == 1 else "RGB"
    try:
        pixels = simplejpeg.decode_jpeg(data, "gray" if mode == "L" else "rgb", strict=True)
    except ValueError as e:
        message = str(e)
        if "remature end" in message:
            raise TruncatedImageError(f"JPEG: {message}") from e
        if "bad Huffman" in message or "instead of RST" in message:
            raise UnreadableImageError(f"JPEG: {message}") from e
        return None  # harmless by libjpeg's own account, e.g. bytes between segments: Pillow reads it
    if mode == "L":
        pixels = pixels[..., 0]
    pixel_hash = _pixel_hasher(mode, pixels.shape[1], pixels.shape[0])
    pixel_hash.update(pixels)
    if header.icc or mode == "L":
        image = Image.fromarray(pixels)
        pixels = _displayed(image, header.icc)
    orientation = exif_orientation(header.exif)
    return Decoded(
        rgb=oriented(pixels, orientation),
        format="JPEG",
        mode=mode,
        frames=1,
        orientation=orientation,
        has_icc=bool(header.icc),
        has_alpha=False,
        pixel_hash=pixel_hash.digest(),
    )


def _decode_with_pillow(data: bytes, limits: DecodeLimits) -> Decoded:
    try:
        with _pillow_limits(limits), _open(data) as image:
            width, height = image.size
            _check_size(width, height, limits)
            frames = min(int(getattr(image, "n_frames", 1)), 2**31 - 1)
            tiff = image.format == "TIFF"
            orientation = image.tag_v2.get(0x0112, 1) if tiff else 1
            image.load()
            _check_size(*image.size, limits)
            if not (image.width and image.height):
                raise UnreadableImageError(f"{image.format} of {image.width} x {image.height} pixels")
            if not tiff:
                orientation = exif_orientation(image.info.get("exif") or b"")
            icc = image.info.get("icc_profile") or b""
            pixel_hash = _pixel_hasher(image.mode, *image.size)
            if image.palette is not None:
                pixel_hash.update(image.palette.mode.encode() + bytes(image.palette.tobytes()))
            if "transparency" in image.info:
                pixel_hash.update(repr(image.info["transparency"]).encode())
            for strip in strips(image):
                pixel_hash.update(strip.tobytes())
            facts = {
                "format": str(image.format),
                "mode": image.mode,
                "frames": max(1, frames),
                "orientation": orientation if orientation in range(1, 9) else 1,
                "has_icc": bool(icc),
                "has_alpha": has_alpha(image),
            }
            rgb = _displayed(image, icc)
    except _BOMB_ERRORS as e:
        raise ImageTooLargeError(
            f"more pixels than max_pixels = {limits.max_pixels:,}; raise it to accept the image"
        ) from e
    except UnidentifiedImageError as e:
        _raise_unidentified(data, e)
    except _DECODER_ERRORS as e:
        _raise_unreadable(e)
    return Decoded(rgb=oriented(rgb, 1 if tiff else orientation), pixel_hash=pixel_hash.digest(), **facts)


@contextmanager
def _pillow_limits(limits: DecodeLimits) -> Iterator[None]:
    """Our pixel limit as Pillow's, any excess an error; other warnings about odd files are not news."""
    with _pillow_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, limits.max_pixels
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _open(data: bytes) -> Image.Image:
    """The lazily opened image. HEIF goes to its own class: registering it would be process-wide."""
    if data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS:
        from pillow_heif import HeifImageFile

        return HeifImageFile(io.BytesIO(data))
    return Image.open(io.BytesIO(data), formats=FORMATS)


def _displayed(image: Image.Image, icc: bytes) -> np.ndarray:
    convert = to_srgb(image, icc)
    rgb = np.empty((image.height, image.width, 3), np.uint8)
    top = 0
    for strip in strips(image):
        rgb[top : top + strip.height] = convert(strip)
        top += strip.height
    return rgb


def oriented(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Pixels [h, w, ...] turned as Exif orientation 1..8 asks for, contiguous."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _pixel_hasher(mode: str, width: int, height: int) -> xxhash.xxh3_128:
    return xxhash.xxh3_128(f"{mode} {width} {height}\0".encode())


def _raise_unidentified(data: bytes, error: BaseException) -> NoReturn:
    prefix = data[:16]
    for name in FORMATS:
        accept = Image.OPEN[name][1]
        if accept is not None and accept(prefix) is True:
            raise UnreadableImageError(f"starts like {name}, but its header is corrupt") from error
    raise UnsupportedFormatError(
        f"not an image of a supported format (starts with {prefix!r}); supported: {', '.join(FORMATS)}, HEIF"
    ) from error


def _raise_unreadable(error: BaseException) -> NoReturn:
    message = str(error) or type(error).__name__
    lowered = message.lower()
    if isinstance(error, EOFError) or any(
        sign in lowered for sign in ("truncated", "end of file", "premature", "not enough", "unexpected end")
    ):
        raise TruncatedImageError(message) from error
    raise UnreadableImageError(message) from error
