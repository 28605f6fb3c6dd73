"""The bound holds for every selection, and is reached."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcurate.graph.baselines import divergence
from zcurate.graph.divergence_bound import least_divergence
from zcurate.graph.tagged import Tagged

rows_of_tags = st.lists(st.sets(st.integers(0, 4), max_size=4), min_size=4, max_size=30)


def tagged(rows, m=5):
    lengths = [len(r) for r in rows]
    indices = np.array([t for r in rows for t in sorted(r)], np.int32)
    return Tagged(np.r_[0, np.cumsum(lengths)].astype(np.int64), indices, np.ones(len(rows), np.float32), m)


@given(rows_of_tags, st.integers(1, 4), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_no_selection_beats_the_bound(rows, size, seed):
    data = tagged(rows)
    rng = np.random.default_rng(seed)
    prior = rng.dirichlet(np.ones(5))
    least = least_divergence(data, prior, size, steps=40)
    if np.isfinite(least.found):
        assert least.bound <= least.found + 1e-9
        assert least.probability.sum() == pytest.approx(size)
        assert 0 <= least.probability.min() <= least.probability.max() <= 1
    for _ in range(20):
        p = np.zeros(data.n)
        p[rng.choice(data.n, size, replace=False)] = 1
        kl = divergence(data.counts(p), prior)
        assert np.isnan(kl) or kl >= least.bound - 1e-7


def test_the_bound_by_hand():
    # nine samples of concept 0 and one of concept 1; of five, at best four and one
    data = tagged([{0}] * 9 + [{1}], 2)
    least = least_divergence(data, np.array([0.5, 0.5]), 5)
    by_hand = 0.8 * np.log(1.6) + 0.2 * np.log(0.4)
    assert least.found == pytest.approx(by_hand, rel=1e-3)
    assert least.bound == pytest.approx(by_hand, rel=0.02)
    with pytest.raises(ValueError, match="size"):
        least_divergence(data, np.array([0.5, 0.5]), 11)
