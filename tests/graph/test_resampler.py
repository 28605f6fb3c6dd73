"""The on-the-fly resampler."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcurate.graph.bm25 import length_scores
from zcurate.graph.resampler import ConceptResampler
from zcurate.graph.tagged import Tagged


def corpus(n=4000, m=40, seed=0, extra=0.3):
    """One Zipf concept each, some samples a second."""
    rng = np.random.default_rng(seed)
    p = 1 / np.arange(1, m + 1)
    main = rng.choice(m, n, p=p / p.sum())
    rows = [sorted({int(a), *([int(rng.integers(m))] if rng.random() < extra else [])}) for a in main]
    lengths = np.array([len(r) for r in rows])
    indices = np.array([t for r in rows for t in r], np.int32)
    return Tagged(np.r_[0, np.cumsum(lengths)].astype(np.int64), indices, length_scores(lengths), m)


DATA = corpus()


def distance(a, b):
    return np.abs(a - b).sum() / 2


def test_every_window_holds_the_prior():
    target = np.full(40, 1 / 40)
    sampler = ConceptResampler(DATA, target, window=400, length=100)
    natural = DATA.supply() / DATA.supply().sum()
    sampler.draw(400)
    for _ in range(60):
        sampler.draw(37)
        assert distance(sampler.shares(), target) < 0.25 * distance(natural, target)


def test_another_prior_than_uniform():
    target = np.zeros(40)
    target[[3, 30]] = 0.75, 0.25
    sampler = ConceptResampler(corpus(extra=0), target, window=200, length=10)
    sampler.draw(200)
    assert sampler.shares()[3] == pytest.approx(0.75, abs=0.06)
    assert sampler.shares()[30] == pytest.approx(0.25, abs=0.06)


def test_no_sample_of_a_concept_comes_twice_before_the_others():
    data = corpus(300, 3, extra=0)
    target = np.array([0, 0, 1.0])
    members = np.flatnonzero(data.indices == 2)
    drawn = ConceptResampler(data, target, window=50, length=10).draw(2 * len(members))
    assert sorted(drawn[: len(members)]) == members.tolist()
    assert sorted(drawn[len(members) :]) == members.tolist()


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 700), st.integers(1, 90), st.integers(0, 2**62))
def test_restored_state_goes_on_exactly(before, window, seed):
    target = np.arange(1, 41) / 820
    sampler = ConceptResampler(DATA, target, window, 1000, seed)
    sampler.draw(before)
    state = sampler.state()
    expected = sampler.draw(300)
    other = ConceptResampler(DATA, target, window, 5, 0)
    other.draw(17)
    other.restore(state)
    np.testing.assert_array_equal(other.draw(300), expected)
    np.testing.assert_array_equal(other.shares(), sampler.shares())


def test_files_and_foreign_states(tmp_path):
    sampler = ConceptResampler(DATA, np.ones(40), 64, 100, 7)
    sampler.draw(130)
    sampler.save(tmp_path / "s.npz")
    rest = list(sampler)
    sampler.load(tmp_path / "s.npz")
    assert list(sampler) == rest
    assert len(rest) == 70
    other = ConceptResampler(DATA, np.ones(40), 65, 100)
    with pytest.raises(ValueError, match="window"):
        other.load(tmp_path / "s.npz")
    (tmp_path / "bad.npz").write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"bad\.npz"):
        other.load(tmp_path / "bad.npz")
    with pytest.raises(ValueError, match="state"):
        other.restore({"facts": np.zeros(3, np.uint8)})


def test_a_dataloader_takes_it():
    from torch.utils.data import DataLoader

    sampler = ConceptResampler(DATA, np.ones(40), 64, 100)
    batches = list(DataLoader(range(DATA.n), batch_size=10, sampler=sampler))
    assert len(batches) == 10 == len(sampler) // 10


@pytest.mark.parametrize(
    ("target", "window", "match"),
    [
        (np.zeros(40), 5, "no concept"),
        (np.ones(3), 5, "target"),
        (np.ones(40), 0, "window"),
        (-np.ones(40), 5, "target"),
    ],
)
def test_wrong_arguments(target, window, match):
    with pytest.raises(ValueError, match=match):
        ConceptResampler(DATA, target, window, 10)
