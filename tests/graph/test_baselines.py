"""Baselines, the comparison with them, plans, and the numbers of the concept page."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from zcurate.graph.baselines import (
    compare,
    divergence,
    figures,
    hierarchical,
    metaclip,
    rarest_tag,
    uniform,
)
from zcurate.graph.budgets import BudgetRule, Tree
from zcurate.graph.complexity import caption_chars, complexity
from zcurate.graph.coverage import coverage
from zcurate.graph.nesting import balance
from zcurate.graph.plans import Concepts, StageRule, overlap, run_stage
from zcurate.graph.tagged import Tagged

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "sampler_quality.py"


@pytest.fixture(scope="module")
def quality():
    spec = importlib.util.spec_from_file_location("sampler_quality", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def planted(quality):
    return quality.planted(20_000, 1, 4, 4, 6)


@pytest.mark.parametrize("share", [0.01, 0.05, 0.2])
def test_ours_holds_the_prior_best(planted, share):
    data, tree = planted
    rule = BudgetRule(tree)
    size = share * data.n
    found = {name: figures(data, p, rule) for name, p in compare(data, rule, size).items()}
    for name, f in found.items():
        assert f.size == pytest.approx(size, rel=0.01), name
    assert found["ours"].kl <= min(f.kl for f in found.values())
    if share <= 0.05:
        assert found["uniform"].kl > 5 * found["ours"].kl
    assert found["ours"].tail_share > found["uniform"].tail_share
    solved = balance(data, rule, size)
    met = solved.feasible & (solved.budget >= 0.5)
    assert met.sum() > 0.7 * (solved.budget >= 0.5).sum()
    assert np.abs(solved.error[met]).max() < 0.05


def test_benchmark_ends_with_its_line_of_json(quality, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["sampler_quality.py", "--quick"])
    quality.main()
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    keys = {"kl_ours", "kl_uniform", "kl_metaclip", "kl_hierarchical", "max_budget_error"}
    assert keys <= set(result)


def rows_of(rows, m):
    lengths = [len(r) for r in rows]
    return Tagged(
        np.r_[0, np.cumsum(lengths)].astype(np.int64),
        np.array([t for r in rows for t in r], np.int32),
        np.ones(len(rows), np.float32),
        m,
    )


def test_metaclip_by_hand():
    data = rows_of([[0], [0], [0, 1], []], 2)
    p = metaclip(data, 1.5)
    # t solves 2 * t/3 + 1 - (1 - t/3)(1 - min(1, t)) = 1.5
    t = p[0] * 3
    assert p[2] == pytest.approx(1 - (1 - t / 3) * (1 - min(1, t)), abs=1e-6)
    assert p[3] == 0
    assert p.sum() == pytest.approx(1.5, abs=1e-5)


def test_hierarchical_takes_equal_parts_of_leaves():
    data = rows_of([[0]] * 10 + [[0, 1]] * 2 + [[2]] * 6, 3)
    assert rarest_tag(data, data.supply()).tolist() == [0] * 10 + [1] * 2 + [2] * 6
    p = hierarchical(data, BudgetRule(Tree.flat(3)), 10)
    np.testing.assert_allclose([p[:10].sum(), p[10:12].sum(), p[12:].sum()], [4, 2, 4], rtol=1e-6)
    assert uniform(data, 9).tolist() == [0.5] * 18


def test_divergence():
    prior = np.array([0.5, 0.5, 0.0])
    assert divergence(np.array([3.0, 3.0, 9.0]), prior) == pytest.approx(0)
    assert divergence(np.array([4.0, 0.0, 0.0]), prior) == pytest.approx(np.log(2))
    assert np.isnan(divergence(np.zeros(3), prior))


def ids(n, seed=0):
    return np.random.default_rng(seed).integers(0, 2**62, (n, 2)).astype(np.uint64)


def test_stages_nest_and_the_best_come_first(planted):
    data, tree = planted
    concepts = Concepts(data.indptr, data.indices, tree)
    halves = ids(data.n)
    wide = run_stage(concepts, StageRule("wide", 6000), halves, 1, judge=False)
    narrow = run_stage(concepts, StageRule("narrow", 900), halves, 1, judge=False)
    assert overlap({"wide": wide.kept, "narrow": narrow.kept}) == {"narrow": 1.0}
    quality = np.random.default_rng(2).random(data.n)
    best = run_stage(concepts, StageRule("best", 900), halves, 1, best_first=quality)
    assert quality[best.kept].mean() > quality[narrow.kept].mean() + 0.15
    met = best.balanced.feasible & (best.balanced.budget >= 5)
    assert np.abs(best.balanced.error[met]).max() < 0.05
    assert best.after.kl < best.before.kl


def test_selection_weight_and_order(planted):
    data, tree = planted
    concepts = Concepts(data.indptr, data.indices, tree)
    value = np.arange(data.n, dtype=float)
    value[5] = np.nan
    able = value % 2 == 0
    got = run_stage(
        concepts, StageRule("s", 500), ids(data.n), 1, able, np.where(value < 9000, 1.0, 0.0), order_by=-value
    )
    assert (got.order % 2 == 0).all()
    assert got.order.max() < 9000
    assert (np.diff(got.order) < 0).all()
    assert set(got.order) == set(np.flatnonzero(got.kept))
    with pytest.raises(ValueError, match="weights"):
        run_stage(concepts, StageRule("s", 5), ids(data.n), 1, weight=-np.ones(data.n))


def test_samples_without_a_concept_are_balanced_by_community():
    tagged = rows_of([[0]] * 100 + [[]] * 200, 1)
    community = np.r_[np.zeros(100, int), np.full(180, 1), np.full(20, 2)]
    concepts = Concepts(tagged.indptr, tagged.indices, Tree.flat(1), None, np.array([-1, 0, 0]), community)
    stage = run_stage(concepts, StageRule("s", 30), ids(300), 0)
    p = stage.probability
    assert p[:100].sum() == pytest.approx(10, rel=0.05)
    assert p[100:280].sum() == pytest.approx(10, rel=0.05)
    assert p[280:].sum() == pytest.approx(10, rel=0.05)
    alone = run_stage(concepts, StageRule("c", 30, by="communities"), ids(300), 0).probability
    np.testing.assert_allclose(
        [alone[:100].sum(), alone[100:280].sum(), alone[280:].sum()], [10, 10, 10], rtol=0.05
    )
    none = Concepts(tagged.indptr, tagged.indices, Tree.flat(1))
    assert run_stage(none, StageRule("s", 30), ids(300), 0).probability[100:].sum() == pytest.approx(
        20, rel=0.05
    )
    with pytest.raises(ValueError, match="communities"):
        run_stage(none, StageRule("c", 30, by="communities"), ids(300), 0)


def test_complexity_is_a_mean_of_ranks():
    got = complexity(
        {"bytes_per_pixel": np.array([1.0, 2, 3, np.nan]), "elements": np.array([5.0, 5, 9, np.nan])}
    )
    assert got[0] < got[1] < got[2]
    assert got[3] == 0.5
    assert ((got >= 0) & (got <= 1)).all()
    assert caption_chars(np.array([10.0, np.nan]), np.array([4.0, np.nan]))[0] == 12
    with pytest.raises(ValueError, match="parts"):
        complexity({"beauty": np.zeros(2)})


def test_coverage_numbers_add_up():
    tree = Tree.of(np.array([-1, 0, 0, -1]))
    supply = np.array([0, 90, 10, 100])
    found = coverage(["a", "a1", "a2", "b"], tree, supply, voids=[("nothing", 0.2)])
    assert found["concepts"] == 3
    assert sum(box["samples"] for box in found["treemap"]) == pytest.approx(200)
    a = next(box for box in found["treemap"] if box["name"] == "a")
    assert sum(c["samples"] for c in a["children"]) == a["samples"] == 100
    assert found["over"][0]["name"] == "a1"
    assert found["under"][0]["name"] == "a2"
    assert found["voids"] == [{"name": "nothing", "prior": 0.2}]
    few = coverage(["a", "a1", "a2", "b"], tree, supply, leaves=1)
    assert sum(box["samples"] for box in few["treemap"]) == pytest.approx(200)
