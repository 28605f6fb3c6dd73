"""Deduplication end to end on vectors with planted duplicates: rate, recall, memory, and what k costs.

    python benchmarks/dedup_scale.py [--sizes 100000 200000 1000000] [--quick]

The vectors lie on a curved 40-dimensional manifold in 512 dimensions with a common mean direction. A tenth of the rows
are copies of others with cosines uniform in [tau, 0.99]; groups of up to 2,000 mutual copies follow; 10,000 pairs have
cosines in [tau - 0.05, tau) and must stay apart. `items_per_s` counts everything from vectors on disk to keepers:
training and searching the cells, the audit by brute force, components, communities, keepers. Memory is the
peak of a process of its own.

`incremental_share`: a run after 1 % of the rows were added to a kept graph of the other 99 %, as a share of the seconds of a
full run of all; `incremental_cpu_share`: the same of CPU seconds of all threads, which other work on the machine
disturbs less; `incremental_same_groups`: against doing all anew with the same cells.

`pair_f1_vs_exact_kK`: pairs put in one group with K neighbors per row, against those of the same communities on all pairs above
the threshold found by exact range search. Ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from zcurate.curation.neighbors.dedup import Keeping, Settings, deduplicate
from zcurate.curation.neighbors.group_table import fixed
from zcurate.curation.neighbors.grouping import communities_of, components_of, seeds_of
from zcurate.curation.neighbors.pairs import SearchSettings, near_pairs

TAU, DIM, LATENT, BLOCK = 0.9, 512, 40, 65_536
NEGATIVES = 10_000
GROUP_SIZES = (2_000, 1_000, 500, 300, 200, 150, *(50,) * 50, *(10,) * 500)


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def manifold(out: np.ndarray, seed: int, mean: float) -> None:
    """Fill [n, 512] with points of a smooth curved map of 40 normal coordinates, about a common direction."""
    rng = np.random.default_rng([seed, 1])
    plane = np.linalg.qr(rng.standard_normal((DIM, LATENT)))[0].astype(np.float32).T
    waves = 0.4 * rng.standard_normal((LATENT, 96)).astype(np.float32)
    spread = rng.standard_normal((96, DIM)).astype(np.float32) * np.float32(math.sqrt(2 / (96 * DIM)))
    center = unit(rng.standard_normal((1, DIM))).astype(np.float32)
    for start in range(0, len(out), BLOCK):
        z = np.random.default_rng([seed, 2, start]).standard_normal((min(BLOCK, len(out) - start), LATENT))
        z = z.astype(np.float32)
        x = unit(z @ plane / np.float32(math.sqrt(LATENT)) + 0.5 * np.sin(z @ waves) @ spread)
        out[start : start + len(x)] = unit(math.sqrt(1 - mean**2) * x + mean * center)


def at_cosine(x: np.ndarray, cosine: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Unit vectors of given cosines to the rows of x, in random directions."""
    x = unit(x.astype(np.float32))
    away = rng.standard_normal(x.shape).astype(np.float32)
    away = unit(away - (away * x).sum(axis=1, keepdims=True) * x)
    c = cosine[:, None].astype(np.float32)
    return c * x + np.sqrt(1 - c * c) * away


