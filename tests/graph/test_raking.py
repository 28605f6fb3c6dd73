"""Budgets, keep probabilities, nesting, and the draw: their algebra."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from zcurate.graph.bm25 import length_scores
from zcurate.graph.budgets import BudgetRule, Tree, shares_of
from zcurate.graph.draw import id_halves, keep, uniform
from zcurate.graph.nesting import balance, log_odds
from zcurate.graph.raking import SURPLUS, rake, rake_and_spread
from zcurate.graph.tagged import Tagged


def tagged(rows, m, score=None) -> Tagged:
    lengths = np.array([len(r) for r in rows], np.int64)
    indices = np.array([t for r in rows for t in sorted(r)], np.int32)
    score = length_scores(lengths) if score is None else np.asarray(score, np.float32)
    return Tagged(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), indices, score, m)


def solve(data, budget, **options):
    supply = data.supply().astype(float)
    zero, one = np.zeros(data.n, np.float32), np.ones(data.n, np.float32)
    return rake(data, budget, log_odds(data, budget, supply, np.ones(data.m)), zero, one, **options)


def zipf_rows(n, m, seed, most=5):
    rng = np.random.default_rng(seed)
    p = 1 / np.arange(1, m + 1)
    return [set(rng.choice(m, rng.integers(1, most), p=p / p.sum()).tolist()) for _ in range(n)]


trees = st.integers(1, 12).flatmap(
    lambda m: st.tuples(*(st.integers(-1, i - 1) for i in range(m))).map(lambda p: Tree.of(np.array(p)))
)
tag_rows = st.lists(st.sets(st.integers(0, 5), max_size=4), min_size=1, max_size=40)


@settings(deadline=None)
@given(trees, st.data())
def test_budgets_stay_within_supply_sum_up_and_grow(tree, data):
    m = len(tree.parent)
    supply = np.array(data.draw(st.lists(st.integers(0, 50), min_size=m, max_size=m)), float)
    temperature = data.draw(st.floats(0, 1))
    rule = BudgetRule(tree, None, temperature)
    total = data.draw(st.floats(0, 1.5)) * supply.sum()
    budget = rule.budgets(supply, total)
    assert (budget >= 0).all()
    assert (budget <= supply * (1 + 1e-9)).all()
    assert budget.sum() == pytest.approx(min(total, supply.sum()), abs=1e-6)
    assert (rule.budgets(supply, total * 1.3) >= budget - 1e-9).all()


def test_water_filling_by_hand():
    tree = Tree.of(np.array([-1, 0, 0, -1]))
    supply = np.array([0.0, 2.0, 50.0, 50.0])
    # two roots get 20 each; of the first, one child has only 2
    np.testing.assert_allclose(BudgetRule(tree).budgets(supply, 40), [0, 2, 18, 20])
    np.testing.assert_allclose(BudgetRule(tree, None, 0.0).budgets(supply, 51), supply / 2)
    prior = np.array([0, 1.0, 1.0, 6.0])
    np.testing.assert_allclose(BudgetRule(tree, prior).budgets(supply, 8), [0, 1, 1, 6])


def test_asked_is_the_budget_without_shortage():
    rule = BudgetRule(Tree.of(np.array([-1, 0, 0, -1])))
    supply = np.array([0.0, 2.0, 50.0, 50.0])
    np.testing.assert_allclose(rule.asked(supply, 40), [0, 10, 10, 20])
    np.testing.assert_allclose(rule.asked(supply * 100, 40), rule.budgets(supply * 100, 40))


def test_no_budget_for_a_prior_of_zero_and_voids_give_theirs_away():
    tree = Tree.flat(3)
    rule = BudgetRule(tree, np.array([1.0, 0.0, 1.0]))
    np.testing.assert_allclose(rule.budgets(np.array([5.0, 9.0, 0.0]), 4), [4, 0, 0])
    np.testing.assert_allclose(shares_of(rule, np.array([True, True, True])), [0.5, 0, 0.5])


def test_wrong_trees_and_priors():
    with pytest.raises(ValueError, match="cycle"):
        Tree.of(np.array([1, 0]))
    with pytest.raises(ValueError, match="parents must lie"):
        Tree.of(np.array([7]))
    with pytest.raises(ValueError, match="prior"):
        BudgetRule(Tree.flat(2), np.array([1.0, np.nan]))
    with pytest.raises(ValueError, match="temperature"):
        BudgetRule(Tree.flat(2), None, 1.5)


@settings(deadline=None, max_examples=40)
@given(tag_rows, st.data())
def test_budgets_that_some_probabilities_meet_are_met(rows, data):
    """Whatever P is inside (0, 1), its counts are feasible, so raking must find counts equal to them."""
    corpus = tagged(rows, 6)
    p = np.array(data.draw(st.lists(st.floats(0.1, 0.9), min_size=len(rows), max_size=len(rows))))
    budget = corpus.counts(p)
    found = solve(corpus, budget, tolerance=1e-4, down=40.0)
    assert found.feasible.all()
    np.testing.assert_allclose(corpus.counts(found.probability), budget, rtol=1e-3, atol=1e-3)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10_000))
def test_feasibility_agrees_with_a_linear_program(seed):
    """What raking cannot meet, nothing can: the least total surplus over floors is that of an LP."""
    rows = zipf_rows(60, 8, seed)
    corpus = tagged(rows, 8)
    supply = corpus.supply().astype(float)
    budget = BudgetRule(Tree.flat(8)).budgets(supply, 0.4 * supply.sum())
    found = solve(corpus, budget, tolerance=1e-3, down=12.0)
    a = np.array([[t in r for r in rows] for t in range(8)], float)
    # min sum of surplus z, A p - z = b, 0 <= p <= 1, z >= 0
    lp = linprog(
        np.r_[np.zeros(60), np.ones(8)],
        A_eq=np.hstack([a, -np.eye(8)]),
        b_eq=budget,
        bounds=[(0, 1)] * 60 + [(0, None)] * 8,
    )
    surplus = np.clip(found.expected - budget, 0, None).sum()
    assert (found.expected >= budget - 0.02 * np.maximum(budget, 0.5)).all()
    assert surplus == pytest.approx(lp.fun, abs=0.05 * budget.sum() + 0.1)
    if lp.fun < 1e-9 and found.feasible.all():
        np.testing.assert_allclose(found.expected, budget, rtol=2e-3, atol=2e-3)


def test_the_closed_formula_misses_budgets_and_raking_meets_them():
    corpus = tagged(zipf_rows(5000, 100, 1), 100)
    rule = BudgetRule(Tree.flat(100))
    supply = corpus.supply().astype(float)
    budget = rule.budgets(supply, 0.05 * supply.sum())
    odds = log_odds(corpus, budget, supply, np.ones(100)).astype(float)
    closed = corpus.counts(1 / (1 + np.exp(-odds)))
    found = solve(corpus, budget)
    assert closed.sum() > 1.3 * budget.sum()
    met = np.abs(found.expected / budget - 1)[found.feasible]
    assert found.feasible.mean() > 0.8
    assert met.max() < 0.006


def test_over_represented_concepts_go_down_and_rare_ones_up():
    rows = [{0}] * 900 + [{0, 1}] * 60 + [{1}] * 30 + [{2}] * 10
    corpus = tagged(rows, 3)
    solved = balance(corpus, BudgetRule(Tree.flat(3)), 60)
    before = corpus.supply() / corpus.supply().sum()
    after = solved.expected / solved.expected.sum()
    assert after[0] < 0.6 * before[0]
    assert after[1] > before[1]
    assert after[2] > before[2]
    assert solved.probability.sum() == pytest.approx(60, rel=1e-3)


@settings(deadline=None, max_examples=25)
@given(tag_rows, st.lists(st.floats(0, 45), min_size=2, max_size=4), st.floats(0, 1), st.integers(0, 5))
def test_probabilities_never_fall_as_the_size_grows(rows, sizes, temperature, seed):
    corpus = tagged(rows, 6)
    rule = BudgetRule(Tree.of(np.array([-1, 0, 0, 1, 1, -1])), None, temperature)
    halves = np.random.default_rng(seed).integers(0, 2**62, (len(rows), 2)).astype(np.uint64)
    before, kept = np.zeros(len(rows), np.float32), np.zeros(len(rows), bool)
    for size in sorted(sizes):
        p = balance(corpus, rule, size, judge=False).probability
        assert (p >= before).all()
        now = keep(halves, p, seed)
        assert (now | ~kept).all()
        before, kept = p, now


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 1000))
def test_order_of_samples_does_not_matter(seed):
    rows = zipf_rows(300, 20, seed)
    order = np.random.default_rng(seed).permutation(300)
    rule = BudgetRule(Tree.flat(20))
    one = balance(tagged(rows, 20), rule, 40, judge=False).probability
    other = balance(tagged([rows[i] for i in order], 20), rule, 40, judge=False).probability
    np.testing.assert_allclose(other, one[order], rtol=1e-3, atol=1e-4)


def test_same_input_same_bits_on_any_number_of_threads(monkeypatch):
    corpus, rule = tagged(zipf_rows(30_000, 50, 2), 50), BudgetRule(Tree.flat(50))
    results = []
    for threads in ("1", "2"):
        monkeypatch.setenv("NUMBA_NUM_THREADS", threads)
        results.append(balance(corpus, rule, 2000, judge=False).probability.tobytes())
    assert results[0] == results[1]


def test_a_concept_apart_is_not_touched_by_the_others():
    """Concept 3 shares no sample with the rest: its probability follows from its own budget alone."""
    rest = zipf_rows(400, 3, 4)
    corpus = tagged([*rest, *[{3}] * 50], 4)
    solved = balance(corpus, BudgetRule(Tree.flat(4)), 60)
    np.testing.assert_allclose(solved.probability[400:], solved.budget[3] / 50, rtol=0.02)


@pytest.mark.parametrize("size", [0, 5, 10**9])
def test_degenerate_inputs(size):
    rule = BudgetRule(Tree.flat(2))
    assert len(balance(tagged([], 2), rule, size).probability) == 0
    assert balance(tagged([set(), set()], 2), rule, size).probability.sum() == 0
    one = balance(tagged([{0}] * 10, 2), rule, size).probability
    assert one.sum() == pytest.approx(min(size, 10), rel=1e-3)
    none = balance(tagged([{0}, {1}], 2, score=[0, 1]), rule, size).probability
    assert none[0] == 0
    assert none[1] == pytest.approx(min(1, size))
    nobody = BudgetRule(Tree.flat(2), np.array([0.0, 1.0]))
    assert balance(tagged([{0}, {1}], 2), nobody, size).probability[0] == 0


def test_more_than_there_is_keeps_everything():
    corpus = tagged(zipf_rows(200, 10, 3), 10)
    assert balance(corpus, BudgetRule(Tree.flat(10)), 500).probability.tolist() == [1.0] * 200


@settings(deadline=None)
@given(st.binary(min_size=16, max_size=16), st.integers(0, 2**64 - 1))
def test_the_draw_depends_on_id_and_seed_alone(sample_id, seed):
    ids = pa.array([b"\0" * 16, sample_id, b"\xff" * 16], pa.binary(16))
    u = uniform(id_halves(ids), seed)
    assert ((u >= 0) & (u < 1)).all()
    assert u[1] == uniform(id_halves(ids.slice(1, 1)), seed)[0]
    assert keep(id_halves(ids), np.ones(3), seed).all()
    assert not keep(id_halves(ids), np.zeros(3), seed).any()


def test_draws_match_expectation():
    ids = pa.array([i.to_bytes(16, "big") for i in range(40_000)], pa.binary(16))
    halves = id_halves(ids)
    for seed in range(5):
        u = uniform(halves, seed)
        assert abs(u.mean() - 0.5) < 4 * np.sqrt(1 / 12 / len(u))
        assert abs((u < 0.1).sum() - 4000) < 4 * np.sqrt(4000 * 0.9)
    assert abs(np.corrcoef(uniform(halves, 1), uniform(halves, 2))[0, 1]) < 0.02


def test_wrong_arrays_are_named():
    with pytest.raises(ValueError, match="tags must lie"):
        tagged([{9}], 3)
    with pytest.raises(ValueError, match="score"):
        tagged([{0}], 1, score=[np.nan])
    with pytest.raises(ValueError, match="16 bytes"):
        id_halves(pa.array(["x"]))
    with pytest.raises(ValueError, match="size"):
        balance(tagged([{0}], 1), BudgetRule(Tree.flat(1)), float("nan"))


def test_the_surplus_is_spread_over_common_concepts():
    """What cannot be avoided is shared out: nearer to the budgets in divergence, and no rare one is given up for it."""
    corpus = tagged(zipf_rows(4000, 60, 3), 60)
    supply = corpus.supply().astype(float)
    budget = BudgetRule(Tree.flat(60)).budgets(supply, 0.4 * supply.sum())
    zero, one = np.zeros(corpus.n, np.float32), np.ones(corpus.n, np.float32)
    offset = np.zeros(corpus.n, np.float32)
    alone = rake(corpus, budget, offset, zero, one, tolerance=1e-3)
    spread = rake_and_spread(corpus, budget, offset, zero, one, tolerance=1e-3)
    over = alone.expected > SURPLUS * np.maximum(budget, 0.5)
    assert over.any()

    def divergence(found):
        k, b = found.expected[over], budget[over]
        return float((k * np.log(k / b) - k + b).sum())

    assert divergence(spread) < 0.99 * divergence(alone)
    met = ~over & (np.abs(alone.expected - budget) <= 0.01 * np.maximum(budget, 0.5))
    np.testing.assert_allclose(spread.expected[met], budget[met], rtol=0.05, atol=0.5)
    assert not spread.feasible[over].any()


@given(st.integers(0, 1000), st.floats(0.1, 0.9))
@settings(deadline=None, max_examples=20)
def test_settled_samples_change_nothing(seed, share):
    """Samples whose bounds are equal are set aside; the result is as if they were looked at."""
    corpus = tagged(zipf_rows(300, 12, seed), 12)
    rng = np.random.default_rng(seed)
    shut = rng.random(corpus.n) < share
    low = np.where(shut, rng.random(corpus.n) * 0.9, 0.0).astype(np.float32)
    high = np.where(shut, low, 1.0).astype(np.float32)
    wide = np.where(shut, low + 2e-6, 1.0).astype(np.float32)  # just wide enough to be looked at
    p = np.where(shut, low, 0.3 + 0.4 * rng.random(corpus.n))
    budget, offset = corpus.counts(p), np.zeros(corpus.n, np.float32)
    found, other = (rake(corpus, budget, offset, low, h, tolerance=1e-4, down=40.0) for h in (high, wide))
    np.testing.assert_array_equal(found.probability[shut], low[shut])
    np.testing.assert_allclose(found.expected, corpus.counts(found.probability), rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(found.expected, other.expected, rtol=2e-3, atol=2e-2)
