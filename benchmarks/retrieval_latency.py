"""Latency, recall, memory and build time of the vector index, one query at a time, warm.

    python benchmarks/retrieval_latency.py                      # 1,000,000 x 512; some 15 minutes, mostly the peer's build
    python benchmarks/retrieval_latency.py --quick              # 50,000 x 256
    python benchmarks/retrieval_latency.py --vectors mine.npy   # your own, [n, d]; the last rows become the queries

Generated vectors: clusters of uneven sizes in 48 dimensions, bent into `--dim` by a random two-layer map, plus a
mean direction that all share and isotropic noise. Queries are other draws, not rows. Peers in the same run: faiss
HNSW (M = 32, efConstruction = 40) at the smallest of a few efSearch whose recall reaches 0.95, and brute force. Every
contestant runs in a process of its own on `--threads` threads; memory is that process's largest resident set,
mapped files included. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

TOP = 100
_BLOCK = 50_000


def generate(path: Path, n: int, dim: int, seed: int = 0) -> None:
    """float16 [n, dim] unit vectors."""
    rng = np.random.default_rng(seed)
    inner, clusters = 48, 3_000
    centers = rng.standard_normal((clusters, inner)).astype(np.float32)
    weight = 1 / np.arange(1, clusters + 1) ** 0.7
    first = rng.standard_normal((inner, 96)).astype(np.float32) / np.sqrt(inner)
    second = rng.standard_normal((96, dim)).astype(np.float32) / np.sqrt(96)
    mean = rng.standard_normal(dim).astype(np.float32)
    mean *= 0.8 / np.linalg.norm(mean)
    out = np.lib.format.open_memmap(path, "w+", np.float16, (n, dim))
    for start in range(0, n, _BLOCK):
        m = min(_BLOCK, n - start)
        z = centers[rng.choice(clusters, m, p=weight / weight.sum())]
        z = z + 0.7 * rng.standard_normal((m, inner)).astype(np.float32)
        x = np.tanh(1.5 * z @ first) @ second
        x *= 1 / np.sqrt((x * x).sum(axis=1).mean())
        x += mean + rng.standard_normal((m, dim)).astype(np.float32) * np.float32(0.35 / np.sqrt(dim))
        out[start : start + m] = x / np.linalg.norm(x, axis=1, keepdims=True)
    out.flush()


def data_of(work: Path, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(rows, queries)."""
    every = np.load(work / "vectors.npy", mmap_mode="r")
    return every[:-count], np.asarray(every[-count:], np.float32)


def timed(search, queries: np.ndarray) -> tuple[dict[str, float], np.ndarray]:
    """Milliseconds of single queries after 50 to warm up; the rows found [m, TOP]."""
    for q in queries[:50]:
        search(q)
    spent, found = [], []
    for q in queries:
        began = time.perf_counter()
        found.append(search(q))
        spent.append(1000 * (time.perf_counter() - began))
    p50, p99 = np.percentile(spent, [50, 99])
    return {"p50_ms": round(float(p50), 3), "p99_ms": round(float(p99), 3)}, np.array(found)


def recall_of(found: np.ndarray, truth: np.ndarray) -> float:
    shares = [len(np.intersect1d(f, t)) / len(t) for f, t in zip(found, truth, strict=True)]
    return round(float(np.mean(shares)), 4)


