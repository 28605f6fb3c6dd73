"""Right colors and depths, whatever the file stores: CMYK and YCCK JPEGs, palettes, deep samples."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from zcurate.curation.profile.color import MAX_ICC_BYTES, profile_transform
from zcurate.curation.profile.decode import decode
from zcurate.curation.profile.errors import ImageError
from zcurate.curation.profile.jpeg_xl import jpeg_xl_bits, jpeg_xl_size

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def saved(image: Image.Image, format: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def patches() -> np.ndarray:
    """Blocks of pure and mixed colors, large enough to survive JPEG."""
    colors = [(255, 255, 255), (0, 0, 0), (255, 0, 0), (0, 160, 80), (40, 60, 220), (250, 210, 30)]
    return np.repeat(np.repeat(np.array([colors], np.uint8), 16, axis=1), 16, axis=0)


def cmyk(rgb: np.ndarray) -> Image.Image:
    """With black ink in use: ink = 255 - (255 - rgb) as far as black does not already do it."""
    black = 255 - rgb.max(axis=2).astype(int)
    light = np.maximum(255 - black, 1)
    inks = 255 - rgb.astype(int) * 255 // light[..., None]
    inks[black == 255] = 0
    planes = np.dstack([inks, black]).astype(np.uint8)
    return Image.frombytes("CMYK", rgb.shape[1::-1], planes.tobytes())


def as_ycck(image: Image.Image) -> bytes:
    """The CMYK image as Photoshop writes it: luma and chroma of the inks, and black from above."""
    planes = np.asarray(image)
    ycc = np.asarray(Image.fromarray(np.ascontiguousarray(planes[..., :3])).convert("YCbCr"))
    stored = np.dstack([ycc, 255 - planes[..., 3]])
    # Pillow writes 255 minus what it is given, and says so in an Adobe marker of transform 0
    data = saved(
        Image.frombytes("CMYK", image.size, (255 - stored).tobytes()), "JPEG", quality=98, subsampling=0
    )
    at = data.index(b"Adobe") + 11
    return data[:at] + b"\x02" + data[at + 1 :]


def without_adobe_marker(jpeg: bytes) -> bytes:
    at = jpeg.index(b"\xff\xee")
    return jpeg[:at] + jpeg[at + 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big") :]


def cmyk_profile() -> bytes:
    """A press whose cyan ink is green: a look-up table of the 16 corners, in Lab."""
    corners = np.indices((2, 2, 2, 2)).reshape(4, -1).T  # black fastest
    lab = np.zeros((16, 3), np.uint8)
    lab[:, 0] = [0 if k else 255 - 60 * (c + m + y) for c, m, y, k in corners]
    lab[:, 1] = [128 if k else 128 - 70 * c + 60 * m for c, m, y, k in corners]
    lab[:, 2] = [128 if k else 128 + 60 * c + 70 * y for c, m, y, k in corners]
    identity = bytes(range(256))
    matrix = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 16)
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + matrix + identity * 4 + lab.tobytes() + identity * 3
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 0xF6D6, 0x10000, 0xD32D)
    text = b"text" + bytes(4) + b"none\0\0\0\0"
    name = b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(79)
    tags = [(b"A2B0", table), (b"wtpt", white), (b"cprt", text), (b"desc", name)]
    at = 132 + 12 * len(tags)
    index, bodies = struct.pack(">I", len(tags)), b""
    for signature, body in tags:
        body += bytes(-len(body) % 4)
        index += signature + struct.pack(">II", at + len(bodies), len(body))
        bodies += body
    header = bytearray(128)
    header[:4] = struct.pack(">I", at + len(bodies))
    header[8:12], header[12:24], header[36:40] = b"\x02\x10\0\0", b"prtrCMYKLab ", b"acsp"
    header[68:80] = struct.pack(">3i", 0xF6D6, 0x10000, 0xD32D)
    return bytes(header) + index + bodies


def off(shown: np.ndarray, wanted: np.ndarray) -> float:
    return np.abs(shown.astype(int) - wanted).mean()


VARIANTS = {
    "adobe": saved(cmyk(patches()), "JPEG", quality=98, subsampling=0),
    "adobe progressive": saved(cmyk(patches()), "JPEG", quality=98, progressive=True),
    "no adobe marker": without_adobe_marker(saved(cmyk(patches()), "JPEG", quality=98)),
    "ycck": as_ycck(cmyk(patches())),
    "tiff": saved(cmyk(patches()), "TIFF"),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_cmyk_comes_out_right(variant):
    decoded = decode(VARIANTS[variant])
    assert (decoded.mode, decoded.bit_depth) == ("CMYK", 8)
    assert off(decoded.rgb, patches()) < 3


@pytest.mark.parametrize("variant", VARIANTS)
def test_cmyk_profile_is_applied(variant):
    with Image.open(io.BytesIO(VARIANTS[variant])) as image:
        image.load()
        plain = image.copy()
    if variant == "tiff":
        data = saved(plain, "TIFF", icc_profile=cmyk_profile())
    else:
        segment = b"ICC_PROFILE\0\x01\x01" + cmyk_profile()
        data = VARIANTS[variant]
        data = data[:2] + b"\xff\xe2" + struct.pack(">H", len(segment) + 2) + segment + data[2:]
    decoded = decode(data)
    assert decoded.has_icc
    assert decoded.rgb[8, 8].min() > 245
    assert decoded.rgb[8, 24].max() < 30
    cyan = decode(saved(Image.new("CMYK", (8, 8), (255, 0, 0, 0)), "TIFF", icc_profile=cmyk_profile()))
    assert cyan.rgb[0, 0, 1] > 2 * cyan.rgb[0, 0, 2]  # this press prints its cyan green
    assert decoded.pixel_hash == decode(VARIANTS[variant]).pixel_hash


def test_real_ycck_file():
    files = [SHARED / "pillow-tests" / f"pil_sample_{kind}.jpg" for kind in ("cmyk", "rgb")]
    if not all(f.is_file() for f in files):
        pytest.skip("needs ../shared/data")
    ink, plain = (decode(f.read_bytes()).rgb for f in files)
    assert off(ink, plain) < 12


def test_profile_of_another_space_or_size_is_ignored():
    rgb = Image.fromarray(patches())
    np.testing.assert_array_equal(decode(saved(rgb, "PNG", icc_profile=cmyk_profile())).rgb, patches())
    assert profile_transform(cmyk_profile() + bytes(MAX_ICC_BYTES), "CMYK") is None
    assert profile_transform(cmyk_profile(), "CMYK") is not None


@pytest.mark.parametrize("alpha", [True, False])
@pytest.mark.parametrize("format", ["PNG", "GIF", "TIFF"])
def test_palette(format, alpha):
    image = Image.fromarray(patches()).quantize(8)
    if alpha:
        if format == "TIFF":
            pytest.skip("TIFF palettes have no transparent color")
        first = image.getpixel((0, 0))
        data = saved(image, format, transparency=first)
    else:
        data = saved(image, format)
    decoded = decode(data)
    assert (decoded.mode, decoded.bit_depth, decoded.has_alpha) == ("P", 8, alpha)
    np.testing.assert_array_equal(decoded.rgb, patches())


def test_palette_with_graded_alpha():
    image = Image.new("P", (4, 1))
    image.putdata([0, 1, 2, 3])
    image.putpalette([200, 0, 0] * 4)
    shown = decode(saved(image, "PNG", transparency=bytes([0, 85, 170, 255]))).rgb[0]
    np.testing.assert_allclose(shown[:, 0], [255, 237, 218, 200], atol=1)
    np.testing.assert_allclose(shown[:, 1], [255, 170, 85, 0], atol=1)


def ramp16() -> np.ndarray:
    return np.linspace(0, 65535, 64 * 48).astype(np.uint16).reshape(48, 64)


@pytest.mark.parametrize(
    ("data", "bits"),
    [
        (saved(Image.fromarray(ramp16()), "PNG"), 16),
        (saved(Image.fromarray(ramp16()), "TIFF"), 16),
        (saved(Image.fromarray(ramp16()), "JPEG2000", irreversible=False), 16),
        (saved(Image.fromarray(ramp16().astype(np.float32)), "TIFF"), 32),
        (saved(Image.new("1", (9, 9)), "PNG"), 1),
        (saved(Image.new("1", (9, 9)), "TIFF", compression="group4"), 1),
        (saved(Image.new("P", (9, 9)), "PNG", bits=2), 8),
        (saved(Image.new("RGB", (9, 9)), "AVIF"), 8),
        (saved(Image.new("RGB", (9, 9)), "WEBP"), 8),
        (saved(Image.new("L", (9, 9)), "JPEG"), 8),
    ],
)
def test_bit_depth(data, bits):
    decoded = decode(data)
    assert decoded.bit_depth == bits
    if bits >= 16:
        wanted = np.repeat(np.rint(ramp16() / 257)[..., None], 3, axis=2)
        assert off(decoded.rgb, wanted) < 1


def test_bit_depth_of_heif():
    pillow_heif = pytest.importorskip("pillow_heif")
    for bits, mode in ((10, "RGB;16"), (12, "RGB;16")):
        deep = np.repeat(ramp16()[..., None], 3, axis=2)
        file = io.BytesIO()
        pillow_heif.options.SAVE_HDR_TO_12_BIT = bits == 12
        try:
            pillow_heif.encode(mode, (64, 48), deep.tobytes(), file, quality=95)
        finally:
            pillow_heif.options.SAVE_HDR_TO_12_BIT = False
        decoded = decode(file.getvalue())
        assert decoded.bit_depth == bits
        assert off(decoded.rgb, deep / 257) < 6


def jpeg_xl_header(width: int, height: int, bits: int, ratio: int) -> bytes:
    """A codestream's size and metadata, least significant bit first."""
    fields: list[tuple[int, int]] = [(0, 1)]

    def dimension(value: int) -> None:
        selector = next(i for i, n in enumerate((9, 13, 18, 30)) if value <= 1 << n)
        fields.extend([(selector, 2), (value - 1, (9, 13, 18, 30)[selector])])

    dimension(height)
    fields.append((ratio, 3))
    if not ratio:
        dimension(width)
    fields += [(0, 1), (0, 1), (0, 1), (3, 2), (bits - 1, 6)]
    value, at = 0, 0
    for field, width_bits in fields:
        value |= field << at
        at += width_bits
    return b"\xff\x0a" + value.to_bytes(at // 8 + 1, "little")


@given(st.integers(1, 1 << 30), st.integers(1, 1 << 30), st.integers(1, 64), st.booleans())
def test_jpeg_xl_header(width, height, bits, square):
    data = jpeg_xl_header(width, height, bits, 1 if square else 0)
    assert jpeg_xl_size(data) == (height if square else width, height)
    assert jpeg_xl_bits(data) == bits
    boxed = b"\0\0\0\x0cJXL \r\n\x87\n" + struct.pack(">I4sI", 12 + len(data), b"jxlp", 0) + data
    assert jpeg_xl_size(boxed) == jpeg_xl_size(data)


@given(st.binary(max_size=40))
def test_jpeg_xl_header_of_anything(tail):
    for start in (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n", b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\0jxlc\xff\x0a"):
        try:
            width, height = jpeg_xl_size(start + tail)
        except ImageError:
            continue
        assert width >= 0 < height
