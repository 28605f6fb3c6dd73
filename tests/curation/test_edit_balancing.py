"""Weights and draws of pairs."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zcurate.curation.edits.balancing import Sampling, choose, is_text

TYPES = ["object.add", "pixel.grey", "style.film", "text.replace"]
PAIRS = st.lists(
    st.lists(st.sampled_from(TYPES), min_size=1, max_size=3, unique=True), min_size=1, max_size=60
).map(lambda kinds: [(f"pair{i}", k) for i, k in enumerate(kinds)])


@given(PAIRS, st.floats(0, 1))
def test_weights_have_mean_one_and_favor_the_rare(pairs, alpha):
    found = choose(pairs, Sampling(alpha))
    assert found.at.tolist() == list(range(len(pairs)))
    assert found.weight.mean() == pytest.approx(1)
    count = Counter(t for _, types in pairs for t in types)
    for (_, a), wa in zip(pairs, found.weight, strict=True):
        for (_, b), wb in zip(pairs, found.weight, strict=True):
            if max(count[t] for t in a) <= min(count[t] for t in b):
                assert wa >= wb - 1e-9


@given(PAIRS, st.floats(0, 0.95))
def test_rendered_text_is_held_to_its_share(pairs, share):
    found = choose(pairs, Sampling(text_share=share))
    kept = [pairs[i] for i in found.at]
    texts = sum(is_text(t) for _, t in kept)
    assert texts <= share * len(kept) + 1e-9
    assert [p for p in pairs if not is_text(p[1])] == [p for p in kept if not is_text(p[1])]


@given(PAIRS, st.integers(1, 80))
def test_a_draw_is_of_its_size_and_does_not_depend_on_order(pairs, most):
    one = choose(pairs, Sampling(most=most))
    other = choose(pairs[::-1], Sampling(most=most))
    assert len(one.at) == min(most, len(pairs))
    assert {pairs[i][0] for i in one.at} == {pairs[::-1][i][0] for i in other.at}


def test_a_balanced_draw_is_near_even():
    pairs = [(f"a{i}", ["pixel.grey"]) for i in range(9000)] + [
        (f"b{i}", ["object.add"]) for i in range(1000)
    ]
    kept = choose(pairs, Sampling(1.0, most=600))
    added = np.mean([pairs[i][1] == ["object.add"] for i in kept.at])
    assert 0.42 < added < 0.58
    assert (
        0.07
        < np.mean([pairs[i][1] == ["object.add"] for i in choose(pairs, Sampling(0.0, most=600)).at])
        < 0.13
    )


@pytest.mark.parametrize(
    "wrong", [{"balance": 1.5}, {"text_share": -0.1}, {"most": 0}, {"ratios": {"sft": float("nan")}}]
)
def test_nonsense_is_refused(wrong):
    with pytest.raises(ValueError):
        Sampling(**wrong)


def test_shares_of_stages():
    assert Sampling(ratios={"sft": 1.0}).shares() == {"sft": {"text_to_image": 0.5, "image_to_image": 0.5}}


def test_fine_tuning_holds_little_text_and_balances_tasks():
    pairs = [(f"t{i}", ("text.add",)) for i in range(90)] + [(f"o{i}", ("object.add",)) for i in range(90)]
    kept = choose(pairs, Sampling.of_stage("sft"))
    assert sum(i < 90 for i in kept.at) == 10
    assert len(choose(pairs, Sampling.of_stage("pretrain")).at) == 180
    assert len(choose(pairs, Sampling.of_stage("sft", text_share=1.0)).at) == 180
    assert Sampling.of_stage("sft").shares()["sft"] == {"text_to_image": 0.8, "image_to_image": 0.2}
    with pytest.raises(ValueError, match="pretrain, sft"):
        Sampling.of_stage("tuning")


def test_many_tasks_of_text_get_no_more_than_its_share_by_weight_or_in_a_draw():
    pairs = [(f"t{i}", (f"text.{i % 9}",)) for i in range(90)] + [
        (f"o{i}", ("object.add",)) for i in range(900)
    ]
    kept = choose(pairs, Sampling.of_stage("sft"))
    text = kept.at < 90
    assert kept.weight[text].sum() == pytest.approx(0.1 * kept.weight.sum())
    assert kept.weight.mean() == pytest.approx(1)
    drawn = choose(pairs, Sampling.of_stage("sft", most=200)).at
    assert len(drawn) == 200
    assert 10 <= sum(drawn < 90) <= 20
