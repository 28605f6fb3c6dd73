"""Compiled sums over pixels are those that OpenCV and NumPy give step by step."""

from __future__ import annotations

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from zcurate.curation.profile.count_kernels import (
    any_plain_side,
    border_moments,
    level_counts,
    most_frequent_cube,
    neutral_sums,
    plain_lines,
)
from zcurate.curation.profile.difference_kernels import (
    laplacian_moments,
    seam_counts,
    second_difference_sum,
    step_sums,
)
from zcurate.curation.profile.shrink import halve_into, halvings, shrink, shrink_by_halves

SIDES = st.integers(3, 90)


def luma(height: int, width: int, seed: int) -> np.ndarray:
    """Noise, or steps of full range, which are where narrow numbers would overflow."""
    rng = np.random.default_rng(seed)
    if seed % 2:
        return rng.integers(0, 256, (height, width), np.uint8)
    return (255 * rng.integers(0, 2, (height, width))).astype(np.uint8)


@settings(deadline=None, max_examples=60)
@given(SIDES, SIDES, st.integers(0, 99))
def test_second_differences(height, width, seed):
    grey = luma(height, width, seed)
    taps = np.array([1, -2, 1], np.float32)
    response = cv2.sepFilter2D(grey, cv2.CV_16S, taps, taps)[1:-1, 1:-1]
    assert second_difference_sum(grey) == cv2.norm(response, cv2.NORM_L1)


def test_second_differences_of_a_checkerboard_of_many_rows():
    grey = (np.indices((2000, 40)).sum(axis=0) % 2 * 255).astype(np.uint8)
    assert second_difference_sum(grey) == 1998 * 38 * 8 * 255


@settings(deadline=None, max_examples=60)
@given(SIDES, SIDES, st.integers(0, 99), st.integers(0, 255))
def test_steps(height, width, seed, most):
    grey = luma(height, width, seed)
    across, down = np.zeros(width - 1, np.uint32), np.empty(height - 1, np.uint32)
    step_sums(grey, most, across, down)
    wide = grey.astype(np.int64)
    np.testing.assert_array_equal(across, np.minimum(abs(np.diff(wide, axis=1)), most).sum(axis=0))
    np.testing.assert_array_equal(down, np.minimum(abs(np.diff(wide, axis=0)), most).sum(axis=1))


@settings(deadline=None, max_examples=40)
@given(st.integers(4, 60), st.integers(5, 60), st.integers(0, 99))
def test_moments_of_the_laplacian(height, width, seed):
    smooth = np.random.default_rng(seed).normal(128, 40, (height, width)).astype(np.float32)
    sums, squares = np.zeros((2, 4, 5))
    laplacian_moments(smooth, sums, squares)
    edges = cv2.Laplacian(smooth, cv2.CV_32F)[: height // 4 * 4, : width // 5 * 5].astype(np.float64)
    tiles = edges.reshape(4, height // 4, 5, width // 5)
    np.testing.assert_allclose(sums, tiles.sum(axis=(1, 3)), atol=0.05)
    np.testing.assert_allclose(squares, (tiles * tiles).sum(axis=(1, 3)), rtol=1e-3)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 40), st.integers(9, 60), st.integers(0, 99), st.integers(0, 60))
def test_seams(height, width, seed, step):
    grey = luma(height, width, seed).astype(np.int64)
    counts = np.zeros((3, width - 8), np.uint16)
    seam_counts(grey.astype(np.uint8), step, counts)
    p = [grey[:, k : width - 8 + k] for k in range(9)]
    texture = np.maximum(abs(p[3] - p[1]), abs(p[5] - p[7]))
    met = abs(p[3] - p[5]) - texture > step
    texture = np.maximum(abs(p[0] - p[2]), abs(p[6] - p[8]))
    brighter = p[4] - np.maximum(p[2], p[6]) - texture > step
    darker = np.minimum(p[2], p[6]) - texture - p[4] > step
    np.testing.assert_array_equal(counts, [kind.sum(axis=0) for kind in (met, brighter, darker)])


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 70), st.integers(2, 70), st.integers(0, 9), st.booleans())
def test_halving_is_that_of_opencv(height, width, seed, part_of_a_picture):
    rgb = np.random.default_rng(seed).integers(0, 256, (height + 3, width + 3, 3), np.uint8)
    rgb = rgb[1 : 1 + height, 2 : 2 + width] if part_of_a_picture else rgb[:height, :width].copy()
    even = rgb[: height // 2 * 2, : width // 2 * 2]
    expected = cv2.resize(even, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(shrink_by_halves(rgb, min(height, width) // 2), expected)


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 300), st.integers(2, 300), st.integers(1, 3), st.booleans())
def test_halving_some_times_is_halving_again_and_again(height, width, times, grey):
    shape = (height, width) if grey else (height, width, 3)
    pixels = np.random.default_rng(height * width).integers(0, 256, shape, np.uint8)
    out = np.empty((height >> times, width >> times, *shape[2:]), np.uint8)
    halve_into(pixels, times, out)
    for _ in range(times):
        if min(pixels.shape[:2]) < 2:
            return
        pixels = shrink_by_halves(pixels, min(pixels.shape[:2]) // 2)
    np.testing.assert_array_equal(out, pixels)


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 600))
def test_halvings_stop_before_the_short_side_is_too_short(height, width, short):
    times = halvings(height, width, short)
    assert times == 0 or min(height, width) >> times >= short
    assert min(height, width) >> (times + 1) < short


@settings(deadline=None, max_examples=60)
@given(st.integers(40, 90), st.integers(40, 90), st.integers(21, 40), st.integers(0, 99))
def test_interpolation_is_bilinear(height, width, short, seed):
    rgb = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    found = shrink(rgb, short)
    halved = shrink_by_halves(rgb, short).astype(np.float64)
    exact = cv2.resize(halved, found.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    assert np.abs(found - exact).max() <= 3  # a weight is off by 1/128 at most
    assert abs(found.mean() - exact.mean()) < 0.15
    np.testing.assert_array_equal(shrink(np.full_like(rgb, seed), short), seed)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 500), st.integers(0, 99))
