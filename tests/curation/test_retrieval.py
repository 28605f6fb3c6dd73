"""Exact search over shards."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcurate.curation.retrieval import search


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 60),
    st.integers(1, 20),
    st.lists(st.integers(0, 60), max_size=4),
    st.integers(0, 2**32 - 1),
)
def test_search_equals_naive_whatever_the_shards(n, k, cuts, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 12)).astype(np.float16)
    x[rng.random(n) < 0.3] = x[0]
    ids = np.array([rng.bytes(16) for _ in range(n)], "S16")
    query = rng.standard_normal(12)
    bounds = [0, *sorted(min(c, n) for c in cuts), n]
    blocks = [(ids[a:b], x[a:b]) for a, b in zip(bounds[:-1], bounds[1:], strict=True)]
    found, scores = search(blocks, query, k)
    unit, q = x.astype(np.float64), query.astype(np.float32).astype(np.float64)
    cos = np.array([(v @ q) / np.linalg.norm(v) / np.linalg.norm(q) for v in unit]).astype(np.float32)
    assert np.allclose(scores, np.sort(cos)[::-1][:k], atol=1e-6)
    assert (np.diff(scores) <= 0).all()
    whole = search([(ids, x)], query, k)
    assert np.array_equal(found, whole[0])
    assert np.array_equal(scores, whole[1])
    assert all(a < b for a, b, s, t in zip(found, found[1:], scores, scores[1:], strict=False) if s == t)


def test_search_refuses_another_encoder():
    with pytest.raises(ValueError, match="encoder"):
        search([(np.array([b"a"]), np.ones((1, 4), np.float32))], np.ones(5), 1)
    assert len(search([], np.ones(5), 3)[0]) == 0
