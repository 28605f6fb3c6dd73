"""Histograms of edges: what directions and steps mean, symmetries, and what blur does to them."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import spearmanr
from skimage import data

from zcurate.curation.profile.quality import train_edges as train_edges_module
from zcurate.curation.profile.quality.crops import large_enough, overview, ranked_places
from zcurate.curation.profile.quality.edge_kernels import DIRECTIONS, STEPS, steeper_shares
from zcurate.curation.profile.quality.edge_network import _Around
from zcurate.curation.profile.quality.edges import EDGE_VALUES, EDGE_WINDOWS, edge_histograms
from zcurate.curation.profile.quality.model import load_quality
from zcurate.curation.profile.quality.network import TileNetwork
from zcurate.curation.profile.quality.train_edges import edge_sample, train_edges, turned
from zcurate.curation.profile.shrink import shrink

PICTURES = hnp.arrays(np.uint8, st.tuples(st.integers(8, 40), st.integers(8, 40), st.just(3)))


def ramp(angle, slope, side=64):
    """Grey that grows by `slope` levels a pixel in the direction `angle` (radians, y down)."""
    y, x = np.mgrid[:side, :side] - side / 2
    grey = 128 + slope * (np.cos(angle) * x + np.sin(angle) * y)
    return np.repeat(np.clip(np.rint(grey), 0, 255).astype(np.uint8)[..., None], 3, axis=2)


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
def test_turned_and_mirrored_pictures(rgb):
    shares = steeper_shares(rgb, 1, 1)
    assert np.array_equal(steeper_shares(np.rot90(rgb).copy(), 1, 1), np.roll(shares, 8, axis=2))
    mirrored = steeper_shares(rgb[:, ::-1].copy(), 1, 1)
    assert np.array_equal(mirrored, shares[:, :, (8 - np.arange(DIRECTIONS)) % DIRECTIONS])


@given(PICTURES)
def test_shares_fall_with_steepness(rgb):
    shares = steeper_shares(rgb, 2, 2)
    assert shares.shape == (2, STEPS, DIRECTIONS)
    assert np.all(np.diff(shares, axis=1) <= 0)
    assert np.all(shares.sum(axis=2) <= 1 + 1e-5)


def test_slopes_agree_with_numpy():
    rgb = np.random.default_rng(0).integers(0, 256, (90, 70, 3)).astype(np.uint8)
    grey = (rgb.astype(float) @ [1, 2, 1]) / 4
    down = (grey[1:, :-1] - grey[:-1, :-1] + grey[1:, 1:] - grey[:-1, 1:]) / 2
    across = (grey[:-1, 1:] - grey[:-1, :-1] + grey[1:, 1:] - grey[1:, :-1]) / 2
    steep = np.hypot(down, across)
    shares = steeper_shares(rgb, 1, 1)[0].sum(axis=1)
    # differences are rounded to a sixth of an octave, by 6 % at most
    for step in range(STEPS):
        assert (
            np.mean(steep >= 1.06 * 2 ** (step / 2)) - 1e-5
            <= shares[step]
            <= np.mean(steep >= 2 ** (step / 2) / 1.06) + 1e-5
        )


@pytest.mark.parametrize("size", [(1, 1), (30, 900), (64, 64), (333, 500), (1100, 800)])
def test_pictures_of_any_size(size):
    rgb = np.random.default_rng(1).integers(0, 256, (*size, 3)).astype(np.uint8)
    whole, rgb = overview(rgb), large_enough(rgb)
    found = edge_histograms(rgb, ranked_places(rgb), whole)
    assert found.shape == (EDGE_WINDOWS + 1, EDGE_VALUES, DIRECTIONS)
    assert np.all((found >= 0) & (found <= 1))
    steep = found[:, 0].sum(axis=1)  # noise is steep everywhere
    assert np.all(steep > 0.8) if min(size) > 1 else np.all(steep == 0)


def test_motion_spares_edges_along_it():
    rng = np.random.default_rng(2)
    rgb = cv2.resize(
        rng.integers(0, 256, (40, 40, 3)).astype(np.uint8), (320, 320), interpolation=cv2.INTER_NEAREST
    )
    rgb = cv2.warpAffine(rgb, cv2.getRotationMatrix2D((160, 160), 30, 1.5), (320, 320))
    motion = np.full((1, 15), 1 / 15, np.float32)
    sharp, moved = (steeper_shares(x, 1, 1)[0, 9] for x in (rgb, cv2.filter2D(rgb, -1, motion)))
    upright, level = 4, 12  # directions that the brightness grows in
    kept = moved / sharp
    assert kept[upright] > 5 * kept[level]


@pytest.mark.parametrize("name", ["coffee", "chelsea", "astronaut"])
@pytest.mark.parametrize("angle", [0.0, 0.6, 1.9])
def test_longer_motion_scores_higher(name, angle):
    rgb, model = getattr(data, name)(), load_quality()
    scores = []
    for length in (1, 5, 9, 15, 25):
        half = length // 2
        kernel = np.zeros((length, length), np.float32)
        for t in np.linspace(-half, half, 8 * length):
            kernel[round(half + t * np.sin(angle)), round(half + t * np.cos(angle))] = 1
        moved = cv2.filter2D(rgb, -1, kernel / kernel.sum())
        scores.append(model.scores(moved, shrink(moved, 336))["blur"])
    assert np.all(np.diff(scores) > 0), scores
    assert scores[0] < 0.3
    assert scores[-1] > 0.5


def test_samples_say_what_was_planted():
    photos, tiles = [data.coffee(), data.chelsea()], TileNetwork().eval()
    samples = [edge_sample(photos, (), tiles, np.random.default_rng(k)) for k in range(80)]
    for s in samples:
        assert s.shares.shape == (EDGE_WINDOWS + 1, EDGE_VALUES, DIRECTIONS)
        assert s.seen.shape == (TileNetwork.SEEN,)
        assert 0 <= s.target < 1
    again = edge_sample(photos, (), tiles, np.random.default_rng(3))
    assert np.array_equal(again.shares, samples[3].shares)
    assert again.target == samples[3].target
    # what is blurred most has fewer steep slopes at native resolution than what is not blurred; noise hides it in some
    steep = np.array([s.shares[:EDGE_WINDOWS, 8].sum(axis=1).max() for s in samples], float)
    target = np.array([s.target for s in samples])
    assert np.median(steep[target > 0.6]) < 0.5 * np.median(steep[target == 0])


def test_what_is_learned_from_is_turned_as_pictures_would_be():
    rgb = data.coffee()[:128, :128]
    one = torch.from_numpy(
        np.ascontiguousarray(steeper_shares(rgb, 3, 1).reshape(1, 1, EDGE_VALUES, DIRECTIONS))
    )
    seen = {turned(one, np.random.default_rng(k)).numpy().tobytes() for k in range(400)}
    assert len(seen) == 2 * DIRECTIONS
    for other in (np.rot90(rgb), rgb[:, ::-1], rgb[::-1], np.rot90(rgb)[::-1]):
        shares = steeper_shares(np.ascontiguousarray(other), 3, 1).reshape(1, 1, EDGE_VALUES, DIRECTIONS)
        assert shares.tobytes() in seen


def test_a_network_learns_blur_from_a_few_pictures(monkeypatch):
    """A short training must rank other samples of its own kind."""
    monkeypatch.setattr(train_edges_module, "_MOST_SAMPLES", 2400)
    torch.manual_seed(0)
    photos, tiles = [data.coffee(), data.chelsea(), data.astronaut()], TileNetwork()
    network = train_edges(photos, (), tiles, steps=400, batch=32, seed=1)
    samples = [edge_sample(photos, (), tiles, np.random.default_rng([9, k])) for k in range(120)]
    shares, octaves, seen, target, weight = (np.stack(c) for c in zip(*samples, strict=True))
    with torch.no_grad():
        logits = network(
            torch.from_numpy(shares).float(), torch.from_numpy(octaves).float(), torch.from_numpy(seen)
        )
    told = weight > 0
    assert spearmanr(target[told], logits.numpy()[told]).statistic > 0.6


def test_a_convolution_around_the_circle_is_that_of_pytorch():
    torch.manual_seed(0)
    ours, x = _Around(5, 7), torch.randn(3, DIRECTIONS, 5)
    theirs = torch.nn.Conv1d(5, 7, 3, padding=1, padding_mode="circular")
    theirs.load_state_dict(ours.state_dict())
    torch.testing.assert_close(ours(x), theirs(x.transpose(1, 2)).transpose(1, 2), atol=1e-5, rtol=1e-5)