def test_level_counts(size, seed):
    grey = luma(1, size, seed).reshape(-1)
    counts = np.zeros(256, np.int64)
    level_counts(grey, counts)
    np.testing.assert_array_equal(counts, np.bincount(grey, minlength=256))


@settings(deadline=None, max_examples=40)
@given(SIDES, SIDES, st.integers(0, 99), st.integers(1, 255))
def test_fullest_cube_of_colors(height, width, seed, spread):
    rgb = np.random.default_rng(seed).integers(0, spread + 1, (height, width, 3), np.uint8)
    counts = cv2.calcHist([rgb], [0, 1, 2], None, [16] * 3, [0, 256] * 3)
    for axis in range(3):
        counts = np.swapaxes(counts, 0, axis)
        counts = np.swapaxes(counts[1:] + counts[:-1], 0, axis)
    assert most_frequent_cube(rgb.reshape(-1), 4) == counts.max()


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 200), st.integers(0, 99), st.integers(0, 120), st.integers(121, 255))
def test_sums_of_the_neutral_half(size, seed, dark, bright):
    lab = np.random.default_rng(seed).integers(0, 256, (size, 3), np.uint8)
    if seed % 3 == 0:
        lab[:, 1:] = 128 + lab[:, 1:] // 100  # many the same
    counted = (lab[:, 0] >= dark) & (lab[:, 0] <= bright)
    a, b = (lab[counted][:, k].astype(int) - 128 for k in (1, 2))
    neutral = a * a + b * b <= np.median(a * a + b * b) if counted.any() else np.zeros(0, bool)
    wanted = (a[neutral].sum(), b[neutral].sum(), neutral.sum()) if counted.any() else (0, 0, 0)
    assert neutral_sums(lab, dark, bright) == wanted


@settings(deadline=None, max_examples=60)
@given(SIDES, SIDES, st.integers(0, 99), st.integers(1, 3))
def test_moments_of_the_border(height, width, seed, depth):
    rgb = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    sums, squares = np.zeros((2, 4, 3), np.int64)
    border_moments(rgb, depth, sums, squares)
    wide = rgb.astype(np.int64)
    strips = [wide[:depth], wide[:, -depth:], wide[-depth:], wide[:, :depth]]
    np.testing.assert_array_equal(sums, [strip.sum(axis=(0, 1)) for strip in strips])
    np.testing.assert_array_equal(squares, [(strip * strip).sum(axis=(0, 1)) for strip in strips])


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 900), st.integers(1, 900), st.integers(0, 99), st.integers(0, 60), st.booleans())
def test_whether_a_side_is_plain(height, width, seed, most, grey):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 1 if grey else 3), np.uint8)
    pixels[:, -1] = seed + pixels[:, -1] // (1 + seed)

    def plain(line):
        points = np.sort(line[:: max(1, len(line) // 256) * 16], axis=0).astype(int)
        trim = int(len(points) > 4)
        return (points[-1 - trim] - points[trim]).max() <= most

    sides = (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1])
    assert any_plain_side(pixels, 256, 16, most) == any(map(plain, sides))


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 99), st.integers(1, 9))
def test_lines_of_a_color(lines, length, seed, after):
    rng = np.random.default_rng(seed)
    pixels = np.full((lines, length, 3), 100, np.uint8)
    pixels[rng.integers(0, lines + 1) :] = rng.integers(80, 121, (3,))
    pixels[rng.random((lines, length)) < 0.05] += 15
    plain = (abs(pixels.astype(int) - 100) <= 10).all(axis=2).mean(axis=1)
    differs = np.flatnonzero(plain < 0.9)
    wanted = (differs[0], plain[differs[0] : differs[0] + after].min()) if len(differs) else (-1, 1.0)
    assert plain_lines(pixels, pixels.dtype.type(100) * np.ones(3, np.uint8), 10, 0.9, after) == wanted