def plant(x: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Copies and near misses, in place; (pairs [m, 2] that are duplicates, pairs [m', 2] that are not)."""
    rng = np.random.default_rng([seed, 3])
    n = len(x)
    rows = rng.permutation(n)
    count = n // 10
    a, b = rows[:count], rows[count : 2 * count]
    for s in range(0, count, 20_000):
        one, other = a[s : s + 20_000], b[s : s + 20_000]
        x[other] = at_cosine(x[one], rng.uniform(TAU, 0.99, len(one)), rng)
    used = 2 * count
    misses = min(NEGATIVES, n // 20)
    c, d = rows[used : used + misses], rows[used + misses : used + 2 * misses]
    x[d] = at_cosine(x[c], rng.uniform(TAU - 0.05, TAU, misses), rng)
    used += 2 * misses
    for (
        size
    ) in GROUP_SIZES:  # members are sqrt(cosine) away from a center: any two have a cosine in [tau, 0.99]
        if used + size > n * 0.6:
            break
        members = rows[used : used + size]
        used += size
        near = np.sqrt(rng.uniform(TAU + 0.005, 0.99, size))
        x[members] = at_cosine(np.repeat(x[members[:1]], size, axis=0), near, rng)
    return np.stack([a, b], axis=1), np.stack([c, d], axis=1)


def cosines(x: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    a, b = (x[pairs[:, i]].astype(np.float64) for i in (0, 1))
    return (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def table_of(n: int) -> pa.Table:
    ids = np.arange(n, dtype=">u8")
    wide = np.zeros((n, 2), ">u8")
    wide[:, 0], wide[:, 1] = ids * np.uint64(0x9E3779B97F4A7C15), ids
    fixed = pa.Array.from_buffers(pa.binary(16), n, [None, pa.py_buffer(wide.tobytes())])
    size = np.random.default_rng(n).integers(300, 2_000, n)
    return pa.table(
        {"sample_id": fixed, "content_id": fixed, "pixel_hash": fixed, "width_px": size, "height_px": size}
    )


def measure(n: int, folder: Path, mean: float) -> dict[str, float]:
    """One size, in this process."""
    path = folder / f"vectors-{n}.npy"
    x = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=(n, DIM))
    manifold(x, 7, mean)
    same, apart = plant(x, 7)
    x.flush()
    x = np.load(path, mmap_mode="r")
    rows, settings = table_of(n), Settings(TAU, TAU - 0.05, phash_radius=None)
    warm = np.array(x[:25_000])
    # compiles: for arrays, for files, and for a graph that grows
    deduplicate(rows.slice(0, 25_000), warm, settings)
    grown = Keeping(folder / "warm", "")
    for count in (24_900, 25_000):
        deduplicate(rows.slice(0, count), lambda p: x[p], settings, keeping=grown)
    keeping = Keeping(folder / f"graph-{n}", "benchmark")
    started, cpu = time.perf_counter(), time.process_time()
    result = deduplicate(rows, x, settings, keeping=keeping)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    _, keeper = np.unique(fixed(result.groups["keeper_id"])[0], return_inverse=True)
    ids = rows["sample_id"].to_pylist()  # a list: NumPy's bytes drop zeros at the end
    near, near_misses = cosines(x, same), cosines(x, apart)
    truly = same[near >= TAU]
    edges = result.neighbors
    found = set(zip(edges["src_id"].to_pylist(), edges["dst_id"].to_pylist(), strict=True))
    hit = [tuple(sorted((ids[i], ids[j]))) in found for i, j in truly]
    wrong = apart[(near_misses < TAU) & (keeper[apart[:, 0]] == keeper[apart[:, 1]])]
    out = {
        "n": n,
        "seconds": seconds,
        "items_per_s": n / seconds,
        "peak_rss_gb": peak,
        "recall": float(np.mean(hit)),
        "recall_audit": result.figures["recall"],
        "false_merges": len(wrong),
        "negatives": len(apart),
        "cells": result.figures["cells"],
        "probes": result.figures["probes"],
        "groups_above_one": int((np.unique(keeper, return_counts=True)[1] > 1).sum()),
    }
    del result
    out |= added(n, folder, rows, x, settings, seconds, cpu)
    return out


def added(
    n: int,
    folder: Path,
    rows: pa.Table,
    x: np.ndarray,
    settings: Settings,
    whole_s: float,
    whole_cpu_s: float,
) -> dict[str, float]:
    """1 % of new rows to a graph of the other 99 %, against doing all again with the same cells."""
    first = n - n // 100
    keeping = Keeping(folder / f"grown-{n}", "benchmark")
    base = deduplicate(rows.slice(0, first), lambda p: x[p], settings, keeping=keeping)
    started, cpu = time.perf_counter(), time.process_time()
    grown = deduplicate(rows, lambda p: x[p], settings, keeping=keeping, quantizer=base.quantizer)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    again = deduplicate(rows, lambda p: x[p], settings, quantizer=base.quantizer)
    return {
        "incremental_seconds": seconds,
        "incremental_share": seconds / whole_s,
        "incremental_cpu_share": cpu / whole_cpu_s,
        "incremental_same_groups": bool(grown.groups.equals(again.groups)),
        "incremental_recall": grown.figures["recall"],
    }


def pair_f1(n: int, folder: Path, mean: float, k: int) -> float:
    """Pairs in one community at k neighbors, against the communities of all pairs above the threshold."""
    x = np.load(folder / f"f1-{n}.npy", mmap_mode="r")
    ids = np.array(table_of(n)["sample_id"].to_pylist(), "S16")

    def communities(neighbors: int, cells: int | None) -> np.ndarray:
        found = near_pairs(x, SearchSettings(neighbors, TAU - 0.05, TAU, cells))
        norms = 1 / np.linalg.norm(x.astype(np.float64), axis=1)
        parts = components_of(n, found.edges, TAU)
        labels = communities_of(x, norms, parts, seeds_of(ids, parts), TAU, TAU - 0.05)
        of = np.full(n, -1)
        component = np.repeat(np.arange(len(parts)), parts.sizes)
        of[parts.members] = component * (labels.max(initial=0) + 1) + labels
        lonely = of < 0
        of[lonely] = of.max() + 1 + np.arange(lonely.sum())
        return of

    return f1(communities(k, None), communities(n - 1, 1))


def f1(a: np.ndarray, b: np.ndarray) -> float:
    """Of the pairs that two partitions put together."""

    def together(*keys: np.ndarray) -> int:
        _, count = np.unique(np.stack(keys), axis=1, return_counts=True)
        return int((count * (count - 1) // 2).sum())

    both = together(a, b)
    return 2 * both / max(1, together(a) + together(b))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 200_000, 1_000_000])
    parser.add_argument(
        "--mean", type=float, default=0.5, help="cosine of every vector with the common direction"
    )
    parser.add_argument(
        "--f1-rows", type=int, default=30_000, help="rows of the comparison with exact search; 0 for none"
    )
    parser.add_argument("--folder", type=Path, help="for the vectors; default: a temporary one")
    parser.add_argument("--quick", action="store_true", help="50,000 rows")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.one, args.folder, args.mean)))
        return
    sizes = [50_000] if args.quick else args.sizes
    result: dict[str, float | None] = {}
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        for n in sizes:
            command = [sys.executable, __file__, "--one", str(n), "--folder", name, "--mean", str(args.mean)]
            line = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
            one = json.loads(line)
            print(
                f"{n:>9,} rows: {one['seconds']:.1f} s, {one['items_per_s']:,.0f} items/s, peak {one['peak_rss_gb']:.2f} GB; "
                f"{one['cells']} cells, {one['probes']} looked in; planted pairs found {one['recall']:.4f}, audit "
                f"{one['recall_audit']:.4f}; merged near misses {one['false_merges']} of {one['negatives']}; 1 % added in "
                f"{one['incremental_seconds']:.2f} s, {one['incremental_share']:.1%} of the time ({one['incremental_cpu_share']:.1%} "
                f"of the CPU time), same groups: {one['incremental_same_groups']}",
                flush=True,
            )
            short = {200_000: "200k", 1_000_000: "1m"}.get(n, str(n))
            result[f"items_per_s_{short}"] = round(one["items_per_s"])
            shares = ("incremental_share", "incremental_cpu_share", "incremental_same_groups")
            result |= {k: one[k] for k in ("recall", "false_merges", *shares)}
            result["peak_rss_gb"] = round(one["peak_rss_gb"], 2)
            result.setdefault("_first", n / one["items_per_s"])
            result["_last"] = n / one["items_per_s"]
        first, last = result.pop("_first"), result.pop("_last")
        if len(sizes) > 1:
            result["growth_exponent"] = round(math.log(last / first) / math.log(sizes[-1] / sizes[0]), 3)
            print(f"growth exponent from {sizes[0]:,} to {sizes[-1]:,}: {result['growth_exponent']}")
        n = min(args.f1_rows, 10_000) if args.quick else args.f1_rows
        if n:
            x = np.lib.format.open_memmap(folder / f"f1-{n}.npy", mode="w+", dtype=np.float16, shape=(n, DIM))
            manifold(x, 8, args.mean)
            plant(x, 8)
            x.flush()
            for k in (10, 30, 100):
                result[f"pair_f1_vs_exact_k{k}"] = round(pair_f1(n, folder, args.mean, k), 5)
                print(
                    f"pair F1 against exact range search, {n:,} rows, k = {k}: {result[f'pair_f1_vs_exact_k{k}']}",
                    flush=True,
                )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