def run_zcurate(work: Path, count: int) -> dict:
    """Builds, measures, adds the last hundredth of the rows, and writes the truth for the others."""
    from zcurate.curation.retrieval.building import update_index
    from zcurate.curation.retrieval.index import Source
    from zcurate.curation.retrieval.tuning import nearest

    rows, queries = data_of(work, count)
    n = len(rows)
    step = max(1_000, n // 100)

    def load(start: int):
        part = rows[start : start + step]
        at = np.arange(start, start + len(part), dtype=np.uint64)
        ids = np.zeros((len(part), 16), np.uint8)
        ids[:, 8:] = at.astype(">u8").view(np.uint8).reshape(-1, 8)
        return np.arange(len(part)), ids, np.asarray(part)

    sources = [
        Source(f"{s:010d}", f"{s}", lambda s=s: load(s)) for s in range(0, n, step)
    ]  # named so that rows keep their order
    folder, identity = work / "index", {"encoder": "synthetic"}
    began = time.perf_counter()
    update_index(folder, sources[:-1], identity)
    build_s = time.perf_counter() - began
    began = time.perf_counter()
    index = update_index(folder, sources, identity)
    update_s = time.perf_counter() - began
    build_mb = _peak_mb()
    truth = nearest(index, queries, TOP)
    np.save(work / "truth.npy", truth)
    times, found = timed(lambda q: index.search(q, TOP)[0], queries)
    exact, _ = timed(lambda q: index.search(q, TOP, exact=True)[0], queries[:60])
    return {
        **times,
        "recall": recall_of(found, truth),
        "recall_measured_by_index": index.facts.get("recall"),
        "probes": index.facts.get("probes"),
        "refine": index.facts.get("refine"),
        "exact_p50_ms": exact["p50_ms"],
        "build_s": round(build_s, 1),
        "update_1_percent_s": round(update_s, 1),
        "build_peak_rss_mb": build_mb,
        "disk_mb": round(sum(p.stat().st_size for p in folder.iterdir()) / 1e6),
    }


def run_open(work: Path, count: int) -> dict:
    """Memory and time to open what is on disk and answer: what a search command pays."""
    from zcurate.curation.retrieval.index import open_index

    _, queries = data_of(work, count)
    before = _peak_mb()
    began = time.perf_counter()
    index = open_index(work / "index")
    opened = time.perf_counter() - began
    times, _ = timed(lambda q: index.search(q, TOP)[0], queries)
    return {"open_ms": round(1000 * opened, 1), "extra_rss_mb": _peak_mb() - before, **times}


def run_hnsw(work: Path, count: int) -> dict:
    import faiss

    rows, queries = data_of(work, count)
    index = faiss.IndexHNSWFlat(rows.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
    began = time.perf_counter()
    for start in range(0, len(rows), _BLOCK):
        index.add(np.asarray(rows[start : start + _BLOCK], np.float32))
    build_s = time.perf_counter() - began
    truth = np.load(work / "truth.npy")
    best: dict = {}
    for ef in (100, 200, 400, 800, 1600):
        index.hnsw.efSearch = ef
        times, found = timed(lambda q: index.search(q[None], TOP)[1][0], queries)
        best = {**times, "recall": recall_of(found, truth), "ef_search": ef}
        if best["recall"] >= 0.95:
            break
    return {**best, "build_s": round(build_s, 1), "peak_rss_mb": _peak_mb()}


def run_brute(work: Path, count: int) -> dict:
    import faiss

    rows, queries = data_of(work, count)
    index = faiss.IndexScalarQuantizer(
        rows.shape[1], faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )
    for start in range(0, len(rows), _BLOCK):
        index.add(np.asarray(rows[start : start + _BLOCK], np.float32))
    times, found = timed(lambda q: index.search(q[None], TOP)[1][0], queries[:60])
    return {**times, "recall": recall_of(found, np.load(work / "truth.npy")[:60]), "peak_rss_mb": _peak_mb()}


def _peak_mb() -> int:
    """Largest resident set of this process. (getrusage would count the parent's, which exec hands down.)"""
    (line,) = (x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmHWM"))
    return round(int(line.split()[1]) / 1024)


PARTS = {"zcurate": run_zcurate, "open": run_open, "hnsw": run_hnsw, "brute": run_brute}


def child(part: str, work: Path, count: int, threads: int) -> dict | None:
    """One contestant in a process of its own; None where it is not installed."""
    env = os.environ | {
        k: str(threads) for k in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    }
    command = [sys.executable, __file__, "--part", part, "--work", str(work), "--queries", str(count)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        print(
            f"{part}: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else 'failed'}",
            file=sys.stderr,
        )
        return None
    result = json.loads(done.stdout.splitlines()[-1])
    print(f"{part:8} {result}")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--queries", type=int, default=1_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--vectors", type=Path, help=".npy [n, d] instead of generated ones")
    parser.add_argument("--no-hnsw", action="store_true", help="leave out the slow build of the peer")
    parser.add_argument("--quick", action="store_true", help="50,000 x 256, 300 queries")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument(
        "--work", type=Path, help="folder for vectors and index (a few GB); default: a temporary one"
    )
    options = parser.parse_args()
    if options.part:
        print(json.dumps(PARTS[options.part](options.work, options.queries)))
        return
    if options.quick:
        options.n, options.dim, options.queries = 50_000, 256, 300
    with tempfile.TemporaryDirectory(dir=options.work) as name:
        work, count = Path(name), options.queries
        if options.vectors:
            given = np.load(options.vectors, mmap_mode="r")
            if given.ndim != 2 or len(given) <= 2 * count:
                parser.error(f"--vectors must be [n, d] with n above {2 * count}, got {given.shape}")
            out = np.lib.format.open_memmap(work / "vectors.npy", "w+", np.float16, given.shape)
            for start in range(0, len(given), _BLOCK):
                part = np.asarray(given[start : start + _BLOCK], np.float32)
                out[start : start + _BLOCK] = part / np.maximum(
                    np.linalg.norm(part, axis=1, keepdims=True), 1e-20
                )
            out.flush()
        else:
            generate(work / "vectors.npy", options.n + count, options.dim)
        rows = len(np.load(work / "vectors.npy", mmap_mode="r")) - count
        names = [p for p in PARTS if not (p == "hnsw" and options.no_hnsw)]
        found = {p: child(p, work, count, options.threads) for p in names}
        if found["zcurate"] is None:
            sys.exit(1)
    ours = found["open"] or found["zcurate"]
    print(
        json.dumps(
            {
                "p50_ms": ours["p50_ms"],
                "p99_ms": ours["p99_ms"],
                "recall": found["zcurate"]["recall"],
                "rows": rows,
                "threads": options.threads,
                **{p: found.get(p) for p in PARTS},
            }
        )
    )


if __name__ == "__main__":
    main()
