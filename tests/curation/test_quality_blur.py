"""Blur: which windows are looked at, what is learned from, and that longer motion scores higher."""

import cv2
import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from skimage import data

from zcurate.curation.profile.quality import train_blur as train_blur_module
from zcurate.curation.profile.quality.blur_network import _Around
from zcurate.curation.profile.quality.blur_traces import EDGE_WINDOWS, SPECTRA, blur_traces
from zcurate.curation.profile.quality.blur_windows import (
    NATIVE_WINDOWS,
    WINDOW_PX,
    blur_windows,
    native_windows,
    wide_windows,
)
from zcurate.curation.profile.quality.crops import large_enough, overview, ranked_places
from zcurate.curation.profile.quality.edge_kernels import DIRECTIONS, steeper_shares
from zcurate.curation.profile.quality.edges import EDGE_VALUES
from zcurate.curation.profile.quality.model import load_quality
from zcurate.curation.profile.quality.network import TileNetwork
from zcurate.curation.profile.quality.spectra import SPECTRUM_VALUES, blur_spectra
from zcurate.curation.profile.quality.train_blur import blur_sample, train_blur, turned
from zcurate.curation.profile.shrink import shrink, shrink_by_halves


def line(length, angle):
    """The point spread of even motion, `angle` in radians, y down."""
    half = length // 2
    kernel = np.zeros((length, length), np.float32)
    for t in np.linspace(-half, half, 8 * length):
        kernel[round(half + t * np.sin(angle)), round(half + t * np.cos(angle))] = 1
    return kernel / kernel.sum()


def traces(rgb):
    whole, rgb = overview(rgb), large_enough(rgb)
    return blur_traces(blur_windows(rgb, ranked_places(rgb)), whole)


