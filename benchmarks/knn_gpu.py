"""100 nearest neighbors on one GPU: rows per second, recall, and GPU-hours for a billion rows.

    python benchmarks/knn_gpu.py                                       # 1, 10 and 30 million rows x 512
    python benchmarks/knn_gpu.py --sizes 30000000 --record h200_30m    # one size; text to benchmarks/results/
    python benchmarks/knn_gpu.py --quick                               # 50,000 rows, also without a GPU

The vectors lie on a curved 40-dimensional manifold in 512 dimensions with a common mean direction, as
encoders' do. A tenth of the rows are copies of others, moved along the manifold to cosines uniform
between the threshold and 0.99. Rows come from disk (or host memory where the disk is full), cold.

Recall is measured against planted pairs, and against 2,000 random rows compared with everything.
Limits in the same run: the device's own matrix product, cuVS brute force where it is installed, and
faiss brute force without a GPU.

A billion rows of 512 half floats are 1 TB, which fits no card. Their projection keeps the cell size,
so there are 10,000 cells; routing is therefore measured at that number of cells (time, copies
per row, pairs compared, recall), reading and shuffling at this machine's disk, and every phase is
counted in full, as if nothing overlapped. Without a GPU there is no projection. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from zcurate.curation.neighbors.torch_cells import (
    Routing,
    fit_centroids,
    listed_cells,
    needed_slack,
    slack_at,
)
from zcurate.curation.neighbors.torch_knn import CELL_ROWS, Found, Plan, neighbors_of, search
from zcurate.curation.neighbors.torch_merge import contains
from zcurate.curation.neighbors.torch_source import Source
from zcurate.curation.neighbors.torch_store import Shuffled, choose_groups
from zcurate.curation.neighbors.torch_vectors import make_block, operand_dtype, read_ahead

DIMENSIONS, LATENT = 512, 40
BILLION = 1_000_000_000
#: The Z-Image report: index and 100-NN of 1e9 rows in 8 hours on 8 H800.
REPORT_GPU_HOURS = 64
CHUNK_ROWS = 250_000
#: Rows that stand for a billion where routing and shuffling are measured.
SAMPLE_ROWS = 3_000_000

lines: list[str] = []


def say(text: str) -> None:
    print(text, flush=True)
    lines.append(text)


@dataclass(frozen=True)
class Data:
    """float16 [n, 512] on disk or in memory, and its planted pairs with cosine >= threshold."""

    vectors: np.ndarray
    path: Path | None
    a: np.ndarray
    b: np.ndarray


def generate(n: int, threshold: float, device: torch.device, folder: Path, seed: int) -> Data:
    """Made on the device, chunk by chunk, and written out."""
    room = shutil.disk_usage(folder).free
    path = folder / f"vectors-{n}" if room > 1.2 * n * DIMENSIONS * 2 else None
    shape = (n, DIMENSIONS)
    vectors = np.memmap(path, np.float16, "w+", shape=shape) if path else np.empty(shape, np.float16)
    generator = torch.Generator(device).manual_seed(seed)

    def normal(*size: int) -> torch.Tensor:
        return torch.randn(size, generator=generator, device=device)

    flat, bend_in, bend_out = normal(LATENT, DIMENSIONS), normal(LATENT, 80), normal(80, DIMENSIONS)
    mean = torch.nn.functional.normalize(normal(1, DIMENSIONS))
    a, b = [], []
    for first in range(0, n, CHUNK_ROWS):
        rows = min(CHUNK_ROWS, n - first)
        copies = rows // 10
        z = normal(rows - copies, LATENT)
        x = 0.55 * mean + z @ flat / (LATENT * DIMENSIONS) ** 0.5
        x += 0.3 * torch.sin(z @ bend_in / LATENT**0.5) @ bend_out / (40 * DIMENSIONS) ** 0.5
        x = torch.nn.functional.normalize(x)
        base, toward = x[:copies], x[copies : 2 * copies]  # toward another place of the manifold
        side = torch.nn.functional.normalize(toward - (toward * base).sum(1, keepdim=True) * base)
        cosine = threshold + (0.99 - threshold) * torch.rand((copies, 1), generator=generator, device=device)
        x = torch.cat([x, cosine * base + (1 - cosine**2).sqrt() * side]).half()
        vectors[first : first + rows] = x.cpu().numpy()
        unit = torch.nn.functional.normalize(x.double())
        near = ((unit[:copies] * unit[rows - copies :]).sum(1) >= threshold + 1e-6).nonzero().squeeze(1)
        a.append(first + near.cpu().numpy())
        b.append(first + rows - copies + near.cpu().numpy())
    if path:
        vectors.flush()
        vectors = np.memmap(path, np.float16, "r", shape=shape)
        forget(path)
    return Data(vectors, path, np.concatenate(a), np.concatenate(b))


def forget(path: Path) -> None:
    """Drop a file from the page cache, so that it is read from the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def product_rate(device: torch.device) -> float:
    """FLOP/s of the device's matrix product in the search's precision, best of five."""
    size = 8_192 if device.type == "cuda" else 1_024
    x = torch.randn((size, size), device=device).to(operand_dtype(device))
    best = float("inf")
    for _ in range(6):
        wait(device)
        started = time.perf_counter()
        _ = x @ x.T
        wait(device)
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best


