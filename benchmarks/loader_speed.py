"""The data feed alone: samples per second, waiting at a consumer's pace, memory; against the usual loaders.

    python benchmarks/loader_speed.py [--images DIR] [--samples 400] [--cores 2] [--rate 200] [--quick]

Pictures are JPEGs of about 1 megapixel (made here: noise of a falling spectrum at quality 90, about 210 kB), or those of a
folder, exported as WebDataset and read back from the page cache by as many threads as cores. Stages: 256 x 256 and
512 x 512 in area, any shape, and `native`: 256..1024 px squared, each at its own size. Every loader gives uint8
pixels at the same sizes, with a caption. Peers in the same run, on the same cores:
  plain_loop   one thread: read a member, Pillow, resize
  webdataset   webdataset's pipeline in torch's DataLoader with one worker process per core, Pillow, resize
The consumer takes `--rate` samples/s off the feed, as a trainer on a GPU would: it sleeps between batches, and
data_wait_share is the share of its time that it waits for the next one beyond the first. core_ms is the time of a core
that a sample takes, whatever else ran meanwhile, and capacity_per_s what idle cores could give at that. Ends with one
line of JSON.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import json
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import xxhash
from PIL import Image

STAGES = {"256": {"side_px": 256}, "512": {"side_px": 512}, "native": {"min_px": 256, "max_px": 1024}}
_SHAPES = ((1024, 1024), (1152, 896), (1216, 832), (1344, 768), (896, 1152), (832, 1216))


def made_pictures(count: int) -> Iterator[tuple[str, bytes, int, int]]:
    """(name, JPEG, width, height), as hard to decode as detailed photographs. 24 of them, over and over."""
    made = []
    for i in range(min(count, 24)):
        width, height = _SHAPES[i % len(_SHAPES)]
        rng, image = np.random.default_rng(i), np.full((height, width, 3), 128.0, np.float32)
        for octave in range(9):
            cells = rng.normal(0, 40 / 2 ** (0.4 * octave), (2 << octave, 2 << octave, 3))
            cells = np.clip(cells + 128, 0, 255).astype(np.uint8)
            image += (
                np.asarray(Image.fromarray(cells).resize((width, height), Image.Resampling.BICUBIC)) - 128.0
            )
        out = io.BytesIO()
        Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(out, "JPEG", quality=90)
        made.append((out.getvalue(), width, height))
    for i in range(count):
        yield f"{i}.jpg", *made[i % len(made)]


def found_pictures(folder: Path, count: int) -> Iterator[tuple[str, bytes, int, int]]:
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg"))
    for i in range(count if paths else 0):
        data = paths[i % len(paths)].read_bytes()
        with Image.open(io.BytesIO(data)) as image:
            size = image.size if image.getexif().get(0x0112, 1) < 5 else image.size[::-1]
        yield f"{i}.jpg", data, *size


def export(pictures: Iterable[tuple[str, bytes, int, int]], folder: Path) -> int:
    """Write a WebDataset export; returns bytes of pictures."""
    from zcurate.curation.export import WebDatasetOptions, export_webdataset

    files, rows = {}, []
    for name, data, width, height in pictures:
        files[name] = data
        row = {"sample_id": xxhash.xxh3_128_digest(name.encode()), "source": "made", "uri": name, "key": name}
        row |= {"width_px": width, "height_px": height, "en_long": f"A picture called {name} " * 12}
        rows.append(row)
    types = {"sample_id": pa.binary(16), "width_px": pa.int32(), "height_px": pa.int32()}
    table = pa.table({n: pa.array([r[n] for r in rows], types.get(n, pa.string())) for n in rows[0]})
    options = WebDatasetOptions(max_rows=max(1, len(rows) // 8))
    export_webdataset([table], lambda source, uri, *place: files[uri], folder, options)
    return sum(map(len, files.values()))


def opened_feed(folder: Path, stage: dict, cores: int):
    from zcurate.model.data.opening import open_feed

    data = {"parts": [{"url": str(folder)}], "resolution": stage, "token_budget": 16_384, "threads": cores}
    return open_feed({**data, "captions": {"en_long": 1}, "dropout": 0.1}, 0, 0, 1)


def plain_loop(folder: Path, sizes: dict[str, tuple[int, int]]) -> Iterator[int]:
    """Samples one by one, by the member index, with Pillow."""
    import pyarrow.parquet as pq

    for row in pq.read_table(folder / "index.parquet").to_pylist():
        if row["sample_id"] not in sizes:
            continue
        with (folder / row["shard"]).open("rb") as f:
            f.seek(row["offset"])
            data = f.read(row["length"])
        yield len(_resized(data, sizes[row["sample_id"]])) and 1


def _resized(data: bytes, size: tuple[int, int]) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        image.draft("RGB", (2 * size[0], 2 * size[1]))
        return np.asarray(image.convert("RGB").resize(size, Image.Resampling.BICUBIC))


class _ToSize:
    """A map of webdataset; a class, so that worker processes can be given it. Samples without a size are passed over."""

    def __init__(self, sizes: dict[str, tuple[int, int]]) -> None:
        self.sizes = sizes

    def __call__(self, sample: dict) -> tuple[np.ndarray, str]:
        facts = json.loads(sample["json"])
        return _resized(sample["jpg"], self.sizes[facts["sample_id"]]), facts["captions"]["en_long"]


def webdataset_loader(folder: Path, sizes: dict[str, tuple[int, int]], cores: int) -> Iterator[int]:
    """Samples in lists of 16, as pictures of several sizes cannot be stacked."""
    import webdataset
    from torch.utils.data import DataLoader

    shards = sorted(str(p) for p in folder.glob("*.tar"))
    data = webdataset.WebDataset(shards, shardshuffle=False, workersplitter=webdataset.split_by_worker)
    loader = DataLoader(
        data.map(_ToSize(sizes), handler=webdataset.ignore_and_continue),
        16,
        num_workers=cores,
        collate_fn=list,
        prefetch_factor=4,
    )
    for batch in loader:
        yield len(batch)


def cpu_seconds() -> float:
    """Of this process with its threads, and of worker processes that have ended."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def rates_of(loaders: dict[str, Callable[[], Iterable[int]]], repeats: int) -> dict[str, tuple[float, float]]:
    """name -> (samples per second, milliseconds of a core per sample), medians of runs taken in turns."""
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in loaders}
    for _ in range(repeats):
        for name, loader in loaders.items():
            start, cpu = time.perf_counter(), cpu_seconds()
            count = sum(loader())
            taken = time.perf_counter() - start
            rates[name].append((count / taken, (cpu_seconds() - cpu) / count * 1000))
    return {
        name: tuple(statistics.median(column) for column in zip(*runs, strict=True))
        for name, runs in rates.items()
    }


