"""Confidence of pass rates, and how pictures are spent on concepts."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from zcurate.curation.active.confidence import anytime, wilson
from zcurate.curation.active.testing import FAILS, PASSES, UNDECIDED, UNSCORED, Plan, Tally

COUNTS = st.integers(0, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(COUNTS)
def test_intervals_hold_the_share_and_the_anytime_one_is_wider(counts):
    passed, tried = counts
    low, high = anytime(passed, tried)
    assert 0 <= low <= high <= 1
    if tried:
        assert low <= passed / tried <= high
        w_low, w_high = wilson(passed, tried)
        assert high - low >= w_high - w_low - 1e-9
        mirrored = anytime(tried - passed, tried)
        assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-9)


def test_wilson_solves_its_equation():
    z = norm.ppf(0.975)
    for passed, tried in ((0, 10), (3, 10), (97, 100)):
        for edge in wilson(passed, tried):
            if 0 < edge < 1:
                assert abs(passed / tried - edge) == pytest.approx(z * (edge * (1 - edge) / tried) ** 0.5)
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize("rate", [0.02, 0.3, 0.5, 0.9])
def test_looking_after_every_trial_does_not_break_the_promise(rate):
    """The fixed interval misses more often than it says when it is looked at all the time; the anytime one does not."""
    rng = random.Random(0)
    missed = missed_fixed = 0
    runs = 150
    for _ in range(runs):
        passed = 0
        out = out_fixed = False
        for tried in range(1, 101):
            passed += rng.random() < rate
            low, high = anytime(passed, tried, 0.1)
            out |= not low <= rate <= high
            low, high = wilson(passed, tried, 1.645)
            out_fixed |= not low <= rate <= high
        missed += out
        missed_fixed += out_fixed
    assert missed <= 0.1 * runs + 2 * (0.09 * runs) ** 0.5
    assert missed_fixed > 2 * missed


@pytest.mark.parametrize("arguments", [(5, 4), (-1, 4), (0, -1)])
def test_impossible_counts(arguments):
    with pytest.raises(ValueError, match="impossible"):
        anytime(*arguments)


def run(plan, rates, budget=None, seed=0, stop_after=10**9):
    """All rounds against a generator with these pass rates; None never gets scored."""
    rng = random.Random(seed)
    tallies = {c: Tally() for c in rates}
    left, rounds = budget, 0
    while (wanted := plan.next_round(tallies, left)) and rounds < stop_after:
        rounds += 1
        for concept, count in wanted.items():
            for _ in range(count):
                rate = rates[concept]
                tallies[concept].add(None if rate is None else rng.random() < rate)
            left = None if left is None else left - count
    return tallies


def test_pictures_go_where_it_is_uncertain():
    plan = Plan(required=0.5, least=8, most=128, step=8)
    rates = {"sure": 0.98, "hopeless": 0.0, "close": 0.45, "unseen": None}
    tallies = run(plan, rates)
    assert plan.status(tallies["sure"]) == PASSES
    assert plan.status(tallies["hopeless"]) == FAILS
    assert plan.status(tallies["unseen"]) == UNSCORED
    assert tallies["unseen"].drawn == 8
    assert tallies["close"].drawn > 4 * tallies["sure"].drawn
    assert max(t.drawn for t in tallies.values()) <= 128


def test_few_wrong_verdicts_over_many_concepts():
    plan = Plan(required=0.6, most=96)
    rates = {f"c{i}": (i % 10) / 10 for i in range(100)}
    tallies = run(plan, rates, seed=3)
    wrong = [
        c
        for c, t in tallies.items()
        if plan.status(t) in (PASSES, FAILS) and (plan.status(t) == PASSES) != (rates[c] > 0.6)
    ]
    assert len(wrong) <= 5
    assert sum(plan.status(t) != UNDECIDED for t in tallies.values()) >= 70


@given(st.integers(0, 300), st.integers(1, 12))
def test_budget_is_never_exceeded_and_everyone_comes_first(budget, count):
    plan = Plan(least=8, most=40)
    tallies = run(plan, {f"c{i}": 0.5 for i in range(count)}, budget)
    assert sum(t.drawn for t in tallies.values()) <= budget
    if budget >= 8 * count:
        assert all(t.drawn >= 8 for t in tallies.values())


def test_a_stopped_run_goes_on_from_its_outcomes():
    plan = Plan(most=64)
    stopped = run(plan, {"a": 0.5, "b": 0.7}, stop_after=3)
    rebuilt = {c: Tally(t.passed, t.failed, t.unscored) for c, t in stopped.items()}
    assert plan.next_round(rebuilt) == plan.next_round(stopped)


@pytest.mark.parametrize("wrong", [{"required": 1.0}, {"least": 9, "most": 8}, {"step": 0}, {"alpha": 0}])
def test_plans_that_cannot_be(wrong):
    with pytest.raises(ValueError, match=r"must be|write"):
        Plan(**wrong)
