"""Small copies of pictures: how they are shrunk, the thumbnail, and the colors of an ICC profile in them."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from zcurate.curation.profile.color import profile_transform
from zcurate.curation.profile.decode import decode
from zcurate.curation.profile.icc_cube import displayed_small
from zcurate.curation.profile.measure import profile_image
from zcurate.curation.profile.shrink import shrink, shrink_by_halves
from zcurate.curation.profile.thumbnail import thumbnail

from .profile_scenes import scene

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def test_shrink_never_enlarges_and_bounds_the_long_side():
    small = np.zeros((100, 120, 3), np.uint8)
    assert shrink(small, 336) is small
    assert shrink(np.zeros((1000, 1500, 3), np.uint8), 300).shape == (300, 450, 3)
    assert shrink(np.zeros((2, 20_000, 3), np.uint8), 256).shape == (1, 2048, 3)
    assert shrink_by_halves(np.zeros((1031, 2103, 3), np.uint8), 256).shape == (257, 525, 3)
    assert shrink_by_halves(np.zeros((511, 600), np.uint8), 256).shape == (511, 600)


def test_shrink_averages():
    noise = np.random.default_rng(0).integers(0, 256, (1100, 1700, 3)).astype(np.uint8)
    for short in (336, 300, 256, 100):
        small = shrink(noise, short)
        assert small.mean() == pytest.approx(noise.mean(), abs=1)
        assert small.std() < noise.std() / 1.8
    ramp = np.repeat(np.linspace(0, 255, 1500).astype(np.uint8)[None, :, None], 1000, axis=0).repeat(
        3, axis=2
    )
    area = cv2.resize(ramp, (504, 336), interpolation=cv2.INTER_AREA)
    assert np.abs(shrink(ramp, 336).astype(int) - area).max() <= 1


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 400))
def test_shrink_sizes(height, width, short):
    small = shrink(np.zeros((height, width), np.uint8), short)
    assert min(small.shape) <= max(1, short)
    assert max(small.shape) <= max(1, 8 * short)
    assert small.shape[0] <= height
    assert small.shape[1] <= width


def test_thumbnail():
    jpeg, width, height = thumbnail(scene(0, 700, 1000))
    assert (width, height) == (480, 336)
    assert simplejpeg.decode_jpeg(jpeg).shape == (336, 480, 3)
    assert jpeg == thumbnail(scene(0, 700, 1000))[0]


def real_profiles() -> set[bytes]:
    """RGB profiles of real files that are not sRGB."""
    found = set()
    for path in (SHARED / "rapidocr").rglob("*.jpg"):
        with Image.open(path) as image:
            icc = image.info.get("icc_profile")
        if icc and profile_transform(icc, "RGB") is not None:
            found.add(icc)
    return found


def test_icc_profile_is_applied_to_small_copies():
    profiles = real_profiles()
    if not profiles:
        pytest.skip("needs pictures with other profiles than sRGB in ../shared/data")
    every = np.random.default_rng(0).integers(0, 256, (300, 400, 3)).astype(np.uint8)
    for icc in profiles:
        for pixels in (scene(), every):
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, "PNG", icc_profile=icc)
            image = decode(file.getvalue())
            exact = image.displayed(image.pixels).astype(int)
            assert np.abs(exact - pixels).max() > 2
            error = np.abs(displayed_small(image, image.pixels) - exact)
            assert error.mean() < 0.5
            assert error.max() <= 16
        thumb = simplejpeg.decode_jpeg(profile_image(file.getvalue())["thumb"]).astype(int)
        assert abs(thumb.mean() - exact.mean()) < abs(pixels.mean() - exact.mean()) / 2 + 1
