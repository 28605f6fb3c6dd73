"""Batches of like length on a mixture of resolutions: padding, evenness over ranks, and the speed of planning.

    python benchmarks/batching.py [--samples 10000000] [--ranks 64] [--token-budget 40960] [--quick]

Pictures: sides log-normal about 700 px, clipped to 256..1536 px in area, usual shapes and a tail of odd ones; texts of four
lengths of caption. Sizes are mapped with `map_sizes` (256..1536 px), lengths and costs are those of the full
model. Two peers, both of a fixed number of samples per batch, padded to the longest:
  random   any samples, in random order, as many that the mean batch has the same tokens
  buckets  samples of one of 9 shapes x 5 areas (the nearest), batches built per bucket and dealt in random order, as
           diffusers' training scripts do; as many that the largest bucket keeps to the budget, partial ones dropped
Ends with one line of JSON: padding_waste is a share of all tokens; step_cost_spread is the mean over steps of (costliest
rank - cheapest) / costliest, _p99 and _max its worst; budget_fill is the mean share of the budget that batches use;
budget_exceeded and repeated must be 0; pad_token_share is what the model itself adds to make each modality a
multiple of 32, which no batching can avoid. parquet_* are of the same samples in row groups of 100, shuffled in windows.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np

from zcurate.model.config import PRESETS
from zcurate.model.data.lengths import CostModel, padded, sequence_lengths
from zcurate.model.data.planning import padding_waste, plan_epoch, step_cost_spread
from zcurate.model.data.resolution import Resolution, map_sizes

_SHAPES = np.array([1, 4 / 3, 3 / 4, 3 / 2, 2 / 3, 16 / 9, 9 / 16, 5 / 4, 4 / 5])
_AREAS = np.array([256, 512, 768, 1024, 1536]) ** 2
_SHARES = np.array([0.22, 0.15, 0.08, 0.2, 0.1, 0.1, 0.07, 0.04, 0.04])


def mixture(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(widths_px, heights_px, text tokens) of n samples."""
    rng = np.random.default_rng(seed)
    side = np.clip(np.exp(rng.normal(np.log(700), 0.5, n)), 256, 1536)
    aspect = rng.choice(_SHAPES, n, p=_SHARES)
    odd = rng.random(n) < 0.25  # cropped by hand: any shape
    aspect = np.where(odd, np.exp(rng.normal(0, 0.35, n)), aspect)
    width = np.clip(np.rint(side * np.sqrt(aspect)), 128, 4096).astype(np.int64)
    height = np.clip(np.rint(side / np.sqrt(aspect)), 128, 4096).astype(np.int64)
    kind = rng.choice(4, n, p=[0.5, 0.2, 0.2, 0.1])
    mean, spread = np.array([220, 80, 24, 1])[kind], np.array([60, 25, 8, 0.0])[kind]
    text = np.clip(np.rint(rng.normal(mean, spread)), 1, 512).astype(np.int64)
    return width, height, text


