"""Distortions and marks that the quality networks learn from."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcurate.curation.profile.quality import distortions
from zcurate.curation.profile.quality.watermarks import find_fonts, watermark_mask

FONTS = find_fonts([Path(matplotlib.get_data_path()) / "fonts" / "ttf"])


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.floats(1, 30))
def test_noise_is_as_strong_as_asked_for(seed, sigma):
    grey = np.full((128, 128, 3), 128, np.uint8)
    noisy = distortions.noise(grey, sigma, np.random.default_rng(seed)).astype(np.float64)
    assert noisy.std() == pytest.approx(np.hypot(sigma, 0.29), rel=0.1)  # rounding adds a little
    assert np.abs(noisy.mean() - 128) < 4


def test_some_noise_is_coarser_than_a_pixel_and_none_of_that_is_like_grain_of_film():
    grey, coarse = np.full((128, 128, 3), 128, np.uint8), []
    for seed in range(60):
        noise = distortions.noise(grey, 12.0, np.random.default_rng(seed)).astype(np.float64) - 128
        beside = np.corrcoef(noise[:, 1:, 0].ravel(), noise[:, :-1, 0].ravel())[0, 1]
        between_channels = np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]
        coarse.append(beside > 0.1)
        assert not (coarse[-1] and between_channels > 0.5)
    assert 5 < sum(coarse) < 30


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.integers(100, 400), st.integers(100, 400))
def test_a_mark_has_strokes_and_perhaps_a_ground(seed, h, w):
    mask = watermark_mask(h, w, FONTS, np.random.default_rng(seed))
    assert mask.shape == (h, w, 2)
    assert mask.dtype == np.uint8
    assert mask[..., 0].any()


def test_some_marks_lie_on_plates():
    masks = [watermark_mask(200, 300, FONTS, np.random.default_rng(k)) for k in range(40)]
    assert 2 < sum(m[..., 1].any() for m in masks) < 25
