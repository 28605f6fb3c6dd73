"""How fast a manifest becomes a dataset: rows per second, without opening an image.

`manifest_rows_per_s` is the whole ingest: listing, comparing with what is there (nothing), and
committed sample shards on disk. `relist_rows_per_s` is the same again with nothing changed.

    python benchmarks/ingest_speed.py                      # 1,000,000 generated rows, JSONL and CSV
    python benchmarks/ingest_speed.py --quick              # 100,000 rows
    python benchmarks/ingest_speed.py my_list.jsonl.gz     # a manifest of your own

The limit in the same run is PyArrow parsing the same file into a table and doing nothing with it.
Times are medians of repeated runs. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.csv
import pyarrow.json

from zcurate.curation.ingest import SourceSpec, detect_kind, list_source
from zcurate.pipelines.build import ingest_source
from zcurate.pipelines.recipe import SourceConfig


def generate(folder: Path, rows: int) -> list[Path]:
    """The same rows as JSON Lines and CSV, with quotes, Chinese text, numbers and dates."""
    jsonl, table = folder / "manifest.jsonl", folder / "manifest.csv"
    with jsonl.open("w", encoding="utf-8") as lines, table.open("w", encoding="utf-8") as records:
        records.write("path,caption,width,height,similarity,date\n")
        for i in range(rows):
            caption = f'photo {i} of a "{"red" if i % 3 else "blue"}" bicycle, 自行车'
            row = {
                "path": f"shard{i // 10_000:04d}/{i:09d}.jpg",
                "caption": caption,
                "width": 640 + i % 1000,
                "height": 480 + i % 700,
                "similarity": 0.2 + (i % 1000) / 5000,
                "date": f"2024-{i % 12 + 1:02d}-{i % 28 + 1:02d}",
            }
            lines.write(json.dumps(row, ensure_ascii=False) + "\n")
            quoted = caption.replace('"', '""')
            records.write(f'{row["path"]},"{quoted}",')
            records.write(f"{row['width']},{row['height']},{row['similarity']},{row['date']}\n")
    return [jsonl, table]


def list_rows(path: Path) -> int:
    spec = SourceSpec("bench", str(path), detect_kind(str(path)))
    return sum(batch.num_rows for batch in list_source(spec))


def ingest_rows(path: Path, target: Path) -> int:
    """A whole ingest; 10,000 rows per shard from a million rows on, as the command line does."""
    _, summary = ingest_source(str(target), SourceConfig(name="bench", root=str(path)), None)
    return summary.listed


def ingest_rates(path: Path, repeats: int) -> tuple[float, float]:
    """Median rows per second of a first ingest, and of one more that finds nothing changed."""
    first, again = [], []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            for seconds in (first, again):
                started = time.perf_counter()
                rows = ingest_rows(path, Path(folder) / "dataset")
                seconds.append(rows / (time.perf_counter() - started))
    return statistics.median(first), statistics.median(again)


def parse_rows(path: Path) -> int | None:
    """PyArrow's own parse of the file; None where it has no reader for it."""
    name = path.name.removesuffix(".gz")
    if name.endswith(".csv"):
        return pyarrow.csv.read_csv(path).num_rows
    if name.endswith((".jsonl", ".ndjson")):
        return pyarrow.json.read_json(path).num_rows
    return None


def rate(function: Callable[[Path], int | None], path: Path, repeats: int) -> tuple[int, float] | None:
    """(rows, median rows per second)."""
    seconds, rows = [], None
    for _ in range(repeats):
        started = time.perf_counter()
        rows = function(path)
        seconds.append(time.perf_counter() - started)
    return None if rows is None else (rows, rows / statistics.median(seconds))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "manifest", nargs="*", type=Path, help=".jsonl, .csv (.gz) or .parquet lists of paths"
    )
    parser.add_argument("--rows", type=int, default=1_000_000, help="generated rows (default: 1,000,000)")
    parser.add_argument("--repeats", type=int, default=3, help="runs per median (default: 3)")
    parser.add_argument("--quick", action="store_true", help="100,000 generated rows")
    arguments = parser.parse_args()
    rows = 100_000 if arguments.quick else arguments.rows
    keys = ("manifest_rows_per_s", "relist_rows_per_s", "listing_rows_per_s", "pyarrow_parse_rows_per_s")
    slowest: dict[str, float | None] = dict.fromkeys(keys)
    with tempfile.TemporaryDirectory() as folder:
        for path in arguments.manifest or generate(Path(folder), rows):
            listed = rate(list_rows, path, arguments.repeats)
            parsed = rate(parse_rows, path, arguments.repeats)
            if listed is None:
                continue
            first, again = ingest_rates(path, arguments.repeats)
            limit = f"{parsed[1]:,.0f}" if parsed else "none"
            print(
                f"{path.name}: {listed[0]:,} rows; ingest {first:,.0f} rows/s, again {again:,.0f} rows/s, "
                f"listing alone {listed[1]:,.0f} rows/s, PyArrow parse alone {limit} rows/s"
            )
            if not arguments.manifest and listed[0] != rows:
                raise SystemExit(f"{path.name}: listed {listed[0]} of {rows} rows")
            if slowest["manifest_rows_per_s"] is None or first < slowest["manifest_rows_per_s"]:
                found = (first, again, listed[1], parsed[1] if parsed else None)
                slowest = {k: None if v is None else round(v) for k, v in zip(keys, found, strict=True)}
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({**slowest, "peak_rss_mb": round(peak_mb)}))


if __name__ == "__main__":
    main()