def test_windows_lie_inside_and_hold_their_place():
    y, x = np.mgrid[:700, :900]
    rgb = np.stack([x // 4, y // 4, (x + y) // 8], axis=2).astype(np.uint8)
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    places = ranked_places(rgb)
    windows = native_windows(rgb, places)
    assert len(windows) == NATIVE_WINDOWS
    for window, rank in ((windows[0], 0.3), (windows[-1], 1.0)):
        top, left = places[round(rank * (len(places) - 1))]
        top, left = (int(np.clip(s - 32, 0, n - WINDOW_PX)) for s, n in ((top, 700), (left, 900)))
        assert np.array_equal(window, grey[top : top + WINDOW_PX, left : left + WINDOW_PX])
    for window in wide_windows(rgb, places):
        assert window.shape == (WINDOW_PX, WINDOW_PX)


@pytest.mark.parametrize("size", [(256, 256), (700, 901), (897, 1001), (1000, 1500)])
def test_wide_windows_are_the_same_from_a_halved_copy(size):
    rgb = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    places = ranked_places(rgb)
    halved = shrink_by_halves(rgb, min(size) // 2)
    assert halved.shape[:2] == (size[0] // 2, size[1] // 2)
    np.testing.assert_array_equal(wide_windows(rgb, places, halved), wide_windows(rgb, places))


@pytest.mark.parametrize("size", [(1, 1), (30, 900), (64, 64), (200, 130), (333, 500), (1100, 800)])
def test_pictures_of_any_size(size):
    found = traces(np.random.default_rng(1).integers(0, 256, (*size, 3)).astype(np.uint8))
    assert found.shares.shape == (EDGE_WINDOWS, EDGE_VALUES, DIRECTIONS)
    assert found.spectra.shape == (SPECTRA, SPECTRUM_VALUES, DIRECTIONS)
    assert np.all((found.shares >= 0) & (found.shares <= 1))
    assert np.all(np.isfinite(found.spectra))
    steep = found.shares[:, 0].sum(axis=1)  # noise is steep everywhere
    assert np.all(steep > 0.8) if min(size) > 1 else np.all(steep == 0)


@pytest.mark.parametrize("name", ["coffee", "chelsea", "astronaut"])
@pytest.mark.parametrize("angle", [0.0, 0.6, 1.9])
def test_longer_motion_scores_higher(name, angle):
    rgb, model = getattr(data, name)(), load_quality()
    scores = []
    for length in (1, 5, 9, 15, 25):
        moved = cv2.filter2D(rgb, -1, line(length, angle))
        scores.append(model.scores(moved, shrink(moved, 336))["blur"])
    assert np.all(np.diff(scores) > 0), scores
    assert scores[0] < 0.3
    assert scores[-1] > 0.5


def test_samples_say_what_was_planted():
    photos, tiles = [data.coffee(), data.chelsea()], TileNetwork().eval()
    samples = [blur_sample(photos, (), tiles, np.random.default_rng(k)) for k in range(80)]
    for s in samples:
        assert s.shares.shape == (EDGE_WINDOWS, EDGE_VALUES, DIRECTIONS)
        assert s.spectra.shape == (SPECTRA, SPECTRUM_VALUES, DIRECTIONS)
        assert s.seen.shape == (TileNetwork.SEEN,)
        assert 0 <= s.target < 1
    again = blur_sample(photos, (), tiles, np.random.default_rng(3))
    assert np.array_equal(again.shares, samples[3].shares)
    assert np.array_equal(again.spectra, samples[3].spectra)
    assert again.target == samples[3].target
    # what is blurred most has fewer steep slopes at native resolution than what is not blurred; noise hides it in some
    steep = np.array([s.shares[:NATIVE_WINDOWS, 8].sum(axis=1).max() for s in samples], float)
    target = np.array([s.target for s in samples])
    assert np.median(steep[target > 0.6]) < 0.5 * np.median(steep[target == 0])


def test_what_is_learned_from_is_turned_as_pictures_would_be():
    def traces_of(grey):
        shares = steeper_shares(np.ascontiguousarray(grey), 3, 1).reshape(1, 1, EDGE_VALUES, DIRECTIONS)
        return torch.from_numpy(shares), torch.from_numpy(blur_spectra([[grey] * 4])[None])

    grey = cv2.cvtColor(data.coffee()[:128, :128], cv2.COLOR_RGB2GRAY)
    one = traces_of(grey)
    turns = [turned(*one, np.random.default_rng(k)) for k in range(400)]
    spectra_of = {shares.numpy().tobytes(): spectra for shares, spectra in turns}
    assert len(spectra_of) == 2 * DIRECTIONS
    for other in (np.rot90(grey), grey[:, ::-1], grey[::-1], np.rot90(grey)[::-1]):
        shares, spectra = traces_of(other)
        learned = spectra_of[shares.numpy().tobytes()]  # turned as the edges are
        torch.testing.assert_close(learned, spectra, atol=0.02, rtol=0)


@pytest.mark.slow
def test_a_network_learns_blur_from_a_few_pictures(monkeypatch):
    """A short training must rank other samples of its own kind."""
    monkeypatch.setattr(train_blur_module, "_MOST_SAMPLES", 2400)
    torch.manual_seed(0)
    photos, tiles = [data.coffee(), data.chelsea(), data.astronaut()], TileNetwork()
    network = train_blur(photos, (), tiles, steps=400, batch=32, seed=1)
    samples = [blur_sample(photos, (), tiles, np.random.default_rng([9, k])) for k in range(120)]
    *inputs, target, weight = (np.array(c, np.float32) for c in zip(*samples, strict=True))
    with torch.no_grad():
        logits = network(*(torch.from_numpy(column) for column in inputs))
    told = weight > 0
    assert spearmanr(target[told], logits.numpy()[told]).statistic > 0.6


def test_a_convolution_around_the_circle_is_that_of_pytorch():
    torch.manual_seed(0)
    ours, x = _Around(5, 7), torch.randn(3, DIRECTIONS, 5)
    theirs = torch.nn.Conv1d(5, 7, 3, padding=1, padding_mode="circular")
    theirs.load_state_dict(ours.state_dict())
    torch.testing.assert_close(ours(x), theirs(x.transpose(1, 2)).transpose(1, 2), atol=1e-5, rtol=1e-5)
