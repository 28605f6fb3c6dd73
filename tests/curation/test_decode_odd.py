"""Files that are valid and seldom seen, and small files that would cost much: right pixels, or the right error in time."""

from __future__ import annotations

import io
import resource
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, TiffImagePlugin

from zcurate.curation.profile.bit_depth import stored_bits
from zcurate.curation.profile.color import profile_transform
from zcurate.curation.profile.decode import Decoded, decode
from zcurate.curation.profile.errors import (
    ImageTooLargeError,
    TruncatedImageError,
    UnreadableImageError,
)
from zcurate.curation.profile.jpeg_header import read_jpeg_header
from zcurate.curation.profile.measure import profile_image
from zcurate.curation.profile.trust import is_trusted

RNG = np.random.default_rng(3)
NOISE = Image.fromarray(RNG.integers(0, 256, (64, 80, 3), np.uint8))


def saved(image: Image.Image, format: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def tiff(values: np.ndarray, **options) -> bytes:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(values, metadata=None, **options)
    return file.getvalue()


def png(
    width: int, height: int, bits: int, color: int, rows: list[bytes], *chunks: tuple[bytes, bytes]
) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = [(b"IHDR", header), *chunks, (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in parts
    )


def programmed_profile(elements: int) -> bytes:
    """A matrix profile of a display with a tag of processing elements too, all of which share their bytes."""
    segment = b"parf" + bytes(4) + struct.pack(">HH4f", 0, 0, 1.0001, 1.0, 0.0, 0.0)
    curve = b"curf" + bytes(4) + struct.pack(">HH", 1, 0) + segment
    element = b"cvst" + bytes(4) + struct.pack(">HH", 3, 3) + struct.pack(">II", 36, len(curve)) * 3 + curve
    program = b"mpet" + bytes(4) + struct.pack(">HHI", 3, 3, elements)
    program += struct.pack(">II", 16 + 8 * elements, len(element)) * elements + element

    def xyz(*values: float) -> bytes:
        return b"XYZ " + bytes(4) + struct.pack(">3i", *(int(v * 65536) for v in values))

    gamma = b"curv" + bytes(4) + struct.pack(">IH", 1, 0x233) + b"\0\0"
    tags = {
        b"wtpt": xyz(0.9642, 1.0, 0.8249),
        b"rXYZ": xyz(0.43, 0.22, 0.01),
        b"gXYZ": xyz(0.38, 0.71, 0.09),
        b"bXYZ": xyz(0.14, 0.06, 0.71),
        **{name: gamma for name in (b"rTRC", b"gTRC", b"bTRC")},
        b"D2B0": program,
    }
    index, bodies, start = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for name, body in tags.items():
        index += name + struct.pack(">II", start + len(bodies), len(body))
        bodies += body + bytes(-len(body) % 4)
    header = bytearray(128)
    header[:4], header[8:12] = struct.pack(">I", start + len(bodies)), b"\x04\x30\0\0"
    header[12:24], header[36:40] = b"mntrRGB XYZ ", b"acsp"
    header[68:80] = struct.pack(">3i", 0xF6D6, 0x10000, 0xD32D)
    return bytes(header) + index + bodies


def scans_of(width: int, height: int, components: int, scans: int) -> bytes:
    """A sequential JPEG of many scans of one component each, all of them empty."""

    def segment(marker: int, body: bytes) -> bytes:
        return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body

    frame = struct.pack(">BHHB", 8, height, width, components)
    frame += b"".join(bytes((i + 1, 0x11, 0)) for i in range(components))
    tables = b"".join(segment(0xC4, bytes((kind, 1)) + bytes(16)) for kind in (0x00, 0x10))
    parts = [segment(0xDA, bytes((1, i % components + 1, 0, 0, 63, 0))) for i in range(scans)]
    start = b"\xff\xd8" + segment(0xDB, b"\0" + bytes([1] * 64)) + segment(0xC0, frame)
    return start + tables + b"".join(parts) + b"\xff\xd9"


def test_programs_in_a_profile_are_not_run():
    """Run, the elements of this profile take minutes; the matrix beside them gives the colors."""
    few, many = programmed_profile(1), programmed_profile(40_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    transform = profile_transform(many, "RGB")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - before < 5
    patch = Image.new("RGB", (2, 2), (200, 90, 30))
    plain = ImageCms.applyTransform(patch, profile_transform(few, "RGB"))
    assert ImageCms.applyTransform(patch, transform).tobytes() == plain.tobytes() != patch.tobytes()


@pytest.mark.parametrize(("components", "scans"), [(3, 3000), (4, 20_000)])
def test_sequential_jpegs_of_many_scans_are_not_decoded_here(components, scans):
    data = scans_of(5600, 5600, components, scans)
    header = read_jpeg_header(data)
    assert header.scans == scans
    assert not is_trusted(data, header)
    with pytest.raises(UnreadableImageError, match="scans"):
        decode(data)


def test_one_scan_is_one_scan_whatever_stands_behind_it():
    data = saved(NOISE, "JPEG") + b"\xff\xda" * 1000
    header = read_jpeg_header(data)
    assert header.scans == 1
    assert is_trusted(data, header)


@pytest.mark.parametrize(
    ("bits", "row", "transparent", "shown"),
    [
        (1, b"\x50", 1, [0, 255, 0, 255]),
        (1, b"\x50", 0, [255, 255, 255, 255]),
        (2, b"\x1b", 1, [0, 255, 170, 255]),
        (4, b"\x5a\x5a", 5, [255, 170, 255, 170]),
        (4, b"\x5a\x5a", 85, [85, 170, 85, 170]),
    ],
)
def test_transparent_grey_of_few_bits(bits, row, transparent, shown):
    data = png(4, 1, bits, 0, [row], (b"tRNS", struct.pack(">H", transparent)))
    assert decode(data).rgb[0, :, 0].tolist() == shown


def test_transparent_color_of_sixteen_bits():
    row = struct.pack(">6H", 0xFEDC, 0x0102, 0x0304, 0x8000, 0x4000, 0x2000)
    data = png(2, 1, 16, 2, [row], (b"tRNS", row[:6]))
    assert decode(data).rgb[0].tolist() == [[255, 255, 255], [0x80, 0x40, 0x20]]


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_grey_tiffs_whose_zero_is_white(compression):
    for values in (np.full((8, 9), 60_000, np.uint16), np.full((8, 9), 60_000 / 65_535, np.float32)):
        for kind, shown in (("miniswhite", 22), ("minisblack", 233)):
            data = tiff(values, photometric=kind, compression=compression)
            assert decode(data).rgb[0, 0].tolist() == [shown] * 3


def test_grey_of_unsigned_32_bits():
    data = tiff(np.array([[0, 1 << 31, (1 << 32) - 1]], np.uint32), photometric="minisblack")
    assert decode(data).rgb[0, :, 0].tolist() == [0, 128, 255]


def test_separate_planes_of_sixteen_bits_are_right_or_refused():
    rgb = RNG.integers(0, 256, (3, 20, 24), np.uint8)
    deep = rgb.astype(np.uint16) * 257
    read = decode(tiff(deep, planarconfig="separate", photometric="rgb", compression="zlib"))
    np.testing.assert_array_equal(read.rgb, rgb.transpose(1, 2, 0))
    with pytest.raises(UnreadableImageError, match="planes"):
        decode(tiff(deep, planarconfig="separate", photometric="rgb"))


def test_premultiplied_grey():
    pixels = np.dstack([np.full((8, 8), 100, np.uint8), np.full((8, 8), 128, np.uint8)])
    data = tiff(pixels, photometric="minisblack", extrasamples=["assocalpha"], planarconfig="contig")
    assert decode(data).rgb[0, 0].tolist() == [227] * 3


def test_a_bit_that_is_set_is_black_in_photoshop():
    data = b"8BPS" + struct.pack(">H6xHIIHH", 1, 1, 2, 8, 1, 0) + bytes(12) + b"\0\0\xaa\xaa"
    assert decode(data).rgb[0, :4, 0].tolist() == [0, 255, 0, 255]


@pytest.mark.parametrize(
    ("header", "bits"),
    [
        (b"P6 2 1 65535\n", 16),
        (b"P6\n# 9\n2 # x\n 1\n255\n", 8),
        (b"P5 2 1 1023\n", 10),
        (b"P5 2 1 65535\n", 16),
    ],
)
def test_depth_of_portable_maps(header, bits):
    assert decode(header + bytes(12)).bit_depth == bits


def test_depth_is_found_behind_large_boxes_and_takes_no_time():
    data = saved(NOISE, "JPEG2000")
    at = data.index(b"jp2c") - 4
    large = data[:at] + struct.pack(">I", 100_008) + b"xml " + bytes(100_000) + data[at:]
    at = large.index(b"\xff\x4f\xff\x51") + 42
    with Image.open(io.BytesIO(large)) as image:
        assert stored_bits(image, large[:at] + b"\x0f" + large[at + 1 :]) == 16
    with Image.open(io.BytesIO(b"P6 1 1 255\n" + bytes(3))) as image:
        assert stored_bits(image, b"P6" + b" " * 60_000) == 8


def test_pages_that_cannot_be_reached_cost_no_first_page():
    data = bytearray(saved(NOISE, "TIFF"))
    at = struct.unpack("<I", data[4:8])[0]
    at += 2 + 12 * struct.unpack("<H", data[at : at + 2])[0]
    data[at : at + 4] = struct.pack("<I", len(data) + 1000)
    read = decode(bytes(data))
    assert read.frames == 1
    np.testing.assert_array_equal(read.rgb, np.asarray(NOISE))


def test_animations_cut_after_their_first_picture_are_read():
    pictures = [Image.fromarray(RNG.integers(0, 256, (24, 24), np.uint8)).convert("P") for _ in range(4)]
    data = saved(pictures[0], "GIF", save_all=True, append_images=pictures[1:])
    whole = decode(data)
    assert whole.frames == 4
    for end in range(len(data) // 2, len(data) - 1, 37):
        cut = decode(data[:end])
        assert 1 <= cut.frames <= 4
        np.testing.assert_array_equal(cut.rgb, whole.rgb)


@pytest.mark.parametrize("format", ["WEBP", "AVIF", "HEIF"])
def test_files_that_are_shorter_than_they_say_are_called_truncated(format):
    if format == "HEIF":
        import pillow_heif

        file = io.BytesIO()
        pillow_heif.from_pillow(NOISE).save(file)
        data = file.getvalue()
    else:
        data = saved(NOISE, format)
    for share in (0.5, 0.7, 0.95):
        with pytest.raises(TruncatedImageError):
            decode(data[: int(len(data) * share)])


def test_av1_pictures_under_the_brand_of_any_heif():
    data = saved(NOISE, "AVIF")
    assert b"avif" in data[16:64]
    read = decode(data[:8] + b"mif1" + data[12:])
    assert (read.format, read.rgb.shape) == ("AVIF", (64, 80, 3))


def test_a_heif_of_absurd_size_is_too_large_and_not_out_of_memory():
    import pillow_heif

    file = io.BytesIO()
    pillow_heif.from_pillow(NOISE).save(file)
    data = bytearray(file.getvalue())
    at = data.index(b"ispe") + 8
    data[at : at + 8] = struct.pack(">II", 50_000, 50_000)
    with pytest.raises(ImageTooLargeError):
        decode(bytes(data))


def test_profiles_of_more_than_a_megabyte():
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    icc = (
        struct.pack(">I", len(icc) + 1_300_000)
        + icc[4:]
        + RNG.integers(0, 256, 1_300_000, np.uint8).tobytes()
    )
    for format in ("PNG", "JPEG"):
        read = decode(saved(NOISE, format, icc_profile=icc))
        assert isinstance(read, Decoded)
        assert read.has_icc


def test_several_pictures_in_one_jpeg_have_a_quality_too():
    data = saved(NOISE, "MPO", save_all=True, append_images=[NOISE], quality=80)
    row = profile_image(data)
    assert (row["format"], row["jpeg_quality"]) == ("MPO", 80)


def test_keys_within_keys_of_a_content_credential_take_no_memory():
    """Written out as text, each level of keys doubles the one within: in a process of its own, with 2 GB."""
    code = (
        "import resource, struct; resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))\n"
        "from zcurate.curation.profile.metadata import read_metadata\n"
        "item = bytes((3 << 5 | 26,)) + struct.pack('>I', 50_000) + b'\\\\' * 50_000\n"
        "for _ in range(22): item = b'\\xa1' + item + b'\\xf6'\n"
        "box = lambda kind, body: struct.pack('>I', 8 + len(body)) + kind + body\n"
        "def store(kind, label, body):\n"
        "    uuid = kind + bytes.fromhex('00110010800000aa00389b71')\n"
        "    return box(b'jumb', box(b'jumd', uuid + b'\\x03' + label + b'\\0') + body)\n"
        "actions = store(b'cbor', b'c2pa.actions.v2', box(b'cbor', item))\n"
        "manifest = store(b'c2ma', b'urn:1', store(b'c2as', b'c2pa.assertions', actions))\n"
        "body = store(b'c2pa', b'c2pa', manifest)\n"
        "segment = b'JP' + struct.pack('>HI', 1, 1) + body\n"
        "data = b'\\xff\\xd8\\xff\\xeb' + struct.pack('>H', 2 + len(segment)) + segment + b'\\xff\\xd9'\n"
        "print(read_metadata(data, 'JPEG')['ai_declared'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "False"), done.stderr[-500:]


def test_what_follows_a_progressive_jpeg_are_no_scans_of_it():
    """Telephones write films behind their pictures, in whose bytes every marker occurs."""
    data = saved(NOISE, "JPEG", progressive=True)
    scans = read_jpeg_header(data).scans
    assert scans == data.count(b"\xff\xda") > 1
    film = b"\xff\xda" * 3000
    assert read_jpeg_header(data + film).scans == scans
    start = data.index(b"\xff\xda")
    comment = b"\xff\xfe" + struct.pack(">H", 2 + len(film)) + film
    for within in (data[:2] + comment + data[2:], data[:start] + comment + data[start:]):
        assert read_jpeg_header(within).scans == scans
        np.testing.assert_array_equal(decode(within + film).rgb, decode(data).rgb)


def test_pngs_with_a_second_header_are_not_decoded_here():
    """Pillow believes the later one: what the first says would let a bomb past."""
    large = struct.pack(">IIBBBBB", 6000, 6000, 8, 2, 0, 0, 0)
    plain = png(4, 1, 8, 2, [bytes(12)])
    assert is_trusted(plain, None)
    assert not is_trusted(png(4, 1, 8, 2, [bytes(12)], (b"IHDR", large)), None)


@pytest.mark.parametrize("top", [255, 1000, 65535])
def test_dark_grey_pnm_of_16_bits_stays_dark(top):
    values = np.array([[0, top // 50, top // 2, top]], ">u2" if top > 255 else np.uint8)
    data = b"P5 4 1 %d\n" % top + values.tobytes()
    wanted = [0, 255 * (top // 50) / top, 255 * (top // 2) / top, 255]
    np.testing.assert_allclose(decode(data).rgb[0, :, 0], wanted, atol=1)
    dark = b"P5 4 1 65535\n" + np.full((1, 4), 200, ">u2").tobytes()
    assert decode(dark).rgb.max() == 1


def test_tiffs_that_are_turned_by_a_fraction_are_turned():
    file = io.BytesIO()
    image = Image.new("RGB", (30, 20), (200, 10, 10))
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags.tagtype[0x0112] = 5  # RATIONAL, where SHORT belongs
    tags[0x0112] = TiffImagePlugin.IFDRational(6, 1)
    image.save(file, "TIFF", tiffinfo=tags)
    found = decode(file.getvalue())
    assert found.rgb.shape == (30, 20, 3)
    assert (found.orientation, type(found.orientation)) == (6, int)