def judged(
    taken: np.ndarray, lengths: np.ndarray, budget: int, ranks: int, cost: CostModel, name: str
) -> dict:
    """Figures of batches of equal size: int64 [batches, samples], a step to every `ranks` of them."""
    taken = taken[: len(taken) // ranks * ranks]
    longest, tokens = lengths[taken].max(axis=1), taken.shape[1]
    costs = cost.of_sample(lengths[taken]).sum(axis=1).reshape(-1, ranks)
    return {
        f"{name}_padding_waste": float(1 - lengths[taken].sum() / (longest * tokens).sum()),
        f"{name}_step_cost_spread": float((1 - costs.min(axis=1) / costs.max(axis=1)).mean()),
        f"{name}_budget_exceeded_share": float((longest * tokens > budget).mean()),
        f"{name}_budget_fill": float((longest * tokens / budget).mean()),
        f"{name}_left_out_share": float(1 - taken.size / len(lengths)),
    }


def random_batches(lengths: np.ndarray, budget: int, ranks: int, cost: CostModel, seed: int) -> dict:
    count = max(1, int(budget / lengths.mean()))
    taken = np.random.default_rng(seed).permutation(len(lengths))[: len(lengths) // count * count]
    return judged(taken.reshape(-1, count), lengths, budget, ranks, cost, "random")


def bucket_batches(
    width: np.ndarray,
    height: np.ndarray,
    text: np.ndarray,
    budget: int,
    ranks: int,
    cost: CostModel,
    seed: int,
) -> dict:
    """Each sample at the size of its bucket: the nearest of `_SHAPES`, and of `_AREAS` the nearest."""
    shape = np.abs(np.log(width / height)[:, None] - np.log(_SHAPES)).argmin(axis=1)
    area = np.abs(np.log(width * height)[:, None] - np.log(_AREAS)).argmin(axis=1)
    tokens = [_AREAS[area] * _SHAPES[shape], _AREAS[area] / _SHAPES[shape]]
    columns, rows = (np.maximum(1, np.rint(np.sqrt(side) / 16)).astype(np.int64) for side in tokens)
    lengths = padded(columns * rows) + padded(text)
    rng, bucket = np.random.default_rng(seed), shape * len(_AREAS) + area
    count = max(1, budget // int(lengths.max()))
    order = rng.permutation(len(lengths))
    batches = []
    for b in np.unique(bucket):
        members = order[bucket[order] == b]
        batches.append(members[: len(members) // count * count].reshape(-1, count))
    batches = np.concatenate(batches)
    return judged(batches[rng.permutation(len(batches))], lengths, budget, ranks, cost, "buckets")


def in_windows(lengths: np.ndarray, budget: int, ranks: int, cost: CostModel, seed: int) -> dict:
    """Figures where samples are read by row groups: shuffled within windows of 64 of them."""
    blocks = np.arange(len(lengths)) // 100
    plan = plan_epoch(lengths, budget, ranks, seed, cost=cost, blocks=blocks)
    return {
        "padding_waste": round(padding_waste(plan, lengths), 6),
        "step_cost_spread": round(float(step_cost_spread(plan, lengths, cost).mean()), 6),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=10_000_000)
    parser.add_argument("--ranks", type=int, default=64)
    parser.add_argument("--token-budget", type=int, default=40_960)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="200 000 samples, 8 ranks")
    args = parser.parse_args()
    n, ranks = (200_000, 8) if args.quick else (args.samples, args.ranks)
    budget, cost = args.token_budget, CostModel.of(PRESETS["full"])

    width, height, text = mixture(n, args.seed)
    start = time.perf_counter()
    sizes = map_sizes(width, height, Resolution.sides(256, 1536))
    mapping_s = time.perf_counter() - start
    used = np.flatnonzero(sizes[:, 0])
    sizes, text = sizes[used], text[used]
    lengths = sequence_lengths(sizes, text)
    aspect_error = np.abs(np.log(sizes[:, 0] / sizes[:, 1] * height[used] / width[used]))
    start = time.perf_counter()
    plan = plan_epoch(lengths, budget, ranks, args.seed, cost=cost)
    plan_s = time.perf_counter() - start

    ordered = lengths[plan.order]
    longest = np.maximum.reduceat(ordered, plan.starts[:-1])
    sizes_of_batches = np.diff(plan.starts)
    times = np.bincount(plan.order, minlength=len(lengths))
    spread = step_cost_spread(plan, lengths, cost)
    pads = padded(np.prod(sizes, axis=1) // 256) + padded(text) - np.prod(sizes, axis=1) // 256 - text
    fill = longest * sizes_of_batches / budget
    result = {
        "samples": n,
        "unused_share": round(1 - len(used) / n, 5),
        "ranks": ranks,
        "token_budget": budget,
        "steps": len(plan),
        "lengths": [int(lengths.min()), int(np.median(lengths)), int(lengths.max())],
        "aspect_error_median": round(float(np.median(aspect_error)), 5),
        "aspect_error_max": round(float(aspect_error.max()), 5),
        "padding_waste": round(padding_waste(plan, lengths), 6),
        "step_cost_spread": round(float(spread.mean()), 6),
        "step_cost_spread_p99": round(float(np.quantile(spread, 0.99)), 6),
        "step_cost_spread_max": round(float(spread.max()), 6),
        "budget_exceeded": int((longest * sizes_of_batches > budget).sum()),
        "budget_fill": round(float(fill.mean()), 4),
        "repeated": int((times > 1).sum()),
        "left_out": int((times == 0).sum()),
        "pad_token_share": round(float(pads.sum() / lengths.sum()), 5),
        **{f"parquet_{k}": v for k, v in in_windows(lengths, budget, ranks, cost, args.seed).items()},
        **{k: round(v, 5) for k, v in random_batches(lengths, budget, ranks, cost, args.seed).items()},
        **{
            k: round(v, 5)
            for k, v in bucket_batches(
                width[used], height[used], text, budget, ranks, cost, args.seed
            ).items()
        },
        "mapping_s": round(mapping_s, 2),
        "plan_s": round(plan_s, 2),
        "samples_per_s": round(len(lengths) / plan_s),
    }
    for name, value in result.items():
        print(f"{name:32} {value}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
