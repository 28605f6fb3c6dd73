"""Biases set by clean photographs: how many stay over 0.5, and whose logits count."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data
from torch import nn

from zcurate.curation.profile.quality.calibration import clean_logits, held_out_logits, lower, runs
from zcurate.curation.profile.quality.distortions import expose
from zcurate.curation.profile.quality.exposure_network import ExposureNetwork
from zcurate.curation.profile.quality.histograms import LIGHT_BINS
from zcurate.curation.profile.quality.train_exposure import train_exposure

PHOTOS = [np.ascontiguousarray(x) for x in (data.coffee(), data.chelsea(), data.astronaut())]


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 1 << 32), st.floats(0.01, 0.5))
def test_biases_are_lowered_until_few_score_over_a_half_and_never_raised(seed, flagged):
    logits = torch.from_numpy(np.random.default_rng(seed).normal([2, -9], 1, (400, 2)))
    biases = torch.tensor([1.0, 1.0])
    shift = lower(biases, logits, flagged)
    assert shift[1] == 0  # hardly any score over 0.5 as it is
    assert biases.tolist() == pytest.approx([1 + s for s in shift])
    over = (logits + torch.tensor(shift) > 0).double().mean(dim=0)
    assert flagged - 2 / 400 < over[0].item() <= flagged + 1 / 400  # the one at the threshold is rounded
    assert over[1] == 0


def test_each_photograph_is_judged_by_a_network_that_has_not_seen_it():
    seen = []

    def train(photos):
        seen.append([id(p) for p in photos])
        return nn.Identity()

    logits = held_out_logits(train, PHOTOS, folds=2, seed=0)
    assert [len(s) for s in seen] == [1, 2]
    assert sorted(seen[0] + seen[1]) == sorted(map(id, PHOTOS))
    assert logits.shape == (21, LIGHT_BINS)  # seven views each


def test_exposure_is_learned_from_a_few_photographs():
    """What is learned shows on other pictures, after a moment."""
    network = train_exposure(PHOTOS[:2], (), steps=500, batch=8, seed=1)
    assert isinstance(network, ExposureNetwork)
    page = np.full((300, 400, 3), 255, np.uint8)
    page[40:260:20, 40:360] = 0
    rng = np.random.default_rng(0)
    given = [page, PHOTOS[2], expose(PHOTOS[2], 3.0, rng), expose(PHOTOS[2], -4.0, rng)]
    of_page, plain, bright, dark = (torch.sigmoid(clean_logits(network, [x], 0)[0]) for x in given)
    over, under = torch.stack([of_page, plain, bright, dark]).T
    assert over.argmax() == 2
    assert over[2] > 1.5 * over[0]  # more than white paper
    assert under.argmax() == 3
    assert under[3] > 5 * under[1]


@given(st.integers(1, 50), st.integers(1, 9))
def test_runs_of_neighbors_hold_everything_once(count, folds):
    found = list(runs(count, folds))
    assert [k for first, last in found for k in range(first, last)] == list(range(count))
    assert len(found) == min(count, folds)
    assert all(last > first for first, last in found)
