"""How well selections of one size hold a prior over concepts: ours, uniform, MetaCLIP, hierarchical k-means sampling.

    python benchmarks/sampler_quality.py [--samples 200000] [--share 0.02] [--seed 0] [--concepts FILE] [--quick]

The corpus is planted: a tree of concepts (fields, subjects, concepts), Zipf at every level, so that the commonest
concept is thousands of times as frequent as the rarest. A sample has a main concept and further tags, most of
its own subject, some from anywhere, some of the few concepts that go with everything. The prior is uniform at
every level of the tree, or (--prior user) Dirichlet-distributed, as prompts of users might be.

A budget is feasible when some keep probabilities meet it without missing another that can be met (solved without
nesting, see graph/raking.py); `max_budget_error` is the largest relative error of the expected count over feasible budgets of at
least half a sample. Draws are compared with expectation in units of their standard deviation; counts of a few samples
are skewed and leave 4 deviations by chance, so the same is given by the signed root of the deviance, which is close to
normal for small counts as well. `kl_bound` is what no selection of this size can beat (certified, see
graph/divergence_bound.py); it may miss any budget. --concepts writes budget, feasibility, expected and drawn counts of
every concept. Ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import csv
import json

import numpy as np

from zcurate.graph.baselines import METHODS, compare, figures
from zcurate.graph.bm25 import length_scores
from zcurate.graph.budgets import BudgetRule, Tree, shares_of
from zcurate.graph.divergence_bound import least_divergence
from zcurate.graph.draw import keep
from zcurate.graph.nesting import balance
from zcurate.graph.tagged import Tagged


def planted(n: int, seed: int, fields: int = 8, subjects: int = 8, leaves: int = 12) -> tuple[Tagged, Tree]:
    """Samples and the tree they were drawn from; concepts are the leaves, then subjects, then fields."""
    rng = np.random.default_rng([seed, 1])
    m = fields * subjects * leaves

    def zipf(k: int) -> np.ndarray:
        p = 1 / np.arange(1, k + 1) ** 1.1
        return p / p.sum()

    field = rng.choice(fields, n, p=zipf(fields))
    subject = rng.choice(subjects, n, p=zipf(subjects))
    leaf = rng.choice(leaves, n, p=zipf(leaves))
    main = (field * subjects + subject) * leaves + leaf
    rows, tags = [np.arange(n)], [main]
    for chance, draw in (
        (
            0.7,
            lambda k: (
                (field[k] * subjects + subject[k]) * leaves + rng.choice(leaves, len(k), p=zipf(leaves))
            ),
        ),
        (0.5, lambda k: (field[k] * subjects + rng.integers(0, subjects, len(k))) * leaves),
        (0.4, lambda k: rng.integers(0, m, len(k))),
        (0.25, lambda k: rng.choice(4, len(k), p=zipf(4)) * leaves),
    ):
        chosen = np.flatnonzero(rng.random(n) < chance)
        rows.append(chosen)
        tags.append(draw(chosen))
    pairs = np.unique(np.concatenate(rows).astype(np.int64) * m + np.concatenate(tags))
    indices = (pairs % m).astype(np.int32)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(pairs // m, minlength=n))]).astype(np.int64)
    leaf_parent = m + np.arange(m) // leaves
    subject_parent = m + fields * subjects + np.arange(fields * subjects) // subjects
    tree = Tree.of(np.concatenate([leaf_parent, subject_parent, np.full(fields, -1)]))
    return Tagged(indptr, indices, length_scores(np.diff(indptr)), len(tree.parent)), tree


def signed_root(data: Tagged, p: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """float64 [m]: sign * sqrt(2 * Chernoff exponent) of drawn counts, sums of coins of probability p; 0 for sure ones.

    The exponent of concept t is the supremum over h of h * drawn - sum log(1 - p + p e^h) over its samples.
    """
    concept = data.indices.astype(np.int64)
    row = np.repeat(np.arange(data.n), np.diff(data.indptr))
    open_ = (p[row] > 1e-12) & (p[row] < 1 - 1e-12)
    concept, chance = concept[open_], p[row[open_]]
    sure = np.bincount(
        data.indices, p[np.repeat(np.arange(data.n), np.diff(data.indptr))] >= 1 - 1e-12, data.m
    )
    number, mean = np.bincount(concept, minlength=data.m), np.bincount(concept, chance, data.m)
    count = np.clip(drawn - sure, 0, number)
    low, high = np.full(data.m, -40.0), np.full(data.m, 40.0)
    for _ in range(50):
        h = (low + high) / 2
        tilted = chance * np.exp(h[concept])
        less = np.bincount(concept, tilted / (1 - chance + tilted), data.m) < count
        low, high = np.where(less, h, low), np.where(less, high, h)
    h = (low + high) / 2
    exponent = h * count - np.bincount(concept, np.log1p(chance * np.expm1(h[concept])), data.m)
    return np.sign(count - mean) * np.sqrt(2 * np.maximum(exponent, 0))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=200_000)
    parser.add_argument(
        "--share", type=float, default=0.02, help="size of the selection, share of the samples"
    )
    parser.add_argument("--prior", choices=("tree", "user"), default="tree")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--concepts", help="CSV file of every concept")
    parser.add_argument("--quick", action="store_true", help="20,000 samples")
    args = parser.parse_args()
    n = 20_000 if args.quick else args.samples
    data, tree = planted(n, args.seed)
    rng = np.random.default_rng([args.seed, 2])
    leaf = data.supply() > 0
    prior = np.where(leaf, rng.gamma(2.0, size=data.m), 0.0) if args.prior == "user" else None
    rule = BudgetRule(tree, prior)
    size = args.share * n
    found = {name: figures(data, p, rule) for name, p in compare(data, rule, size).items()}
    print(
        f"{n} samples, {int(leaf.sum())} concepts with data, {len(data.indices)} tags; {size:.0f} samples wanted"
    )
    print(f"{'method':<14}{'samples':>10}{'KL':>9}{'ESS':>10}{'head':>8}{'tail':>8}{'covered':>9}")
    for name in METHODS:
        f = found[name]
        print(
            f"{name:<14}{f.size:>10.0f}{f.kl:>9.4f}{f.ess:>10.0f}{f.head_share:>8.3f}{f.tail_share:>8.3f}{f.covered:>9}"
        )
    least = least_divergence(data, shares_of(rule, leaf), size)
    print(
        f"least KL that any selection of this size has: {least.bound:.4f}; uniform has "
        f"{found['uniform'].kl / max(found['ours'].kl, 1e-12):.4g} times ours, and would have "
        f"{found['uniform'].kl / max(least.found, 1e-12):.4g} times the least"
    )
    solved = balance(data, rule, size)
    judged = solved.feasible & (solved.budget >= 0.5)
    error = float(np.abs(solved.error[judged]).max(initial=0.0))
    halves = rng.integers(0, 2**63, (n, 2), dtype=np.int64).astype(np.uint64)
    p = solved.probability.astype(np.float64)
    drawn = data.counts(keep(halves, p, args.seed))
    deviation = np.sqrt(np.maximum(data.counts(p * (1 - p)), 1e-9))
    sigma = np.where(data.counts(p * (1 - p)) > 1e-6, np.abs(drawn - solved.expected) / deviation, 0.0)
    over = np.flatnonzero(~solved.feasible & (solved.budget > 0))
    print(
        f"feasible budgets: {int(judged.sum())} of {int((solved.budget > 0).sum())}; largest error {error:.2%}"
    )
    for t in over[:20]:
        print(
            f"  not feasible: concept {t}, budget {solved.budget[t]:.1f}, expected {solved.expected[t]:.1f}"
        )
    root = np.abs(signed_root(data, p, drawn))
    print(
        f"draws: {drawn.sum():.0f} tags, largest deviation {sigma.max():.2f} sigma (of an expected count of "
        f"{solved.expected[sigma.argmax()]:.1f}); signed root of the deviance {root.max():.2f}"
    )
    if args.concepts:
        with open(args.concepts, "w", newline="") as f:
            table = csv.writer(f)
            table.writerow(
                ["concept", "supply", "asked", "budget", "feasible", "expected", "error", "drawn", "sigma"]
            )
            for t in np.flatnonzero(leaf):
                table.writerow([
                    t, int(data.supply()[t]), f"{solved.asked[t]:.3f}", f"{solved.budget[t]:.3f}",
                    bool(solved.feasible[t]), f"{solved.expected[t]:.3f}", f"{solved.error[t]:.4f}",
                    int(drawn[t]), f"{sigma[t]:.2f}",
                ])  # fmt: skip
    result = {f"kl_{name}": round(found[name].kl, 6) for name in METHODS}
    result |= {
        "max_budget_error": round(error, 5),
        "feasible_share": round(float(judged.sum() / max(1, (solved.budget >= 0.5).sum())), 4),
        "max_sigma": round(float(sigma.max()), 2),
        "max_signed_root": round(float(root.max()), 2),
        "kl_bound": round(least.bound, 6),
        "size": round(found["ours"].size, 1),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
