"""The signals order pictures as they should, and are those of the picture as it is displayed."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from zcurate.curation.profile.border import border_variance
from zcurate.curation.profile.color_cast import color_cast
from zcurate.curation.profile.columns import PROFILE_SCHEMA, QUALITY_SCHEMA, SIDES, THUMBS_SCHEMA
from zcurate.curation.profile.compression import compression_ratio
from zcurate.curation.profile.decode import oriented
from zcurate.curation.profile.entropy import reencode_bytes_per_px
from zcurate.curation.profile.measure import profile_image
from zcurate.curation.profile.metadata import METADATA_SCHEMA
from zcurate.curation.profile.noise import noise_sigma
from zcurate.curation.profile.sharpness import sharpness
from zcurate.curation.profile.shrink import shrink
from zcurate.curation.profile.thumbnail import thumbnail

from .profile_scenes import grey, scene

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"

RNG = np.random.default_rng(7)


def noisy(rgb: np.ndarray, sigma: float) -> np.ndarray:
    return np.clip(rgb + np.random.default_rng(1).normal(0, sigma, rgb.shape), 0, 255).astype(np.uint8)


def test_compression_ratio_counts_channels_and_bits():
    assert compression_ratio(100, 50, 3, 8, 1500) == 10.0
    assert compression_ratio(100, 50, 1, 16, 1000) == 10.0
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 65536, (90, 70), np.uint16)).save(file, "PNG")
    values = profile_image(file.getvalue())
    assert values["bit_depth"] == 16
    assert values["compression_ratio"] == pytest.approx(2 * 90 * 70 / len(file.getvalue()))


def test_border_variance():
    image = scene()
    framed = cv2.copyMakeBorder(image, 30, 30, 30, 30, cv2.BORDER_CONSTANT, value=(255, 255, 255))
    letterboxed = cv2.copyMakeBorder(image, 30, 30, 0, 0, cv2.BORDER_CONSTANT, value=(0, 0, 0))
    assert border_variance(framed).pair < 1e-9
    assert border_variance(letterboxed).pair < 1e-9
    sky = image.copy()
    sky[:40] = (150, 180, 220)
    assert border_variance(sky).pair > 200
    assert border_variance(image).pair > 200
    halves = np.zeros((100, 100, 3), np.uint8)
    halves[:, 50:] = 200
    halves[-50:] = 255 - halves[-50:]
    assert border_variance(halves).pair > 1000
    assert border_variance(np.zeros((1, 1, 3), np.uint8)).pair == 0
    sides = border_variance(sky)
    assert sides.top < 1e-9
    assert min(sides.right, sides.bottom, sides.left) > 200


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 150), st.integers(1, 150), st.just(3))))
def test_border_variance_is_the_variance_of_the_pixels(rgb):
    depth = max(1, round(0.02 * min(rgb.shape[:2])))
    strips = [rgb[:depth], rgb[:, -depth:], rgb[-depth:], rgb[:, :depth]]
    top, right, bottom, left = (s.reshape(-1, 3).astype(float) for s in strips)

    def variance(*strips):
        return np.concatenate(strips).var(axis=0).mean()

    found = border_variance(rgb)
    wanted = (min(variance(top, bottom), variance(left, right)), *map(variance, (top, right, bottom, left)))
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_reencoded_size_orders_flat_picture_noise():
    flat, picture, noise = (
        reencode_bytes_per_px(*thumbnail(rgb))
        for rgb in (
            np.full((256, 256, 3), 128, np.uint8),
            scene(),
            RNG.integers(0, 256, (256, 256, 3), np.uint8),
        )
    )
    assert flat < 0.02 < 0.03 < picture < noise


@pytest.mark.parametrize("sigma", [3, 8, 20])
def test_noise_sigma_finds_the_noise(sigma):
    smooth = np.full((400, 400), 128, np.float64) + np.linspace(-60, 60, 400)
    found = noise_sigma(np.clip(smooth + RNG.normal(0, sigma, (400, 400)), 0, 255).astype(np.uint8))
    assert found == pytest.approx(sigma, rel=0.1)


def test_noise_of_tiny_images_is_zero():
    assert noise_sigma(np.zeros((2, 50), np.uint8)) == 0


def test_sharpness_falls_with_blur_and_noise_does_not_hide_it():
    for seed in range(6):
        image = scene(seed)
        sharp = sharpness(grey(shrink(image, 256)))
        blurred = cv2.GaussianBlur(image, (0, 0), 4)
        assert sharpness(grey(shrink(blurred, 256))) < sharp / 5
        assert sharpness(grey(shrink(noisy(blurred, 15), 256))) < sharp / 3
        assert sharpness(grey(shrink(noisy(image, 15), 256))) > sharp / 2
    assert sharpness(np.zeros((4, 90), np.uint8)) == 0


def test_color_cast_grows_with_a_tint():
    image = scene()
    tinted = [np.clip(image * np.array([1 + t, 1, 1 - t]), 0, 255).astype(np.uint8) for t in (0, 0.15, 0.4)]
    casts = [color_cast(t) for t in tinted]
    assert casts[0] < casts[1] < casts[2]
    assert color_cast(np.repeat(grey(image)[..., None], 3, axis=2)) < 0.5
    assert color_cast(np.zeros((9, 9, 3), np.uint8)) == 0


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (7, 5), (3000, 2), (2048, 2048)])
def test_every_column_for_odd_sizes(size):
    data = simplejpeg.encode_jpeg(RNG.integers(0, 256, (*size, 3), np.uint8))
    values = profile_image(data)
    groups = (PROFILE_SCHEMA, METADATA_SCHEMA, QUALITY_SCHEMA, THUMBS_SCHEMA)
    assert set(values) == {name for schema in groups for name in schema.names}
    assert all(np.isfinite(v) for v in values.values() if isinstance(v, float))
    assert (values["height_px"], values["width_px"]) == size


@pytest.mark.parametrize("orientation", range(1, 9))
def test_signals_are_those_of_the_displayed_image(orientation):
    picture = cv2.copyMakeBorder(scene(3, 640, 800), 40, 0, 80, 0, cv2.BORDER_CONSTANT, value=(0, 0, 0))
    exif = Image.Exif()
    exif[0x0112] = orientation
    files = []
    for pixels, options in ((picture, {"exif": exif}), (oriented(picture, orientation), {})):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG", **options)
        files.append(profile_image(file.getvalue()))
    turned, plain = files
    assert turned["entropy_bits"] == pytest.approx(plain["entropy_bits"], abs=0.1)  # other rows are sampled
    assert (turned["phash"] ^ plain["phash"]).bit_count() <= 2
    for name in ("width_px", "height_px", *(f"frame_{side}_px" for side in SIDES)):
        assert turned[name] == plain[name]
    for name in (
        "border_variance",
        "sharpness",
        "color_cast",
        *(f"border_variance_{side}" for side in SIDES),
    ):
        assert turned[name] == pytest.approx(plain[name], rel=0.1, abs=3)
    assert sorted(plain[f"frame_{side}_px"] for side in SIDES) == [0, 0, 40, 80]


def test_real_blur_is_measured():
    folder = SHARED / "blur-triplets" / "samples"
    if not folder.is_dir():
        pytest.skip("needs ../shared/data")
    for sharp in folder.glob("*_S.*"):
        scores = {
            f.stem[-1]: profile_image(f.read_bytes())["sharpness"]
            for f in folder.glob(f"{sharp.name.split('_')[0]}_*")
        }
        assert scores["S"] > max(scores["F"], scores["M"])
