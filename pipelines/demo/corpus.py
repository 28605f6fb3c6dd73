"""Writes the demonstration corpus: a folder, a WebDataset archive and a Parquet file, and the truth beside them.

OUT/sources/photos/IMG_0001.jpg + .txt or .json     photographs, scenes and most planted faults
OUT/sources/posters-000000.tar                      posters (WebDataset)
OUT/sources/scenes.parquet                          scenes with image bytes in a column
OUT/truth/truth.parquet, truth.json                 what was planted where; never read by the pipeline
"""

from __future__ import annotations

import io
import json
import tarfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.random import Generator

from . import faults
from .faults import Planted
from .photos import Picture, shipped_photographs
from .posters import find_fonts, render_posters
from .scenes import render_scenes

PHOTOS, POSTERS, SCENES = "photos", "posters", "scenes"
TAR_NAME, PARQUET_NAME = "posters-000000.tar", "scenes.parquet"

#: How many pictures have copies: fewer than copies, so that most groups have three members.
ORIGINALS = 30

TRUTH_SCHEMA = pa.schema(
    [
        pa.field("source", pa.string(), False, {"meaning": "photos | posters | scenes"}),
        pa.field("uri", pa.string(), False, {"meaning": "file, relative to the folder of the source"}),
        pa.field("key", pa.string(), False, {"meaning": "unique over the whole corpus"}),
        pa.field("base_id", pa.string(), False, {"meaning": "name of the content before any fault"}),
        pa.field("fault", pa.string(), True, {"meaning": "planted fault, null for a clean row"}),
        pa.field("fault_params", pa.string(), False, {"meaning": "JSON object"}),
        pa.field(
            "duplicate_of", pa.string(), True, {"meaning": "label shared by an original and its copies"}
        ),
        pa.field(
            "text_truth", pa.list_(pa.string()), False, {"meaning": "strings in the picture, top to bottom"}
        ),
        pa.field("class_name", pa.string(), False, {"meaning": "what the picture shows"}),
        pa.field("hard_negative", pa.string(), True, {"meaning": "why a clean row could be flagged wrongly"}),
        pa.field("origin", pa.string(), False, {"meaning": "camera | rendered"}),
    ]
)


@dataclass(frozen=True)
class Corpus:
    """Where the corpus lies and what is true of it.

    Attributes:
        sources: source name -> folder, archive or Parquet file to ingest.
        truth: one row per sample, `TRUTH_SCHEMA`.
        counts: fault (or `clean`, `hard_negative`) -> rows.
        total_bytes: image bytes over all samples.
        notes: what is missing from this build and why (fonts, packages).
    """

    root: Path
    sources: Mapping[str, Path]
    truth: pa.Table
    truth_path: Path
    counts: Mapping[str, int]
    total_bytes: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Sample:
    picture: Picture
    planted: Planted
    fault: str | None = None
    duplicate_of: str | None = None


