"""Fitting heads: the known optimum, no leak between copies, and metrics against their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zcurate.curation.scoring.errors import LabelError
from zcurate.curation.scoring.evaluation import auc, correlation, evaluate, ranks
from zcurate.curation.scoring.fitting import _logistic, _ridge, deal_folds, fit_head


def data(n=240, dim=24, noise=0.3, seed=0):
    """Unit vectors and a noisy linear taste."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, dim))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x, 5 + 4 * (x @ rng.normal(size=dim)) / np.sqrt(dim) * 2 + rng.normal(size=n) * noise


def test_ridge_and_logistic_reach_the_optimum_of_their_loss():
    x, y = data()
    scale = (np.linalg.svd(x - x.mean(0))[1] ** 2).mean()
    weight, bias = _ridge(x, y, (0.1,))[0]
    error = x @ weight + bias - y
    np.testing.assert_allclose(x.T @ error + 0.1 * scale * weight, 0, atol=1e-6)
    assert abs(error.sum()) < 1e-6
    labels = (y > 5).astype(float)
    weight, bias = _logistic(x, labels, (0.1,))[0]
    error = 1 / (1 + np.exp(-(x @ weight + bias))) - labels
    np.testing.assert_allclose(x.T @ error + 0.1 * scale / 4 * weight, 0, atol=1e-3)
    assert abs(error.sum()) < 1e-3


def test_logistic_agrees_with_scikit_learn():
    linear_model = pytest.importorskip("sklearn.linear_model")
    x, y = data()
    labels = (y > 5).astype(float)
    penalty = (np.linalg.svd(x - x.mean(0))[1] ** 2).mean() / 4
    weight, bias = _logistic(x, labels, (1.0,))[0]
    theirs = linear_model.LogisticRegression(C=1 / penalty, tol=1e-10, max_iter=1000).fit(x, labels)
    np.testing.assert_allclose(weight, theirs.coef_[0], atol=1e-4)
    assert abs(bias - theirs.intercept_[0]) < 1e-4


@pytest.mark.parametrize("kind", ["regression", "logistic"])
def test_learns_what_is_there_and_nothing_from_noise(kind):
    x, y = data()
    y = (y > 5).astype(float) if kind == "logistic" else y
    name, chance = ("auc", 0.5) if kind == "logistic" else ("srcc", 0.0)
    good = fit_head(x, y, np.arange(len(y)), kind, 5, (-20, 30))
    assert good.evaluation.metrics[name] > 0.85
    assert good.evaluation.metrics["calibration_error"] < (0.1 if kind == "logistic" else 0.3)
    shuffled = np.random.default_rng(3).permutation(y)
    bad = fit_head(x, shuffled, np.arange(len(y)), kind, 5, (-20, 30))
    assert abs(bad.evaluation.metrics[name] - chance) < 0.2
    again = fit_head(x, y, np.arange(len(y)), kind, 5, (-20, 30))
    np.testing.assert_array_equal(again.layers[0][0], good.layers[0][0])


def test_copies_do_not_leak_into_the_metrics():
    # pure noise, every row four times: told apart only by remembering the copies
    rng = np.random.default_rng(0)
    x = np.repeat(rng.normal(size=(60, 100)), 4, axis=0)
    y = np.repeat(rng.uniform(1, 10, 60), 4)
    leaking = fit_head(x, y, np.arange(240), "regression", 5, (1, 10)).evaluation.metrics["srcc"]
    grouped = fit_head(x, y, np.repeat(np.arange(60), 4), "regression", 5, (1, 10)).evaluation.metrics["srcc"]
    assert leaking > 0.9
    assert grouped < 0.4


@given(
    groups=st.lists(st.integers(0, 30), min_size=30, max_size=120),
    folds=st.integers(2, 5),
    kind=st.sampled_from(["regression", "logistic"]),
    seed=st.integers(0, 5),
)
def test_folds_hold_whole_groups_and_do_not_depend_on_order(groups, folds, kind, seed):
    rng = np.random.default_rng(seed)
    groups = np.array(groups)
    y = rng.integers(0, 2, len(groups)).astype(float)
    fold = deal_folds(y, groups, kind, folds)
    for g in set(groups.tolist()):
        assert len(set(fold[groups == g].tolist())) == 1
    sizes = [len(np.unique(groups[fold == k])) for k in range(folds)]
    assert max(sizes) - min(sizes) <= 1
    order = rng.permutation(len(groups))
    if kind == "logistic":
        np.testing.assert_array_equal(deal_folds(y[order], groups[order], kind, folds), fold[order])


def test_too_little_to_learn_from():
    x, y = data(30)
    with pytest.raises(LabelError, match="5 folds need at least 10"):
        fit_head(x, y, np.arange(30) // 5, "regression", 5, (1, 10))
    with pytest.raises(LabelError, match="every label is 3"):
        fit_head(x, np.full(30, 3.0), np.arange(30), "regression", 5, (1, 10))
    with pytest.raises(LabelError, match="label 1 has 4 different samples"):
        fit_head(x, (np.arange(30) < 4).astype(float), np.arange(30), "logistic", 5, (0, 1))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=2, max_size=40))
def test_auc_is_the_share_of_pairs_in_order(rows):
    y = np.array([float(a) for a, _ in rows])
    p = np.array([float(b) for _, b in rows])
    if y.min() == y.max():
        return
    pairs = [(a > b) + 0.5 * (a == b) for a in p[y == 1] for b in p[y == 0]]
    assert auc(y, p) == pytest.approx(np.mean(pairs))


def test_metrics_by_hand():
    assert correlation(ranks(np.array([1.0, 2, 2, 9])), np.array([1.0, 2.5, 2.5, 4])) == pytest.approx(1)
    assert correlation(np.ones(3), np.arange(3.0)) == 0
    y, p = np.array([0.0, 0, 1, 1]), np.array([0.1, 0.1, 0.9, 0.5])
    found = evaluate(y, p, "logistic")
    assert found.metrics["brier"] == pytest.approx((0.01 + 0.01 + 0.01 + 0.25) / 4)
    assert found.metrics["calibration_error"] == pytest.approx((0.1 * 2 + 0.1 + 0.5) / 4)
    assert [b.rows for b in found.calibration] == [2, 1, 1]
    shifted = evaluate(np.arange(20.0), np.arange(20.0) + 2, "regression")
    assert shifted.metrics["srcc"] == pytest.approx(1)
    assert shifted.metrics["rmse"] == pytest.approx(2)
    assert shifted.metrics["calibration_error"] == pytest.approx(2)