def measure(data: Data, arguments: argparse.Namespace, device: torch.device, peak: float) -> dict:
    """One size: search it and print what came out."""
    n = len(data.vectors)
    if data.path:
        forget(data.path)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    sample = 16_384 if device.type == "cuda" else 4_096
    plan = Plan(cells=max(1, round(n / arguments.cell_rows)), sample=sample, scratch=arguments.scratch)
    started = time.perf_counter()
    found = search(data.vectors, 100, arguments.floor, str(device), plan)
    seconds = time.perf_counter() - started
    queries = np.sort(np.random.default_rng(1).permutation(n)[:2_000])
    row, other, _ = neighbors_of(data.vectors, queries, 100, arguments.threshold, str(device))
    near = found.edges.above(arguments.threshold)
    brute = contains(near, row, other, n)
    planted = contains(near, data.a, data.b, n)
    share = found.pairs_per_row * n * 2 * DIMENSIONS / found.seconds["search"] / peak
    memory = f"host peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB so far"
    if device.type == "cuda":
        memory += f", device peak {torch.cuda.max_memory_allocated(device) / 2**30:.1f} GiB"
    say(
        f"\n{n:,} rows, {found.cells} cells, vectors on {found.place}"
        f"{', fused kernel' if found.fused else ''}: {seconds:.2f} s, {n / seconds:,.0f} items/s"
        f"\n  seconds: {', '.join(f'{phase} {s:.2f}' for phase, s in found.seconds.items())}"
        f"\n  {found.copies_per_row:.2f} cells list a row, {found.pairs_per_row:,.0f} rows compared per row, "
        f"{100 * share:.0f}% of the product's peak; {memory}"
        f"\n  {len(found.edges):,} edges; recall at cosine >= {arguments.threshold}: {planted.mean():.4f} of "
        f"{len(planted):,} planted pairs, {brute.mean():.4f} of {len(brute):,} pairs of 2,000 rows "
        f"by brute force"
        f"\n  the search's own figure (cosine >= {arguments.floor}): {found.recall}, of {found.recall_pairs} pairs"
    )
    return {
        "n": n, "seconds": seconds, "found": found,
        "planted": float(planted.mean()), "brute": float(brute.mean()),
    }  # fmt: skip


