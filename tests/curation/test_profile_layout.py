"""Tones, frames and seams: flat backgrounds, letterboxes, screenshots and collages are told from photographs."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from zcurate.curation.profile.border import Frame, displayed_sides, frame
from zcurate.curation.profile.decode import oriented
from zcurate.curation.profile.grid import grid_evidence
from zcurate.curation.profile.measure import profile_image
from zcurate.curation.profile.shrink import shrink
from zcurate.curation.profile.tones import dominant_color_share, tones

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def photo(seed: int, height: int = 300, width: int = 400) -> np.ndarray:
    """Detail at all scales, around a color of its own."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width, 3), np.float32) + rng.normal(0, 0.4, 3)
    for octave in range(1, 8):
        grain = rng.normal(0, 1, (2**octave, 2**octave, 3)).astype(np.float32)
        total += cv2.resize(grain, (width, height), interpolation=cv2.INTER_CUBIC) / 2**octave
    return np.clip(128 + 70 * total, 0, 255).astype(np.uint8)


def working_luma(rgb: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(np.ascontiguousarray(shrink(shrink(rgb, 336), 256)), cv2.COLOR_RGB2GRAY)


# --- tones ----------------------------------------------------------------------------------------


def test_entropy_is_shannons():
    assert tones(np.full((10, 10), 7, np.uint8)).entropy_bits == 0
    assert tones(np.arange(256, dtype=np.uint8).reshape(16, 16)).entropy_bits == pytest.approx(8, abs=1e-5)
    halves = np.repeat(np.array([10, 200], np.uint8), 50).reshape(10, 10)
    assert tones(halves).entropy_bits == pytest.approx(1, abs=1e-6)


@given(st.integers(0, 100), st.integers(0, 100))
def test_dark_and_bright_shares_count_pixels(black, white):
    luma = np.full((20, 20), 128, np.uint8)
    luma.flat[:black], luma.flat[400 - white :] = 3, 252
    found = tones(luma)
    assert (found.dark_share, found.bright_share) == pytest.approx((black / 400, white / 400))


def test_clipped_pixels_are_counted_where_they_are_scattered():
    picture = np.full((1000, 1500, 3), 120, np.uint8)
    picture[np.random.default_rng(0).random((1000, 1500)) < 0.1] = 255
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    assert profile_image(file.getvalue())["bright_share"] == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("color", [(255, 255, 255), (16, 16, 16), (31, 32, 33), (0, 128, 255)])
def test_dominant_color_share_finds_the_background(color):
    picture = photo(1, 256, 256)
    before = dominant_color_share(picture)
    picture[:, :154] = color
    grain = np.random.default_rng(0).integers(-3, 4, picture.shape)
    picture = np.clip(picture + grain, 0, 255).astype(np.uint8)
    assert before < 0.45
    assert dominant_color_share(picture) == pytest.approx(0.6 + 0.4 * before, abs=0.4 * before + 0.01)


# --- frames ---------------------------------------------------------------------------------------


def frame_of(rgb: np.ndarray) -> Frame:
    return frame(rgb, shrink(rgb, 336))


@pytest.mark.parametrize("size", [(240, 320), (1000, 1500), (900, 700)])
@pytest.mark.parametrize(
    "bars",
    [
        (0, 0, 0, 0),
        (60, 0, 60, 0),
        (0, 75, 0, 75),
        (30, 20, 10, 40),
        (0, 0, 90, 0),
        (1, 1, 1, 1),
        (2, 0, 3, 0),
    ],
)
def test_bars_are_found_to_the_pixel(size, bars):
    top, right, bottom, left = bars
    for seed, color in enumerate([(0, 0, 0), (255, 255, 255), (200, 30, 90)]):
        framed = cv2.copyMakeBorder(
            photo(seed, *size), top, bottom, left, right, cv2.BORDER_CONSTANT, value=color
        )
        assert frame_of(framed) == bars
        assert frame_of(framed[..., 0].copy()) == bars


def test_bars_survive_compression():
    framed = cv2.copyMakeBorder(photo(5, 600, 800), 64, 72, 0, 0, cv2.BORDER_CONSTANT, value=(0, 0, 0))
    compressed = simplejpeg.decode_jpeg(simplejpeg.encode_jpeg(framed, quality=60))
    found = frame_of(compressed)
    assert np.abs(np.subtract(found, (64, 0, 72, 0))).max() <= 1


def test_what_is_no_frame():
    assert frame_of(np.full((500, 600, 3), 255, np.uint8)) == (0, 0, 0, 0)
    studio = np.full((700, 900, 3), 250, np.uint8)
    cv2.circle(studio, (450, 350), 200, (90, 60, 30), -1)
    assert frame_of(studio) == (0, 0, 0, 0)
    for size in ((1, 1), (2, 1), (1, 4000), (3, 3)):
        assert sum(frame_of(np.zeros((*size, 3), np.uint8))) == 0


@pytest.mark.parametrize("orientation", range(1, 9))
def test_sides_turn_with_the_picture(orientation):
    picture = cv2.copyMakeBorder(photo(2), 10, 20, 30, 40, cv2.BORDER_CONSTANT, value=(0, 0, 0))
    turned = oriented(picture, orientation)
    assert tuple(displayed_sides(frame_of(picture), orientation)) == tuple(frame_of(turned))


# --- collages -------------------------------------------------------------------------------------


def collage(
    pictures: list[np.ndarray], rows: int, columns: int, gutter_px: int, color: int = 255
) -> np.ndarray:
    height, width = 900 // rows, 1200 // columns
    size = (rows * (height + gutter_px) + gutter_px, columns * (width + gutter_px) + gutter_px, 3)
    sheet = np.full(size, color, np.uint8)
    supply = itertools.cycle(pictures)
    for row, column in itertools.product(range(rows), range(columns)):
        tile = next(supply)
        scale = max(height / tile.shape[0], width / tile.shape[1])
        tile = cv2.resize(tile, None, fx=scale + 0.01, fy=scale + 0.01, interpolation=cv2.INTER_AREA)
        top, left = gutter_px + row * (height + gutter_px), gutter_px + column * (width + gutter_px)
        sheet[top : top + height, left : left + width] = tile[:height, :width]
    return sheet


def evidence(rgb: np.ndarray) -> float:
    return grid_evidence(working_luma(rgb))


@pytest.mark.parametrize("gutter_px", [0, 8, 20])
@pytest.mark.parametrize("grid", [(2, 2), (3, 3), (2, 3)])
def test_collages_have_seams_and_their_tiles_have_not(grid, gutter_px):
    for seed in range(5):
        tiles = [photo(10 * seed + k, 450, 600) for k in range(9)]
        assert max(map(evidence, tiles)) == 0
        assert evidence(collage(tiles, *grid, gutter_px, color=255 * (seed % 2))) > 0.4


def test_horizons_and_facades_are_no_collages():
    horizon = photo(1, 600, 900)
    horizon[:260] = horizon[:260] // 8 + np.array([170, 190, 220], np.uint8)
    assert evidence(horizon) == 0
    facade = np.full((800, 800, 3), 140, np.uint8)
    for k in range(20, 800, 40):  # a curtain wall: lines all over, in both directions
        facade[:, k : k + 6] = 40
        facade[k : k + 6] = 40
    assert evidence(facade) == 0
    corner = photo(2, 600, 900)
    corner[:, 500:] //= 3
    assert evidence(corner) == 0
    assert grid_evidence(np.zeros((31, 500), np.uint8)) == 0
    assert evidence(np.full((600, 600, 3), 200, np.uint8)) == 0


def test_real_photographs_and_collages_of_them():
    files = sorted((SHARED / "cid22" / "training").glob("pexels*.png"))
    files += sorted((SHARED / "dreambooth" / "dataset").glob("*/0[0-2].jpg"))
    if not files:
        pytest.skip("needs ../shared/data")
    pictures = [np.asarray(Image.open(file).convert("RGB")) for file in files]
    single = np.array([evidence(p) for p in pictures])
    assert (single >= 0.5).mean() < 0.1
    made = [
        evidence(collage(pictures[k : k + 9], *grid, gutter_px))
        for k, (grid, gutter_px) in enumerate(itertools.product([(2, 2), (3, 3)], [0, 6, 16] * 4))
    ]
    assert np.mean(np.array(made) >= 0.5) > 0.8


@pytest.mark.parametrize(("height", "width", "bars"), [(2985, 4007, 40), (3517, 2709, 33), (1283, 1811, 21)])
def test_bars_of_large_pictures_are_found_on_every_side(height, width, bars):
    """Shrinking by halves drops odd rows and columns at the end, by which the last bars are off."""
    rgb = np.random.default_rng(5).integers(0, 256, (height // 16, width // 16, 3), np.uint8)
    rgb = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_CUBIC)
    rgb[:bars] = rgb[-bars:] = rgb[:, :bars] = rgb[:, -bars:] = 20
    values = profile_image(simplejpeg.encode_jpeg(rgb, quality=95, colorsubsampling="444"))
    assert [values[f"frame_{side}_px"] for side in ("top", "right", "bottom", "left")] == pytest.approx(
        [bars] * 4, abs=1
    )


@pytest.mark.parametrize("bars", [21, 29, 37, 58])
def test_bars_off_the_grid_of_a_jpeg_are_found(bars):
    rgb = photo(5, 480, 854)
    rgb[:bars] = rgb[-bars:] = 0
    values = profile_image(simplejpeg.encode_jpeg(rgb, quality=75, colorsubsampling="420"))
    assert min(values["frame_top_px"], values["frame_bottom_px"]) >= bars - 8
    assert (values["frame_left_px"], values["frame_right_px"]) == (0, 0)


@pytest.mark.parametrize("width", [10_000, 20_000, 40_000])
@pytest.mark.parametrize("turned", [False, True])
def test_bars_of_strips_whose_copy_is_one_line_high(width, turned):
    for height in range(4, 40, 3):
        rgb = np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)
        rgb[0], rgb[:, :30] = 0, rgb[:, :1]
        rgb = np.ascontiguousarray(rgb.swapaxes(0, 1)) if turned else rgb
        bars = frame_of(rgb)
        assert all(0 <= bar < side for bar, side in zip(bars, (*rgb.shape[:2],) * 2, strict=True) if bar)
