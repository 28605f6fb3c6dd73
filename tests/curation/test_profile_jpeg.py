"""JPEG quality from the tables, and blockiness from the pixels."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from zcurate.curation.profile.blockiness import blockiness
from zcurate.curation.profile.jpeg_quality import _ZIGZAG, jpeg_quality
from zcurate.curation.profile.measure import profile_image

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def photo(seed: int = 0, height: int = 256, width: int = 320) -> np.ndarray:
    """Detail at all scales with the 1/f spectrum of photographs."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width, 3), np.float32)
    for octave in range(1, 8):
        grain = rng.normal(0, 1, (2**octave, 2**octave, 3)).astype(np.float32)
        total += cv2.resize(grain, (width, height), interpolation=cv2.INTER_CUBIC) / 2**octave
    total += rng.normal(0, 0.02, total.shape)
    return np.clip(128 + 90 * total, 0, 255).astype(np.uint8)


SMALL = photo()[:40, :48].copy()


def with_pillow(rgb: np.ndarray, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "JPEG", **options)
    return file.getvalue()


def with_opencv(rgb: np.ndarray, *flags: int) -> bytes:
    return cv2.imencode(".jpg", rgb[..., ::-1], list(flags))[1].tobytes()


ENCODERS = {
    "pillow": lambda q: with_pillow(SMALL, quality=q),
    "pillow 4:4:4": lambda q: with_pillow(SMALL, quality=q, subsampling=0),
    "pillow progressive": lambda q: with_pillow(SMALL, quality=q, progressive=True, optimize=True),
    "pillow grey": lambda q: with_pillow(SMALL[..., 0].copy(), quality=q),
    "simplejpeg": lambda q: simplejpeg.encode_jpeg(SMALL, quality=q, colorsubsampling="444"),
    "opencv": lambda q: with_opencv(SMALL, cv2.IMWRITE_JPEG_QUALITY, q),
    "opencv progressive": lambda q: with_opencv(
        SMALL, cv2.IMWRITE_JPEG_QUALITY, q, cv2.IMWRITE_JPEG_PROGRESSIVE, 1
    ),
}


@pytest.mark.parametrize("encoder", ENCODERS)
def test_quality_is_the_one_that_was_asked_for(encoder):
    found = [jpeg_quality(ENCODERS[encoder](quality)) for quality in range(1, 101)]
    assert found == list(range(1, 101))


def tables(values: list[int], wide: bool = False) -> bytes:
    """A JPEG header with one table, in zigzag order."""
    body = (b"\x10" if wide else b"\x00") + struct.pack(">64H" if wide else ">64B", *values)
    frame = struct.pack(">BHHB", 8, 8, 8, 1) + b"\x01\x11\x00"
    segments = ((0xDB, body), (0xC0, frame), (0xDA, b"\x01\x01\x00\x00\x3f\x00"))
    return b"\xff\xd8" + b"".join(
        bytes([0xFF, marker]) + struct.pack(">H", len(part) + 2) + part for marker, part in segments
    )


@given(st.lists(st.integers(1, 254), min_size=64, max_size=64), st.integers(0, 63))
def test_a_coarser_table_is_never_of_higher_quality(values, k):
    coarser = [*values[:k], values[k] + 1, *values[k + 1 :]]
    assert jpeg_quality(tables(coarser)) <= jpeg_quality(tables(values)) + 0.5
    assert 1 <= jpeg_quality(tables(values)) <= 100
    assert jpeg_quality(tables(values, wide=True)) == jpeg_quality(tables(values))


def test_tables_of_other_encoders_are_placed_between():
    fine, flat, coarse = (jpeg_quality(tables([v] * 64)) for v in (2, 16, 100))
    assert 95 < fine < 100
    assert 60 < flat < 90
    assert 1 < coarse < 40


@given(st.binary(max_size=200))
def test_what_is_no_jpeg_has_no_quality(junk):
    whole = ENCODERS["pillow"](50)
    for data in (junk, b"\xff\xd8" + junk):
        assert jpeg_quality(data) is None or data[:2] == b"\xff\xd8"
    cut = whole[: min(len(junk), 150)]  # the frame header comes later
    assert jpeg_quality(cut) is None
    assert jpeg_quality(tables([0] * 64)) is None
    values = profile_image(png(SMALL))
    assert values["jpeg_quality"] is None


def png(rgb: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "PNG")
    return file.getvalue()


def grey(rgb: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)


def blockiness_at(rgb: np.ndarray, qualities: tuple[int, ...]) -> list[float]:
    return [
        blockiness(grey(np.asarray(Image.open(io.BytesIO(with_pillow(rgb, quality=q)))))) for q in qualities
    ]


QUALITIES = (10, 20, 35, 50, 70, 90)  # below, blocks without detail are as blocky as can be


def test_blockiness_falls_with_quality():
    for seed in range(6):
        found = blockiness_at(photo(seed, 512, 512), QUALITIES)
        assert found == sorted(found, reverse=True)
        assert found[0] > 0.3


def test_blockiness_of_real_photographs_falls_with_quality():
    files = sorted((SHARED / "cid22" / "training").glob("*.png"))
    if not files:
        pytest.skip("needs ../shared/data")
    clean = []
    for file in files:
        rgb = np.asarray(Image.open(file).convert("RGB"))
        found = blockiness_at(rgb, (5, 15, 40, 90))
        assert found[0] > found[1] > found[3] - 0.01
        clean.append(blockiness(grey(rgb)))
    assert np.median(clean) < 0.05


def test_edges_of_a_clean_drawing_are_no_grid():
    rectangle, letterbox = np.full((400, 600), 255, np.uint8), np.zeros((480, 640), np.uint8)
    rectangle[96:304, 160:440] = 40
    letterbox[64:416] = grey(photo(3, 352, 640))
    slide = np.full((600, 800), 240, np.uint8)
    for k in range(3):
        slide[80 + 160 * k : 200 + 160 * k, 96:704] = 60 + 40 * k
    for drawing in (rectangle, letterbox, slide):
        assert blockiness(drawing) < 0.05


def test_blockiness_survives_cropping_and_flat_pictures():
    blocky = np.asarray(Image.open(io.BytesIO(with_pillow(photo(3, 512, 512), quality=10))))
    whole = blockiness(grey(blocky))
    assert blockiness(grey(blocky[3:, 5:])) == pytest.approx(whole, rel=0.15)
    assert blockiness(np.full((300, 300), 90, np.uint8)) == 0
    assert blockiness(np.zeros((5, 900), np.uint8)) == 0
    noise = np.random.default_rng(0).integers(0, 256, (512, 512)).astype(np.uint8)
    assert blockiness(noise) < 0.02


@pytest.mark.parametrize("quality", [1, 5, 10, 15, 23, 24, 60])
def test_divisors_of_more_than_eight_bits(quality):
    """As libjpeg writes them where it is not told to keep to the baseline."""
    with Image.open(io.BytesIO(ENCODERS["pillow"](50))) as image:
        annex_k = np.array(image.quantization[0])
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    values = np.clip((annex_k * scale + 50) // 100, 1, 32767)
    zigzag = values[_ZIGZAG]
    assert jpeg_quality(tables(zigzag.tolist(), wide=True)) == quality
