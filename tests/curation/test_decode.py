"""The decoder: right pixels for every kind of file, a typed error for every bad one."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import xxhash
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageFile, ImageOps
from PIL.PngImagePlugin import PngInfo

from zcurate.curation.profile.decode import DecodeLimits, decode, oriented
from zcurate.curation.profile.errors import (
    DecompressionBombError,
    EmptyImageError,
    ImageError,
    ImageTooLargeError,
    TruncatedImageError,
    UnreadableImageError,
    UnsupportedFormatError,
)

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def picture(height: int = 48, width: int = 64) -> np.ndarray:
    """A gradient with a corner mark, so that any turn shows."""
    y, x = np.mgrid[:height, :width]
    rgb = np.stack([x * 255 // width, y * 255 // height, np.full_like(x, 90)], axis=-1).astype(np.uint8)
    rgb[: height // 4, : width // 4] = (250, 240, 20)
    return rgb


def saved(image: Image.Image, format: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


IMAGE = Image.fromarray(picture())


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "PPM", "TGA", "PCX", "SGI", "ICO"])
def test_lossless_formats_give_the_pixels(format):
    options = {"sizes": [(64, 48)]} if format == "ICO" else {}
    result = decode(saved(IMAGE, format, **options))
    assert result.format == format
    np.testing.assert_array_equal(result.rgb, picture())


@pytest.mark.parametrize(("format", "options"), [("WEBP", {"lossless": True}), ("AVIF", {"quality": 100})])
def test_modern_formats(format, options):
    result = decode(saved(IMAGE, format, **options))
    assert result.format == format
    assert np.abs(result.rgb.astype(int) - picture()).mean() < 2


def test_heif_is_read_without_registering_it(monkeypatch):
    pillow_heif = pytest.importorskip("pillow_heif")
    monkeypatch.delitem(
        Image.OPEN, "HEIF", raising=False
    )  # imageio, in the tests, registers it for the process
    file = io.BytesIO()
    pillow_heif.from_pillow(IMAGE).save(file, quality=95)
    result = decode(file.getvalue())
    assert (result.format, result.width_px, result.height_px) == ("HEIF", 64, 48)
    assert np.abs(result.rgb.astype(int) - picture()).mean() < 4
    assert "HEIF" not in Image.OPEN


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"quality": 30}])
def test_plain_jpeg_matches_pillow(options):
    data = saved(IMAGE, "JPEG", **options)
    result = decode(data)
    assert result.mode == "RGB"
    np.testing.assert_array_equal(result.rgb, np.asarray(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_orientation_is_applied(orientation, format):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if format == "WEBP" else {}
    data = saved(IMAGE, format, exif=exif, **options)
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        wanted = np.asarray(ImageOps.exif_transpose(image))
    result = decode(data)
    assert result.orientation == orientation
    np.testing.assert_array_equal(result.rgb, wanted)


def test_bad_orientation_is_none():
    exif = Image.Exif()
    exif[0x0112] = 9
    assert decode(saved(IMAGE, "JPEG", exif=exif)).orientation == 1


@given(st.integers(1, 8), st.integers(1, 5), st.integers(1, 5))
def test_oriented_matches_pillow(orientation, height, width):
    pixels = np.arange(height * width * 3, dtype=np.uint8).reshape(height, width, 3)
    exif_image = Image.fromarray(pixels)
    exif_image.getexif()[0x0112] = orientation
    np.testing.assert_array_equal(
        oriented(pixels, orientation), np.asarray(ImageOps.exif_transpose(exif_image))
    )


def test_transparency_is_shown_on_white():
    rgba = np.zeros((10, 10, 4), np.uint8)
    rgba[..., 0] = 200
    rgba[:, :3, 3], rgba[:, 3:6, 3] = 255, 128
    result = decode(saved(Image.fromarray(rgba), "PNG"))
    assert result.has_alpha
    assert result.rgb[0, 0].tolist() == [200, 0, 0]
    assert result.rgb[0, 9].tolist() == [255, 255, 255]
    assert np.abs(result.rgb[0, 4].astype(int) - [227, 127, 127]).max() <= 1


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize(("opacity", "expected"), [(255, False), (254, True)])
def test_an_alpha_channel_may_be_opaque(mode, opacity, expected):
    image = Image.new(mode, (30, 20), (80, 90, 100, 255) if mode == "RGBA" else (90, 255))
    last = image.getchannel("A")
    last.putpixel((29, 19), opacity)
    image.putalpha(last)
    result = decode(saved(image, "PNG"))
    assert (result.mode, result.has_alpha) == (mode, expected)
    assert result.rgb[0, 0].tolist() == ([80, 90, 100] if mode == "RGBA" else [90, 90, 90])


def test_a_transparent_entry_that_no_pixel_uses():
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 10, 200, 30])
    result = decode(saved(image, "PNG", transparency=b"\0\xff"))
    assert not result.has_alpha
    assert (result.rgb == [10, 200, 30]).all()


def test_palette_with_transparent_entry():
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 10, 200, 30])
    image.putpixel((0, 0), 0)
    result = decode(saved(image, "GIF", transparency=0))
    assert result.has_alpha
    assert result.rgb[0, 0].tolist() == [255, 255, 255]
    assert result.rgb[5, 5].tolist() == [10, 200, 30]


def test_deep_and_float_grey_are_scaled():
    deep = np.array([[0, 257 * 100, 65535]], np.uint16)
    assert decode(saved(Image.fromarray(deep), "PNG")).rgb[0, :, 0].tolist() == [0, 100, 255]
    assert decode(saved(Image.fromarray(deep), "TIFF")).rgb[0, :, 0].tolist() == [0, 100, 255]
    unit = np.array([[0.0, 0.5, 1.0, np.nan]], np.float32)
    assert decode(saved(Image.fromarray(unit), "TIFF")).rgb[0, :, 0].tolist() == [0, 128, 255, 0]
    wide = np.array([[-100.0, 0.0, 100.0]], np.float32)
    assert decode(saved(Image.fromarray(wide), "TIFF")).rgb[0, :, 1].tolist() == [0, 128, 255]


def test_cmyk_and_grey_jpeg():
    cmyk = decode(saved(IMAGE.convert("CMYK"), "JPEG", quality=95))
    assert cmyk.mode == "CMYK"
    assert np.abs(cmyk.rgb.astype(int) - picture()).mean() < 5
    grey = decode(saved(IMAGE.convert("L"), "JPEG"))
    assert grey.mode == "L"
    assert grey.rgb.shape == (48, 64, 3)
    assert (grey.rgb[..., 0] == grey.rgb[..., 2]).all()


def test_icc_profile_is_applied_only_where_it_matters():
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    same = decode(saved(IMAGE, "PNG", icc_profile=srgb))
    assert same.has_icc
    np.testing.assert_array_equal(same.rgb, picture())
    # a display with red and blue exchanged: the same tags, the primaries swapped
    tags = bytearray(srgb)
    count = struct.unpack(">I", tags[128:132])[0]
    at = {bytes(tags[132 + 12 * i : 136 + 12 * i]): 132 + 12 * i for i in range(count)}
    red, blue = at[b"rXYZ"], at[b"bXYZ"]
    tags[red + 4 : red + 12], tags[blue + 4 : blue + 12] = (
        tags[blue + 4 : blue + 12],
        tags[red + 4 : red + 12],
    )
    swapped = decode(saved(IMAGE, "PNG", icc_profile=bytes(tags)))
    assert np.abs(swapped.rgb.astype(int) - picture()[..., ::-1]).max() <= 3
    assert swapped.pixel_hash == same.pixel_hash == decode(saved(IMAGE, "PNG")).pixel_hash
    jpeg = decode(saved(IMAGE, "JPEG", icc_profile=bytes(tags), quality=95))
    assert np.abs(jpeg.rgb.astype(int) - picture()[..., ::-1]).mean() < 4
    np.testing.assert_array_equal(decode(saved(IMAGE, "PNG", icc_profile=b"garbage")).rgb, picture())


def test_pixel_hash_definition():
    wanted = xxhash.xxh3_128(b"RGB 64 48\0" + picture().tobytes()).digest()
    data = saved(IMAGE, "JPEG")
    plain = np.asarray(Image.open(io.BytesIO(data)))
    assert decode(data).pixel_hash == xxhash.xxh3_128(b"RGB 64 48\0" + plain.tobytes()).digest()
    assert decode(saved(IMAGE, "PNG")).pixel_hash == wanted
    assert decode(saved(IMAGE, "BMP")).pixel_hash == wanted
    wide = Image.fromarray(picture().reshape(64, 48, 3))
    assert decode(saved(wide, "PNG")).pixel_hash != wanted


def test_only_the_first_frame_counts():
    frames = [Image.new("RGB", (20, 10), c) for c in ("red", "blue", "green")]
    for format in ("GIF", "PNG", "WEBP", "TIFF"):
        result = decode(saved(frames[0], format, save_all=True, append_images=frames[1:]))
        assert result.frames == 3
        assert result.rgb[5, 5, 0] > 200


def test_large_images_go_in_strips(monkeypatch):
    monkeypatch.setattr("zcurate.curation.profile.color.STRIP_PX", 64 * 7)
    for mode in ("RGB", "RGBA", "L", "P", "CMYK", "I;16", "F"):
        image = Image.fromarray(np.linspace(0, 1, 48 * 64, dtype=np.float32).reshape(48, 64))
        if mode == "I;16":
            image = Image.fromarray((np.asarray(image) * 65535).astype(np.uint16))
        elif mode != "F":
            image = IMAGE.convert(mode)
        data = saved(image, "TIFF")
        in_strips = decode(data)
        with monkeypatch.context() as whole:
            whole.setattr("zcurate.curation.profile.color.STRIP_PX", 10**9)
            at_once = decode(data)
        np.testing.assert_array_equal(in_strips.rgb, at_once.rgb)
        assert in_strips.pixel_hash == at_once.pixel_hash


@pytest.mark.parametrize("format", ["JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "AVIF", "PPM"])
def test_truncated_files_are_refused(format):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    data = saved(noise, format)
    with pytest.raises(ImageError):
        decode(data[: len(data) * 2 // 3])
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


def test_truncated_jpeg_and_png_are_called_so():
    for data in (saved(IMAGE, "JPEG"), saved(IMAGE, "JPEG", progressive=True), saved(IMAGE, "PNG")):
        with pytest.raises(TruncatedImageError):
            decode(data[: len(data) - 60])
        with pytest.raises(TruncatedImageError):
            decode(data[: len(data) * 3 // 4] if data[0] == 0x89 else data[:-200] + b"\xff\xd9")


@pytest.mark.parametrize(
    "data", [b"%PDF-1.7 ...", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"SIMPLE  =  T", b"<svg></svg>", b"\0" * 100]
)
def test_other_formats_are_unsupported(data):
    with pytest.raises(UnsupportedFormatError, match="supported: JPEG"):
        decode(data)


def test_empty_file():
    with pytest.raises(EmptyImageError, match="empty"):
        decode(b"")


def png_header(width: int, height: int) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + body
        + struct.pack(">I", zlib.crc32(body))
        + b"\0\0\0\x10IDAT"
    )


def test_limits_name_their_option():
    small = DecodeLimits(max_pixels=3000)
    for format in ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"):
        with pytest.raises(ImageTooLargeError, match="max_pixels = 3,000"):
            decode(saved(IMAGE, format), small)
        decode(saved(IMAGE, format), DecodeLimits(max_pixels=64 * 48))
    with pytest.raises(ImageTooLargeError, match="max_file_bytes"):
        decode(saved(IMAGE, "PNG"), DecodeLimits(max_file_bytes=100))
    before = Image.MAX_IMAGE_PIXELS
    with pytest.raises(DecompressionBombError, match="max_pixels = 200,000,000"):
        decode(png_header(60_000, 60_000))
    assert before == Image.MAX_IMAGE_PIXELS


def test_bombs_are_told_from_large_pictures():
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8))
    flat = Image.new("RGB", (300, 300))
    for format in ("PNG", "TIFF", "WEBP", "AVIF"):
        options = {"compression": "tiff_adobe_deflate"} if format == "TIFF" else {}
        with pytest.raises(ImageTooLargeError) as large:
            decode(saved(noise, format, **options), DecodeLimits(max_pixels=80_000))
        assert type(large.value) is ImageTooLargeError
        with pytest.raises(DecompressionBombError):
            decode(saved(flat, format, **options), DecodeLimits(max_pixels=80_000))
    text = PngInfo()
    text.add_text("comment", "a" * 10_000_000, zip=True)
    with pytest.raises(DecompressionBombError, match="metadata"):
        decode(saved(flat, "PNG", pnginfo=text))


def test_jpeg_scan_bomb_is_refused():
    data = saved(IMAGE, "JPEG", progressive=True)
    at = data.rindex(b"\xff\xda")
    with pytest.raises(UnreadableImageError, match="scans"):
        decode(data[:-2] + data[at:-2] * 300 + b"\xff\xd9")


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "JPEG2000", "ICO", "TGA", "QOI"]),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_damaged_files_never_escape(format, damage):
    data = bytearray(SAMPLES[format])
    for place, value in damage:
        data[int(place * len(data))] = value
    try:
        result = decode(bytes(data), DecodeLimits(max_pixels=1_000_000))
    except ImageError:
        return
    assert result.rgb.dtype == np.uint8
    assert result.rgb.shape[2] == 3


SAMPLES = {
    f: saved(IMAGE, f)
    for f in ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "JPEG2000", "ICO", "TGA", "QOI"]
}


def test_real_files_all_end_well():
    folders = [SHARED / name for name in ("pillow-tests", "pngsuite", "image-rs", "mozjpeg")]
    if not all(f.is_dir() for f in folders):
        pytest.skip("needs ../shared/data")
    outcomes = {"ok": 0, "error": 0}
    for file in sorted(f for folder in folders for f in folder.rglob("*") if f.is_file()):
        try:
            decode(file.read_bytes())
            outcomes["ok"] += 1
        except ImageError:
            outcomes["error"] += 1
    assert outcomes["ok"] > 500


def test_real_orientations_look_alike():
    folder = SHARED / "exif-orientation"
    if not folder.is_dir():
        pytest.skip("needs ../shared/data")
    for kind in ("Landscape", "Portrait"):
        shown = [decode(f.read_bytes()).rgb.astype(int) for f in sorted(folder.glob(f"{kind}_*.jpg"))]
        assert len({s.shape for s in shown}) == 1
        assert max(np.abs(s - shown[0]).mean() for s in shown) < 6
