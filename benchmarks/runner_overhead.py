"""What the runner costs: the profile stage through Ray against two bare processes running the same stage code.

Both sides process the same dataset shard by shard, from reading the samples to the committed
Parquet shard. The bare side is two processes that split the shards between them, with no
framework. The ratio is bare seconds over Ray seconds: 1 means that the runner is free.

    python benchmarks/runner_overhead.py [FOLDER] [--quick]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path


def make_images(folder: Path, count: int) -> None:
    """Different JPEGs of ordinary size (768 x 512 px), from crops of noise-shaped gradients."""
    import numpy as np
    import simplejpeg

    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    yy, xx = np.mgrid[0:512, 0:768].astype(np.float32)
    for i in range(count):
        waves = sum(
            rng.uniform(10, 40)
            * np.sin(xx * rng.uniform(0.005, 0.2) + yy * rng.uniform(0.005, 0.2) + rng.uniform(0, 6))
            for _ in range(6)
        )
        grain = rng.normal(0, 6, (512, 768, 3))
        image = np.clip(rng.uniform(60, 190, 3) + waves[..., None] * rng.uniform(0.5, 1, 3) + grain, 0, 255)
        (folder / f"{i:06d}.jpg").write_bytes(simplejpeg.encode_jpeg(image.astype(np.uint8), quality=90))


def repeat_images(folder: Path, times: int) -> None:
    """Hard links, so that a long run needs no more disk. Every link is decoded like a file of its own."""
    originals = sorted(folder.glob("*.jpg"))
    for n in range(1, times):
        for p in originals:
            os.link(p, folder / f"{p.stem}-{n:03d}.jpg")


def recipe_of(images: Path, dataset: Path, rows_per_shard: int) -> dict:
    return {
        "name": "overhead",
        "dataset": str(dataset),
        "rows_per_shard": rows_per_shard,
        "sources": [{"name": "images", "root": str(images), "kind": "folder"}],
        "stages": {"profile": {}},
        "report": False,
    }


def bare(dataset_url: str, recipe: dict, shards: list[str], start: multiprocessing.Barrier) -> None:
    """The stage code with no framework: one process, its shards one after the other."""
    from zcurate.curation.stage import NullMonitor
    from zcurate.curation.store import Dataset, read_selection, read_sources
    from zcurate.curation.store.rows import run_map_shard
    from zcurate.curation.store.selection import expected_inputs
    from zcurate.pipelines.planned import plan_stages
    from zcurate.pipelines.recipe import build_recipe
    from zcurate.pipelines.threads import limit_threads

    limit_threads(1)
    dataset = Dataset.open(dataset_url)
    planned = plan_stages(build_recipe(recipe, "benchmark"), read_sources(dataset)).stages[0]
    samples = dataset.samples()
    selection = read_selection(dataset, samples)
    stage = planned.ref.build()
    stage.setup()
    start.wait()
    for shard in shards:
        inputs = expected_inputs(planned.bound, shard, {"samples": samples}, selection.bases[shard])
        run_map_shard(dataset, planned.bound, stage, shard, selection.bases[shard], inputs, NullMonitor())


def time_bare(recipe: dict, shards: list[str], processes: int) -> float:
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(processes + 1)
    workers = [
        context.Process(target=bare, args=(recipe["dataset"], recipe, shards[i::processes], start))
        for i in range(processes)
    ]
    for w in workers:
        w.start()
    start.wait()
    began = time.monotonic()
    for w in workers:
        w.join()
    seconds = time.monotonic() - began
    if any(w.exitcode for w in workers):
        raise SystemExit("a bare process failed")
    return seconds


def time_ray(recipe: dict, processes: int) -> tuple[float, float]:
    """(seconds of the whole run from the runner's start, of which until the first actor works)."""
    from zcurate.curation.store import Dataset, read_sources
    from zcurate.pipelines.execution.ray_engine import RayEngine
    from zcurate.pipelines.planned import plan_stages
    from zcurate.pipelines.recipe import build_recipe
    from zcurate.pipelines.runner import Runner

    dataset = Dataset.open(recipe["dataset"])
    plan = plan_stages(build_recipe(recipe, "benchmark"), read_sources(dataset))
    engine = RayEngine(
        recipe["dataset"], {}, f"overhead-{os.getpid()}-{time.time_ns()}", max_workers=processes
    )
    try:
        began = time.monotonic()
        result = Runner(dataset, plan, engine).run()
        seconds = time.monotonic() - began
    finally:
        engine.close()
    if not result.complete:
        raise SystemExit(f"the run failed: {result.failed}")
    return seconds, max(t.seconds for t in result.tallies.values())


def forget(dataset: Path) -> None:
    """Make the profile stale again."""
    for group in ("profile", "thumbs", "_index"):
        shutil.rmtree(dataset / group, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path, help="folder of images; default: rendered ones")
    parser.add_argument("--quick", action="store_true", help="under a minute; start-up then weighs more")
    parser.add_argument("--images", type=int, default=8_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    count, rounds = (1_200, 1) if args.quick else (args.images, args.rounds)
    work = Path(tempfile.mkdtemp(prefix="zcurate-overhead-"))
    try:
        images = args.folder
        if images is None:
            images = work / "images"
            base = min(count, 600)
            make_images(images, base)
            repeat_images(images, -(-count // base))
        recipe = recipe_of(images, work / "dataset", max(50, min(1000, count // 24)))
        from zcurate.curation.store import Dataset
        from zcurate.pipelines.build import ingest_source
        from zcurate.pipelines.recipe import build_recipe

        built = build_recipe(recipe, "benchmark")
        ingest_source(built.dataset, built.sources[0], built.rows_per_shard)
        index = Dataset.open(built.dataset).samples()
        shards, rows = sorted(index.metas), sum(m.rows for m in index.metas.values())
        bare_s, ray_s = [], []
        for n in range(rounds):
            forget(work / "dataset")
            bare_s.append(time_bare(recipe, shards, args.processes))
            forget(work / "dataset")
            ray_s.append(time_ray(recipe, args.processes)[0])
            print(
                f"round {n + 1}: bare {rows / bare_s[-1]:.1f} images/s, Ray {rows / ray_s[-1]:.1f} images/s",
                flush=True,
            )
        bare_median, ray_median = statistics.median(bare_s), statistics.median(ray_s)
        print(
            json.dumps(
                {
                    "ratio": round(bare_median / ray_median, 4),
                    "bare_images_per_s": round(rows / bare_median, 1),
                    "ray_images_per_s": round(rows / ray_median, 1),
                    "images": rows,
                    "shards": len(shards),
                    "processes": args.processes,
                    "rounds": rounds,
                }
            )
        )
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
