"""Histograms of edges: what directions and steps mean, symmetries, and what blur does to them."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from zcurate.curation.profile.quality.edge_kernels import DIRECTIONS, STEPS, steeper_shares
from zcurate.curation.profile.quality.edges import EDGE_VALUES, edge_histograms

PICTURES = hnp.arrays(np.uint8, st.tuples(st.integers(8, 40), st.integers(8, 40)))


def ramp(angle, slope, side=64):
    """Grey that grows by `slope` levels a pixel in the direction `angle` (radians, y down)."""
    y, x = np.mgrid[:side, :side] - side / 2
    grey = 128 + slope * (np.cos(angle) * x + np.sin(angle) * y)
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("k", range(DIRECTIONS))
def test_a_slope_counts_in_its_direction(k):
    # direction 0 is the diagonal; differences of whole levels need some steepness to have an angle
    angle = np.pi / 4 + k * np.pi / DIRECTIONS
    shares = steeper_shares(ramp(angle, 12, 18), 1, 1)[0]
    assert shares[0].argmax() == k
    assert shares[0, k] > 0.9


@pytest.mark.parametrize("slope", [1, 2, 4, 8])
def test_a_slope_counts_up_to_its_step(slope):
    shares = steeper_shares(ramp(0, slope, 24), 1, 1)[0].sum(axis=1)
    step = round(2 * np.log2(slope))
    assert np.all(shares[: step + 1] == 1)
    assert np.all(shares[step + 1 :] == 0)


def test_a_smaller_copy_is_twice_as_steep():
    shares = steeper_shares(ramp(0, 4, 48), 3, 1).sum(axis=2)
    assert [int((s == 1).sum()) for s in shares] == [5, 7, 9]  # 4, 8 and 16 levels a pixel


@given(PICTURES)
def test_turned_and_mirrored_pictures(grey):
    shares = steeper_shares(grey, 1, 1)
    assert np.array_equal(steeper_shares(np.rot90(grey).copy(), 1, 1), np.roll(shares, 8, axis=2))
    mirrored = steeper_shares(grey[:, ::-1].copy(), 1, 1)
    assert np.array_equal(mirrored, shares[:, :, (8 - np.arange(DIRECTIONS)) % DIRECTIONS])


@given(PICTURES)
def test_shares_fall_with_steepness(grey):
    shares = steeper_shares(grey, 2, 2)
    assert shares.shape == (2, STEPS, DIRECTIONS)
    assert np.all(np.diff(shares, axis=1) <= 0)
    assert np.all(shares.sum(axis=2) <= 1 + 1e-5)


def test_slopes_agree_with_numpy():
    picture = np.random.default_rng(0).integers(0, 256, (90, 70)).astype(np.uint8)
    grey = picture.astype(float)
    down = (grey[1:, :-1] - grey[:-1, :-1] + grey[1:, 1:] - grey[:-1, 1:]) / 2
    across = (grey[:-1, 1:] - grey[:-1, :-1] + grey[1:, 1:] - grey[1:, :-1]) / 2
    steep = np.hypot(down, across)
    shares = steeper_shares(picture, 1, 1)[0].sum(axis=1)
    for step in range(STEPS):
        least = 2 ** (step / 2)
        expected = np.mean(steep >= least + 1e-9), np.mean(steep >= least - 1e-9)
        assert expected[0] - 1e-5 <= shares[step] <= expected[1] + 1e-5


def test_windows_of_several_sizes():
    rng = np.random.default_rng(1)
    windows = [rng.integers(0, 256, size).astype(np.uint8) for size in ((64, 64), (128, 128), (320, 320))]
    found = edge_histograms(windows)
    assert found.shape == (3, EDGE_VALUES, DIRECTIONS)
    assert found.dtype == np.float32
    assert np.all((found >= 0) & (found <= 1))
    assert np.all(found[:, 0].sum(axis=1) > 0.8)  # noise is steep everywhere


def test_motion_spares_edges_along_it():
    rng = np.random.default_rng(2)
    grey = cv2.resize(
        rng.integers(0, 256, (40, 40)).astype(np.uint8), (320, 320), interpolation=cv2.INTER_NEAREST
    )
    grey = cv2.warpAffine(grey, cv2.getRotationMatrix2D((160, 160), 30, 1.5), (320, 320))
    motion = np.full((1, 15), 1 / 15, np.float32)
    sharp, moved = (steeper_shares(x, 1, 1)[0, 9] for x in (grey, cv2.filter2D(grey, -1, motion)))
    upright, level = 4, 12  # directions that the brightness grows in
    kept = moved / sharp
    assert kept[upright] > 5 * kept[level]
