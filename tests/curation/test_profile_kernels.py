"""Compiled sums over pixels are those that OpenCV and NumPy give step by step."""

from __future__ import annotations

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from zcurate.curation.profile.difference_kernels import (
    laplacian_moments,
    seam_counts,
    second_difference_sum,
    step_sums,
)
from zcurate.curation.profile.shrink import shrink_by_halves

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