def consumed(feed, rate: float, seconds: float) -> tuple[float, float]:
    """(share of the time spent waiting, samples per second) of a consumer that needs 1 / rate s per sample."""
    waited = count = 0.0
    stream, begun = iter(feed), None
    while begun is None or time.perf_counter() - begun < seconds:
        start = time.perf_counter()
        batch = next(stream, None)
        if batch is None:
            stream = iter(feed)
            continue
        if begun is None:  # the first batch fills the queue
            begun = time.perf_counter()
        else:
            waited += time.perf_counter() - start
        count += len(batch)
        time.sleep(len(batch) / rate)
    taken = time.perf_counter() - begun
    return waited / taken, count / taken


def memory_mib() -> float:
    """Resident now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=Path, help="folder of JPEGs in place of made ones")
    parser.add_argument("--samples", type=int, default=600)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--rate", type=float, default=200.0, help="samples/s of the consumer")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each consumer's run")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="120 samples, one repeat, 3 s")
    args = parser.parse_args()
    if args.quick:
        args.samples, args.repeats, args.seconds = 120, 1, 3.0
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.cores])
    import cv2
    import torch

    from zcurate.model.data.errors import PlanError

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    result: dict = {"samples": args.samples, "cores": args.cores, "rate": args.rate}
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "export"
        pictures = found_pictures(args.images, args.samples) if args.images else made_pictures(args.samples)
        total = export(pictures, folder)
        result["mean_jpeg_kb"] = round(total / args.samples / 1000, 1)
        for name, stage in STAGES.items():
            try:
                feed = opened_feed(folder, stage, args.cores)
            except PlanError as error:
                print(f"{name:8} left out: {error}")
                continue
            chosen = feed.parts[0]
            sizes = {chosen.part.source.rows.id_of(r): tuple(map(int, chosen.sizes[r])) for r in chosen.rows}
            before, peak = memory_mib(), 0.0

            def ours(feed=feed) -> Iterator[int]:
                nonlocal peak
                for batch in feed:
                    peak = max(peak, memory_mib())
                    yield len(batch)

            loaders: dict[str, Callable[[], Iterable[int]]] = {
                "ours": ours,
                "plain_loop": partial(plain_loop, folder, sizes),
            }
            if importlib.util.find_spec("webdataset"):
                loaders["webdataset"] = partial(webdataset_loader, folder, sizes, args.cores)
            rates = rates_of(loaders, args.repeats)
            rate, cost = rates["ours"]
            facts: dict[str, float | None] = {
                "samples_per_s": rate,
                "core_ms_per_sample": cost,
                "capacity_per_s": args.cores * 1000 / cost,
                "peak_extra_mib": peak - before,
            }
            facts["data_wait_share"], facts["consumed_per_s"] = consumed(
                opened_feed(folder, stage, args.cores), args.rate, args.seconds
            )
            for peer in ("plain_loop", "webdataset"):
                theirs, core_ms = rates.get(peer, (None, None))
                facts[f"{peer}_per_s"], facts[f"{peer}_core_ms"] = theirs, core_ms
                facts[f"over_{peer}"] = None if theirs is None else rate / theirs
                facts[f"{peer}_core_time_over_ours"] = None if core_ms is None else core_ms / cost
            for key, value in facts.items():
                print(f"{name:8} {key:20} {value if value is None else round(value, 3)}")
                result[f"{key}_{name}"] = value if value is None else round(value, 4)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