def peers(data: Data, device: torch.device, rows: int) -> tuple[float | None, str]:
    """Rows per second of somebody else's brute force over the first rows, and whose."""
    part = np.ascontiguousarray(data.vectors[:rows], np.float32)
    if device.type == "cuda":
        try:
            from cuvs.neighbors import brute_force
        except ImportError:
            return None, "cuVS is not installed"
        dataset = torch.from_numpy(part).half().to(device)
        index = brute_force.build(dataset, metric="inner_product")
        wait(device)
        started = time.perf_counter()
        for block in dataset.split(20_000):
            brute_force.search(index, block, 100)
        wait(device)
        return rows / (time.perf_counter() - started), f"cuVS brute force, {rows:,} rows"
    import faiss

    index = faiss.IndexFlatIP(DIMENSIONS)
    index.add(part)
    asked = part[:2_000]
    started = time.perf_counter()
    index.search(asked, 100)
    return len(asked) / (time.perf_counter() - started), f"faiss brute force, 2,000 queries in {rows:,} rows"


def project(
    data: Data, best: dict, arguments: argparse.Namespace, device: torch.device
) -> tuple[float, float]:
    """GPU-hours for a billion rows, and the recall of its routing; prints every part."""
    found: Found = best["found"]
    cells, row_bytes = round(BILLION / arguments.cell_rows), DIMENSIONS * 2
    part = data.vectors[:SAMPLE_ROWS]
    rows, operand = len(part), operand_dtype(device)
    hours: dict[str, float] = {}

    if data.path:
        forget(data.path)
    started = time.perf_counter()
    for _ in read_ahead(part, device):
        pass
    wait(device)
    read_rate = part.nbytes / (time.perf_counter() - started)
    hours["read twice"] = 2 * BILLION * row_bytes / read_rate
    hours["compare the sample"] = found.seconds["sample"] / best["n"] * BILLION

    blocks = [make_block(x, torch.arange(at, at + len(x), device=device), operand)
              for at, x in read_ahead(part, device)]  # fmt: skip
    unit = torch.cat([block.unit for block in blocks])
    wait(device)
    started = time.perf_counter()
    chosen = torch.randperm(rows, generator=torch.Generator().manual_seed(0))[: cells * 256]
    centroids = fit_centroids(unit[chosen.to(device)], cells, 0)
    wait(device)
    hours["centroids"] = time.perf_counter() - started
    inside = (data.a < rows) & (data.b < rows)
    a, b = (torch.from_numpy(x[inside]).to(device) for x in (data.a, data.b))
    needed = needed_slack(Routing(centroids, Plan.probes, 1.0), unit[a], unit[b]).cpu().numpy()
    slack = slack_at(needed[::2], Plan.target)
    recall = float((needed[1::2] <= slack).mean())
    routing = Routing(centroids, Plan.probes, slack)
    started = time.perf_counter()
    listed = torch.cat([listed_cells(block.unit, routing) for block in blocks])
    wait(device)
    hours["assign"] = (time.perf_counter() - started) / rows * BILLION
    own = torch.bincount(listed[:, 0], minlength=cells).double()
    all_listed = torch.bincount(listed[listed >= 0], minlength=cells).double()
    copies = float(all_listed.sum()) / rows
    pairs = float((own * all_listed).sum()) / rows**2 * BILLION
    del unit

    group_rows = Source(part, device, "disk").group_rows(Plan.probes)
    group_of = choose_groups(routing, listed[:65_536], BILLION, group_rows)
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as folder:
        started = time.perf_counter()
        store = Shuffled(
            ((x.original, x.ids, listed_cells(x.unit, routing)) for x in blocks), group_of, Path(folder)
        )
        shuffle_rate = store.written_bytes / (time.perf_counter() - started)
        del blocks
        for path in Path(folder).iterdir():
            forget(path)
        started = time.perf_counter()
        for group in range(store.groups):
            store.load(group)
        wait(device)
        load_rate = store.written_bytes / (time.perf_counter() - started)
    moved = store.written_bytes / rows * BILLION
    hours["shuffle"] = moved / shuffle_rate
    hours["load"] = moved / load_rate
    hours["search"] = found.seconds["search"] / (found.pairs_per_row * best["n"]) * pairs * BILLION
    hours["merge"] = found.seconds["merge"] / best["n"] * BILLION
    hours = {phase: seconds / 3600 for phase, seconds in hours.items()}
    total = sum(hours.values())
    say(
        f"\n1e9 rows on one GPU, projected from {best['n']:,} rows: {total:.2f} GPU-hours, nothing "
        f"overlapping (the report: {REPORT_GPU_HOURS})"
        f"\n  hours: {', '.join(f'{phase} {h:.2f}' for phase, h in hours.items())}"
        f"\n  {cells:,} cells measured on {rows:,} rows: {copies:.2f} cells list a row, "
        f"{pairs:,.0f} rows compared per row, {recall:.4f} of {len(needed[1::2]):,} pairs not used to "
        f"choose the slack ({slack:.3f}) meet"
        f"\n  {store.groups} groups of cells, each on the card at once; "
        f"a row is in {store.rows / rows:.2f} of them"
        f"\n  GB/s: read {read_rate / 1e9:.2f} ({'disk' if data.path else 'memory'}), shuffle to disk "
        f"{shuffle_rate / 1e9:.2f}, load cells from disk {load_rate / 1e9:.2f}"
    )  # fmt: skip
    return total, recall


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--sizes", type=lambda s: int(float(s)), nargs="+", default=[1_000_000, 10_000_000, 30_000_000]
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threshold", type=float, default=0.9, help="cosine of near-duplicates")
    parser.add_argument("--floor", type=float, default=0.8, help="smallest cosine of an edge (default: 0.8)")
    parser.add_argument("--cell-rows", type=int, default=CELL_ROWS, help="rows of a cell, at every size")
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()), help="folder for data")
    parser.add_argument("--record", help="name of a text file in benchmarks/results/")
    parser.add_argument("--quick", action="store_true", help="50,000 rows in cells of 5,000, no projection")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.sizes, arguments.cell_rows = [50_000], 5_000
    device = torch.device(arguments.device)
    name = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"CPU, {torch.get_num_threads()} threads"
    )
    peak = product_rate(device)
    say(f"{name}: {peak / 1e12:.2f} TFLOP/s matrix product; torch {torch.__version__}")
    if device.type != "cuda":
        say("No GPU in use: these are figures of a CPU, and say nothing of a GPU's.")
    results, hours, routing_recall = [], None, None
    for n in sorted(arguments.sizes):
        with tempfile.TemporaryDirectory(dir=arguments.scratch) as folder:
            data = generate(n, arguments.threshold, device, Path(folder), seed=0)
            if not results:
                rate, whose = peers(data, device, min(n, 1_000_000))
                say(f"peer: {whose}" + (f": {rate:,.0f} items/s" if rate else ""))
            results.append(measure(data, arguments, device, peak))
            if n == max(arguments.sizes) and device.type == "cuda" and not arguments.quick:
                if n < 256 * round(BILLION / arguments.cell_rows):
                    say(f"\nNo projection: {n:,} rows are too few for the centroids of 1e9 rows.")
                else:
                    hours, routing_recall = project(data, results[-1], arguments, device)
    growth = None
    if len(results) > 1:
        x, y = np.log([[r["n"], r["seconds"]] for r in results]).T
        growth = float(np.polyfit(x, y, 1)[0])
        say(f"\nseconds grow as rows ** {growth:.3f} at constant cell size")
    recall = min(r[key] for r in results for key in ("planted", "brute"))
    figures = {
        "items_per_s": {str(r["n"]): round(r["n"] / r["seconds"]) for r in results},
        "recall": round(min(recall, routing_recall or 1.0), 5),
        "gpu_hours_per_1e9": hours and round(hours, 3),
        "recall_at_1e9_cells": routing_recall,
        "growth_exponent": growth,
        "peer_items_per_s": rate and round(rate),
        "product_tflops": round(peak / 1e12, 3),
        "device": name,
    }
    say(json.dumps(figures))
    if arguments.record:
        target = Path(__file__).parent / "results" / f"{arguments.record}.txt"
        target.parent.mkdir(exist_ok=True)
        target.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
