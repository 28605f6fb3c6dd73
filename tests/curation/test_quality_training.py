"""What the quality networks are trained with: the input loops against OpenCV, Muon, and draws of tile samples."""

from __future__ import annotations

from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from zcurate.curation.profile.quality.inputs import tile_input
from zcurate.curation.profile.quality.muon import Muon, muon_and_adam
from zcurate.curation.profile.quality.network import MarkNetwork
from zcurate.curation.profile.quality.pages import page
from zcurate.curation.profile.quality.scores import TILE_SCORES
from zcurate.curation.profile.quality.surfaces import stripes, surface
from zcurate.curation.profile.quality.train_tiles import TileSample, drawn
from zcurate.curation.profile.quality.watermarks import find_fonts
from zcurate.curation.profile.shrink_kernels import shrink_by

FONTS = find_fonts([Path(matplotlib.get_data_path()) / "fonts" / "ttf"])


def _pixels(cells: np.ndarray) -> np.ndarray:
    """Cells of 2 x 2 pixels [..., 32, 32, 16] laid out as a picture again [..., 64, 64, 4]."""
    lead = cells.shape[:-3]
    parts = cells.reshape(*lead, 32, 32, 2, 2, 4)
    return np.moveaxis(parts, -3, -4).reshape(*lead, 64, 64, 4)


@settings(deadline=None, max_examples=40)
@given(st.sampled_from([3, 4]), st.integers(1, 40), st.integers(1, 40), st.integers(0, 9))
def test_shrinking_by_area_is_that_of_opencv(factor, height, width, seed):
    rgb = np.random.default_rng(seed).integers(0, 256, (factor * height, factor * width, 3), np.uint8)
    out = np.empty((height, width, 3), np.uint8)
    shrink_by(rgb.reshape(len(rgb), -1), factor, out)
    np.testing.assert_array_equal(out, cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA))


def test_tiles_are_seen_about_their_mean_with_high_frequencies_enlarged():
    """To the nearest step: three halves of a level of luma, half as much of color."""
    tiles = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    steps = _pixels(tile_input(tiles))
    assert steps.shape == (3, 64, 64, 4)
    assert steps.dtype == np.uint8
    planes = steps[1] - 128.0
    luma = tiles[1].astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    np.testing.assert_allclose(planes[..., 0], (luma - luma.mean()) / 1.5, atol=0.501)
    high = luma - cv2.blur(luma, (3, 3), borderType=cv2.BORDER_REFLECT_101)
    np.testing.assert_allclose(planes[..., 3], (8 / 1.5 * high).clip(-128, 127), atol=0.501)
    red, blue = (0.75 * planes[..., k] for k in (2, 1))
    color = tiles[1, ..., [0, 2]] - luma
    for got, factor, c in ((red, 0.713, color[0]), (blue, 0.564, color[1])):
        np.testing.assert_allclose(got, (factor * (c - c.mean())).clip(-96, 95.25), atol=0.5)


@pytest.mark.parametrize("shape", [(24, 4, 3, 3), (16, 200), (40, 8)])
def test_a_step_of_muon_is_nearly_orthogonal(shape):
    torch.manual_seed(0)
    weights = nn.Parameter(torch.randn(shape))
    weights.grad = torch.randn(shape) * 1e-5  # the size of the gradient does not matter
    optimizer = Muon([weights], lr=0.1)
    before = weights.detach().clone() * shape[0] ** 0.5 / weights.detach().norm()
    optimizer.step()
    step = (before - weights.detach()).flatten(1) / 0.1
    values = torch.linalg.svdvals(step)
    assert 0.3 < values.min() <= values.max() < 1.6
    along = torch.nn.functional.cosine_similarity(step.flatten(), weights.grad.flatten(), dim=0)
    assert along > 0.5  # downhill


def test_muon_takes_the_normalized_convolutions_and_adam_all_else():
    network = MarkNetwork()
    optimizers, rates = muon_and_adam(network, 0.02)
    of = [{id(p) for g in o.param_groups for p in g["params"]} for o in optimizers]
    assert not of[0] & of[1]
    assert of[0] | of[1] == {id(p) for p in network.parameters()}
    assert id(network.shapes[0][0][0].weight) in of[0]
    assert {id(network.mask.weight), id(network.out.weight), id(network.shapes[1].depth.weight)} <= of[1]
    assert rates[0] == 0.02


def test_a_sample_drawn_is_mirrored_or_turned_and_keeps_its_scores():
    pixels = np.random.default_rng(0).integers(0, 256, (7, 64, 64, 3), np.uint8)
    target, weight = np.linspace(0, 1, 5, dtype=np.float32), np.ones(5, np.float32)
    tiles, targets, weights = drawn([TileSample(pixels, target, weight)], 64, np.random.default_rng(1))
    assert tiles.shape == (64, 7, 32, 32, 16)
    tiles = _pixels(tiles.numpy().astype(int))
    np.testing.assert_array_equal(targets.numpy(), np.tile(target, (64, 1)))
    assert weights.shape == (64, len(TILE_SCORES))
    plain = _pixels(tile_input(pixels).astype(int))[..., :3]
    turned = [np.rot90(plain, k, axes=(1, 2)) for k in range(4)]
    ways = [*turned, *(x[:, ::-1] for x in turned)]
    found = {min(range(8), key=lambda k: np.abs(ways[k] - t[..., :3]).max()) for t in tiles}
    assert found == set(range(8))
    # sums in another order round a value at the middle of two steps either way
    assert all(min(np.abs(w - t[..., :3]).max() for w in ways) <= 1 for t in tiles)
    assert all(min(np.abs(w - t[..., :3]).mean() for w in ways) < 1e-3 for t in tiles)


@settings(deadline=None, max_examples=30)
@given(st.integers(48, 300), st.integers(48, 300), st.integers(0, 1 << 32))
def test_drawn_surfaces_and_pages_are_of_the_size_asked_for_and_the_same_each_time(height, width, seed):
    for draw in (lambda rng: surface(height, width, rng), lambda rng: page(height, width, FONTS, rng)):
        first, again = (draw(np.random.default_rng(seed)) for _ in range(2))
        assert first.shape == (height, width, 3)
        assert first.dtype == np.uint8
        np.testing.assert_array_equal(first, again)


def test_stripes_are_as_sharp_as_pixels_allow():
    """They are taught as clean: an edge that took several pixels would be a lesson in the opposite."""
    steepest = []
    for seed in range(30):
        green = stripes(160, 160, np.random.default_rng(seed))[..., 1].astype(np.float32)
        contrast = np.quantile(green, 0.98) - np.quantile(green, 0.02)
        steepest.append(max(np.abs(np.diff(green, axis=k)).max() for k in (0, 1)) / contrast)
    assert np.median(steepest) > 0.6
