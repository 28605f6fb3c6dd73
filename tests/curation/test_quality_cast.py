"""Cast: what is asked of a picture's colors, and the trees that judge it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from skimage import data
from sklearn.ensemble import HistGradientBoostingRegressor

from zcurate.curation.profile.quality import cast_synthesis as synthesis
from zcurate.curation.profile.quality import color_evidence as evidence
from zcurate.curation.profile.quality import train_cast as training
from zcurate.curation.profile.quality.cast_score import cast_logits
from zcurate.curation.profile.quality.cast_synthesis import (
    MOST_IMBALANCE,
    _tint,
    cast_sample,
    cast_samples,
    evidence_of,
)
from zcurate.curation.profile.quality.clean_views import clean_views
from zcurate.curation.profile.quality.color_evidence import EVIDENCE
from zcurate.curation.profile.quality.color_kernels import (
    APART,
    BRIGHT,
    DARKEST,
    MIDDLE,
    PER_UNIT,
    PROJECTED,
    brightest,
    count_levels,
    count_steps,
    quantiles,
)
from zcurate.curation.profile.quality.color_numbers import write_distances, write_estimates, write_walls
from zcurate.curation.profile.quality.histograms import coarse
from zcurate.curation.profile.quality.parameters import Parameters
from zcurate.curation.profile.quality.synthesis import cast_score
from zcurate.curation.profile.quality.train_cast import train_cast
from zcurate.curation.profile.quality.trees import NODES, TREES, Trees
from zcurate.curation.profile.quality.weight_shapes import expected_shapes

PHOTOS = [np.ascontiguousarray(x) for x in (data.coffee(), data.chelsea(), data.astronaut(), data.rocket())]
LEVELS = len(evidence._SHARES)


def tinted(rgb: np.ndarray, gains: tuple[float, float, float]) -> np.ndarray:
    return np.clip(np.rint(rgb * np.array(gains)), 0, 255).astype(np.uint8)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1 << 32))
def test_quantiles_are_those_of_sorting(seed):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 40, (3, rng.integers(1, 200)))
    counts = np.stack([np.bincount(v, minlength=40) for v in values]).astype(np.int32)
    counts[2] = 0
    shares, found = np.array([1 / 1024, 0.25, 0.5, 31 / 32], np.float32), np.empty((3, 4), np.float32)
    quantiles(counts, shares, found)
    for row, sorted_ in zip(found[:2], np.sort(values[:2]), strict=True):
        expected = sorted_[np.maximum(0, np.ceil(shares * np.float32(sorted_.size)).astype(int) - 1)]
        np.testing.assert_array_equal(row, expected)
    assert (found[2] == -1).all()


def test_the_brightest_pixels_are_those_of_sorting():
    rgb = np.random.default_rng(3).integers(0, 256, (20, 30, 3), np.uint8)
    wanted, found = np.array([3, 60], np.int32), np.zeros((2, 2, 3))
    brightest(rgb, wanted, found)
    flat = rgb.reshape(-1, 3).astype(int)
    for measure, means in zip((flat.min(axis=1), flat.sum(axis=1)), found, strict=True):
        for count, mean in zip(wanted, means, strict=True):
            lowest = np.sort(measure)[-count]
            np.testing.assert_allclose(mean, flat[measure >= lowest].mean(axis=0))


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1 << 32))
def test_levels_and_steps_are_counted(seed):
    rng = np.random.default_rng(seed)
    rgb = rng.integers(0, 256, (4 * rng.integers(1, 9), rng.integers(1, 40), 3), np.uint8)
    counts, levels, steps = (np.zeros((3, 256), np.int32) for _ in range(3))
    count_levels(rgb, counts)
    count_steps(rgb, levels, steps)
    apart = np.abs(np.diff(rgb.astype(int), axis=0))
    for c in range(3):
        np.testing.assert_array_equal(counts[c], np.bincount(rgb[::2, ::2, c].ravel(), minlength=256))
        np.testing.assert_array_equal(levels[c], np.bincount(rgb[..., c].ravel(), minlength=256))
        np.testing.assert_array_equal(steps[c], np.bincount(apart[..., c].ravel(), minlength=256))


def test_estimates_of_light_are_those_of_their_formulas():
    small = coarse(np.ascontiguousarray(cv2.resize(PHOTOS[0], (320, 320))))
    found = np.empty(5 * evidence._ESTIMATES, np.float32)
    assert write_estimates(small, evidence._BRIGHTEST, found, 0) == len(found)
    x = small / 255
    edges = (np.diff(x, axis=0) ** 4).mean(axis=(0, 1)) ** (1 / 4)
    sixth, mean = (x**6).mean(axis=(0, 1)) ** (1 / 6), x.mean(axis=(0, 1))
    logs = np.log(np.stack([edges + 0.002, sixth + 0.001, mean + 0.004]))
    colors, apart, brightness = np.split(found, [3 * evidence._ESTIMATES, 4 * evidence._ESTIMATES])
    np.testing.assert_allclose(colors.reshape(-1, 3)[-3:], logs - logs.mean(axis=1, keepdims=True), atol=1e-5)
    np.testing.assert_allclose(apart[-3:], np.ptp(logs, axis=1), atol=1e-5)
    np.testing.assert_allclose(brightness[-3:], logs.mean(axis=1), atol=1e-5)


def test_walls_are_shares_near_the_ends_of_each_channel():
    rgb = (
        np.random.default_rng(5)
        .normal((60, 120, 240), (50, 40, 30), (40, 50, 3))
        .clip(0, 255)
        .astype(np.uint8)
    )
    counts = np.stack([np.bincount(rgb[..., c].ravel(), minlength=256) for c in range(3)]).astype(np.int32)
    found = np.empty(5 * evidence._OF_WALLS, np.float32)
    top = evidence._SHARES[-1]
    ends = evidence._BELOW_TOP, evidence._FROM, evidence._BEYOND
    assert write_walls(counts, top, *ends, found, 0) == len(found)
    expected = []
    for channel in np.moveaxis(rgb, 2, 0):
        highest = np.sort(channel.ravel())[int(np.ceil(np.float32(top) * np.float32(channel.size))) - 1]
        near = [(channel >= highest - k).mean() for k in evidence._BELOW_TOP]
        near += [(channel >= k).mean() for k in evidence._FROM]
        expected.append(np.sqrt(near + [(channel < k).mean() for k in evidence._BEYOND]))
    expected += [np.max(expected, axis=0), np.min(expected[:3], axis=0)]
    np.testing.assert_allclose(found.reshape(5, -1), expected, atol=1e-6)


def test_distances_are_quantiles_of_every_other_pixel():
    small = coarse(np.ascontiguousarray(cv2.resize(PHOTOS[2], (320, 320))))
    apart, projected = np.zeros((3, APART), np.int32), np.zeros((8, PROJECTED), np.int32)
    shares = evidence._APART_IN_GROUP, evidence._APART_IN_ALL, evidence._PROJECTED
    found = np.empty(15 + 7 + 3 + 56 + 3, np.float32)
    given = small, evidence._LOGS, evidence._DIRECTIONS, apart, projected, shares, found
    assert write_distances(*given, 0) == len(found)
    pixels = small[np.add.outer(np.arange(80), np.arange(80)) % 2 == 0].astype(int)
    told = pixels[pixels.min(axis=1) >= DARKEST]
    logs, group = np.log(told + 1.0), np.digitize(told.max(axis=1), [MIDDLE, BRIGHT])
    np.testing.assert_allclose(found[22:25], [(group == k).sum() / len(pixels) for k in range(3)], atol=1e-6)

    def quantile(values, share):
        return np.sort(values)[max(0, int(np.ceil(share * len(values))) - 1)]

    bin_ = 1 / PER_UNIT
    for k in range(3):
        expected = [quantile(np.ptp(logs[group == k], axis=1), q) for q in shares[0]]
        np.testing.assert_allclose(found[5 * k : 5 * k + 5], np.minimum(expected, 2), atol=1.01 * bin_)
    chroma = np.stack([logs[:, 1] - logs[:, 0], logs[:, 1] - logs[:, 2]], axis=1)
    edges = found[25:81].reshape(8, 7)
    for direction, row in zip(evidence._DIRECTIONS, edges, strict=True):
        expected = np.clip([quantile(chroma @ direction, q) for q in shares[2]], -2, 2)
        np.testing.assert_allclose(row, expected, atol=1.01 * bin_)
    depths = [min(min(-row[k], row[6 - k]) for row in edges) for k in range(3)]
    np.testing.assert_allclose(found[81:], depths, atol=1e-6)


@pytest.mark.parametrize("gains", [(0.6, 0.9, 0.8), (0.9, 0.5, 0.95)])
def test_gains_move_every_level_and_estimate_by_their_logs(gains):
    """What was there may be anything: the difference is the cast."""
    before, after = evidence_of(PHOTOS[0]), evidence_of(tinted(PHOTOS[0], gains))
    logs = np.log(gains) - np.log(gains).mean()
    levels = (after - before)[: 3 * LEVELS].reshape(LEVELS, 3)[5:]  # dark ones are few levels apart
    np.testing.assert_allclose(levels, np.tile(logs, (len(levels), 1)), atol=0.04)
    start = 5 * LEVELS + 5 * evidence._OF_WALLS
    others = (after - before)[start : start + 3 * evidence._ESTIMATES].reshape(-1, 3)
    np.testing.assert_allclose(others, np.tile(logs, (len(others), 1)), atol=0.06)


def test_grey_lies_inside_the_colors_of_many_things_and_outside_those_of_one():
    inside = -evidence.LIGHT_BINS - 3
    rng = np.random.default_rng(0)
    many = cv2.resize(
        rng.integers(30, 256, (40, 40, 3), np.uint8), (400, 400), interpolation=cv2.INTER_NEAREST
    )
    assert (evidence_of(many)[inside : inside + 3] > 0).all()
    blue = rng.integers((20, 60, 150), (60, 110, 255), (400, 400, 3)).astype(np.uint8)
    assert (evidence_of(blue)[inside : inside + 3] < 0).all()


def test_grey_pictures_have_no_color_at_all():
    """Whatever logs are rounded to: trees can ask for less than that."""
    grey = np.repeat(PHOTOS[0].mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)
    found = evidence_of(grey)
    assert (found[: 4 * LEVELS] == 0).all()
    start = 5 * LEVELS + 5 * evidence._OF_WALLS
    assert (found[start : start + 4 * evidence._ESTIMATES] == 0).all()


@pytest.mark.parametrize("level", [0, 3, 255])
def test_flat_pictures_give_finite_numbers(level):
    found = evidence_of(np.full((90, 50, 3), level, np.uint8))
    assert found.shape == (EVIDENCE,)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()


def test_trees_give_what_scikit_learn_predicts():
    rng = np.random.default_rng(1)
    numbers = rng.normal(size=(3000, 9)).astype(np.float32)
    target = np.sin(numbers[:, 0]) * numbers[:, 1] + (numbers[:, 2] > 0.3)
    boosted = HistGradientBoostingRegressor(
        max_iter=TREES, max_leaf_nodes=(NODES + 1) // 2, early_stopping=False
    )
    boosted.fit(numbers, target)
    trees = Trees(Parameters(training._arrays(boosted)), 9)
    np.testing.assert_allclose(trees(numbers), boosted.predict(numbers), atol=1e-4)


def test_the_imbalance_of_a_tint_is_not_lost_in_white():
    """A grey that the strongest casts drove to white would make them the same as weaker ones."""
    lightest, compared = np.full((1, 1, 3), synthesis._GREY, np.uint8), []
    for seed in range(400):
        tint, imbalance = _tint(np.random.default_rng(seed))
        levels = tint(lightest).astype(np.float64).ravel()
        by_gains = np.random.default_rng(seed).random() < 0.5  # as the tint draws its kind
        if not by_gains:
            assert levels.max() < 255
        elif levels.max() < 255 and levels.min() > 10:
            compared.append((imbalance, np.ptp(np.log(levels))))
    imbalances, found = np.array(compared).T
    assert len(found) > 100
    np.testing.assert_allclose(found, imbalances, atol=0.08)  # of levels that are rounded
    assert imbalances.max() > 1.2 * MOST_IMBALANCE


def test_predictions_are_ordered_to_the_faintest():
    """Trees may predict less than nothing of a clean picture; ties would tell nothing apart."""
    predicted = np.linspace(-0.3, 1.2, 200, dtype=np.float32)
    logits = cast_logits(lambda numbers: predicted, 0.0, np.zeros((200, 1)))
    assert (np.diff(logits) > 0).all()
    seen = predicted > 0.02
    scores = 1 / (1 + np.exp(-logits[seen].astype(float)))
    np.testing.assert_allclose(scores, [cast_score(float(x)) for x in predicted[seen]], rtol=1e-4)


def test_samples_repeat_and_say_which_photographs_they_show():
    """However many processes make them."""
    samples = cast_samples(PHOTOS, (), 405, seed=4)
    for k in (0, 199, 200, 404):
        numbers, target, photos = cast_sample(PHOTOS, (), np.random.default_rng([4, k]))
        np.testing.assert_array_equal(samples.evidence[k], numbers)
        assert samples.target[k] == np.float32(target)
        assert samples.photos[k].tolist() == list(photos)
    assert samples.evidence.shape == (405, EVIDENCE)
    assert ((samples.target >= 0) & (samples.target <= MOST_IMBALANCE)).all()
    assert samples.target.max() == MOST_IMBALANCE
    assert set(samples.photos[:, 0]) == {-1, 0, 1, 2, 3}


def test_clean_photographs_are_judged_by_trees_that_were_not_shown_them(monkeypatch):
    shown = []
    fitted = training._fitted

    def recorded(samples, rate, seed):
        shown.append(set(samples.photos.flat))
        return fitted(samples, rate, seed)

    monkeypatch.setattr(training, "_fitted", recorded)
    train_cast(PHOTOS, (), 200, 1, 1, rate=0.06, folds=2, others=PHOTOS[:1], flagged=0.05)
    assert shown == [{-1, 0, 1, 2, 3}, {-1, 2, 3}, {-1, 0, 1}]


def test_cast_is_learned_from_a_few_photographs():
    """What is learned shows on another picture, and few clean ones are flagged."""
    weights, shift = train_cast(
        PHOTOS[:3], (), 1500, 1, 1, rate=0.06, folds=0, others=PHOTOS[3:], flagged=0.05
    )
    assert shift == pytest.approx(float(weights["shift"]))
    assert {f"cast.{k}": tuple(v.shape) for k, v in weights.items()}.items() <= expected_shapes().items()
    trees = Trees(Parameters({k: v.numpy() for k, v in weights.items()}), EVIDENCE)
    strengths = np.linspace(0, 0.55, 12)
    given = [tinted(PHOTOS[3], (1 + s, 1, 1 - s)) for s in strengths]
    logits = cast_logits(trees, float(weights["shift"]), np.stack([evidence_of(x) for x in given]))
    assert spearmanr(strengths, logits).statistic > 0.8
    views = np.stack([evidence_of(view) for view in clean_views(PHOTOS[3:], 1)])
    assert (cast_logits(trees, float(weights["shift"]), views) <= 0).all()
