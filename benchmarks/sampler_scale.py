"""Time and memory to weight 10 million samples of 10 tags: frequencies, BM25, budgets, keep probabilities, the draw.

    python benchmarks/sampler_scale.py [--samples 10000000] [--tags 10] [--concepts 100000] [--share 0.1] [--quick]

Tags come from a tree of concepts (ten children each), Zipf-distributed, most of a sample's tags from the part of the tree of
its subject. Making them is not timed; everything after it is, on arrays in memory and at most two threads
(OMP_NUM_THREADS decides). `seconds` includes compiling nothing: a small run comes first. `pass_s` is one
reading of all tags (the floor of any method that looks at each of them); `passes` how many were needed.
Reports how well budgets are met, so that speed is not bought with it. Ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time

import numpy as np

from zcurate.graph.baselines import divergence, uniform
from zcurate.graph.bm25 import length_scores
from zcurate.graph.budgets import BudgetRule, Tree, shares_of
from zcurate.graph.draw import keep
from zcurate.graph.nesting import balance
from zcurate.graph.tagged import Tagged


def tree_of(concepts: int) -> Tree:
    """Ten children per concept, by number."""
    return Tree.of(np.where(np.arange(concepts) == 0, -1, (np.arange(concepts) - 1) // 10))


def corpus(n: int, tags: int, m: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """CSR of n samples with `tags` unique concepts each at most, made in blocks."""
    per_row, parts = [], []
    ranks = np.random.default_rng([seed, 0]).permutation(m)
    block = 500_000
    for start in range(0, n, block):
        rng = np.random.default_rng([seed, 1, start])
        k = min(block, n - start)
        # Zipf with exponent 1 by inversion: rank = m^u
        main = np.exp(rng.random(k) * np.log(m)).astype(np.int64)
        near = main[:, None] + rng.integers(-20, 21, (k, tags)) * np.maximum(1, main[:, None] // 500)
        far = np.exp(rng.random((k, tags)) * np.log(m)).astype(np.int64)
        rank = np.where(rng.random((k, tags)) < 0.3, far, np.clip(near, 0, m - 1))
        rank[:, 0] = main
        found = np.sort(ranks[np.clip(rank, 0, m - 1)], axis=1)
        fresh = np.ones(found.shape, bool)
        fresh[:, 1:] = found[:, 1:] != found[:, :-1]
        per_row.append(fresh.sum(axis=1))
        parts.append(found[fresh].astype(np.int32))
    lengths = np.concatenate(per_row)
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), np.concatenate(parts)


def weigh(
    indptr: np.ndarray, indices: np.ndarray, halves: np.ndarray, m: int, share: float, temperature: float
):
    """Everything that is timed."""
    data = Tagged(indptr, indices, length_scores(np.diff(indptr)), m)
    rule = BudgetRule(tree_of(m), None, temperature)
    solved = balance(data, rule, share * data.n, judge=False)
    return data, rule, solved, keep(halves, solved.probability, 0)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=10_000_000)
    parser.add_argument("--tags", type=int, default=10)
    parser.add_argument("--concepts", type=int, default=100_000)
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--temperature", type=float, default=0.5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="200,000 samples, 5,000 concepts")
    args = parser.parse_args()
    n, m = (200_000, 5_000) if args.quick else (args.samples, args.concepts)
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    rng = np.random.default_rng(args.seed)

    def ids(k: int) -> np.ndarray:
        return rng.integers(0, 2**63, (k, 2), dtype=np.int64).astype(np.uint64)

    small = corpus(2_000, args.tags, 500, args.seed)
    weigh(*small, ids(2_000), 500, args.share, args.temperature)
    indptr, indices = corpus(n, args.tags, m, args.seed)
    halves = ids(n)
    started, cpu = time.perf_counter(), time.process_time()
    data, rule, solved, kept = weigh(indptr, indices, halves, m, args.share, args.temperature)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    started = time.perf_counter()
    data.counts(solved.probability)
    pass_s = time.perf_counter() - started
    counted = solved.budget >= 0.5
    met = np.abs(solved.error[counted]) <= 0.05
    short = solved.error[counted] < -0.05
    supply = data.supply()
    prior = shares_of(rule, supply > 0)
    kl = divergence(solved.expected, prior), divergence(data.counts(uniform(data, args.share * n)), prior)
    print(
        f"{n} samples, {len(indices)} tags, {int((supply > 0).sum())} concepts; {int(kept.sum())} samples drawn"
    )
    print(
        f"{seconds:.1f} s ({cpu:.1f} s of CPU), {solved.passes} passes, one pass {pass_s:.2f} s, peak {peak:.2f} GB"
    )
    print(
        f"budgets met within 5 %: {met.mean():.1%} of concepts; short of it: {short.mean():.2%}; the rest exceed it"
    )
    print(f"KL from the prior at temperature 1: {kl[0]:.3f}; uniform {kl[1]:.3f}")
    print(
        json.dumps(
            {
                "seconds": round(seconds, 2),
                "peak_rss_gb": round(peak, 3),
                "cpu_seconds": round(cpu, 2),
                "passes": solved.passes,
                "pass_s": round(pass_s, 3),
                "samples": n,
                "tags": len(indices),
                "budgets_met_share": round(float(met.mean()), 4),
                "budgets_short_share": round(float(short.mean()), 4),
            }
        )
    )


if __name__ == "__main__":
    main()
