"""Any decoded Pillow image, strip by strip, to 8-bit sRGB."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

ALPHA_MODES = frozenset({"RGBA", "RGBa", "LA", "La", "PA"})
_DEEP_MODES = frozenset({"I", "F", "I;16", "I;16L", "I;16B", "I;16N"})

#: Below this difference in any channel, in 8-bit levels, a profile is taken to be sRGB itself.
_SRGB_TOLERANCE = 2

#: Larger profiles are ignored. The largest in use, for presses of many inks, are a few megabytes.
MAX_ICC_BYTES = 8 << 20
#: Larger profiles are not kept for the next file: 32 of them must not fill the memory.
_KEPT_ICC_BYTES = 1 << 20


def has_alpha(image: Image.Image) -> bool:
    """Whether any pixel of the loaded image may show what is under it; an alpha channel may be opaque all over.

    A color declared transparent (L, RGB, deep grey) and premultiplied modes are not looked for among the pixels.
    """
    if image.mode in ("RGBA", "LA"):
        return any(strip.getchannel("A").getextrema()[0] < 255 for strip in strips(image))
    transparency = image.info.get("transparency")
    if image.mode == "P" and isinstance(transparency, (int, bytes)):
        used = image.histogram()
        if isinstance(transparency, int):
            return transparency >= len(used) or used[transparency] > 0
        return any(count and opacity < 255 for count, opacity in zip(used, transparency, strict=False))
    return image.mode in ALPHA_MODES or transparency is not None


def to_srgb(image: Image.Image, icc: bytes, alpha: bool) -> Callable[[Image.Image], np.ndarray]:
    """How strips of `image` become displayed pixels.

    Transparent pixels are shown on white. An ICC profile that fits the image's color space is
    applied; one that is broken or belongs to another space is ignored, as browsers do. Deep grey is
    scaled to 8 bits by `_deep_range`. CMYK without a profile is converted the plain way,
    (255 - ink)(255 - black) / 255. Whether a JPEG stores ink or its absence is settled before, by
    Pillow: always its absence, with or without an Adobe marker, as browsers have it.

    Args:
        image: loaded, in any mode.
        icc: its profile, or empty.
        alpha: as of `has_alpha`, which looks at all pixels.

    Returns:
        function from a strip of the image to uint8 [h, w, 3].
    """
    mode, transparency = image.mode, image.info.get("transparency")
    if mode in _DEEP_MODES:
        return _deep_converter(image, transparency)
    if mode == "LAB":
        lab = _lab_transform()
        return lambda strip: np.asarray(ImageCms.applyTransform(strip, lab))
    space = {"CMYK": "CMYK", "L": "L", "1": "L", "LA": "L", "La": "L"}.get(mode, "RGB")
    transform = profile_transform(icc, space) if icc else None
    # a bit that is set is black in Photoshop's bitmaps, which Pillow does not know
    bitmap_of_ink = mode == "1" and image.format == "PSD"

    def convert(strip: Image.Image) -> np.ndarray:
        opacity = None
        if alpha:
            strip = (strip.convert("LA") if strip.mode == "La" else strip).convert("RGBA")
            opacity = np.asarray(strip.getchannel("A"))
        if transform is not None:
            strip = ImageCms.applyTransform(strip.convert(space), transform)
        rgb = np.asarray(strip.convert("RGB"))
        if bitmap_of_ink:
            rgb = 255 - rgb
        return rgb if opacity is None else on_white(rgb, opacity)

    return convert


def displayed_strips(image: Image.Image, icc: bytes, alpha: bool) -> Iterator[np.ndarray]:
    """The loaded image as displayed, top to bottom: uint8 [rows, w, 3] each (see `to_srgb`)."""
    convert = to_srgb(image, icc, alpha)
    for strip in strips(image):
        yield convert(strip)


def displayed_pixels(image: Image.Image, icc: bytes) -> np.ndarray:
    """The loaded image as displayed, uint8 [h, w, 3]."""
    rgb = np.empty((image.height, image.width, 3), np.uint8)
    top = 0
    for strip in displayed_strips(image, icc, has_alpha(image)):
        rgb[top : top + len(strip)] = strip
        top += len(strip)
    return rgb


def pending_profile(icc: bytes, mode: str) -> bytes:
    """The profile, or nothing where applying it to pixels of that mode changes nothing."""
    return icc if icc and profile_transform(icc, mode) is not None else b""


def on_white(rgb: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    """Composite uint8 [h, w, 3] with opacity uint8 [h, w] (255 = opaque) over white."""
    a = opacity[..., None].astype(np.uint16)
    return ((rgb * a + 255 * (255 - a) + 127) // 255).astype(np.uint8)


def profile_transform(icc: bytes, space: str) -> ImageCms.ImageCmsTransform | None:
    """Transform from an ICC profile to sRGB, or None where there is nothing to do.

    Args:
        icc: the profile.
        space: Pillow mode of the pixels it will be applied to: L, RGB or CMYK.

    Returns:
        None when the profile is sRGB within 2 levels over a grid of colors, is broken, or is of
        another color space than the pixels. Intent: perceptual, the profile's default rendering.
        Profiles over `MAX_ICC_BYTES` count as broken.
    """
    if len(icc) > MAX_ICC_BYTES:
        return None
    return (_kept_transform if len(icc) <= _KEPT_ICC_BYTES else _new_transform)(icc, space)


def _new_transform(icc: bytes, space: str) -> ImageCms.ImageCmsTransform | None:
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(_without_programs(icc)))
        if {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}.get(profile.profile.xcolor_space) != space:
            return None
        transform = ImageCms.buildTransform(profile, _srgb_profile(), space, "RGB")
        if space == "CMYK":
            return transform
        levels = np.arange(0, 256, 17, dtype=np.uint8)
        grid = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(16, -1, 3)
        probe = Image.fromarray(grid) if space == "RGB" else Image.fromarray(levels[None])
        shown = np.asarray(ImageCms.applyTransform(probe, transform)).astype(np.int16)
        plain = np.asarray(probe.convert("RGB")).astype(np.int16)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    return transform if np.abs(shown - plain).max() > _SRGB_TOLERANCE else None


_kept_transform = lru_cache(maxsize=32)(_new_transform)


def _without_programs(icc: bytes) -> bytes:
    """The profile with its tags of processing elements (`D2B0` and the like, ICC.1:2010 9.2.17) under names unknown.

    Such a tag may name the same large element any number of times, eight bytes each, which costs minutes and gigabytes;
    profiles that have them have the ordinary tags, too.
    """
    table = bytearray(icc)
    count = min(int.from_bytes(icc[128:132], "big"), (len(icc) - 132) // 12)
    for at in range(132, 132 + 12 * max(0, count), 12):
        if icc[at : at + 3] in (b"D2B", b"B2D"):
            table[at : at + 3] = b"x" + icc[at + 1 : at + 3]
    return bytes(table)


@lru_cache(maxsize=1)
def _srgb_profile() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


@lru_cache(maxsize=1)
def _lab_transform() -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(ImageCms.createProfile("LAB"), _srgb_profile(), "LAB", "RGB")


def _deep_converter(image: Image.Image, transparency: object) -> Callable[[Image.Image], np.ndarray]:
    low, high = _deep_range(image)
    span = high - low

    white_is_zero = getattr(image, "tag_v2", {}).get(262) == 0  # Pillow turns 8 bits around, and no others

    def convert(strip: Image.Image) -> np.ndarray:
        values = _deep_values(image, strip)
        grey = np.nan_to_num((values.astype(np.float32) - low) / span, nan=0.0, posinf=1.0, neginf=0.0)
        grey = np.rint(np.clip(1 - grey if white_is_zero else grey, 0, 1) * 255).astype(np.uint8)
        rgb = np.repeat(grey[..., None], 3, axis=2)
        if isinstance(transparency, int):
            rgb[values == transparency] = 255
        return rgb

    return convert


def _deep_values(image: Image.Image, strip: Image.Image) -> np.ndarray:
    """Values of a strip [h, w]; those of unsigned 32 bits, which Pillow has as signed, as they are stored."""
    values, tags = np.asarray(strip), getattr(image, "tag_v2", {})
    unsigned = image.mode == "I" and tags.get(258) in (32, (32,)) and tags.get(339, 1) in (1, (1,))
    return values.view(np.uint32) if unsigned else values


def _deep_range(image: Image.Image) -> tuple[float, float]:
    """The values shown as black and white, for grey of more than 8 bits.

    16-bit: 0 to the top of the declared bit depth (of PNM, to 65535, which Pillow has scaled it to). Float and 32-bit: the smallest of 0..1 (float
    only), 0..255, 0..65535 that holds all finite values, else their minimum and maximum.
    """
    if image.mode == "I" and image.format == "PPM":
        return 0.0, 65535.0
    if image.mode.startswith("I;16"):
        bits = getattr(image, "tag_v2", {}).get(258, (16,))
        depth = bits[0] if isinstance(bits, tuple) and bits else bits
        return 0.0, float((1 << depth) - 1 if isinstance(depth, int) and 8 < depth <= 16 else 65535)
    lows, highs = [], []
    for strip in strips(image):
        values = _deep_values(image, strip)
        finite = values[np.isfinite(values)] if image.mode == "F" else values
        if finite.size:
            lows.append(float(finite.min()))
            highs.append(float(finite.max()))
    low, high = min(lows, default=0.0), max(highs, default=0.0)
    for top in (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0):
        if low >= 0 and high <= top:
            return 0.0, top
    return low, high if high > low else low + 1.0


#: Pixels worked on at once: what bounds the memory of a conversion.
STRIP_PX = 4_000_000


def strips(image: Image.Image) -> Iterator[Image.Image]:
    """The image in full-width strips of at most about `STRIP_PX` pixels, top to bottom."""
    width, height = image.size
    rows = max(1, STRIP_PX // width)
    if rows >= height:
        yield image
        return
    for top in range(0, height, rows):
        yield image.crop((0, top, width, min(height, top + rows)))