@dataclass
class _Writer:
    """Gives out keys and collects the truth."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    total_bytes: int = 0

    def add(self, sample: _Sample, source: str, uri: str, key: str) -> None:
        picture, fault = sample.picture, sample.fault
        self.total_bytes += len(sample.planted.data)
        # What is written on a picture can no longer be asked of an OCR once the file is damaged.
        texts = list(picture.texts) if fault is None else []
        self.rows.append(
            {
                "source": source,
                "uri": uri,
                "key": key,
                "base_id": picture.base_id,
                "fault": fault,
                "fault_params": json.dumps(sample.planted.params, sort_keys=True, ensure_ascii=False),
                "duplicate_of": sample.duplicate_of,
                "text_truth": texts,
                "class_name": picture.class_name,
                "hard_negative": picture.hard_negative if fault is None else None,
                "origin": picture.origin,
            }
        )


def _clean(picture: Picture, rng: Generator, as_png: bool = False) -> Planted:
    """As a camera or an editor would have saved it."""
    if as_png:
        return Planted(faults.png(picture.image), ".png")
    quality = int(rng.integers(90, 96))
    return Planted(faults.jpeg(picture.image, quality), ".jpg")


def _nothing(name: str) -> Picture:
    """Stands for rows that show no picture."""
    return Picture(name, np.zeros((0, 0, 3), np.uint8), "none", "", "", ())


def _copies(originals: list[Picture], rng: Generator) -> list[_Sample]:
    """Each original with its copies. Originals that get a pixel-identical copy are stored as PNG."""
    kinds = ["identical_pixels"] * faults.COPIES["identical_pixels"][1] + ["exact_copy"] * faults.EXACT_COPIES
    kinds += [
        name for name, (_, count) in faults.COPIES.items() for _ in range(count) if name != "identical_pixels"
    ]
    plan: dict[int, list[str]] = {i: [] for i in range(len(originals))}
    for n, kind in enumerate(kinds):
        plan[n % len(originals)].append(kind)
    out = []
    for i, picture in enumerate(originals):
        first = _clean(picture, rng, as_png="identical_pixels" in plan[i])
        out.append(_Sample(picture, first, None, picture.base_id))
        for kind in plan[i]:
            if kind == "exact_copy":
                copy = Planted(first.data, first.suffix)
            else:
                copy = faults.COPIES[kind][0](picture.image, rng)
            out.append(_Sample(picture, copy, kind, picture.base_id))
    return out


def _damaged(pool: list[Picture], rng: Generator) -> list[_Sample]:
    """Takes one picture from the end of `pool` per fault; those pictures appear nowhere else."""
    out = []
    for name, (plant, count) in faults.DEGRADATIONS.items():
        for _ in range(count):
            picture = pool.pop()
            out.append(_Sample(picture, plant(picture.image, rng), name))
    for i in range(faults.FLATS):
        out.append(_Sample(_nothing(f"flat_{i}"), faults.flat(rng), "flat"))
    for plant, count in faults.CORRUPT_PICTURES:
        for _ in range(count):
            picture = pool.pop()
            out.append(_Sample(picture, plant(picture.image, rng), faults.CORRUPT))
    for make, count in faults.CORRUPT_FILES:
        for i in range(count):
            planted = make(rng)
            out.append(_Sample(_nothing(f"{planted.params['kind']}_{i}"), planted, faults.CORRUPT))
    return out


def build_corpus(out: Path, seed: int = 0) -> Corpus:
    """Build the corpus under `out` (about 300 images); the same bytes for the same seed and environment.

    Raises:
        FileExistsError: `out` holds something already.
        FileNotFoundError: matplotlib's fonts are missing.
    """
    out = Path(out)
    if out.exists() and any(out.iterdir()):
        raise FileExistsError(f"{out} is not empty: give a new folder for the demonstration corpus")
    rng = np.random.default_rng([seed, 1])
    fonts = find_fonts()
    photographs, missing = shipped_photographs()
    scenes = render_scenes(seed, str(fonts.english[0]))
    posters = render_posters(seed, fonts)
    notes = [fonts.note] if fonts.note else []
    if missing:
        notes.append(
            f"{len(missing)} photographs not found (pip install zcurate[demo]): {', '.join(missing)}"
        )

    everything = photographs + scenes
    pool = [p for p in everything if p.hard_negative is None]
    pool = [pool[i] for i in rng.permutation(len(pool))]
    samples = _damaged(pool, rng)
    originals = [pool.pop() for _ in range(ORIGINALS)]
    samples += _copies(originals, rng)
    hard = [p for p in everything if p.hard_negative is not None]
    samples += [_Sample(p, _clean(p, rng, as_png=i % 9 == 4)) for i, p in enumerate(hard + pool)]
    samples = [samples[i] for i in rng.permutation(len(samples))]

    # Camera pictures and unreadable files stay in the folder; two of five rendered ones go to the Parquet file.
    movable = [s for s in samples if s.picture.origin == "rendered" and s.fault != faults.CORRUPT]
    to_parquet = {id(s) for i, s in enumerate(movable) if i % 5 < 2}
    writer = _Writer()
    root = out / "sources"
    (root / PHOTOS).mkdir(parents=True)
    _write_folder(root / PHOTOS, [s for s in samples if id(s) not in to_parquet], writer)
    _write_parquet(root / PARQUET_NAME, [s for s in samples if id(s) in to_parquet], writer)
    _write_tar(
        root / TAR_NAME,
        [_Sample(p, _clean(p, rng, as_png=i % 4 == 3)) for i, p in enumerate(posters)],
        writer,
    )

    truth = pa.Table.from_pylist(writer.rows, schema=TRUTH_SCHEMA)
    truth_path = out / "truth" / "truth.parquet"
    truth_path.parent.mkdir()
    pq.write_table(truth, truth_path)
    (out / "truth" / "truth.json").write_text(
        json.dumps(writer.rows, ensure_ascii=False, indent=1, sort_keys=True) + "\n", encoding="utf-8"
    )
    counts = Counter(
        r["fault"] or ("hard_negative" if r["hard_negative"] is not None else "clean") for r in writer.rows
    )
    return Corpus(
        root=out,
        sources={PHOTOS: root / PHOTOS, POSTERS: root / TAR_NAME, SCENES: root / PARQUET_NAME},
        truth=truth,
        truth_path=truth_path,
        counts=dict(sorted(counts.items())),
        total_bytes=writer.total_bytes,
        notes=tuple(notes),
    )


def _metadata(picture: Picture) -> dict[str, Any]:
    return {
        "title": picture.title,
        "tags": list(picture.tags),
        "origin": picture.origin,
        "credit": picture.credit,
    }


def _write_folder(folder: Path, samples: list[_Sample], writer: _Writer) -> None:
    """Pictures with, in turn, a text sidecar, a JSON sidecar, and both; damaged downloads have none."""
    for i, sample in enumerate(samples):
        key = f"IMG_{i + 1:04d}"
        name = key + sample.planted.suffix
        (folder / name).write_bytes(sample.planted.data)
        writer.add(sample, PHOTOS, name, key)
        picture = sample.picture
        if not picture.alt_text:
            continue
        if i % 3 != 1:
            (folder / f"{key}.txt").write_text(picture.alt_text + "\n", encoding="utf-8")
        if i % 3 != 0:
            value = {"caption": picture.alt_text, **_metadata(picture)}
            (folder / f"{key}.json").write_text(
                json.dumps(value, ensure_ascii=False) + "\n", encoding="utf-8"
            )


def _write_tar(path: Path, samples: list[_Sample], writer: _Writer) -> None:
    """WebDataset: members of one sample are adjacent and share the name up to the first dot."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for i, sample in enumerate(samples):
            key = f"poster_{i:04d}"
            picture = sample.picture
            description = json.dumps(_metadata(picture), ensure_ascii=False).encode()
            for suffix, data in (
                (sample.planted.suffix, sample.planted.data),
                (".txt", picture.alt_text.encode()),
                (".json", description),
            ):
                info = tarfile.TarInfo(key + suffix)
                info.size, info.mode, info.mtime = len(data), 0o644, 0
                archive.addfile(info, io.BytesIO(data))
            writer.add(sample, POSTERS, path.name, key)


def _write_parquet(path: Path, samples: list[_Sample], writer: _Writer) -> None:
    """Hugging Face image column (struct of bytes and path), with key, caption and metadata columns."""
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns: dict[str, list[Any]] = {
        n: [] for n in ("key", "image", "caption", "title", "tags", "origin", "credit")
    }
    for i, sample in enumerate(samples):
        key = f"scene_{i:04d}"
        picture = sample.picture
        columns["key"].append(key)
        columns["image"].append({"bytes": sample.planted.data, "path": key + sample.planted.suffix})
        columns["caption"].append(picture.alt_text or None)
        for name, value in _metadata(picture).items():
            columns[name].append(value)
        writer.add(sample, SCENES, path.name, key)
    types = {"image": image, "tags": pa.list_(pa.string())}
    arrays = [pa.array(v, types.get(n, pa.string())) for n, v in columns.items()]
    pq.write_table(pa.table(arrays, list(columns)), path, row_group_size=32, compression="none")
