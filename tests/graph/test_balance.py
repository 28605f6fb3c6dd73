"""Tags, BM25 and sampling weights."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcurate.graph.bm25 import count, idf, postings, scores
from zcurate.graph.tags import concepts_of, extract, normalize, singulars
from zcurate.graph.weights import WeightRule, concept_shares, effective_sample_size, rarity, weights

ALIASES = {
    "hat": "hat",
    "帽子": "hat",
    "dog": "dog",
    "小狗": "dog",
    "traffic light": "traffic light",
    "bicycle": "bicycle",
}
tag_lists = st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=5, unique=True), min_size=1, max_size=40)
RULE = WeightRule()


def column(rows) -> pa.Array:
    return pa.array(rows, pa.list_(pa.string()))


def weigh(shards, rule=RULE):
    corpus = count(column(s) for s in shards)
    parts = [rarity(postings(column(s), corpus), corpus, rule) for s in shards]
    return weights(np.concatenate(parts), rule)


@given(st.integers(1, 10_000), st.data())
def test_idf_is_positive_and_falls(n, data):
    df = sorted(
        data.draw(st.lists(st.integers(0, n), min_size=2, max_size=20, unique=True)) if n > 2 else [0, n]
    )
    values = idf(np.array(df), n)
    assert (values > 0).all()
    assert (np.diff(values) < 0).all()
    assert idf(np.array([1]), 3)[0] == pytest.approx(math.log(1 + 2.5 / 1.5))


def test_bm25_by_hand():
    shard = column([["a", "b"], ["a"], None, []])
    corpus = count([shard])
    assert (corpus.n, corpus.mean_length) == (4, 1.5)
    assert dict(zip(corpus.concepts.to_pylist(), corpus.df.tolist(), strict=True)) == {"a": 2, "b": 1}
    found = scores(postings(shard, corpus), corpus, k1=1.2, b=0.75)
    idf_a = math.log(1 + 2.5 / 2.5)
    assert found[0] == pytest.approx(idf_a / (1 + 1.2 * (0.25 + 0.75 * 2 / 1.5)))
    assert found[2] == pytest.approx(idf_a / (1 + 1.2 * (0.25 + 0.75 * 1 / 1.5)))


@given(tag_lists, st.integers(1, 7))
def test_sharding_does_not_matter(rows, size):
    shards = [rows[i : i + size] for i in range(0, len(rows), size)]
    np.testing.assert_allclose(weigh(shards), weigh([rows]), rtol=1e-12)


@given(tag_lists, st.randoms())
def test_order_does_not_matter(rows, random):
    order = list(range(len(rows)))
    random.shuffle(order)
    np.testing.assert_allclose(weigh([[rows[i] for i in order]]), weigh([rows])[order], rtol=1e-12)


@given(tag_lists)
def test_weights_are_positive_mean_one_and_ess_is_in_range(rows):
    w = weigh([rows])
    assert (w > 0).all()
    assert w.mean() == pytest.approx(1)
    assert 1 - 1e-9 <= effective_sample_size(w) <= len(rows) + 1e-9
    assert w.max() / w.min() <= RULE.max_ratio**2 * (1 + 1e-9)


@given(st.integers(1, 30), st.integers(1, 4))
def test_uniform_tags_give_uniform_weights(n, k):
    w = weigh([[list("abcd"[:k])] * n])
    np.testing.assert_allclose(w, 1)
    assert effective_sample_size(w) == pytest.approx(n)


def test_no_concepts_at_all():
    np.testing.assert_array_equal(weigh([[[], []], [None]]), 1)
    assert effective_sample_size(np.zeros(0)) == 0


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 1000))
def test_rare_concepts_gain_and_weight_does_not_follow_tag_count(seed):
    rng = np.random.default_rng(seed)
    names = np.array([f"t{i}" for i in range(200)])
    p = 1 / np.arange(1, 201)
    rows = [
        list(rng.choice(names, int(rng.integers(1, 25)), replace=False, p=p / p.sum())) for _ in range(1500)
    ]
    corpus = count([column(rows)])
    listed = postings(column(rows), corpus)
    w = weights(rarity(listed, corpus, RULE), RULE)
    lengths = np.array([len(r) for r in rows])
    weight_ranks, length_ranks = w.argsort().argsort(), lengths.argsort().argsort()
    assert abs(np.corrcoef(weight_ranks, length_ranks)[0, 1]) < 0.6
    singles = [[name] for name in ["common"] * 95 + ["rare"] * 5]
    corpus = count([column(singles)])
    listed = postings(column(singles), corpus)
    before, after = concept_shares([(listed, weights(rarity(listed, corpus, RULE), RULE))], corpus)
    rare = corpus.concepts.to_pylist().index("rare")
    assert before[rare] == pytest.approx(0.05)
    assert after[rare] > 2 * before[rare]


def test_normalize_folds_spelling_plural_and_language():
    assert {normalize(t, ALIASES) for t in ("Hats", "ＨＡＴ", "帽子", " hat. ")} == {"hat"}
    assert normalize('"SALE"', ALIASES) is None
    assert normalize("“新品上市”", ALIASES) is None
    assert normalize("42", ALIASES) is None
    assert normalize("a man who walks over the bridge", ALIASES) is None
    assert singulars("buses") == ["buse"] or "bus" in singulars("buses")
    assert singulars("glass") == []


def test_lettering_never_becomes_a_concept():
    names, sources = concepts_of(
        ["hat", "London", '"London"', "dog", "red"],
        ["label", "caption", "caption", "caption", "caption"],
        ALIASES,
        lettering=["LONDON"],
        exclude={"red"},
    )
    assert (names, sources) == (["hat", "dog"], ["label", "caption"])


def test_extract():
    assert extract("two dogs waiting at a Traffic Light in the Eiffel Tower park", ALIASES)[:2] == [
        "dog",
        "traffic light",
    ]
    assert "eiffel tower" in extract("a dog near the Eiffel Tower at night", ALIASES)
    assert extract("戴帽子的小狗，敦煌壁画", ALIASES) == ["hat", "dog", "敦煌壁画"]
    assert extract("", ALIASES) == []
